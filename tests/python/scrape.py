"""A real Prometheus scrapes a gate under load, with the alerts of deploy/ loaded.

    tests/with-postgres .venv/bin/python tests/python/scrape.py PROMETHEUS PROGRAM
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

PATIENCE = 60


def wait_for(what, ask):
    """Asks until there is an answer."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        answer = ask()
        if answer:
            return answer
        time.sleep(0.1)
    sys.exit(f"scrape: waited too long: {what}")


def main():
    prometheus, program = sys.argv[1:]
    owner = os.environ["CREDITGATE_TEST_DATABASE_URL"]
    app = owner.replace("creditgate_owner@", "creditgate_app@")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CREDITGATE_", "PG"))}
    home = pathlib.Path(tempfile.mkdtemp(prefix="creditgate-scrape."))
    running = []

    def start(name, arguments, **environment):
        log = (home / f"{name}.log").open("w")
        process = subprocess.Popen(
            arguments, stderr=log, stdout=log, stdin=subprocess.DEVNULL, env=clean | environment
        )
        running.append(process)

    def said(name, pattern):
        return re.search(pattern, (home / f"{name}.log").read_text())

    def command(*arguments, **environment):
        subprocess.run(
            [program, *arguments],
            env=clean | environment,
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )

    try:
        command("migrate", DATABASE_URL=owner)
        serve = ["serve", "--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--log-format=json"]
        start("gate", [program, *serve], DATABASE_URL=app)
        ready = r'"message":"ready".*"grpc":"([^"]*)".*"http":"([^"]*)"'
        found = wait_for("the gate is ready", lambda: said("gate", ready))
        grpc, http = found.groups()
        config = home / "prometheus.yml"
        rules = pathlib.Path("deploy/prometheus/alerts.yaml").resolve()
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: ['{rules}']\n"
            "scrape_configs:\n"
            "  - job_name: creditgate\n"
            f"    static_configs: [{{targets: ['{http}']}}]\n"
        )
        start(
            "prometheus",
            [
                prometheus,
                f"--config.file={config}",
                f"--storage.tsdb.path={home / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
        )
        listens = r"address=(127\.0\.0\.1:[1-9]\d*)"
        api = wait_for("Prometheus listens", lambda: said("prometheus", listens)).group(1)

        def asked(path, **parameters):
            query = urllib.parse.urlencode(parameters)
            try:
                with urllib.request.urlopen(f"http://{api}/api/v1/{path}?{query}") as answer:
                    return json.load(answer)["data"]
            except OSError:
                return None

        def value(query):
            found = asked("query", query=query)
            return float(found["result"][0]["value"][1]) if found and found["result"] else None

        gate = {"CREDITGATE_ADDR": grpc}
        command("catalog", "apply", "deploy/catalogs/demo.toml", **gate)
        command("account", "create", "--account", "acme", **gate)
        command("credits", "grant", "--account", "acme", "--credits", "3", "--reason", "x", **gate)
        for number in range(3):
            command("reserve", "--account", "acme", "--kind", "live_audit", "--id", f"r{number}", **gate)
        blocked = [program, "reserve", "--account", "acme", "--kind", "live_audit", "--id", "r4"]
        assert subprocess.run(blocked, env=clean | gate, capture_output=True).returncode == 3

        held = 'sum(creditgate_verdicts_total{verdict="HELD"})'
        wait_for("three holds are counted", lambda: value(held) == 3)
        wait_for("a block is counted", lambda: value(held.replace("HELD", "EXHAUSTED")) == 1)
        wait_for("the gate is up", lambda: value('up{job="creditgate"}') == 1)
        wait_for("batches are timed", lambda: value("sum(creditgate_batch_phase_seconds_count)"))
        groups = asked("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        healthy = wait_for(
            "all rules are evaluated",
            lambda: all(
                rule["health"] == "ok"
                for group in asked("rules")["groups"]
                for rule in group["rules"]
            ),
        )
        assert healthy and len(rules) >= 18, rules
        firing = [rule["name"] for rule in rules if rule["state"] == "firing"]
        assert not firing, firing
        print(f"Prometheus has scraped the gate: 3 holds, 1 block; {len(rules)} alerts, none fires")
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(timeout=PATIENCE)
        subprocess.run(["rm", "-rf", str(home)], check=True)


main()
