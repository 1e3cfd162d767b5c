#!/usr/bin/env python3
"""Streams that share what comes without a path: each event goes to the first one whose `when` is true of it, whatever request it
came in, through kill -9, and with any number of workers; replies, dead letters and audit count each event once."""

import json
import random
import sqlite3
import subprocess
import sys
import time

from support import BINARY, Daemon, Sender, flush_until, rows, run_tests, started, stopped, wait_for

ORDERS = {
    "type": "object",
    "required": ["id", "amount"],
    "properties": {
        "id": {"type": "integer"},
        "type": {"type": "string"},
        "amount": {"type": "number", "maximum": 100000},
        "version": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
    },
}
VISITS = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "type": {"type": "string"},
        "page": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
}
OTHERS = {"type": "object", "properties": {"id": {"type": "integer"}, "version": {"type": "string"}}}


def route_configuration(root, catch_all=False, **more):
    lake = lambda name: {"to": str(root / "lake" / name), "max_age": "1s"}
    config = {
        "workers": 2,
        "cut": {"every": "200ms"},
        "http": {"max_body": "512KiB", "max_event": "2KiB"},
        "streams": {
            "orders": {
                "when": 'type == "order" && (!has(version) || version < 9)',
                "schema": ORDERS,
                "event_time": "at",
                "id": "id",
                "dedupe": "24h",
                "steps": [{"require": {"amount": "amount >= 0.0"}}],
                "lake": lake("orders"),
                "raw": True,
                "warehouse": {"table": "order_rows"},
            },
            "visits": {"when": 'type == "visit" && has(page.path)', "schema": VISITS, "lake": lake("visits"), "raw": True},
            "others": {"when": 'version == "v2"', "schema": OTHERS, "lake": lake("others")},
        },
        "windows": {"per_minute": {"of": "orders", "every": "1m", "measures": {"events": "count()"}}},
    }
    if catch_all:
        config["streams"]["rest"] = {"lake": lake("rest")}
    config.update(more)
    return config


def event(i):
    """One of each sort there is, by turns, as text."""
    at = f"2026-01-01T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}Z"
    events = [
        {"id": i, "type": "order", "amount": i + 0.5, "at": at},
        {"type": "visit", "page": {"path": f"/p/{i}", "title": "é"}, "id": i},
        {"id": i, "type": "order", "amount": "ten", "at": at},  # Breaks the contract of the stream whose `when` is true.
        {"id": i, "type": "heartbeat"},
        {"id": i, "type": 5, "page": {"path": "/"}},  # A type that no `when` asks for.
        {"id": i, "type": "visit", "page": "none"},
        {"id": i, "type": "order", "amount": -1, "at": at},  # What a step refuses was taken.
        {"id": i, "type": "order", "amount": 1, "version": 9},
        {"id": i, "amount": 2, "version": "v2"},  # A text where orders has an integer.
        {"id": i, "type": "order", "amount": 200000, "at": at},
        None,
        {"id": i, "type": "visit", "page": {"path": "\ud83d\ude00"}, "version": "v2", "text": "x" * (i % 1000)},
        {"id": i, "type": "nobody", "text": "y" * 3000},
        {"id": i, "type": "order", "amount": 3, "version": "v2"},  # As if it had no version, as far as `when` can tell.
    ]
    e = events[i % len(events)]
    return json.dumps(e) if e is not None else f'{{"id": {i}, "type": "order", "amount": }}'


def judge(i, catch_all=False):
    """Stream, code of its dead letter, whether the reply takes it."""
    nobody = ("rest", None, True) if catch_all else ("_unrouted", "no_stream", False)
    broken = "rest" if catch_all else "_unrouted"
    return [
        ("orders", None, True), ("visits", None, True), ("orders", "type", False), nobody, nobody, nobody,
        ("orders", "require", True), nobody, ("others", None, True),
        ("orders", "schema", False), (broken, "syntax", False), ("visits", None, True), (broken, "too_large", False),
        ("orders", "type", False),
    ][i % 14]


def request(first, count, form):
    """Numbered events as one body. What is broken would take the rest of an array along."""
    numbers = [i for i in range(first, first + count) if form != "array" or i % 14 != 10]
    lines = [event(i) for i in numbers]
    return numbers, ("[" + ",\n".join(lines) + "]" if form == "array" else "\n".join(lines)).encode()


def requests(count, seed):
    source = random.Random(seed)
    at = 0
    while at < count:
        some = min(source.choice([1, 1, 2, 7, 40, 300]), count - at)
        yield request(at, some, source.choice(["array", "lines"]))
        at += some


