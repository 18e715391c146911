#!/usr/bin/env python3
"""A client in another language: walks through the contract against a running server.

    .venv/bin/python tests/python/walk.py 127.0.0.1:50051

Its stubs are made from proto/ when it starts, so that it knows no more than the contract says.
It checks every answer, prints a line for each step, and ends with a code other than 0 at the first
answer that is wrong. It applies a catalog of its own and makes accounts with new names: for a
server that is there for tests, as often as one likes.
"""

import sys
import tempfile
import uuid

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from contract import PATIENCE, done, refused, same, stubs
from purchases import purchases


class Walk:
    """One walk: what it talks to, and the names that it made up."""

    def __init__(self, channel, pb, rpc):
        self.channel = channel
        self.pb = pb
        self.gate = rpc["gate"].GateServiceStub(channel)
        self.ledger = rpc["ledger"].LedgerServiceStub(channel)
        self.accounts = rpc["billing"].AccountServiceStub(channel)
        self.billing = rpc["billing"].BillingServiceStub(channel)
        self.catalog = rpc["catalog"].CatalogServiceStub(channel)
        name = uuid.uuid4().hex[:12]
        self.account = f"walk-{name}"
        self.project = f"site-{name}"

    def call(self, method, request):
        return method(request, timeout=PATIENCE)

    def scan(self, kind="live_audit", **fields):
        fields = {"account_id": self.account, "project_id": self.project, **fields}
        return self.pb["gate"].Scan(scan_kind=kind, **fields)

    def reserve(self, reservation_id, scan=None, **fields):
        request = self.pb["gate"].ReserveRequest(
            reservation_id=reservation_id, scan=scan or self.scan(), **fields
        )
        return self.call(self.gate.Reserve, request)

    def set_up(self):
        billing, catalog = self.pb["billing"], self.pb["catalog"]
        request = billing.CreateAccountRequest(account_id=self.account, display_name="Walk")
        for _ in range(2):
            account = self.call(self.accounts.CreateAccount, request).account
            same(account, account_id=self.account, display_name="Walk", suspended=False)
            assert account.create_time.seconds > 0
        done("CreateAccount, twice: the same account")

        request = billing.AssignProjectRequest(project_id=self.project, account_id=self.account)
        same(self.call(self.accounts.AssignProject, request), previous_account_id="")
        done("AssignProject")

        wanted = catalog.Catalog(
            scan_kinds=[
                catalog.ScanKind(name="quick_scan"),
                catalog.ScanKind(name="live_audit", credit_type="scan", credits=1),
                catalog.ScanKind(
                    name="deep_audit",
                    credit_type="scan",
                    credits=3,
                    default_lease=Duration(seconds=600),
                    max_lease=Duration(seconds=7200),
                ),
            ],
            plans=[
                catalog.Plan(
                    name="pro",
                    allowances=[
                        catalog.Allowance(
                            credit_type="scan", credits=2, rollover=catalog.ROLLOVER_UNLIMITED
                        )
                    ],
                    scans=[catalog.PlanScan(scan_kind="live_audit")],
                )
            ],
            prices=[catalog.CreditPrice(credit_type="scan", unit_price_minor=2900, currency="USD")],
            policy=catalog.Policy(planless_accounts_may_spend=True),
        )
        request = catalog.ApplyCatalogRequest(catalog=wanted)
        first = self.call(self.catalog.ApplyCatalog, request)
        again = self.call(self.catalog.ApplyCatalog, request)
        assert first.revision > 0, first
        same(again, revision=first.revision, changes=[])
        found = self.call(self.catalog.GetCatalog, catalog.GetCatalogRequest())
        assert [kind.name for kind in found.catalog.scan_kinds] == [
            kind.name for kind in wanted.scan_kinds
        ], found
        done("ApplyCatalog, twice: one revision; GetCatalog")

        request = billing.GrantCreditsRequest(
            grant_id="welcome", account_id=self.account, credit_type="scan", credits=4, reason="walk"
        )
        granted = self.call(self.billing.GrantCredits, request)
        same(granted, replayed=False)
        same(granted.lot, credits=4, remaining=4, source=self.pb["ledger"].LOT_SOURCE_GRANT)
        same(granted.balance, available=4, reserved=0, spent=0, sequence=1)
        replayed = self.call(self.billing.GrantCredits, request)
        same(replayed, replayed=True, balance=granted.balance)
        same(replayed.lot, lot_id=granted.lot.lot_id)
        done("GrantCredits, twice: one grant")

    def settle(self):
        gate = self.pb["gate"]
        checked = self.call(
            self.gate.CheckEligibility, gate.CheckEligibilityRequest(scan=self.scan())
        )
        assert checked.WhichOneof("verdict") == "eligible", checked
        same(checked.eligible, credits=1, credit_type="scan")
        same(checked.balance, available=4, reserved=0, sequence=1)
        done("CheckEligibility: eligible, and nothing held")

        labels = {"branch": "main", "über": "ünïcode"}
        deep = self.scan("deep_audit")
        reserved = self.reserve("run-1", deep, labels=labels)
        assert reserved.WhichOneof("verdict") == "reservation", reserved
        held = reserved.reservation
        same(
            held,
            reservation_id="run-1",
            account_id=self.account,
            project_id=self.project,
            scan_kind="deep_audit",
            credit_type="scan",
            credits=3,
            spent_credits=0,
            state=gate.RESERVATION_STATE_HELD,
        )
        assert dict(held.labels) == labels, held
        assert held.expire_time.seconds - held.create_time.seconds == 600, held
        assert not held.HasField("settle_time"), held
        same(reserved, replayed=False)
        same(reserved.balance, available=1, reserved=3, spent=0, sequence=2)
        done("Reserve: held, with the catalog's price and lease")

        replayed = self.reserve("run-1", deep, labels=labels)
        same(replayed, replayed=True, reservation=held, balance=reserved.balance)
        done("Reserve again: the same reservation")

        extend = gate.ExtendRequest(
            account_id=self.account, reservation_id="run-1", lease=Duration(seconds=3600)
        )
        extended = self.call(self.gate.Extend, extend).reservation
        assert extended.expire_time.seconds >= held.create_time.seconds + 3600, extended
        done("Extend")

        commit = gate.CommitRequest(account_id=self.account, reservation_id="run-1", credits=2)
        committed = self.call(self.gate.Commit, commit)
        same(committed, replayed=False)
        same(
            committed.reservation,
            state=gate.RESERVATION_STATE_COMMITTED,
            credits=3,
            spent_credits=2,
            late=False,
        )
        assert committed.reservation.HasField("settle_time"), committed
        same(committed.balance, available=2, reserved=0, spent=2)
        replayed = self.call(self.gate.Commit, commit)
        same(
            replayed,
            replayed=True,
            reservation=committed.reservation,
            balance=committed.balance,
        )
        done("Commit of 2 of 3 credits, twice: spent once")

        self.reserve("run-2")
        release = gate.ReleaseRequest(
            account_id=self.account,
            reservation_id="run-2",
            cause=gate.RELEASE_CAUSE_PLATFORM_ERROR,
            note="the worker was lost",
        )
        released = self.call(self.gate.Release, release)
        same(
            released,
            disposition=gate.DISPOSITION_RESTORED,
            restored_credits=1,
            replayed=False,
        )
        same(
            released.reservation,
            state=gate.RESERVATION_STATE_RELEASED,
            release_cause=gate.RELEASE_CAUSE_PLATFORM_ERROR,
        )
        same(released.balance, available=2, reserved=0, spent=2)
        done("Reserve, Release for PLATFORM_ERROR: restored")

        request = gate.ReserveRequest(reservation_id="run-1", scan=deep, labels=labels)
        code, details = refused(self.gate.Reserve, request)
        assert code is grpc.StatusCode.FAILED_PRECONDITION, code
        same(
            details[error_details_pb2.ErrorInfo],
            reason="RESERVATION_SETTLED",
            domain="creditgate",
        )
        done("Reserve of what is settled: FAILED_PRECONDITION, RESERVATION_SETTLED")

    def blocks(self):
        gate = self.pb["gate"]
        blocked = self.reserve("run-3", self.scan("deep_audit"))
        assert blocked.WhichOneof("verdict") == "block", blocked
        same(
            blocked.block,
            reason=gate.BLOCK_REASON_EXHAUSTED,
            remedy=gate.REMEDY_TOP_UP,
            credit_type="scan",
            required_credits=3,
            available_credits=2,
            reserved_credits=0,
        )
        assert blocked.block.message, blocked
        same(blocked.balance, available=2, reserved=0)
        done("Reserve of too much: EXHAUSTED, top up")

        self.reserve("run-4")
        blocked = self.reserve("run-3", self.scan(credits=2))
        same(
            blocked.block,
            reason=gate.BLOCK_REASON_EXHAUSTED,
            remedy=gate.REMEDY_WAIT_FOR_RUNNING_SCAN,
            available_credits=1,
            reserved_credits=1,
            holding_reservation_ids=["run-4"],
        )
        assert blocked.block.HasField("earliest_return_time"), blocked
        done("Reserve of what a running scan holds: EXHAUSTED, wait for it")

        blocked = self.reserve("run-5", self.scan(project_id="another-site"))
        same(
            blocked.block,
            reason=gate.BLOCK_REASON_WRONG_ACCOUNT,
            remedy=gate.REMEDY_SWITCH_ACCOUNT,
        )
        done("Reserve for another's project: WRONG_ACCOUNT")

    def bad_input(self):
        gate = self.pb["gate"]
        request = gate.ReserveRequest(
            reservation_id="no spaces", scan=self.scan(account_id="", credits=-1)
        )
        code, details = refused(self.gate.Reserve, request)
        assert code is grpc.StatusCode.INVALID_ARGUMENT, code
        same(
            details[error_details_pb2.ErrorInfo],
            reason="INVALID_REQUEST",
            domain="creditgate",
        )
        violations = details[error_details_pb2.BadRequest].field_violations
        fields = {violation.field for violation in violations}
        assert fields == {"reservation_id", "scan.account_id", "scan.credits"}, fields
        assert all(violation.description for violation in violations), violations
        assert error_details_pb2.RetryInfo not in details, details
        done("bad input: INVALID_ARGUMENT, with ErrorInfo and all fields in BadRequest")

        unknown = gate.CheckEligibilityRequest(scan=self.scan(account_id=f"{self.account}-unknown"))
        code, details = refused(self.gate.CheckEligibility, unknown)
        assert code is grpc.StatusCode.NOT_FOUND, code
        same(details[error_details_pb2.ErrorInfo], reason="ACCOUNT_NOT_FOUND")
        done("an unknown account: NOT_FOUND")

    def history(self):
        gate, ledger = self.pb["gate"], self.pb["ledger"]
        request = gate.ListReservationsRequest(account_id=self.account, page_size=2)
        first = self.call(self.gate.ListReservations, request)
        assert [r.reservation_id for r in first.reservations] == ["run-4", "run-2"], first
        assert first.next_page_token, first
        request.page_token = first.next_page_token
        last = self.call(self.gate.ListReservations, request)
        assert [r.reservation_id for r in last.reservations] == ["run-1"], last
        same(last, next_page_token="")
        held = gate.ListReservationsRequest(
            account_id=self.account, state=gate.RESERVATION_STATE_HELD
        )
        held = self.call(self.gate.ListReservations, held).reservations
        assert [r.reservation_id for r in held] == ["run-4"], held
        done("ListReservations, in pages and by state")

        request = ledger.ListLedgerEntriesRequest(account_id=self.account, credit_type="scan")
        entries = self.call(self.ledger.ListLedgerEntries, request).entries
        kinds = [
            ledger.LedgerEntryKind.Name(entry.kind).removeprefix("LEDGER_ENTRY_KIND_")
            for entry in entries
        ]
        settled = ["COMMIT", "RESTORE"]
        assert kinds[0] == "RESERVE" and kinds[1:3] == ["RESTORE", "RESERVE"], kinds
        assert sorted(kinds[3:5]) == settled and kinds[5:] == ["RESERVE", "GRANT"], kinds
        assert [entry.sequence for entry in entries] == list(range(7, 0, -1)), entries
        assert all(len(entry.hash) == 32 and entry.actor for entry in entries), entries
        for entry in entries:
            assert sum(portion.credits for portion in entry.portions) == entry.credits, entry
        done(f"ListLedgerEntries: {len(entries)} entries, the newest first")

        now = self.balance()
        same(now, available=1, reserved=1, spent=2, sequence=7)
        granted = self.balance(as_of=entries[-1].create_time)
        same(granted, available=4, reserved=0, spent=0, sequence=1)
        newest = self.balance(as_of=entries[0].create_time)
        assert newest == now, (newest, now)
        done("GetBalance, now and as of a time")

        request = ledger.VerifyLedgerRequest(account_id=self.account)
        same(self.call(self.ledger.VerifyLedger, request), entries=7, findings=[])
        done("VerifyLedger: balances and hashes hold")

    def balance(self, **fields):
        request = self.pb["ledger"].GetBalanceRequest(account_id=self.account, **fields)
        (balance,) = self.call(self.ledger.GetBalance, request).balances
        return balance

    def probes(self):
        health = health_pb2_grpc.HealthStub(self.channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        services = ["Gate", "Ledger", "Account", "Billing", "Catalog"]
        services = [f"creditgate.v1.{name}Service" for name in services]
        for name in ["", *services]:
            same(self.call(health.Check, health_pb2.HealthCheckRequest(service=name)), status=serving)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=services[0]), timeout=PATIENCE)
        same(next(watch), status=serving)
        watch.cancel()
        done("health: Check of all and of each service, Watch")

        # Version 1 has the messages of v1alpha, under another name.
        info = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )
        questions = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=services[0]),
        ]
        listed, found = info(iter(questions), timeout=PATIENCE)
        names = {service.name for service in listed.list_services_response.service}
        assert names.issuperset(services), names
        assert found.file_descriptor_response.file_descriptor_proto, found
        done("reflection: services are listed, the gate is described")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: walk.py HOST:PORT")
    with tempfile.TemporaryDirectory() as directory:
        pb, rpc = stubs(directory)
        with grpc.insecure_channel(sys.argv[1]) as channel:
            walk = Walk(channel, pb, rpc)
            for part in [
                walk.set_up,
                walk.settle,
                walk.blocks,
                walk.bad_input,
                walk.history,
                lambda: purchases(walk),
                walk.probes,
            ]:
                part()
    print("all steps passed")


if __name__ == "__main__":
    main()
