"""Types what the documents tell their readers to type, and sees that it works: README.md from
its first line to its last, then IMPORT.md, RUNBOOK.md and POSTGRES.md. Where a document shows
what a command prints, that is what it has to print, but for times.

    tests/with-postgres --fsync .venv/bin/python tests/python/documents.py PROGRAM

Commands in the middle of a sentence are not typed: that they exist, with these options, is
checked by their --help.
"""

import os
import pathlib
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = ["README.md", "deploy/IMPORT.md", "deploy/RUNBOOK.md", "deploy/POSTGRES.md"]
PATIENCE = 90

# What is not typed here, and who does it instead.
ELSEWHERE = [
    (r"make (dev|test)\b", "`dev` is started here too; .ci/run calls `make test`"),
    (r"make bench\b", "takes minutes; a short one is in the suite"),
    (r"systemctl |journalctl ", "needs systemd as the first process"),
    (r"promtool ", "tests/check-deploy"),
    (r"pg_basebackup ", "deploy/restore-drill"),
]
# The first words of what is typed into a shell, and into psql.
SHELL = r"(\$ |creditgate (?!is )|grpcurl |make |openssl |export |unset |install |echo |systemctl |journalctl |promtool |pg_basebackup |[A-Z_]+=\S)"
SQL = r"(SELECT|ALTER ROLE|CREATE ROLE|GRANT) "

SCANNER = """#!/usr/bin/env python3
import socket

def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

print([port for port in range(1, 1025) if is_open(port)], "are open")
"""
CUSTOMER = (
    'creditgate account create --account acme --name "Acme, Inc." --email billing@acme.example'
)

PRELUDE = r"""
set -u
server=
# A server is what others wait for: one at a time, until it is ready.
creditgate() {
  if [ "${1:-}" != serve ]; then
    case "$*" in
      "events watch --kind "*) timeout 2 "$PROGRAM" "$@" || [ $? = 124 ] ;;
      *) "$PROGRAM" "$@" ;;
    esac
    return
  fi
  if [ -n "$server" ]; then kill "$server"; wait "$server"; fi
  case "$*" in *--grpc-addr*) ;; *) set -- "$@" --grpc-addr "$SERVED" ;; esac
  env -u CREDITGATE_ADDR "$PROGRAM" "$@" --drain-seconds 0 --http-addr "$PROBED" >server.log 2>&1 &
  server=$!
  local _
  for _ in $(seq 300); do
    if (exec 3<>"/dev/tcp/${PROBED%:*}/${PROBED#*:}" && printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3 &&
        head -1 <&3 | grep -q ' 200 ') 2>/dev/null; then return; fi
    sleep 0.1
  done
  cat server.log; return 1
}
"""


def commands(text):
    """What is typed: (line, "shell", "SQL" or "books", the command, what it prints or None)."""
    found, fence, block = [], None, []
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            if fence == "":
                found += block_commands(block)
            fence, block = (line[3:] if fence is None else None), []
        elif fence is not None:
            block.append((number, line))
        elif line.startswith("    "):
            block.append((number, line.strip()))
        elif block:
            found += block_commands(block)
            block = []
    return found


def block_commands(block):
    is_transcript = any(line.startswith("$ ") for _, line in block)
    found = []
    for number, line in block:
        if found and found[-1][2].endswith("\\"):
            found[-1][2] += "\n" + line
        elif found and found[-1][1] == "SQL" and not found[-1][2].rstrip().endswith(";"):
            found[-1][2] += " " + line
        elif is_transcript and not line.startswith("$ "):
            found[-1][3].append(line)
        elif re.match(SHELL, line):
            command = re.sub(r"\s+# .*", "", line.removeprefix("$ "))
            found.append([number, "shell", command, [] if is_transcript else None])
        elif re.match(SQL, line):
            found.append([number, "SQL", line, None])
        elif line.startswith("all books agree: "):
            # What the line that `dev` says it with prints: the sentence before is about it.
            found.append([number, "books", "verify", [line]])
    return found


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def plain(line):
    """A line without what differs from one time to the next."""
    line = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z", "TIME", line)
    line = re.sub(r"\b(\d+m )?\d+s\b", "AGE", line)
    return " ".join(line.split())


