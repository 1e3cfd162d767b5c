#!/usr/bin/env python3
"""What a start finds: a large backlog, a journal that is damaged, another one, or none."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from support import (
    BINARY, Daemon, Sender, Watch, anonymous_bytes, body, check_once, configuration, duckdb, event, flush_until, noise,
    rows, run_tests, started, stopped, wait_for, within,
)

MIB = 1 << 20
CLICKS = {
    "type": "object",
    "required": ["event_id", "event_type", "timestamp", "user_id"],
    "properties": {
        **{name: {"type": "string"} for name in ("event_id", "event_type", "user_id")},
        "timestamp": {"type": "string", "format": "date-time"},
        "data": {"type": "object", "properties": {"amount": {"type": "number"}}, "additionalProperties": True},
    },
}


def blocked(path):
    """A lake that can't be written by anybody: a file stands where its parent should be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")
    return path / "lake"


def generate(daemon, count, seed, *more):
    done = subprocess.run(
        [BINARY, "generate", "clickstream", "--count", str(count), "--seed", str(seed), "--batch", "2000", "--connections",
         "4", "--no-progress", "--to", f"http://127.0.0.1:{daemon.port}/v1/events/clicks", *more],
        capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr


def read_bytes(daemon):
    text = Path(f"/proc/{daemon.process.pid}/io").read_text()
    return int(text.split("rchar: ")[1].split()[0])


def test_start_with_a_large_backlog(root):
    """1 GB in the journal (10 GB with SLUICE_LONG=1), kill -9: ready at once, with the memory of an empty one, and
    then everything is delivered once."""
    size = (10 if os.environ.get("SLUICE_LONG") else 1) * 1000 * MIB
    count = size // 350 // 2000 * 2000
    config = {
        "workers": 2,
        "memory": "256MiB",
        "cut": {"every": "500ms"},
        "journal": {"quota": "20GiB"},
        "spool": {"quota": "4MiB"},
        "streams": {"clicks": {"schema": CLICKS, "event_time": "timestamp",
                               "lake": {"to": str(blocked(root / "wall")), "max_age": "500ms", "target_size": "32MiB"}}},
        "windows": {"per_minute": {"of": "clicks", "every": "1m", "by": ["event_type"],
                                   "measures": {"events": "count()"}}},
    }
    daemon = started(Daemon(root, config))
    generate(daemon, count // 2, 1)
    generate(daemon, count // 2, 2, "--idempotent")
    state = json.loads(daemon.get("/v1/state")[1])
    backlog = state["journal"]["end"] - min(t["cursor"] for s in state["streams"] for t in s["tables"])
    assert backlog > size * 0.7, f"only {backlog / MIB:.0f} MiB: the test needs a backlog"
    status, reply = daemon.request("POST", "/v1/flush", timeout=60)
    assert status == 503, (status, reply)
    daemon.kill()
    at = time.monotonic()
    started(daemon)
    ready, read = time.monotonic() - at, read_bytes(daemon)
    watch = Watch(daemon)
    watch.start()
    print(f"  backlog {backlog / MIB:.0f} MiB: ready in {ready:.2f} s, {read / MIB:.1f} MiB read")
    assert read < 256 * MIB, f"{read / MIB:.0f} MiB read before it was ready"
    assert ready < 10, f"{ready:.1f} s"
    time.sleep(2)
    stalled = watch.most
    (root / "wall").unlink()
    at = time.monotonic()
    flush_until(daemon, 1200)
    most = watch.end()
    print(f"  delivered in {time.monotonic() - at:.1f} s; memory {stalled / MIB:.0f} MiB stalled, {most / MIB:.0f} MiB at most")
    within(most, 256)
    got = duckdb.sql(f"SELECT count(*), count(DISTINCT event_id) FROM read_parquet('{root}/wall/**/*.parquet')").fetchall()[0]
    assert got == (count, count), (got, count)
    with sqlite3.connect(daemon.warehouse()) as db:
        assert db.execute("SELECT sum(events) FROM per_minute").fetchone()[0] == count
    code, text = daemon.audit()
    assert code == 0, text
    wait_for("trim", lambda: json.loads(daemon.get("/v1/state")[1])["journal"]["bytes"] < 1000 * MIB, 60)
    stopped(daemon)


def segments(daemon):
    """Segments of the journal in order, spares apart."""
    return sorted(f for f in (daemon.directory / "data" / "journal").iterdir() if f.name[0].isdigit())


def backlog_of(root, bodies, **more):
    """A stopped daemon whose journal still holds every body but what the spool took."""
    config = configuration(root, lake=blocked(root / "wall"), journal={"quota": "256MiB", "segment_size": "2MiB"},
                           spool={"quota": "4MiB"}, **more)
    config["streams"]["events"]["lake"]["max_age"] = "1h"
    config["cut"] = {"every": "1h"}
    daemon = started(Daemon(root, config))
    sender = Sender(daemon, bodies, insist=False, pause=0)
    sender.run()
    assert sender.statuses == {200: len(bodies)}, sender.statuses
    daemon.kill()
    return daemon


def test_damage_in_the_middle_is_stepped_over_and_counted(root):
    """Bytes turned in the middle of the journal: the events of the damaged records are lost, which is said by
    metric and log; every other one is there once."""
    batch, count = 20, 300
    bodies = [noise(n * batch, batch, 1500) for n in range(count)]
    daemon = backlog_of(root, bodies)
    files = segments(daemon)
    assert len(files) >= 4, files
    # One record's text, a group's header, and a whole megabyte.
    hit = []
    for n, (at, length) in zip((1, 2, 3), ((700_000, 1), (0, 0), (300_000, 1 << 20))):
        content = bytearray(files[n].read_bytes())
        if not length:  # A group begins on a block with its magic; take the one after the middle.
            magic = bytes(content[4096:4100])
            at = next(a for a in range(len(content) // 2 // 4096 * 4096, len(content), 4096) if content[a : a + 4] == magic)
            length = 16
        for i in range(at, at + length):
            content[i] ^= 0x55
        files[n].write_bytes(content)
        hit.append((files[n].name, at, length))
    (root / "wall").unlink()
    started(daemon)
    flush_until(daemon)
    ids = [r[0] for r in rows(root / "wall")]
    assert len(ids) == len(set(ids)), "twice"
    lost = set(range(batch * count)) - set(ids)
    whole = {n for n in range(count) if all(n * batch + k in lost for k in range(batch))}
    assert len(lost) == len(whole) * batch, "a record is lost whole or not at all"
    assert 2 <= len(whole) <= 60, f"{len(whole)} requests lost by {hit}"
    quarantined = daemon.metric("sluice_quarantined_bytes_total")
    print(f"  {len(whole)} of {count} requests lost, {quarantined / 1024:.0f} KiB quarantined")
    assert quarantined >= 1 << 20, quarantined
    assert "damage stepped over" in daemon.said(), daemon.said()[-2000:]
    code, text = daemon.audit()
    assert code == 0, text
    # And it goes on.
    assert daemon.post([event(10_000_000)], "/v1/events/events")[0] == 200
    flush_until(daemon)
    assert (10_000_000,) in rows(root / "wall")
    stopped(daemon)
    started(daemon)
    stopped(daemon)


def test_torn_tail_is_cut(root):
    """What a power cut leaves at the end, half a group, was never acknowledged; before it nothing is lost."""
    daemon = backlog_of(root, [body(n * 50, 50) for n in range(20)])
    last = segments(daemon)[-1]
    content = bytearray(last.read_bytes())
    magic = bytes(content[4096:4100])
    blocks = [a for a in range(4096, len(content), 4096) if content[a : a + 4] == magic]
    content[blocks[-1] + 4096 : blocks[-1] + 8192] = bytes(4096)
    last.write_bytes(content)
    (root / "wall").unlink()
    started(daemon)
    flush_until(daemon)
    check_once(daemon, range(19 * 50), root / "wall", possible=range(19 * 50, 20 * 50))
    stopped(daemon)


def test_another_ones_journal_is_refused(root):
    first = started(Daemon(root / "a", configuration(root / "a")))
    second = started(Daemon(root / "b", configuration(root / "b")))
    for d in (first, second):
        d.post([event(1)], "/v1/events/events")
        flush_until(d)
        stopped(d)
    kept = root / "kept"
    journal = first.directory / "data" / "journal"
    journal.rename(kept)
    shutil.copytree(second.directory / "data" / "journal", journal)
    code = first.start()
    assert code == 1, code
    assert "is not the journal that ledger.db belongs to" in first.said(), first.said()
    # With its own again everything is as before.
    shutil.rmtree(journal)
    kept.rename(journal)
    started(first)
    first.post([event(2)], "/v1/events/events")
    flush_until(first)
    check_once(first, [1, 2], root / "a" / "lake")
    stopped(first)


def test_a_journal_that_is_gone_is_refused(root):
    """An empty journal beside a ledger that knows another one: nobody is to find out weeks later."""
    daemon = started(Daemon(root, configuration(root)))
    daemon.post([event(1)], "/v1/events/events")
    flush_until(daemon)
    stopped(daemon)
    shutil.rmtree(daemon.directory / "data" / "journal")
    code = daemon.start()
    assert code == 1, code
    assert "is not the journal that ledger.db belongs to" in daemon.said(), daemon.said()


def test_a_ledger_that_is_gone_is_refused(root):
    """A new one beside a journal with events would take them for delivered."""
    daemon = started(Daemon(root, configuration(root)))
    daemon.post([event(1)], "/v1/events/events")
    flush_until(daemon)
    daemon.post([event(2)], "/v1/events/events")
    daemon.kill()
    kept = root / "kept"
    kept.mkdir()
    for file in (daemon.directory / "data").glob("ledger.db*"):
        file.rename(kept / file.name)
    code = daemon.start()
    assert code == 1, code
    assert "holds events, and ledger.db, which says what became of them, is new" in daemon.said(), daemon.said()[-500:]
    for file in (daemon.directory / "data").glob("ledger.db*"):
        file.unlink()
    for file in kept.iterdir():
        file.rename(daemon.directory / "data" / file.name)
    started(daemon)
    flush_until(daemon)
    check_once(daemon, [1, 2], root / "lake")
    stopped(daemon)


def test_a_missing_segment_is_refused(root):
    daemon = backlog_of(root, [noise(n * 50, 50, 2000) for n in range(100)])
    files = segments(daemon)
    assert len(files) >= 4
    hidden = root / "hidden"
    files[2].rename(hidden)
    code = daemon.start()
    assert code == 1, code
    assert "segments are missing" in daemon.said(), daemon.said()[-1000:]
    hidden.rename(files[2])
    (root / "wall").unlink()
    started(daemon)
    flush_until(daemon)
    check_once(daemon, range(5000), root / "wall")
    stopped(daemon)


def test_a_damaged_ledger_is_said_plainly(root):
    daemon = started(Daemon(root, configuration(root)))
    daemon.post([event(1)], "/v1/events/events")
    flush_until(daemon)
    stopped(daemon)
    ledger = daemon.directory / "data" / "ledger.db"
    kept = ledger.read_bytes()
    ledger.write_bytes(b"not a database, but as long as one" * 400)
    code = daemon.start()
    assert code == 1 and "ledger" in daemon.said(), (code, daemon.said()[-500:])
    ledger.write_bytes(kept)
    started(daemon)
    check_once(daemon, [1], root / "lake")
    stopped(daemon)


def test_a_newer_ones_data_dir_is_refused(root):
    """An older program would misread what it doesn't know of. Ledgers of before the format had a number are 0, and are taken."""
    daemon = started(Daemon(root, configuration(root)))
    daemon.post([event(1)], "/v1/events/events")
    flush_until(daemon)
    stopped(daemon)
    for number, code in ((2, 1), (0, None), (1, None)):
        with sqlite3.connect(daemon.directory / "data" / "ledger.db") as db:
            db.execute(f"PRAGMA user_version = {number}")
        db.close()
        told = "a newer sluice has used this data_dir (format 2, and this one knows 1)"
        assert daemon.start() == code
        assert (daemon.audit()[0] == 1 and told in daemon.audit()[1] and told in daemon.said()) if code else daemon.audit()[0] == 0
        if code is None:
            stopped(daemon)
    check_once(daemon, [1], root / "lake")


def test_spool_files_that_are_lost_stop_their_table_alone(root):
    """A committed file that vanished from the spool can't be delivered: an alarm, and everything else goes on."""
    daemon = backlog_of(root, [body(0, 50)])
    started(daemon)
    status, _ = daemon.request("POST", "/v1/flush", timeout=60)
    assert status == 503
    stopped(daemon)
    spool = daemon.directory / "data" / "spool"
    lost = [f for f in spool.iterdir() if f.name.endswith(".parquet")]
    assert lost, list(spool.iterdir())
    for f in lost:
        f.unlink()
    (root / "wall").unlink()
    started(daemon)
    wait_for("an alarm", lambda: daemon.metric("sluice_table_stalled") >= 1, 20)
    assert sum(r["events"] for r in daemon.windows("per_minute")) == 50
    assert daemon.post([event(100)], "/v1/events/events")[0] == 200
    status, reply = daemon.request("POST", "/v1/flush", timeout=60)
    assert status == 503 and b"events/lake" in reply, (status, reply)
    code, text = daemon.audit()
    assert code == 1, "audit has to find it: " + text
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