def check_reply(reply, numbers, catch_all):
    verdicts = [judge(i, catch_all) for i in numbers]
    refused = [(k, v[1]) for k, v in enumerate(verdicts) if not v[2]]
    assert reply["accepted"] == len(numbers) - len(refused) and reply["rejected"] == len(refused), (reply, refused)
    errors = [(e["index"], e["code"]) for e in reply.get("errors", [])]
    assert errors == refused[: len(errors)] and len(errors) >= min(len(refused), 10), (errors, refused)


def check(daemon, root, numbers, catch_all=False):
    for name in ["orders", "visits", "others"] + ["rest"] * catch_all:
        got = sorted(r[0] for r in rows(root / "lake" / name))
        want = [i for i in numbers if judge(i, catch_all)[:2] == (name, None)]
        assert got == want, (name, len(got), len(want), got[:5], want[:5])
    letters = rows(root / "data/dead_letters", "stream, code, raw, index, message")
    got = sorted((l[0], l[1], bytes(l[2]).decode()) for l in letters)
    want = sorted((*judge(i, catch_all)[:2], event(i)) for i in numbers if judge(i, catch_all)[1])
    assert got == want, (len(got), len(want), [g for g in got if g not in want][:3], [w for w in want if w not in got][:3])
    with sqlite3.connect(daemon.warehouse()) as db:
        orders = len([i for i in numbers if judge(i)[:2] == ("orders", None)])
        assert db.execute("SELECT count(*) FROM order_rows").fetchone() == (orders,)
        assert db.execute("SELECT sum(events) FROM per_minute").fetchone() == (orders,)
    code, text = daemon.audit()
    assert code == 0, text
    return text


def raw_records(directory):
    files = list(directory.rglob("*.ndjson.zst"))
    text = subprocess.run(["zstd", "-dcq", *map(str, files)], capture_output=True, check=True).stdout if files else b""
    return text


def send_all(daemon, bodies, catch_all=False):
    for numbers, content in bodies:
        code, reply = daemon.request("POST", "/v1/events", content)
        assert code == (200 if not numbers or any(judge(i, catch_all)[2] for i in numbers) else 400), (code, reply)
        check_reply(json.loads(reply), numbers, catch_all)