class Shell:
    """A shell that lasts: what is exported stays."""

    def __init__(self, home, environment):
        self.process = subprocess.Popen(
            ["bash"], cwd=home, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.run(PRELUDE)

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))

    def run(self, command):
        """Its exit code, and what it printed."""
        self.process.stdin.write(f"{{ {command}\n}} </dev/null 2>&1\necho \"@@ $?\"\n")
        self.process.stdin.flush()
        said, deadline = [], time.monotonic() + PATIENCE
        while True:
            try:
                line = self.lines.get(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                return -1, said + [f"no end within {PATIENCE} s"]
            if line.startswith("@@ "):
                return int(line[3:]), said
            said.append(line)


class Reader:
    """Follows the documents, on a gate of its own."""

    def __init__(self, program, owner):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="creditgate-documents."))
        # Where the tests are root, PostgreSQL is somebody else.
        self.home.chmod(0o755)
        ports = {name: f"127.0.0.1:{free_port()}" for name in ("dev", "dev_http", "served", "probed")}
        self.served = ports["served"]
        self.addresses = (f"http://{self.served}", f"http://{ports['dev']}")
        (self.home / "bin").mkdir()
        # What a machine may lack: what asks as grpcurl does, and what scans ports as nmap does.
        python = ROOT / ".venv/bin/python"
        self.stand_in("grpcurl", f'#!/bin/sh\nexec "{python}" "{ROOT}/tests/python/grpcurl.py" "$@"\n')
        self.stand_in("nmap", SCANNER)
        for name in ("deploy", "target"):
            (self.home / name).symlink_to(ROOT / name)
        self.psql = subprocess.check_output(
            [ROOT / "deploy/install-postgres.sh", "--find"], text=True
        ).strip() + "/psql"
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("CREDITGATE_", "PG"))}
        clean["PATH"] = f"{self.home}/bin:{clean['PATH']}"
        subprocess.run(
            [self.psql, owner, "-qc", "CREATE DATABASE documents"], check=True, env=clean
        )
        self.owner = re.sub(r"/[^/?]*\?", "/documents?", owner, count=1)
        serving = self.owner.replace("creditgate_owner@", "creditgate_app@")
        self.environment = clean | {
            "PROGRAM": str(program), "SERVED": self.served, "PROBED": ports["probed"],
            "CREDITGATE_ADDR": self.addresses[1],
        }
        self.dev = subprocess.Popen(
            [program, "dev", "--data-dir", self.home / "data", "--grpc-addr", ports["dev"],
             "--http-addr", ports["dev_http"]],
            env=clean, cwd=self.home, text=True, stderr=subprocess.PIPE,
        )
        # As `dev` says it.
        for line in self.dev.stderr:
            if said := re.search(r"DATABASE_URL='([^']*)'", line):
                self.dev_books = said[1]
            if "books" in line:
                break
        threading.Thread(target=lambda: list(self.dev.stderr), daemon=True).start()
        self.shell = Shell(self.home, self.environment)
        self.names = {
            "127.0.0.1:50051": ports["dev"],
            "0.0.0.0:50051": self.served,
            "localhost:50051": "localhost:" + self.served.split(":")[1],
            "postgres://owner@db.example/creditgate": f"'{self.owner}'",
            "postgres://owner@db/creditgate": f"'{self.owner}'",
            "postgres://creditgate_app@db.example/creditgate": f"'{serving}'",
            "postgres://creditgate_app@db/creditgate": f"'{serving}'",
            "your-catalog.toml": "deploy/catalogs/prebreach.toml",
            "target/release/creditgate": str(program),
            "--account acc_42": "--account acme",
            "/usr/local/bin/": f"{self.home}/usr/local/bin/",
            "/etc/": f"{self.home}/etc/",
            "cert.pem": "gate.pem",
            "(PID)": "(0)",
        }
        for name in ("usr/local/bin", "etc/systemd/system"):
            (self.home / name).mkdir(parents=True)
        (self.home / "etc/creditgate").mkdir()
        (self.home / "etc/creditgate/settings.toml").touch()
        self.failures, self.typed, self.compared, self.left = [], 0, 0, []

    def stand_in(self, name, text):
        if not shutil.which(name):
            program = self.home / "bin" / name
            program.write_text(text)
            program.chmod(0o755)

    def type(self, document, number, kind, command, printed):
        where = f"{document}:{number}"
        for pattern, why in ELSEWHERE:
            if re.match(pattern, command):
                self.left.append(f"{where}: {command.splitlines()[0]}: {why}")
                return
        for name, here in self.names.items():
            command = command.replace(name, here)
        if kind == "SQL":
            done = subprocess.run(
                [self.psql, self.owner, "-X", "-v", "ON_ERROR_STOP=1", "-c",
                 f"SET search_path = cell_00, public; {command}"],
                capture_output=True, text=True, env=self.environment,
            )
            code, said = done.returncode, (done.stdout + done.stderr).splitlines()
        elif kind == "books":
            code, said = self.shell.run(f"DATABASE_URL='{self.dev_books}' creditgate {command}")
        elif "catalog apply deploy/catalogs/prebreach" in command:
            # For the gate that was just started; and what the reader has by then: a customer.
            there, here = (f"export CREDITGATE_ADDR={address}" for address in self.addresses)
            self.shell.run(there)
            code, said = self.shell.run(f"{command} && {CUSTOMER}")
            self.shell.run(here)
        else:
            code, said = self.shell.run(command)
        self.typed += 1
        self.learn(command, said)
        # As it is written; and grpcurl says so when it has waited as long as it was told to.
        may_fail = (printed and re.match("error: |blocked ", printed[0])) or "-max-time" in command
        if code != 0 and not may_fail:
            self.failures.append(f"{where}: exit code {code}: {command}\n    " + "\n    ".join(said))
        elif printed:
            self.compared += 1
            self.compare(where, command, printed, said)

    def compare(self, where, command, printed, said):
        if " run " in command:
            # What the scan says is its own.
            printed = [line for line in printed if line.startswith("creditgate:")]
            said = [line for line in said if line.startswith("creditgate:")]
        wanted = [plain(line) for line in printed if line.strip()]
        seen = [plain(line) for line in said if line.strip()]
        if wanted != seen:
            self.failures.append(
                f"{where}: {command} prints otherwise:\n    " + "\n    ".join(seen)
                + "\n  instead of\n    " + "\n    ".join(wanted)
            )

    def learn(self, command, said):
        """Names that come later stand for what was made here."""
        text = "\n".join(said)
        if "key create" in command and (key := re.search(r"\bcg_\S+", text)):
            self.names["cg_..."] = key[0]
            self.names["6f1c09d2ab34e871"] = key[0].split("_")[1]
        if "endpoint add" in command and (endpoint := re.search(r"\bep_\S+", text)):
            self.names["ep_0198"] = endpoint[0]

    def close(self):
        self.shell.process.stdin.write('[ -z "$server" ] || kill "$server"; wait\nexit\n')
        self.shell.process.stdin.close()
        self.shell.process.wait(timeout=PATIENCE)
        self.dev.terminate()
        self.dev.wait(timeout=PATIENCE)
        shutil.rmtree(self.home)


