#!/usr/bin/env python3
"""HUP: another configuration in the running daemon. Nothing is lost or refused, tables meet at one position, and what
can't be taken over leaves everything as it was."""

import copy
import json
import signal
import sqlite3
import sys
import threading
import time

from support import (
    Daemon, Sender, body, check_once, configuration, event, flush_until, noise, rows, run_tests, started, stopped, wait_for,
)

BATCH = 50
COUNTERS = (
    "sluice_requests_total", "sluice_accepted_events_total", "sluice_received_events_total",
    "sluice_sent_events_total", "sluice_config_reloads_total",
)


def result(daemon, word):
    for line in daemon.get("/metrics")[1].decode().splitlines():
        if line.startswith(f'sluice_config_reloads_total{{result="{word}"}}'):
            return int(line.split()[-1])
    return None


def write(daemon, config):
    daemon.config = config
    (daemon.directory / "sluice.yaml").write_text(config if isinstance(config, str) else json.dumps(config))


def reload(daemon, config=None, word="ok"):
    """Send HUP and wait until it is done."""
    before = result(daemon, word)
    if config is not None:
        write(daemon, config)
    daemon.process.send_signal(signal.SIGHUP)
    wait_for(f"reload {word}", lambda: result(daemon, word) == before + 1, 30)
    wait_for("ready", lambda: daemon.get("/readyz")[0] == 200, 30)


def other(daemon):
    return copy.deepcopy(daemon.config)


def window(daemon, name):
    with sqlite3.connect(daemon.warehouse()) as db:
        return db.execute(f"SELECT coalesce(sum(events), 0) FROM {name}").fetchone()[0]


def audit(daemon):
    code, text = daemon.audit()
    assert code == 0, text
    return text


def test_reloads_under_load_refuse_and_lose_nothing(root):
    """Ten reloads, which bring and take a window and change the number of workers, while four clients send each
    request once: all of them get 200."""
    daemon = started(Daemon(root, configuration(root)))
    senders = [
        Sender(daemon, [body(at, BATCH) for at in range(k * 20_000, k * 20_000 + 20_000, BATCH)], insist=False,
               name=f"load{k}", pause=0)
        for k in range(4)
    ]
    plain, more = other(daemon), other(daemon)
    more["windows"]["by_hour"] = {"of": "events", "every": "1h", "measures": {"events": "count()"}}
    more["workers"] = 3
    for s in senders:
        s.start()
    last = {}
    for turn in range(10):
        reload(daemon, more if turn % 2 == 0 else plain)
        for name in COUNTERS:
            value = daemon.metric(name)
            assert value >= last.get(name, 0), f"{name} went back from {last[name]} to {value}"
            last[name] = value
    for s in senders:
        s.join(120)
        assert s.statuses == {200: 400}, (s.statuses, s.bad[:2])
    flush_until(daemon)
    assert daemon.metric("sluice_sent_events_total") >= 80_000 and daemon.metric("sluice_accepted_events_total") == 80_000
    check_once(daemon, range(80_000), root / "lake")
    took = [int(line.rsplit("=", 1)[1]) for line in daemon.said().splitlines() if "requests are taken again" in line]
    print(f"  requests waited {min(took)} to {max(took)} ms")
    stopped(daemon)
    assert "torn" not in daemon.said()


def test_a_new_window_and_a_new_stream_begin_at_the_reload(root):
    daemon = started(Daemon(root, configuration(root)))
    assert daemon.post(body(0, 100), "/v1/events/events")[0] == 200
    assert daemon.post(b'{"a":1}', "/v1/events/later")[0] == 400, "no such stream yet"
    config = other(daemon)
    config["windows"]["by_day"] = {"of": "events", "every": "1d", "measures": {"events": "count()"}}
    config["streams"]["later"] = {"lake": {"to": str(root / "lake2")}}
    reload(daemon, config)
    assert daemon.get("/config")[1].count(b"by_day") >= 1
    assert daemon.post(body(100, 70), "/v1/events/events")[0] == 200
    assert daemon.post(b'{"a":2}\n{"a":3}', "/v1/events/later")[0] == 200
    flush_until(daemon)
    check_once(daemon, range(170), root / "lake")
    assert window(daemon, "by_day") == 70, window(daemon, "by_day")
    assert sorted(r[0] for r in rows(root / "lake2", "a")) == [2, 3]
    letters = rows(daemon.directory / "data" / "dead_letters" / "_unrouted", "code")
    assert letters == [("no_stream",)], letters
    text = audit(daemon)
    cut = [line for line in text.splitlines() if line.startswith("by_day")][0].split()[2]
    assert [line for line in text.splitlines() if line.startswith("later/lake")][0].split()[2] == cut, text
    stopped(daemon)
    started(daemon)
    check_once(daemon, range(170), root / "lake")
    stopped(daemon)


