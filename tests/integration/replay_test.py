#!/usr/bin/env python3
"""`sluice replay`: dead letters again, by today's rules, at their original position and arrival time. Twice changes nothing, whatever
happens between, and audit counts each position once."""

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time

import route_test
from support import BINARY, Daemon, Sender, configuration, event, flush_until, rows, run_tests, started, stopped


def replay_configuration(root, most=10, **more):
    """Events with n > most are refused by a step; text that is no string by the schema."""
    config = configuration(root, **more)
    stream = config["streams"]["events"]
    stream["schema"] = json.loads(json.dumps(stream["schema"]))
    stream["schema"]["properties"]["n"] = {"type": "integer"}
    stream["steps"] = [{"require": {"small": f"n <= {most}"}}]
    stream["add"] = ["processed_at", "source"]
    stream["warehouse"] = {"table": "event_rows"}
    return config


def numbered(i, **more):
    return {**event(i, text="x"), "n": i % 20, **more}


def replay(daemon, *arguments):
    done = subprocess.run([BINARY, "replay", "-c", str(daemon.directory / "sluice.yaml"), *arguments],
                          capture_output=True, text=True, env=daemon.environment)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return done.stdout


def told(daemon, *arguments):
    reply = json.loads(replay(daemon, "--json", *arguments))
    return {(b["stream"], b["code"]): (b["letters"], b["taken"], b["before"], b["refused"]) for b in reply["letters"]}


def check(daemon, root, ids):
    """Each id once in lake, warehouse and windows."""
    assert sorted(r[0] for r in rows(root / "lake")) == sorted(ids)
    with sqlite3.connect(daemon.warehouse()) as db:
        assert db.execute("SELECT count(*), coalesce(sum(id), 0) FROM event_rows").fetchone() == (len(ids), sum(ids))
        assert (db.execute("SELECT sum(events) FROM per_minute").fetchone()[0] or 0) == len(ids)
    code, text = daemon.audit()
    assert code == 0, text


def reconfigured(daemon, config):
    """The same daemon with other rules."""
    stopped(daemon)
    config["http"] = daemon.config["http"]
    config["data_dir"] = daemon.config["data_dir"]
    daemon.config = config
    return started(daemon)


def test_what_new_rules_take_gets_its_place_once(root):
    daemon = started(Daemon(root, replay_configuration(root)))
    events = [numbered(i) for i in range(200)]
    code, reply = daemon.request("POST", "/v1/events/events", "\n".join(json.dumps(e) for e in events).encode())
    assert code == 200, reply
    daemon.request("POST", "/v1/events/events", b'{"id": 900, "text": 5}\n{"id": 901, "te')
    daemon.flush()
    good = [e["id"] for e in events if e["n"] <= 10]
    check(daemon, root, good)
    # With the same rules nothing changes.
    same = {("events", "require"): (90, 0, 0, {"require": 90}), ("events", "syntax"): (1, 0, 0, {"syntax": 1}),
            ("events", "type"): (1, 0, 0, {"type": 1})}
    assert told(daemon) == same
    letters = rows(root / "data/dead_letters", 'position, code')
    assert len(letters) == 92
    check(daemon, root, good)
    # Other rules take more; a dry run only says so.
    reconfigured(daemon, replay_configuration(root, most=15))
    more = {**same, ("events", "require"): (90, 50, 0, {"require": 40})}
    assert told(daemon, "--dry-run") == more
    check(daemon, root, good)
    assert "require 40" in replay(daemon, "--dry-run")
    assert told(daemon) == more
    good = [e["id"] for e in events if e["n"] <= 15]
    check(daemon, root, good)
    # Original arrival, source and place in the windows.
    back = rows(root / "lake", "id, epoch_us(processed_at), source")
    arrived = {r[1] for r in back}
    assert len(arrived) == 1 and {r[2] for r in back} == {"http"}, back[:3]
    with sqlite3.connect(daemon.warehouse()) as db:
        positions = {r[0] for r in db.execute("SELECT _position FROM event_rows WHERE n > 10")}
    assert positions <= {r[0] for r in letters} and len(positions) == 50
    # Again, and with other rules again: each position once.
    again = {**more, ("events", "require"): (90, 0, 50, {"require": 40})}
    assert told(daemon) == again
    check(daemon, root, good)
    reconfigured(daemon, replay_configuration(root, most=100))
    assert told(daemon) == {**same, ("events", "require"): (90, 40, 50, {})}
    check(daemon, root, range(200))
    assert told(daemon)[("events", "require")] == (90, 0, 90, {})
    assert len(rows(root / "data/dead_letters", "position")) == 92, "what is refused again is no new letter"
    check(daemon, root, range(200))
    _, metrics = daemon.get("/metrics")
    assert b'sluice_replayed_events_total{stream="events"} 40\n' in metrics
    stopped(daemon)