def mentioned(program):
    """Commands in the middle of sentences, and of tables: what is wrong with them."""
    wrong, helped = [], {}

    def help_of(words):
        if words not in helped:
            done = subprocess.run([program, *words, "--help"], capture_output=True, text=True)
            helped[words] = done.stdout if done.returncode == 0 else None
        return helped[words]

    mentions = 0
    for document in [*DOCUMENTS, "SECURITY.md", "PERFORMANCE.md", "ARCHITECTURE.md"]:
        for mention in re.findall(r"`creditgate ([^`]+)`", (ROOT / document).read_text()):
            mentions += 1
            # Without what stands for something, and what the scan is started by.
            words = mention.split(" -- ")[0].replace("[", "").replace("]", "").split()
            names = tuple(w for w in words if re.fullmatch(r"[a-z][a-z-]*", w))
            names = names[:2] if names and help_of(names[:2]) else names[:1]
            text = help_of(names)
            if text is None:
                wrong.append(f"{document}: `creditgate {mention}`: there is no such command")
                continue
            for option in (word for word in words if word.startswith("--")):
                if not re.search(re.escape(option.split("=")[0]) + r"\b", text):
                    wrong.append(f"{document}: `creditgate {mention}`: it takes no {option}")
    return mentions, wrong


def main():
    # Told to stop, it stops what it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("documents: stopped"))
    program = pathlib.Path(sys.argv[1]).resolve()
    reader = Reader(program, os.environ["CREDITGATE_TEST_DATABASE_URL"])
    example = re.search(r"```csv\n(.*?)```", (ROOT / "deploy/IMPORT.md").read_text(), re.S)
    # Credits that have not expired, whenever this is run.
    lots = re.sub(r"^(lot,.*,)\d{4}(-\d\d-\d\dT\S*?,)", r"\g<1>2099\2", example[1], flags=re.M)
    (reader.home / "customers.csv").write_text(lots)
    try:
        for document in DOCUMENTS:
            text = (ROOT / document).read_text()
            for number, kind, command, printed in commands(text):
                reader.type(document, number, kind, command, printed)
    finally:
        reader.close()
    mentions, wrong = mentioned(program)
    for line in reader.left:
        print(f"not here: {line}")
    for failure in [*reader.failures, *wrong]:
        print(f"! {failure}")
    print(
        f"{reader.typed} commands typed, {reader.compared} of them print what is written, "
        f"{mentions} more mentioned; {len(reader.failures) + len(wrong)} are wrong"
    )
    sys.exit(1 if reader.failures or wrong else 0)


main()
