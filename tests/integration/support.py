"""What the tests of faults share: numbered events, senders that insist, file systems that fill up, and the check
that every event is stored once."""

import http.client
import json
import os
import re
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from daemon import BINARY, Daemon, free_port  # noqa: E402,F401

import duckdb  # noqa: E402

ROOT = Path(os.environ.get("SLUICE_TMP") or "build/tmp/faults").resolve()
TEXT = "sluices let through what they can count; " * 8
SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "kind": {"type": "string"},
        "text": {"type": "string"},
        "at": {"type": "string", "format": "date-time"},
    },
}


def configuration(directory, lake=None, **more):
    """One stream to lake and windows, cut often. `more` is merged into the fixed sections."""
    config = {
        "workers": 2,
        "cut": {"every": "200ms"},
        "http": {"max_body": "512KiB", "max_event": "256KiB"},
        "streams": {
            "events": {
                "schema": SCHEMA,
                "event_time": "at",
                "lake": {"to": str(lake or Path(directory) / "lake"), "max_age": "1s"},
            }
        },
        "windows": {
            "per_minute": {"of": "events", "every": "1m", "by": ["kind"], "measures": {"events": "count()"}}
        },
    }
    config.update(more)
    return config


def event(i, kinds=5, text=TEXT):
    return {
        "id": i,
        "kind": f"k{i % kinds}",
        "text": f"{i} {text}",
        "at": f"2026-01-01T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}Z",
    }


def body(first, count, **options):
    return b"\n".join(json.dumps(event(i, **options)).encode() for i in range(first, first + count))