def test_each_event_goes_to_the_first_stream_whose_when_is_true(root):
    daemon = started(Daemon(root, route_configuration(root)))
    bodies = list(requests(3000, 1))
    send_all(daemon, bodies[: len(bodies) // 2])
    stopped(daemon)
    started(daemon)
    send_all(daemon, bodies[len(bodies) // 2:])
    daemon.flush()
    numbers = [i for n, _ in bodies for i in n]
    text = check(daemon, root, numbers)
    letters = {bytes(l[0]).decode(): l[1:] for l in rows(root / "data/dead_letters", "raw, index, message, stage, path")}
    where = {i: k for n, _ in bodies for k, i in enumerate(n)}
    for i in numbers:
        if judge(i)[1]:
            assert letters[event(i)][0] == where[i], "the place in the request, whatever stream its neighbours went to"
    assert letters[event(3)][1:3] == ("no stream takes it: no `when` is true of it", "route")
    assert letters[event(2)][3] == "/amount" and letters[event(9)][2] == "schema"
    metrics = daemon.request("GET", "/metrics")[1].decode()
    for name in ["orders", "visits", "others", "_unrouted"]:
        half = [i for n, _ in bodies[len(bodies) // 2:] for i in n]
        count = len([i for i in half if judge(i)[0] == name])
        assert f'sluice_received_events_total{{stream="{name}"}} {count}\n' in metrics, (name, count)
        size = sum(len(event(i).encode()) for i in half if judge(i)[0] == name)
        assert f'sluice_received_bytes_total{{stream="{name}"}} {size}\n' in metrics, (name, size)
    for name in ["orders", "visits"]:  # A record is in the raw zone of each stream that took an event of it.
        want = [c for n, c in bodies if any(judge(i)[0] == name for i in n)]
        assert f"{name}/raw" in text and f"{len(want)} records" in text, text
        got = raw_records(root / "data/raw" / name)
        for content in want:
            assert content in got, content[:100]
    stopped(daemon)


def test_a_path_decides(root):
    daemon = started(Daemon(root, route_configuration(root)))
    heartbeat = b'{"id": 3, "type": "heartbeat"}'
    assert daemon.request("POST", "/v1/events/visits", heartbeat)[0] == 200
    code, reply = daemon.request("POST", "/v1/events/nobody", heartbeat + b'\n{"x": \n' + heartbeat)
    assert code == 400 and [(e["index"], e["code"]) for e in json.loads(reply)["errors"]] == [
        (0, "no_stream"), (1, "syntax"), (2, "no_stream")], reply
    assert daemon.request("POST", "/v1/events", heartbeat)[0] == 400
    assert daemon.request("POST", "/v1/events", b"")[0] == 400
    assert daemon.request("POST", "/v1/events", b'[{"id": 1, "type": "visit", "page": {"path": ""}} {}]')[0] == 200
    daemon.flush()
    assert sorted(rows(root / "lake/visits")) == [(1,), (3,)]
    assert sorted(l[0] for l in rows(root / "data/dead_letters", "code")) == ["no_stream"] * 3 + ["syntax"] * 3
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_what_nobody_took_is_replayed_by_todays_conditions(root):
    daemon = started(Daemon(root, route_configuration(root)))
    numbers, content = request(0, 140, "lines")
    assert daemon.request("POST", "/v1/events", content)[0] == 200
    daemon.flush()
    stopped(daemon)
    streams = daemon.config["streams"]
    beats = {"when": 'type == "heartbeat" || (version == 9 && type == "order")', "schema": {**OTHERS, "properties": {
        **OTHERS["properties"], "type": {"type": "string"}, "version": {"type": "integer"}}}, "lake": {"to": str(root / "lake/beats")}}
    daemon.config = {**daemon.config, "streams": {**streams, "beats": beats}}
    started(daemon)
    for again in range(2):
        done = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml"), "--code", "no_stream"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        daemon.flush()
        assert sorted(r[0] for r in rows(root / "lake/beats")) == [i for i in numbers if i % 14 in (3, 7)], done.stdout
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_lines_of_csv_are_told_apart_too(root):
    config = route_configuration(root)
    config["streams"]["orders"]["csv"] = {"columns": ["id", "type", "amount", "version", "page.path"]}  # Those of the stream that is asked first.
    daemon = started(Daemon(root, config))
    lines = ["1,order,5.5,,", "2,visit,,,/p/2", "3,order,ten,,", "4,heartbeat,,,", "5,,,v2,", '6,visit,,,"a, b"', "7,order", "8,order,7,9,"]
    send = lambda text, how: daemon.request("POST", "/v1/events", text.encode(), {"Content-Type": f"text/csv; header={how}"})
    for names, how in (["id,type,amount,version,page.path"], "present"), ([], "absent"):
        code, reply = send("\n".join(names + lines) + "\n", how)
        reply = json.loads(reply)
        assert code == 200 and reply["accepted"] == 4, reply
        assert [(e["index"], e["code"]) for e in reply["errors"]] == [(2, "type"), (3, "no_stream"), (6, "syntax"), (7, "no_stream")], reply
    daemon.flush()
    assert [sorted(rows(root / "lake" / s)) for s in ("orders", "visits", "others")] == [[(1,)], [(2,), (2,), (6,), (6,)], [(5,), (5,)]]
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_each_source_has_streams_of_its_own(root):
    lake = lambda name: {"lake": {"to": str(root / "lake" / name), "max_age": "1s"}}
    number = {"schema": {"type": "object", "properties": {"id": {"type": "integer"}}}}
    (root / "logs").mkdir(parents=True)
    streams = {
        "even": {"from": ["app", "http"], "when": "id % 2 == 0", **number, **lake("even")},
        "sent": {"from": ["http"], **number, **lake("sent")},
        "three": {"from": ["app"], "when": 'id % 3 == 0 && source == "app"', "add": ["source"], **number, **lake("three")},
    }
    sources = {"app": {"file": {"path": str(root / "logs/app.log")}}}
    daemon = started(Daemon(root, {"workers": 2, "cut": {"every": "200ms"}, "sources": sources, "streams": streams}))
    text = "".join(f'{{"id": {i}}}\n' for i in range(60)) + "broken\n"
    (root / "logs/app.log").write_text(text)
    assert daemon.request("POST", "/v1/events", text.encode())[0] == 200

    def stored():
        daemon.flush()
        return {s: sorted(r[0] for r in rows(root / "lake" / s)) for s in streams}

    want = {"even": sorted(2 * list(range(0, 60, 2))), "sent": list(range(1, 60, 2)), "three": list(range(3, 60, 6))}
    wait_for("all lines", lambda: stored() == want, 20)
    nobody = sorted(rows(root / "data/dead_letters", "stream, source, code"))
    lost = len([i for i in range(60) if i % 2 and i % 3])
    assert nobody == [("_unrouted", "app", "no_stream")] * lost + [("_unrouted", "app", "syntax"), ("sent", "http", "syntax")], nobody[-3:]
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_a_stream_without_when_takes_what_is_left_and_infers_its_schema(root):
    daemon = started(Daemon(root, route_configuration(root, catch_all=True)))
    bodies = list(requests(1500, 2))
    send_all(daemon, bodies, catch_all=True)
    wide = [{"id": 900000, "type": "odd", "x": 1}, {"id": 900001, "type": "odd", "x": 2.5}, {"id": 900002, "x": "three", "page": 1}]
    for e in wide:  # A type widens: its stream is read again, the others aren't.
        assert daemon.request("POST", "/v1/events", json.dumps(e).encode())[0] == 200
    daemon.flush()
    got = sorted(r[0] for r in rows(root / "lake/rest"))
    assert got[-3:] == [900000, 900001, 900002]
    code, text = daemon.audit()
    assert code == 0, text
    orders = len([i for n, _ in bodies for i in n if judge(i)[:2] == ("orders", None)])
    assert len(rows(root / "lake/orders")) == orders
    stopped(daemon)


def test_any_number_of_workers_makes_the_same(root):
    bodies, answers = list(requests(2000, 3)), []
    for workers in (1, 2, 4):
        directory = root / str(workers)
        daemon = started(Daemon(directory, route_configuration(directory, workers=workers)))
        senders = [Sender(daemon, [c for n, c in bodies[k::3] if any(judge(i)[2] for i in n)], name=f"w{k}", path="/v1/events", pause=0)
                   for k in range(3)]
        for s in senders:
            s.start()
        for s in senders:
            s.join()
            assert set(s.statuses) == {200}, s.statuses
        daemon.flush()
        numbers = sorted(i for n, _ in bodies if any(judge(i)[2] for i in n) for i in n)
        check(daemon, directory, numbers)
        answers.append([sorted(rows(directory / "lake" / s, "COLUMNS(*)::VARCHAR"), key=str)
                        for s in ("orders", "visits", "others")])
        stopped(daemon)
    assert answers[0] == answers[1] == answers[2]


def test_killed_at_any_moment(root):
    daemon = started(Daemon(root, route_configuration(root)))
    bodies = [b for b in requests(6000, 4) if any(judge(i)[2] for i in b[0])]
    senders = [Sender(daemon, [c for _, c in bodies[k::2]], name=f"k{k}", path="/v1/events") for k in range(2)]
    for s in senders:
        s.start()
    source, kills = random.Random(5), 0
    while any(s.is_alive() for s in senders):
        time.sleep(source.uniform(0.1, 0.5))
        daemon.kill()
        started(daemon)
        kills += 1
    for s in senders:
        assert not s.bad and len(s.taken) == len(s.bodies), (s.bad[:2], len(s.taken))
    flush_until(daemon)
    check(daemon, root, sorted(i for n, _ in bodies for i in n))
    numbers, content = bodies[0]  # A repeat has the reply of the first time, from the ledger by now.
    code, reply = daemon.request("POST", "/v1/events", content, headers={"Idempotency-Key": "k0-0"})
    assert code == 200
    check_reply(json.loads(reply), numbers, False)
    flush_until(daemon)
    check(daemon, root, sorted(i for n, _ in bodies for i in n))
    stopped(daemon)
    print(f"{kills} kills", end=" ")


def test_conditions_change_where_all_tables_stand_at_one_position(root):
    config = route_configuration(root)
    config["streams"]["visits"]["lake"]["max_age"] = "1h"
    daemon = started(Daemon(root, config))
    visit = lambda i: json.dumps({"id": i, "type": "visit", "page": {"path": "/"}}).encode()
    for i in range(20):
        assert daemon.request("POST", "/v1/events", visit(i) + b"\n" + event(14 * i).encode())[0] == 200
    cursor = lambda table: {t["name"]: t["cursor"] for s in json.loads(daemon.request("GET", "/v1/state")[1])["streams"] for t in s["tables"]}[table]
    wait_for("a cut of the other stream", lambda: cursor("orders/rows") > cursor("visits/lake"))
    streams = daemon.config["streams"]
    other = {**daemon.config, "streams": {**streams, "visits": {**streams["visits"], "when": 'type == "visit" && id > 5'}}}
    daemon.kill()
    before = daemon.config
    daemon.config = other
    assert daemon.start() == 1
    assert "other conditions (`when`) than before, while" in daemon.said(), daemon.said()[-1000:]
    daemon.config = before
    started(daemon)
    flush_until(daemon)
    stopped(daemon)
    daemon.config = other
    started(daemon)
    assert daemon.request("POST", "/v1/events", visit(3))[0] == 400 and daemon.request("POST", "/v1/events", visit(300))[0] == 200
    flush_until(daemon)
    assert sorted(r[0] for r in rows(root / "lake/visits")) == [*range(20), 300]
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