def test_by_code_stream_and_time(root):
    config = replay_configuration(root)
    config["streams"]["others"] = json.loads(json.dumps(config["streams"]["events"]))
    config["streams"]["others"]["lake"]["to"] = str(root / "others")
    config["streams"]["others"]["warehouse"] = {"table": "other_rows"}
    daemon = started(Daemon(root, config))
    daemon.post([numbered(i) for i in range(20)], "/v1/events/events")
    daemon.post([numbered(i) for i in range(20)], "/v1/events/others")
    daemon.post(b'{"id": "x"}', "/v1/events/events")
    daemon.flush()
    time.sleep(0.01)
    between = time.time()
    time.sleep(0.01)
    daemon.post([numbered(i) for i in range(20, 40)], "/v1/events/events")
    daemon.flush()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(between)) + f".{int(between % 1 * 1e6):06}Z"
    assert {k: v[0] for k, v in told(daemon, "--dry-run").items()} == {("events", "require"): 18, ("others", "require"): 9,
                                                                      ("events", "type"): 1}
    assert {k: v[0] for k, v in told(daemon, "--dry-run", "--since", stamp).items()} == {("events", "require"): 9}
    assert {k: v[0] for k, v in told(daemon, "--dry-run", "--until", stamp, "--stream", "events").items()} == {
        ("events", "require"): 9, ("events", "type"): 1}
    assert {k: v[0] for k, v in told(daemon, "--dry-run", "--since", "1h", "--code", "type").items()} == {("events", "type"): 1}
    assert told(daemon, "--dry-run", "--since", "2099-01-01") == {}
    new = json.loads(json.dumps(config))
    new["streams"]["events"]["steps"] = new["streams"]["others"]["steps"] = []
    reconfigured(daemon, new)
    assert told(daemon, "--stream", "others") == {("others", "require"): (9, 9, 0, {})}
    assert len(rows(root / "others")) == 20 and len(rows(root / "lake")) == 22
    stopped(daemon)
    assert daemon.audit()[0] == 0


def test_what_no_stream_took_goes_where_it_was_sent(root):
    daemon = started(Daemon(root, replay_configuration(root)))
    for i in range(3):
        daemon.post([numbered(i)], "/v1/events/later")
    daemon.flush()
    assert told(daemon, "--dry-run") == {("_unrouted", "no_stream"): (3, 0, 0, {"no_stream": 3})}
    config = replay_configuration(root)
    config["streams"]["later"] = {**config["streams"]["events"], "lake": {"to": str(root / "later")}, "warehouse": {"table": "later"}}
    reconfigured(daemon, config)
    assert told(daemon) == {("_unrouted", "no_stream"): (3, 3, 0, {})}
    assert sorted(r[0] for r in rows(root / "later")) == [0, 1, 2]
    assert told(daemon) == {("_unrouted", "no_stream"): (3, 0, 3, {})}
    stopped(daemon)
    assert daemon.audit()[0] == 0


def test_without_a_daemon_one_is_started_for_it(root):
    daemon = started(Daemon(root, replay_configuration(root)))
    daemon.post([numbered(i) for i in range(40)], "/v1/events/events")
    daemon.flush()
    stopped(daemon)
    daemon.config["streams"]["events"]["steps"] = []
    (root / "sluice.yaml").write_text(json.dumps(daemon.config))
    assert told(daemon) == {("events", "require"): (18, 18, 0, {})}
    check(daemon, root, range(40))
    bad = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml"), "--since", "soon"], capture_output=True, text=True)
    assert bad.returncode == 64 and "soon" in bad.stderr, bad