def test_a_stricter_schema_judges_from_the_reload_on(root):
    """What came before stays as it was judged, though the dead letters' table had nothing to cut until then."""
    daemon = started(Daemon(root, configuration(root)))
    assert daemon.post(b'{"id":1}\n{"id":2,"kind":"a"}', "/v1/events/events")[0] == 200
    config = other(daemon)
    config["streams"]["events"]["schema"]["required"] = ["id", "kind"]
    reload(daemon, config)
    status, reply = daemon.post(b'{"id":3}\n{"id":4,"kind":"a"}', "/v1/events/events")
    assert status == 200 and reply["rejected"] == 1, reply
    flush_until(daemon)
    check_once(daemon, [1, 2, 4], root / "lake")
    assert len(rows(daemon.directory / "data" / "dead_letters" / "events", "code")) == 1
    stopped(daemon)


def test_columns_come_and_go_and_rows_stay_what_they_are(root):
    config = configuration(root)
    config["streams"]["events"]["warehouse"] = {"table": "event_rows"}
    daemon = started(Daemon(root, config))
    daemon.post([event(i) for i in range(10)], "/v1/events/events")
    daemon.flush()
    audit(daemon)
    for gone, added in (("text", "mood"), ("mood", "text"), ("text", "mood")):
        config = other(daemon)
        properties = config["streams"]["events"]["schema"]["properties"]
        del properties[gone]
        properties[added] = {"type": "string"}
        reload(daemon, config)
        daemon.post([event(i) for i in range(10, 20)], "/v1/events/events")
        daemon.flush()
        audit(daemon)
    stopped(daemon)
    with sqlite3.connect(daemon.warehouse()) as db:
        db.execute("UPDATE event_rows SET mood = 'x' WHERE rowid = (SELECT min(rowid) FROM event_rows)")
    code, text = daemon.audit()
    assert code == 1 and "altered: 1 rows" in text, text


def test_a_wrong_configuration_is_named_and_the_old_one_stays(root):
    daemon = started(Daemon(root, configuration(root)))
    good = other(daemon)
    before = daemon.get("/config")[1]
    at = lambda: len(daemon.said())

    def refused(config, *words):
        position = at()
        reload(daemon, config, "refused")
        said = daemon.said()[position:]
        assert "not reloaded" in said and all(w in said for w in words), said
        assert daemon.get("/config")[1] == before
        assert daemon.post([event(refused.sent)], "/v1/events/events")[0] == 200
        refused.sent += 1

    refused.sent = 0
    refused("streams:\n  events:\n    lke: {}\n", "sluice.yaml:3:5", "lke", "lake")
    refused("streams: [", "sluice.yaml:")
    for key, change in (
        ("data_dir", lambda c: c.update(data_dir=str(root / "elsewhere"))),
        ("http.listen", lambda c: c["http"].update(listen="127.0.0.1:1")),
        ("memory", lambda c: c.update(memory="300MiB")),
        ("http.max_body", lambda c: c["http"].update(max_body="1MiB")),
    ):
        config = copy.deepcopy(good)
        change(config)
        refused(config, key, "restart")
    assert not (root / "elsewhere").exists()
    # These are found out when the engine is made: the old one is made again, and no trace stays of the new one.
    config = copy.deepcopy(good)
    config["windows"] = {"fresh": {"of": "events", "every": "1m", "measures": {"events": "count()"}}, **config["windows"]}
    config["windows"]["per_minute"]["measures"] = {"events": "count()", "most": "max(id)"}
    refused(config, "per_minute", "defined otherwise")
    config = copy.deepcopy(good)
    config["warehouse"] = {"sqlite": str(root / "no" / "such" / "folder" / "w.db")}
    (root / "no").write_text("a file")
    refused(config, "w.db")
    config = copy.deepcopy(good)
    config["windows"]["fresh"] = {"of": "events", "every": "1h", "measures": {"events": "count()"}}
    reload(daemon, config)
    daemon.post([event(1000)], "/v1/events/events")
    flush_until(daemon)
    check_once(daemon, [*range(refused.sent), 1000], root / "lake")
    assert window(daemon, "fresh") == 1
    assert result(daemon, "refused") == refused.sent and result(daemon, "ok") == 1
    stopped(daemon)