def noise(first, count, size, seed=0):
    """Like body(), but with texts that no compression makes small."""
    import random

    source = random.Random(seed + first)
    return b"\n".join(
        json.dumps(event(i, text=source.randbytes(size // 2).hex())).encode() for i in range(first, first + count)
    )


class Sender(threading.Thread):
    """Sends bodies over one connection. With `insist`, each again until it is taken; else each once."""

    def __init__(self, daemon, bodies, insist=True, name="s", path="/v1/events/events", pause=0.05):
        super().__init__(daemon=True)
        self.target, self.bodies, self.insist, self.key = daemon, bodies, insist, name
        self.path, self.pause = path, pause
        self.statuses, self.taken, self.retry_after, self.bad = {}, [], set(), []
        self.stop = False

    def send(self, connection, n, content):
        connection.request("POST", self.path, body=content, headers={"Idempotency-Key": f"{self.key}-{n}"})
        response = connection.getresponse()
        reply = response.read()
        self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
        if response.status in (429, 503):
            self.retry_after.add(response.getheader("Retry-After"))
        elif response.status != 200:
            self.bad.append((response.status, reply[:200]))
        return response.status

    def run(self):
        connection = None
        for n, content in enumerate(self.bodies):
            while not self.stop:
                try:
                    if connection is None:
                        connection = http.client.HTTPConnection("127.0.0.1", self.target.port, timeout=60)
                    status = self.send(connection, n, content)
                    if status == 200:
                        self.taken.append(n)
                    if status == 200 or status not in (429, 503) or not self.insist:
                        break
                except (OSError, http.client.HTTPException):
                    if connection is not None:
                        connection.close()
                    connection = None
                    if not self.insist:
                        break
                time.sleep(self.pause)


def rows(pattern, columns="id"):
    """Rows of all Parquet files below a directory."""
    files = list(Path(pattern).rglob("*.parquet"))
    if not files:
        return []
    names = "[" + ",".join("'" + str(f).replace("'", "''") + "'" for f in files) + "]"
    return duckdb.sql(f"SELECT {columns} FROM read_parquet({names}, hive_partitioning=false)").fetchall()


def check_once(daemon, expected, lake, window="per_minute", possible=()):
    """Each id of `expected` is in the lake once, in the windows once, and audit agrees. `possible` may be there,
    once: requests that were refused or got no reply at a moment when nobody can tell."""
    ids = [r[0] for r in rows(lake)]
    seen = set(ids)
    expected, possible = set(expected), set(possible)
    assert len(ids) == len(seen), f"{len(ids) - len(seen)} events twice"
    missing = expected - seen
    assert not missing, f"{len(missing)} of {len(expected)} missing, such as {sorted(missing)[:5]}"
    strange = seen - expected - possible
    assert not strange, f"{len(strange)} that nobody sent, such as {sorted(strange)[:5]}"
    if window:
        with sqlite3.connect(daemon.warehouse()) as db:
            total = db.execute(f"SELECT sum(events) FROM {window}").fetchone()[0]
        assert total == len(seen), f"windows count {total} of {len(seen)}"
    code, text = daemon.audit()
    assert code == 0, f"audit: {text}"
    return len(seen)


def wait_for(what, condition, seconds=60):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)


def flush_until(daemon, seconds=120):
    """Flush until nothing is stalled any more."""

    def flushed():
        status, reply = daemon.request("POST", "/v1/flush", timeout=120)
        assert status in (200, 503), (status, reply)
        return status == 200

    wait_for("flush", flushed, seconds)


def started(daemon, *arguments):
    code = daemon.start(*arguments)
    assert code is None, f"exit {code}:\n{daemon.said()[-3000:]}"
    return daemon


def stopped(daemon, seconds=30):
    code = daemon.stop(seconds)
    assert code == 0, f"exit {code}:\n{daemon.said()[-3000:]}"


def anonymous_bytes(daemon):
    """Resident memory without the pages of files."""
    text = Path(f"/proc/{daemon.process.pid}/smaps_rollup").read_text()
    return int(re.search(r"^Anonymous:\s+(\d+)", text, re.M).group(1)) * 1024


class Watch(threading.Thread):
    """The highest that a daemon's own memory was."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.target, self.most, self.over = daemon, 0, False

    def run(self):
        while not self.over:
            try:
                self.most = max(self.most, anonymous_bytes(self.target))
            except (OSError, AttributeError):
                pass
            time.sleep(0.02)

    def end(self):
        self.over = True
        self.join()
        return self.most


def within(used, mebibytes):
    """Memory in bytes is below so many MiB; a sanitizer's own memory can't be told from the daemon's."""
    if b"__asan_init" not in Path(BINARY).read_bytes():
        assert used < mebibytes << 20, f"{used >> 20} MiB, of {mebibytes} allowed"


class SmallDisk:
    """A tmpfs, or an ext4 in a file, of a few MiB."""

    def __init__(self, directory, mebibytes, ext4=False):
        self.path = Path(directory)
        self.path.mkdir(parents=True, exist_ok=True)
        if ext4:
            image = Path(str(directory) + ".img")
            with open(image, "wb") as f:
                f.truncate(mebibytes << 20)
            subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
            done = subprocess.run(["mount", "-o", "loop", str(image), str(self.path)], capture_output=True, text=True)
        else:
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(self.path)],
                capture_output=True,
                text=True,
            )
        if done.returncode != 0:
            raise OSError(done.stderr.strip())

    def fill(self, leave=0, name="ballast"):
        """Take all space but `leave` bytes."""
        with open(self.path / name, "ab", buffering=0) as f:
            block = b"\0" * 65536
            try:
                while True:
                    state = os.statvfs(self.path)
                    free = state.f_bavail * state.f_frsize - leave
                    if free <= 0 or not f.write(block[: min(free, len(block))]):
                        return
            except OSError:
                return

    def clear(self, name="ballast"):
        (self.path / name).unlink(missing_ok=True)

    def close(self):
        subprocess.run(["umount", "-l", str(self.path)], check=False)


def skip(reason):
    print(reason)
    sys.exit(77)


def run_tests(module):
    """Every function test_… of a module, in order; SLUICE_ONLY names some. Exit 1 after the first failure."""
    only = os.environ.get("SLUICE_ONLY", "").split()
    daemons = []
    create = Daemon.__init__

    def noted(self, *arguments, **named):
        create(self, *arguments, **named)
        daemons.append(self)

    Daemon.__init__ = noted
    began = time.monotonic()
    for name, function in list(vars(module).items()):
        if not name.startswith("test_") or (only and name[5:] not in only):
            continue
        at = time.monotonic()
        try:
            function(ROOT / name[5:])
            print(f"ok {name[5:]} ({time.monotonic() - at:.1f} s)", flush=True)
        except BaseException:
            print(f"failed: {name[5:]}", flush=True)
            for d in daemons:
                if d.process is not None and d.process.poll() is None:
                    print(f"--- {d.directory}, the end of its log:\n{d.said()[-3000:]}", flush=True)
            raise
        finally:
            for d in daemons:
                if d.process is not None and d.process.poll() is None:
                    d.kill()
            daemons.clear()
    print(f"{time.monotonic() - began:.0f} s")
