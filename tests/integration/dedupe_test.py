#!/usr/bin/env python3
"""Streams with `dedupe`: whatever is sent twice within the horizon is stored once, in lake, windows and warehouse alike,
through kill -9, a lake that stands still, and several workers."""

import json
import random
import sqlite3
import sys
import time

from support import Daemon, Sender, body, configuration, event, flush_until, rows, run_tests, started, stopped, wait_for


def dedupe_configuration(root, horizon="24h", **more):
    config = configuration(root, **more)
    stream = config["streams"]["events"]
    stream.update({"id": "id", "dedupe": horizon, "warehouse": {"table": "event_rows"}})
    config["workers"] = 3
    return config


def check(daemon, root, count):
    ids = sorted(r[0] for r in rows(root / "lake"))
    assert ids == list(range(count)), (len(ids), len(set(ids)), count)
    with sqlite3.connect(daemon.warehouse()) as db:
        assert db.execute("SELECT count(*), sum(id) FROM event_rows").fetchone() == (count, count * (count - 1) // 2)
        assert db.execute("SELECT sum(events) FROM per_minute").fetchone() == (count,)
    code, text = daemon.audit()
    assert code == 0, text


def test_what_comes_again_changes_nothing(root):
    daemon = started(Daemon(root, dedupe_configuration(root)))
    for again in range(3):
        for i in range(20):
            code, reply = daemon.request("POST", "/v1/events/events", body(i * 100, 100))
            assert code == 200 and json.loads(reply)["accepted"] == 100
        daemon.flush()
        check(daemon, root, 2000)
        assert f'sluice_duplicate_events_total{{stream="events"}} {again * 2000}\n' in daemon.request("GET", "/metrics")[1].decode()
    stopped(daemon)
    started(daemon)
    for i in range(20):
        assert daemon.request("POST", "/v1/events/events", body(i * 100, 100))[0] == 200
    daemon.flush()
    check(daemon, root, 2000)
    stopped(daemon)


def test_duplicates_within_one_request_and_among_threads(root):
    daemon = started(Daemon(root, dedupe_configuration(root)))
    lines = body(0, 500).split(b"\n")
    assert daemon.request("POST", "/v1/events/events", b"\n".join(lines + lines[::-1]))[0] == 200
    senders = [Sender(daemon, [body(i * 100, 100) for i in range(30)], name=f"t{k}", pause=0) for k in range(4)]
    for s in senders:
        s.start()
    for s in senders:
        s.join()
        assert s.statuses == {200: 30}, s.statuses
    daemon.flush()
    check(daemon, root, 3000)
    stopped(daemon)


def test_an_expression_tells_events_apart(root):
    config = dedupe_configuration(root)
    stream = config["streams"]["events"]
    del stream["warehouse"]
    stream.update({"id": 'group + "/" + string(id % 100)', "steps": [{"set": {"group": 'kind == "k4" ? null : kind'}}]})
    daemon = started(Daemon(root, config))
    for again in range(2):
        for i in range(10):
            assert daemon.request("POST", "/v1/events/events", body(i * 100, 100))[0] == 200
        daemon.kill()
        started(daemon)
    daemon.flush()
    ids = sorted(r[0] for r in rows(root / "lake"))
    every = [i for i in range(1000) if i % 5 == 4]  # Without a kind the expression fails: always kept.
    assert ids == sorted([i for i in range(100) if i % 5 != 4] + 2 * every), len(ids)
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_older_than_the_horizon_is_late(root):
    daemon = started(Daemon(root, dedupe_configuration(root, horizon="10m")))
    post = lambda i, at, n: daemon.request("POST", "/v1/events/events", json.dumps({**event(i), "at": at, "text": n}).encode())
    assert post(1, "2026-01-01T00:00:00Z", "first")[0] == 200
    assert post(2, "2026-01-01T00:05:00Z", "first")[0] == 200
    assert post(1, "2026-01-01T00:05:00Z", "again")[0] == 200  # Within the horizon.
    assert post(3, "2026-01-01T01:00:00Z", "first")[0] == 200
    assert post(2, "2026-01-01T00:05:00Z", "late")[0] == 200  # Nobody can tell any more: the late table.
    assert post(2, "2026-01-01T00:59:00Z", "new")[0] == 200  # Another event by now.
    daemon.flush()
    assert sorted(rows(root / "lake", "id, text")) == [(1, "first"), (2, "first"), (2, "new"), (3, "first")]
    assert rows(root / "data/late", "id, text") == [(2, "late")]
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_killed_at_any_moment_while_everything_is_sent_twice(root):
    daemon = started(Daemon(root, dedupe_configuration(root)))
    bodies = [body(i * 50, 50) for i in range(80)]
    source = random.Random(11)
    mixed = bodies + [b"\n".join(source.sample(b"\n".join(bodies[max(0, i - 9):i + 1]).split(b"\n"), 50)) for i in range(80)]
    senders = [Sender(daemon, mixed, name=f"k{k}", pause=0.05) for k in range(2)]
    for s in senders:
        s.start()
    kills = 0
    while any(s.is_alive() for s in senders):
        time.sleep(source.uniform(0.1, 0.9))
        daemon.kill()
        started(daemon)
        kills += 1
    for s in senders:
        assert len(s.taken) == 160 and not s.bad
    flush_until(daemon)
    check(daemon, root, 4000)
    stopped(daemon)
    print(f"{kills} kills", end=" ")


def test_a_lake_that_stands_still_past_the_horizon(root):
    lake = root / "mount" / "lake"
    config = dedupe_configuration(root, lake=lake, horizon="30m")
    root.mkdir(parents=True, exist_ok=True)
    (root / "mount").write_text("a file, where a directory ought to be")
    daemon = started(Daemon(root, config))
    at = lambda i: f"2026-01-01T{i // 60:02}:{i % 60:02}:00Z"
    line = lambda i: json.dumps({**event(i), "at": at(i)}).encode()
    for i in range(240):  # Four hours of event time, each event again within the horizon.
        text = b"\n".join([line(i), *(line(k) for k in range(max(0, i - 20), i, 7))])
        wait_for("a reply", lambda: daemon.request("POST", "/v1/events/events", text)[0] == 200)  # Busy while it reads back.
        if i % 60 == 59:
            daemon.kill()
            started(daemon)
    (root / "mount").unlink()
    flush_until(daemon)
    ids = sorted(r[0] for r in rows(lake))
    assert ids == list(range(240)), len(ids)
    with sqlite3.connect(daemon.warehouse()) as db:
        assert db.execute("SELECT count(*) FROM event_rows").fetchone() == (240,)
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_a_damaged_store_is_told_and_can_be_taken_away(root):
    daemon = started(Daemon(root, dedupe_configuration(root)))
    assert daemon.request("POST", "/v1/events/events", body(0, 1000))[0] == 200
    daemon.flush()
    stopped(daemon)
    files = [p for p in (root / "data/dedupe/events").iterdir() if p.stat().st_size > 100]
    assert files, "no file holds what came"
    content = bytearray(files[0].read_bytes())
    content[len(content) // 2] ^= 1
    files[0].write_bytes(content)
    assert daemon.start() == 1
    assert "take" in daemon.said() and "dedupe/events" in daemon.said(), daemon.said()[-1000:]
    for p in files[0].parent.iterdir():
        p.unlink()
    files[0].parent.rmdir()
    started(daemon)
    assert "duplicates of what came before pass" in daemon.said()
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