def test_audit_counts_each_position_once(root):
    daemon = started(Daemon(root, replay_configuration(root)))
    daemon.post([numbered(i) for i in range(40)], "/v1/events/events")
    daemon.flush()
    reconfigured(daemon, replay_configuration(root, most=100))
    replay(daemon)
    stopped(daemon)
    code, text = daemon.audit()
    assert code == 0 and "received 40 = 40 rows + 0 dead" in text and "18 of them by replay" in text, text
    with sqlite3.connect(root / "data/ledger.db") as db:
        keeper, positions = db.execute("SELECT keeper, positions FROM replays").fetchone()
        db.execute("INSERT INTO replays VALUES (?, 'others', ?)", (keeper, positions))
    code, text = daemon.audit()
    assert code == 1 and "was taken twice" in text, text
    with sqlite3.connect(root / "data/ledger.db") as db:
        db.execute("DELETE FROM replays")
    code, text = daemon.audit()
    assert code == 1 and "18 dead letters came by replays, the ledger knows of 0" in text, text


def test_with_dedupe_a_copy_that_came_since_wins(root):
    config = replay_configuration(root)
    config["streams"]["events"].update({"id": "id", "dedupe": "1h"})
    daemon = started(Daemon(root, config))
    daemon.post([numbered(i) for i in range(40)], "/v1/events/events")
    daemon.post([numbered(i, n=1) for i in range(15, 18)], "/v1/events/events")  # Corrected by their sender.
    daemon.flush()
    new = json.loads(json.dumps(config))
    new["streams"]["events"]["steps"] = []
    reconfigured(daemon, new)
    assert told(daemon) == {("events", "require"): (18, 18, 0, {})}  # Whether a key is known shows behind the reply.
    check(daemon, root, range(40))
    assert {r[0]: r[1] for r in rows(root / "lake", "id, n")}[16] == 1
    assert told(daemon) == {("events", "require"): (18, 0, 18, {})}
    check(daemon, root, range(40))
    stopped(daemon)


def test_what_is_older_than_the_horizon_by_now_is_not_late(root):
    config = replay_configuration(root)
    config["streams"]["events"].update({"id": "id", "dedupe": "1h", "late_limit": "1h"})
    daemon = started(Daemon(root, config))
    daemon.post([numbered(19), numbered(40000 + 1)], "/v1/events/events")  # 11 hours later.
    daemon.post([numbered(2)], "/v1/events/events")
    daemon.flush()
    assert [r[0] for r in rows(root / "data/late", "id")] == [2]
    new = json.loads(json.dumps(config))
    new["streams"]["events"]["steps"] = []
    reconfigured(daemon, new)
    assert told(daemon) == {("events", "require"): (1, 1, 0, {})}
    assert told(daemon) == {("events", "require"): (1, 0, 1, {})}
    check(daemon, root, [19, 40001])
    stopped(daemon)


def test_csv_letters_are_read_as_they_came(root):
    config = replay_configuration(root)
    daemon = started(Daemon(root, config))
    text = "id,kind,n,at\n" + "".join(f"{i},k,{i},2026-01-01T00:00:00Z\n" for i in range(8, 14))
    code, reply = daemon.request("POST", "/v1/events/events", text.encode(), {"Content-Type": "text/csv; header=present"})
    assert code == 200, reply
    daemon.flush()
    reconfigured(daemon, replay_configuration(root, most=100))
    assert told(daemon) == {("events", "require"): (3, 3, 0, {})}
    check(daemon, root, range(8, 14))
    assert told(daemon) == {("events", "require"): (3, 0, 3, {})}
    stopped(daemon)


