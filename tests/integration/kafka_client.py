"""For tests of the Kafka clients: a broker of their own, and src/io/kafka/client_testing.c as a process."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import rigs

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ["SLUICE_BIN"]).resolve().parents[2] if "SLUICE_BIN" in os.environ else TOP / "build" / "dev"
PROGRAM = BUILD / "src" / "io" / "kafka" / "kafka_client"
SLOW = 60  # A wait that is this long has failed.

if not PROGRAM.exists():
    print(f"{PROGRAM} isn't built")
    sys.exit(77)
mine = rigs.own("kafka")
kafka = rigs.Kafka(mine.variables)
AT = {n: mine["SLUICE_TEST_KAFKA" + n] for n in ("_SASL", "_TLS", "_SASL_TLS", "_MTLS", "_USER", "_PASSWORD", "_TLS_DIR")}
CA = AT["_TLS_DIR"] + "/ca.pem"
LOGIN = {"user": AT["_USER"], "password": AT["_PASSWORD"]}


class Client:
    """One process; its lines are kept, and looked for from where the last search ended."""

    def __init__(self, kind, **options):
        options = {"brokers": kafka.brokers, "reconnect.backoff.max.ms": 500, **{k.replace("__", "."): v for k, v in options.items()}}
        self.process = subprocess.Popen([str(PROGRAM), kind, *(f"{k}={v}" for k, v in options.items())], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.lines, self.at, self.ended, self.changed = [], 0, False, threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify()
        with self.changed:
            self.ended = True
            self.changed.notify()

    def say(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def wait(self, pattern):
        """The next line that fits; the search goes on behind it."""
        until = time.monotonic() + SLOW
        with self.changed:
            while True:
                for i in range(self.at, len(self.lines)):
                    found = re.search(pattern, self.lines[i])
                    if found:
                        self.at = i + 1
                        return found
                assert not self.ended and time.monotonic() < until, f"no {pattern!r} in {self.lines[-20:]}"
                self.changed.wait(1)

    def ask(self, words, pattern):
        self.say(words)
        return self.wait(pattern)

    def offsets(self):
        with self.changed:
            return [int(line.split()[1]) for line in self.lines if line.startswith("message ")]

    def has(self, pattern):
        with self.changed:
            return any(re.search(pattern, line) for line in self.lines)

    def close(self):
        if not self.ended:
            self.say("close")
            self.wait("^closed$")
        self.process.stdin.close()
        assert self.process.wait(SLOW) == 0

    def end(self):
        """Of those that read lines until there are no more."""
        self.process.stdin.close()
        return self.process.wait(SLOW)


def values(count, word="v"):
    return [f"{word}{i}".encode() for i in range(count)]


def run(tests):
    """Those of them that SLUICE_ONLY names, or all."""
    for name, function in tests.items():
        if name.startswith("test_") and name[5:] in (os.environ.get("SLUICE_ONLY") or name[5:]).split():
            began = time.monotonic()
            function()
            print("ok", name[5:], f"{time.monotonic() - began:.1f} s", flush=True)
    sys.exit(0)
