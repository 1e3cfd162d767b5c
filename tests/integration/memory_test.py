#!/usr/bin/env python3
"""The memory budget holds (resident less file-backed pages), whatever arrives."""
# alone: how much is held at the most depends on how soon the daemon gets to work

import json
import subprocess
import sys
import time

from support import (
    BINARY, Daemon, Sender, Watch, anonymous_bytes, check_once, configuration, event, flush_until, rows, run_tests, started, stopped,
    within,
)

import sqlite3

MIB = 1 << 20


def measured(daemon, senders):
    """Run the senders to their end; the most that the daemon's own memory was."""
    watch = Watch(daemon)
    watch.start()
    for s in senders:
        s.start()
    for s in senders:
        s.join(240)
        assert not s.is_alive(), "a sender hangs"
        assert not s.bad, s.bad[:3]
    flush_until(daemon)
    return watch.end()


def test_large_bodies_in_64_mebibytes(root):
    """Eight producers with bodies of 6 MiB of large events: some are told to wait, all get through."""
    config = configuration(
        root, memory="64MiB", http={"max_body": "8MiB"}, journal={"quota": "256MiB", "segment_size": "16MiB"}
    )
    daemon = started(Daemon(root, config))
    text = "x" * 60000
    senders, first = [], 0
    for k in range(8):
        bodies = []
        for _ in range(4):
            bodies.append(b"\n".join(json.dumps(event(i, text=text)).encode() for i in range(first, first + 100)))
            first += 100
        senders.append(Sender(daemon, bodies, name=f"large{k}", pause=0.02))
    most = measured(daemon, senders)
    statuses = {}
    for s in senders:
        for status, n in s.statuses.items():
            statuses[status] = statuses.get(status, 0) + n
    print(f"  {most / MIB:.0f} MiB, statuses {statuses}")
    check_once(daemon, range(first), root / "lake")
    within(most, 64)
    stopped(daemon)


def test_tiny_events_in_64_mebibytes(root):
    """Bodies of a million events of three bytes: columns are far larger than the text."""
    config = configuration(
        root, memory="64MiB", http={"max_body": "3MiB"}, journal={"quota": "256MiB", "segment_size": "16MiB"}
    )
    config["streams"]["tiny"] = {
        "schema": {"type": "object", "properties": {f"c{i}": {"type": "integer"} for i in range(12)}},
        "lake": {"to": str(root / "tiny"), "max_age": "1s"},
    }
    daemon = started(Daemon(root, config))
    senders = [Sender(daemon, [b"{}\n" * 1_000_000] * 2, name=f"tiny{k}", path="/v1/events/tiny") for k in range(2)]
    most = measured(daemon, senders)
    print(f"  {most / MIB:.0f} MiB, statuses {[s.statuses for s in senders]}")
    assert len(rows(root / "tiny", "1")) == 4_000_000
    code, text = daemon.audit()
    assert code == 0, text
    within(most, 64)
    stopped(daemon)


