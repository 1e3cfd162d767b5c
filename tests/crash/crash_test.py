#!/usr/bin/env python3
"""The daemon dies at every crash point, and at random moments; each acknowledged event is in the lake once and
in the windows once. Requests that got no reply are sent again with their Idempotency-Key, so every event
that a client insists on counts exactly once."""

import copy
import http.client
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from daemon import BINARY, Daemon  # noqa: E402

import duckdb  # noqa: E402

SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "kind": {"type": "string"},
        "amount": {"type": "number", "x-decimal": [12, 2]},
        "at": {"type": "string", "format": "date-time"},
    },
}
CONFIG = {
    "workers": 2,
    "cut": {"every": "100ms"},
    "http": {"max_body": "512KiB", "max_event": "256KiB"},
    "journal": {"segment_size": "2MiB"},
    "streams": {
        "events": {
            "schema": SCHEMA,
            "event_time": "at",
            "lake": {"to": None, "partition_by": ["kind"], "max_age": "150ms"},
            "warehouse": {"table": "event_rows"},
        }
    },
    "windows": {
        "per_minute": {
            "of": "events",
            "every": "1m",
            "by": ["kind"],
            "measures": {"events": "count()", "total": "sum(amount)", "users": "unique(id)"},
        }
    },
}
KINDS = ["a", "b", "c/d", "é"]


def event(i):
    return {
        "id": i,
        "kind": KINDS[i % len(KINDS)],
        "amount": (i % 1000) / 100,
        "at": f"2026-01-01T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}Z",
    }


class Client(threading.Thread):
    """Sends its share, again and again until each request is acknowledged, whatever dies meanwhile."""

    def __init__(self, daemon, name, first, count, batch):
        super().__init__(daemon=True)
        self.target, self.key, self.batches = daemon, name, []
        for at in range(first, first + count, batch):
            self.batches.append([event(i) for i in range(at, min(at + batch, first + count))])
        self.bad = 0

    def run(self):
        for n, batch in enumerate(self.batches):
            body = list(batch)
            while True:
                try:
                    status, reply = self.target.post(body, "/v1/events/events", Idempotency_Key=f"{self.key}-{n}")
                    if status == 200:
                        assert reply["accepted"] == len(batch) and reply["rejected"] == 0, reply
                        break
                    assert status in (429, 503), (status, reply)
                except (OSError, http.client.HTTPException, ValueError):
                    pass
                time.sleep(0.02)


class Local:
    """Where the tables are: directories and SQLite. tests/crash/remote_test.py has another one."""

    elsewhere = {"deliver_remote_after"}  # Points that only a remote target reaches.

    def __init__(self, directory):
        self.directory = directory

    def configure(self, config):
        config["streams"]["events"]["lake"]["to"] = str(self.directory / "lake")

    def lake(self):
        return f"read_parquet('{self.directory}/lake/**/*.parquet', hive_partitioning=false)"

    def query(self, daemon, text):
        with sqlite3.connect(daemon.warehouse()) as db:
            return db.execute(text).fetchall()


def start(place, *arguments):
    config = copy.deepcopy(CONFIG)
    place.configure(config)
    daemon = Daemon(place.directory, config)
    code = daemon.start(*arguments)
    return daemon, code


def check(daemon, place, count, what):
    daemon.flush()
    rows = duckdb.sql(f"SELECT id, kind, amount FROM {place.lake()}").fetchall()
    seen = Counter(r[0] for r in rows)
    twice = [i for i, n in seen.items() if n != 1][:5]
    missing = [i for i in range(count) if i not in seen][:5]
    assert not twice and not missing and len(rows) == count, f"{what}: twice {twice}, missing {missing}, {len(rows)}"
    want = Counter()
    for i in range(count):
        e = event(i)
        want[(e["at"][:16], e["kind"])] += 1
    got = {
        (str(w)[:16].replace(" ", "T"), k): n
        for w, k, n in place.query(daemon, "SELECT window_start, kind, events FROM per_minute")
    }
    assert got == dict(want), f"{what}: windows differ: {sum(got.values())} of {count}"
    total = float(place.query(daemon, "SELECT sum(total) FROM per_minute")[0][0])
    assert abs(total - sum(event(i)["amount"] for i in range(count))) < 1e-6 * count, f"{what}: {total}"
    assert place.query(daemon, "SELECT count(*), count(DISTINCT id) FROM event_rows") == [(count, count)], what
    code, text = daemon.audit()
    assert code == 0, f"{what}: audit:\n{text}"


def one(place, root, what, count, *arguments):
    """One run with a crash; afterwards everything is there once."""
    directory = root / what.replace(":", "-")
    place = place(directory)
    daemon, code = start(place, *arguments)
    clients = [Client(daemon, f"c{k}", k * count // 4, count // 4, 7) for k in range(4)]
    for c in clients:
        c.start()
    crashed = code is not None
    deadline = time.monotonic() + 120
    while any(c.is_alive() for c in clients):
        if daemon.process.poll() is not None:
            assert daemon.process.returncode in (137, -9), daemon.said()[-2000:]
            crashed = True
            assert daemon.start() is None, daemon.said()[-2000:]
        assert time.monotonic() < deadline, f"{what}: clients hang:\n{daemon.said()[-2000:]}"
        time.sleep(0.01)
    # Deliveries and trims may come only now; then the proof, by a daemon that nothing lets die.
    try:
        if not crashed:
            daemon.request("POST", "/v1/flush", timeout=30)
            time.sleep(0.3)
    except (OSError, http.client.HTTPException):
        pass
    try:
        crashed = daemon.process.wait(0.2 if crashed else 0.5) == 137 or crashed
    except subprocess.TimeoutExpired:
        daemon.kill()
    assert daemon.start() is None, daemon.said()[-2000:]
    check(daemon, place, count, what)
    assert daemon.stop() == 0, daemon.said()[-2000:]
    return crashed


def killed_at_random(place, root, count, seed):
    random.seed(seed)
    directory = root / f"random-{seed}"
    place = place(directory)
    daemon, _ = start(place)
    clients = [Client(daemon, f"c{k}", k * count // 4, count // 4, 5) for k in range(4)]
    for c in clients:
        c.start()
    kills = 0
    while any(c.is_alive() for c in clients):
        time.sleep(random.uniform(0.05, 0.5))
        daemon.kill()
        kills += 1
        assert daemon.start() is None, daemon.said()[-2000:]
    check(daemon, place, count, f"random {seed}")
    assert daemon.stop() == 0
    return kills


def main(place, points_of, seeds):
    """Each of `points_of(all points)` must be reached; then kills at random."""
    root = Path(os.environ.get("SLUICE_TMP", "build/tmp/crash"))
    count = 1200
    points = subprocess.run([BINARY, "run", "--crash-points"], capture_output=True, text=True).stdout.split()
    assert len(points) > 10, "the binary was built without crash points"
    never = []
    points = points_of(points)
    for point in points:
        for times in (1, 3):
            reached = one(place, root, f"{point}:{times}", count, "--crash-at", f"{point}:{times}")
            if times == 1 and not reached:
                never.append(f"{point}:{times}")
    # A point that is never reached would prove nothing.
    assert not never, f"never reached: {never}"
    for seed in range(int(os.environ.get("SLUICE_CRASH_SEEDS", seeds))):
        print(f"seed {seed}: {killed_at_random(place, root, 24000, seed)} kills, every event once")
    print(f"{len(points)} crash points, each twice: every event once")


if __name__ == "__main__":
    main(Local, lambda points: [p for p in points if p not in Local.elsewhere], "3")