def two_streams(root):
    """Beside `events` a stream `other` with lake, rows and a window that needs states to be merged."""
    config = configuration(root)
    config["cut"] = {"every": "1h"}
    config["lake"] = {"max_age": "1h"}
    config["streams"]["events"]["lake"]["max_age"] = "1h"
    config["streams"]["other"] = {
        "schema": config["streams"]["events"]["schema"],
        "lake": {"to": str(root / "other"), "max_age": "1h"},
        "warehouse": {"table": "other_rows"},
    }
    config["windows"]["other_users"] = {
        "of": "other", "every": "1d", "by": ["kind"],
        "measures": {"events": "count()", "users": "unique(id)", "odd": 'count(kind == "a; b: c")', "sum": "sum(id)"},
    }
    return config


def taken_out(config):
    config = copy.deepcopy(config)
    del config["streams"]["other"], config["windows"]["other_users"]
    return config


def test_a_removed_table_is_delivered_after_a_crash(root):
    """Committed, not delivered, and then not configured any more: lake, rows, dead letters and windows arrive."""
    daemon = started(Daemon(root, two_streams(root)), "--crash-at", "deliver_before:1")
    assert daemon.post(body(0, 60), "/v1/events/events")[0] == 200
    assert daemon.post(body(0, 40) + b"\nbroken", "/v1/events/other")[0] == 200
    try:
        daemon.request("POST", "/v1/flush")
    except OSError:
        pass
    assert daemon.process.wait(20) == 137
    before = daemon.config
    daemon.config = taken_out(before)
    started(daemon)
    wait_for("delivered", lambda: daemon.said().count("removed table is delivered") == 4, 20)
    flush_until(daemon)
    check_once(daemon, range(60), root / "lake")
    assert sorted(r[0] for r in rows(root / "other")) == list(range(40))
    assert len(rows(daemon.directory / "data" / "dead_letters" / "other", "code")) == 1
    with sqlite3.connect(daemon.warehouse()) as db:
        assert db.execute("SELECT count(*) FROM other_rows").fetchone()[0] == 40
        total = db.execute("SELECT sum(events), sum(users), sum(odd), sum(sum) FROM other_users").fetchone()
    assert total == (40, 40, 0, 40 * 39 // 2), total
    assert "other_users" not in daemon.get("/v1/state")[1].decode()
    # It comes back: its rows go on.
    reload(daemon, before)
    assert daemon.post(body(40, 10), "/v1/events/other")[0] == 200
    flush_until(daemon)
    audit(daemon)
    assert sorted(r[0] for r in rows(root / "other")) == list(range(50))
    with sqlite3.connect(daemon.warehouse()) as db:
        assert db.execute("SELECT sum(events) FROM other_users").fetchone() == (50,)
    stopped(daemon)


def test_a_removed_table_that_is_stalled_arrives_when_it_can(root):
    daemon = started(Daemon(root, two_streams(root)))
    (root / "other").write_text("a file where the lake should be")
    assert daemon.post(body(0, 40), "/v1/events/other")[0] == 200
    assert daemon.request("POST", "/v1/flush")[0] == 503
    reload(daemon, taken_out(daemon.config))
    flush_until(daemon)  # Nothing that is configured waits.
    assert daemon.post(body(0, 9), "/v1/events/other")[0] == 400
    wait_for("stalled", lambda: daemon.metric("sluice_table_stalled") == 1, 20)
    (root / "other").unlink()
    wait_for("delivered", lambda: 'removed table is delivered" table=other/lake' in daemon.said(), 60)
    assert daemon.metric("sluice_table_stalled") == 0
    assert daemon.metric("sluice_sent_events_total") == 3 * 40, "lake, rows and window, each once"
    assert sorted(r[0] for r in rows(root / "other")) == list(range(40))
    audit(daemon)
    stopped(daemon)


def test_a_table_that_fell_behind_hinders_only_changes_of_its_stream(root):
    """Its target refuses and its share of the spool is full: what it still has to take was judged already."""
    config = two_streams(root)
    config["spool"] = {"quota": "4MiB"}
    config["streams"]["other"]["lake"]["max_age"] = "200ms"
    config["streams"]["other"]["warehouse"]["table"] = "other_rows"
    daemon = started(Daemon(root, config))
    (root / "other").write_text("a file where the lake should be")
    sent = 0
    behind = lambda: len({t["cursor"] for s in json.loads(daemon.get("/v1/state")[1])["streams"] for t in s["tables"]}) > 1
    while sent < 6000 or not behind():
        assert daemon.post(noise(sent, 100, 2000), "/v1/events/other")[0] == 200
        sent += 100
        time.sleep(0.02)
        assert sent < 20_000
    stricter = other(daemon)
    stricter["streams"]["other"]["schema"] = {**stricter["streams"]["other"]["schema"], "required": ["id", "kind", "at"]}
    good = other(daemon)
    reload(daemon, stricter, "refused")
    assert "has fallen behind, and its stream is to change" in daemon.said()
    more = copy.deepcopy(good)
    more["windows"]["other_hours"] = {"of": "other", "every": "1h", "measures": {"events": "count()"}}
    more["streams"]["third"] = {}
    reload(daemon, more)
    assert daemon.post(body(sent, 100), "/v1/events/other")[0] == 200
    assert daemon.post(b'{"a":1}', "/v1/events/third")[0] == 200
    (root / "other").unlink()
    flush_until(daemon)
    assert sorted(r[0] for r in rows(root / "other")) == list(range(sent + 100))
    assert window(daemon, "other_users") == sent + 100
    audit(daemon)
    stopped(daemon)


def test_a_table_that_comes_back_leaves_out_what_came_meanwhile(root):
    daemon = started(Daemon(root, configuration(root)))
    whole, less = other(daemon), other(daemon)
    del less["windows"]["per_minute"]
    for turn, config in enumerate((less, whole, less, whole)):
        assert daemon.post(body(turn * 10, 10), "/v1/events/events")[0] == 200
        reload(daemon, config)
    assert daemon.post(body(40, 10), "/v1/events/events")[0] == 200
    flush_until(daemon)
    check_once(daemon, range(50), root / "lake", window=None)
    assert window(daemon, "per_minute") == 30, window(daemon, "per_minute")
    assert daemon.said().count("it leaves out what came meanwhile") == 2
    stopped(daemon)


def test_tokens_are_read_again(root):
    root.mkdir(parents=True, exist_ok=True)
    (root / "tokens").write_text("first\n")
    http = {"max_body": "512KiB", "max_event": "256KiB", "auth": {"tokens_file": str(root / "tokens")}}
    daemon = started(Daemon(root, configuration(root, http=http)))
    post = lambda i, token: daemon.post([event(i)], "/v1/events/events", Authorization=f"Bearer {token}")[0]
    assert post(1, "first") == 200 and post(2, "second") == 401
    (root / "tokens").write_text("second\n")
    reload(daemon)
    assert post(3, "first") == 401 and post(4, "second") == 200
    flush_until(daemon)
    check_once(daemon, [1, 4], root / "lake")
    stopped(daemon)


def test_keys_and_flushes_hold_across_reloads(root):
    daemon = started(Daemon(root, configuration(root)))
    repeat = lambda: daemon.request("POST", "/v1/events/events", body(0, 10) + b"\nbroken", {"Idempotency-Key": "k"})
    first = repeat()
    assert first[0] == 200
    flushes = []
    for _ in range(5):
        waiter = threading.Thread(target=lambda: flushes.append(daemon.request("POST", "/v1/flush")[0]))
        waiter.start()
        reload(daemon)
        assert repeat() == first
        waiter.join()
    assert flushes == [200] * 5, flushes
    flush_until(daemon)
    check_once(daemon, range(10), root / "lake")
    stopped(daemon)


def test_many_hups_at_once_and_a_stop_in_between(root):
    daemon = started(Daemon(root, configuration(root)))
    sender = Sender(daemon, [body(at, BATCH) for at in range(0, 20_000, BATCH)], pause=0.01)
    sender.start()
    for turn in range(3):
        for _ in range(20):
            daemon.process.send_signal(signal.SIGHUP)
            time.sleep(0.002)
        stopped(daemon, 15)
        started(daemon)
    sender.join(120)
    assert not sender.bad and len(sender.taken) == 400, (sender.statuses, sender.bad[:2])
    flush_until(daemon)
    check_once(daemon, range(20_000), root / "lake")
    stopped(daemon)


def test_killed_within_a_reload_nothing_is_lost(root):
    daemon = started(Daemon(root, configuration(root)))
    sender = Sender(daemon, [body(at, BATCH) for at in range(0, 40_000, BATCH)], pause=0.01)
    sender.start()
    config, plain = other(daemon), other(daemon)
    config["windows"]["by_hour"] = {"of": "events", "every": "1h", "measures": {"events": "count()"}}
    for turn in range(8):
        write(daemon, config if turn % 2 == 0 else plain)
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(0.004 * turn)
        daemon.kill()
        started(daemon)
    sender.join(120)
    assert not sender.bad and len(sender.taken) == 800, (sender.statuses, sender.bad[:2])
    flush_until(daemon)
    check_once(daemon, range(40_000), root / "lake")
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