def test_what_bad_events_took_is_given_back(root):
    """Bodies of a million events that are none: what is told of each is far larger than its text."""
    config = configuration(root, memory="128MiB", http={"max_body": "3MiB"})
    daemon = started(Daemon(root, config))
    senders = [Sender(daemon, [b"1\n" * 1_000_000] * 2, name=f"bad{k}") for k in range(4)]
    watch = Watch(daemon)
    watch.start()
    for s in senders:
        s.start()
    for s in senders:
        s.join(240)
        assert [status for status, _ in s.bad] == [400, 400], (s.bad, s.statuses)
    flush_until(daemon)
    most = watch.end()
    deadline = time.monotonic() + 60
    while (held := anonymous_bytes(daemon)) >= 64 * MIB and time.monotonic() < deadline:
        time.sleep(0.5)
    print(f"  {most / MIB:.0f} MiB, then {held / MIB:.0f}; statuses {[s.statuses for s in senders]}")
    within(held, 64)
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_two_thousand_open_partitions_in_256_mebibytes(root):
    """The lake is cut only at the end, so every partition's file is open until memory makes the largest seal."""
    config = configuration(root, memory="256MiB")
    config["streams"]["events"]["lake"].update({"partition_by": ["kind"], "max_age": "1h"})
    config["windows"] = {}
    daemon = started(Daemon(root, config))
    count, size = 240_000, 500
    senders = []
    for k in range(4):
        bodies = []
        for at in range(k * count // 4, (k + 1) * count // 4, size):
            bodies.append(
                b"\n".join(
                    b'{"id":%d,"kind":"p%04d","text":"%s","at":"2026-01-01T00:%02d:00Z"}'
                    % (i, i * 7919 % 2000, (b"%x" % (i * 2654435761 * 40503)) * 20, i % 60)
                    for i in range(at, at + size)
                )
            )
        senders.append(Sender(daemon, bodies, name=f"p{k}"))
    most = measured(daemon, senders)
    partitions = [p for p in (root / "lake").iterdir() if p.is_dir()]
    print(f"  {most / MIB:.0f} MiB, {len(partitions)} partitions, {len(list((root / 'lake').rglob('*.parquet')))} files")
    assert len(partitions) == 2000, len(partitions)
    check_once(daemon, range(count), root / "lake", window=None)
    within(most, 256)
    stopped(daemon)


CLICKS = {
    "type": "object",
    "required": ["event_id", "event_type", "timestamp", "user_id"],
    "properties": {
        **{name: {"type": "string"} for name in ("event_id", "event_type", "user_id")},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": {
            "type": "object",
            "properties": {
                **{name: {"type": "string"} for name in ("session_id", "page_url", "product_id", "category")},
                "amount": {"type": "number"},
                "quantity": {"type": "integer"},
                "location": {"type": "object", "properties": {"country": {"type": "string"}, "city": {"type": "string"}}},
            },
        },
    },
}


def test_clickstream_with_500_partitions(root):
    """The generator's clickstream at full speed into some 500 partitions, with windows: memory as budgeted, and
    what it counted as sent is there."""
    config = {
        "workers": 2,
        "memory": "256MiB",
        "cut": {"every": "500ms"},
        "streams": {
            "clicks": {
                "schema": CLICKS,
                "event_time": "timestamp",
                "lake": {"to": str(root / "lake"), "partition_by": ["event_type", "data.location.city"], "max_age": "1h"},
            }
        },
        "windows": {
            "per_minute": {
                "of": "clicks",
                "every": "1m",
                "by": ["event_type"],
                "measures": {"events": "count()", "users": "unique(user_id)"},
            }
        },
    }
    daemon = started(Daemon(root, config))
    watch = Watch(daemon)
    watch.start()
    count = 400_000
    done = subprocess.run(
        [BINARY, "generate", "clickstream", "--count", str(count), "--seed", "7", "--no-progress",
         "--batch", "1000", "--connections", "8", "--to",
         f"http://127.0.0.1:{daemon.port}/v1/events/clicks"],
        capture_output=True, text=True, timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    flush_until(daemon)
    most = watch.end()
    got = rows(root / "lake", "event_id")
    assert len(got) == count and len(set(got)) == count, (len(got), len(set(got)))
    with sqlite3.connect(daemon.warehouse()) as db:
        assert db.execute("SELECT sum(events) FROM per_minute").fetchone()[0] == count
    partitions = sum(1 for p in (root / "lake").glob("*/*") if p.is_dir())
    print(f"  {most / MIB:.0f} MiB, {partitions} partitions")
    assert partitions > 300, partitions
    within(most, 256)
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_many_idle_connections_cost_little(root):
    """A thousand connections, each with half a request: the budget counts what they hold."""
    import socket

    daemon = started(Daemon(root, configuration(root, memory="64MiB")))
    before = Watch(daemon)
    before.start()
    sockets = []
    for _ in range(1000):
        s = socket.create_connection(("127.0.0.1", daemon.port))
        s.sendall(b"POST /v1/events/events HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n" + b" " * 20000)
        sockets.append(s)
    status, reply = daemon.post([event(1)], "/v1/events/events")
    assert status in (200, 429, 503), (status, reply)
    for s in sockets:
        s.close()
    sender = Sender(daemon, [json.dumps(event(2)).encode()], name="after")
    sender.start()
    sender.join(30)
    assert sender.statuses.get(200) == 1, sender.statuses
    most = before.end()
    print(f"  {most / MIB:.0f} MiB")
    within(most, 64)
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