def test_raw_records_into_a_fresh_table(root):
    """The same as the stream's own tables, by the same rules; more, by others; and only what arrived then."""
    config = replay_configuration(root)
    config["streams"]["events"]["raw"] = True
    config["streams"]["events"]["when"] = "id >= 0"
    config["streams"]["events"]["warehouse"] = {"table": "event_rows"}
    config["windows"]["arrivals"] = {"of": "events", "every": "1s", "measures": {"n": "sum(n)"}}
    config["streams"]["arrived"] = {"schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
                                    "lake": {"to": str(root / "arrived"), "max_age": "1s"}, "add": ["processed_at"]}
    daemon = started(Daemon(root, config))
    for k in range(12):
        lines = "\n".join(json.dumps(numbered(i)) for i in range(k * 50, k * 50 + 50)).encode()
        daemon.request("POST", "/v1/events" if k % 2 else "/v1/events/events", lines)
        if k % 5 == 4:
            daemon.flush()
    daemon.post(b'{"id": 1, "te', "/v1/events/events")
    text = "id,kind,n\n" + "".join(f"{i},k,{i % 20}\n" for i in range(600, 640))
    daemon.request("POST", "/v1/events/events", text.encode(), {"Content-Type": "text/csv; header=present"})
    daemon.flush()
    middle = time.time()
    time.sleep(0.01)
    daemon.post([numbered(i) for i in range(640, 700)], "/v1/events/events")
    code = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml"), "--into", "again", "--stream", "events"],
                          capture_output=True, text=True)
    assert code.returncode == 0 and "15 records into again" in code.stdout and "clean" in code.stdout, code
    columns = 'id, n, kind, epoch_us("at"), epoch_us(processed_at), source'
    same = sorted(rows(root / "lake", columns), key=str)
    assert len(same) == 385 and sorted(rows(root / "again", columns), key=str) == same
    with sqlite3.connect(daemon.warehouse()) as db:
        for table, other in (("event_rows", "again"), ("per_minute", "again_per_minute"), ("arrivals", "again_arrivals")):
            names = "id, n, processed_at" if table == "event_rows" else "*"
            hidden = {"_key", "_hash", "_rows"}
            chosen = names if names != "*" else ", ".join(f'"{c[1]}"' for c in db.execute(f"PRAGMA table_info({table})") if c[1] not in hidden)
            assert sorted(map(str, db.execute(f"SELECT {chosen} FROM {table}"))) == sorted(map(str, db.execute(f"SELECT {chosen} FROM {other}"))), table
    for name, code in (("again", 1), ("events", 1), ("event_rows", 1), ("a b", 1)):
        done = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml"), "--into", name, "--stream", "events"], capture_output=True, text=True)
        assert done.returncode == code and name in done.stderr, done
    done = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml"), "--into", "x", "--stream", "arrived"], capture_output=True, text=True)
    assert done.returncode == 1 and "raw: true" in done.stderr, done
    stopped(daemon)
    daemon.config["streams"]["events"]["steps"] = []
    (root / "sluice.yaml").write_text(json.dumps(daemon.config))
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle)) + f".{int(middle % 1 * 1e6):06}Z"
    for name, option, wanted in (("before", "--until", range(640)), ("since", "--since", range(640, 700))):
        done = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml"), "--into", name, "--stream", "events", option, stamp],
                              capture_output=True, text=True)
        assert done.returncode == 0, done
        assert sorted(r[0] for r in rows(root / name)) == list(wanted), name
    assert daemon.audit()[0] == 0


def test_killed_again_and_again(root):
    """Replays under load with kill -9 between: nothing twice, nothing missing."""
    draw = random.Random(7)
    config = replay_configuration(root)
    daemon = started(Daemon(root, config))
    for k in range(10):
        daemon.post([numbered(i) for i in range(k * 200, k * 200 + 200)], "/v1/events/events")
    daemon.flush()
    config["streams"]["events"]["steps"] = [{"require": {"small": "n <= 15"}}]
    daemon.config["streams"] = config["streams"]
    path = str(root / "sluice.yaml")
    stopped(daemon)
    started(daemon)
    for _ in range(8):
        one = subprocess.Popen([BINARY, "replay", "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        two = subprocess.Popen([BINARY, "replay", "-c", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(draw.random() * 0.25)
        daemon.kill()
        one.kill()
        two.kill()
        one.wait()
        two.wait()
        # One that was started by a replay may still have the directory.
        subprocess.run(["pkill", "-9", "-f", f"run --drain -c {path}"], check=False)
        time.sleep(0.05)
        started(daemon)
    flush_until(daemon)
    replay(daemon)
    check(daemon, root, [i for i in range(2000) if i % 20 <= 15])
    assert told(daemon) == {("events", "require"): (900, 0, 500, {"require": 400})}
    check(daemon, root, [i for i in range(2000) if i % 20 <= 15])
    stopped(daemon)


def test_raw_records_come_again_into_fresh_tables_without_the_events_of_others(root):
    config = route_test.route_configuration(root, catch_all=True)
    config["streams"]["rest"]["raw"] = True
    daemon = started(Daemon(root, config))
    for n, content in route_test.requests(300, 6):
        if n:
            assert daemon.request("POST", "/v1/events", content)[0] in (200, 400)
    daemon.flush()
    for name in ("rest", "visits"):
        command = [BINARY, "replay", "-c", str(root / "sluice.yaml"), "--stream", name, "--into", f"{name}_again"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        ids = lambda directory: sorted(r[0] for r in rows(root / "lake" / directory))
        assert ids(f"{name}_again") == ids(name) != [], (name, len(ids(f"{name}_again")), len(ids(name)))
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
