#!/usr/bin/env python3
"""ingest.log: kafka://… — requests go to a topic before they are answered, and the daemons of a group share what it holds."""

import gzip
import json
import subprocess
import sys
import time

from kafka_topics import KAFKA, lake_ids, once
from support import BINARY, Daemon, Sender, body, configuration, event, flush_until, rows, run_tests, started, stopped, wait_for


def node(root, topic, read=True, properties=None, **more):
    config = configuration(root, **more)
    config["ingest"] = {"log": f"kafka://{KAFKA.brokers}/{topic}", "group": topic, "read": read}
    config["kafka"] = {"brokers": KAFKA.brokers, "properties": {"reconnect.backoff.max.ms": 500, **(properties or {})}}
    return Daemon(root, config)


def post(daemon, content, path="/v1/events/events", expected=200, **headers):
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    status, reply = daemon.request("POST", path, content, {k.replace("_", "-"): v for k, v in headers.items()})
    assert status == expected, (status, reply)
    return json.loads(reply)


def messages(topic):
    """[(key, headers, value, timestamp)] of all partitions, each in its order."""
    return [(m.key(), dict(m.headers() or []), m.value(), m.timestamp()[1]) for p in KAFKA.read(topic).values() for m in p]


def metric(daemon, name, label):
    _, text = daemon.get("/metrics")
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.decode().splitlines() if line.startswith(name + "{") and label in line)


def taken(daemons, count):
    wait_for(f"{count} messages", lambda: sum(d.metric("sluice_kafka_messages_total") for d in daemons) >= count)
    for d in daemons:
        flush_until(d)


def ids_of(daemons):
    return sorted(i for d in daemons for i in lake_ids(d))


def test_each_event_is_a_message(root):
    topic = KAFKA.topic("log", 4)
    d = started(node(root, topic, read=False))
    reply = post(d, [event(1), {"kind": "x"}, event(2)])
    assert (reply["accepted"], reply["rejected"]) == (2, 1) and [(e["index"], e["code"]) for e in reply["errors"]] == [(1, "required")], reply
    assert post(d, b"{broken", expected=400)["rejected"] == 1
    assert post(d, gzip.compress(body(10, 3)), Content_Encoding="gzip", Idempotency_Key="k1")["accepted"] == 3
    assert post(d, b"id,kind\n7,a\n8,b\n", Content_Type="text/csv")["accepted"] == 2
    assert post(d, {"specversion": "1.0", "id": "9", "source": "/s", "type": "t"}, Content_Type="application/cloudevents+json", expected=400)
    found = {m[2]: m for m in messages(topic)}
    assert len(found) == 9, found
    key, headers, _, when = found[json.dumps(event(1)).encode()]
    assert key is None and headers == {"sluice-stream": b"events", "sluice-source": b"http"}, (key, headers)
    assert abs(when / 1000 - time.time()) < 600
    key, headers, _, _ = found[json.dumps(event(11)).encode()]
    assert key == b"k1" and headers["sluice-key"] == b"0.1/k1", (key, headers)
    assert found[b"id,kind\n7,a\n8,b\n"][1]["sluice-format"] == b"csv,1,,"
    assert [m[1]["sluice-format"] for m in found.values() if b"specversion" in m[2]] == [b"cloudevents"]
    assert metric(d, "sluice_ingest_log_messages_total", "acknowledged") == 9
    assert d.metric("sluice_received_events_total") == 0  # It doesn't read, and has nothing of its own.
    stopped(d)


def test_the_key_of_a_message_is_the_id_of_its_event(root):
    topic = KAFKA.topic("log", 4)
    d = node(root, topic, read=False)
    d.config["streams"]["events"]["id"] = "id"
    started(d)
    post(d, body(0, 50), Idempotency_Key="a")
    for p in KAFKA.read(topic).values():
        for m in p:
            assert m.key() == str(json.loads(m.value())["id"]).encode()
            assert dict(m.headers())["sluice-key"] == b"0.%s/a" % m.key()
    stopped(d)


def test_what_is_read_back_is_as_with_the_journal(root):
    """Paths, conditions, sources, dead letters and formats follow from what the request said, wherever it came in."""
    topic = KAFKA.topic("log", 3)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    streams = {
        "flagged": {"schema": {"type": "object", "properties": {"flag": {"type": "boolean"}, "n": {"type": "integer"}}}, "when": "flag",
                    "add": ["source"], "lake": {"max_age": "1s"}},
        "other": {"schema": schema, "from": ["http"], "add": ["source"], "raw": True, "lake": {"max_age": "1s"}},
        "named": {"schema": schema, "from": ["nothing"], "add": ["source"], "lake": {"max_age": "1s"}},
        "lines": {"schema": schema, "format": "csv", "add": ["source"], "lake": {"max_age": "1s"}},
    }
    sources = {"nothing": {"file": {"path": str(root / "nothing*")}}}
    results = []
    for name in ("journal", "kafka"):
        d = node(root / name, topic, http={}, streams=streams, windows={}, sources=sources)
        if name == "journal":
            del d.config["ingest"], d.config["kafka"]
        started(d)
        post(d, [{"n": 1}, {"n": 2, "flag": True}, 5, {"n": "x"}], path="/v1/events")
        post(d, b'[{"n":3}, x,\n{"n":4}]', path="/v1/events/other")
        post(d, {"n": 5}, path="/v1/events/named")
        post(d, {"n": 6}, path="/v1/events/nowhere", expected=400)
        post(d, b"n\n7\n8\nx\n", path="/v1/events/lines", Content_Type="text/csv")
        post(d, b"", path="/v1/events/other", expected=400)
        if name == "kafka":
            taken([d], sum(len(p) for p in KAFKA.read(topic).values()))
        flush_until(d)
        found = {s: sorted(rows(d.lake(s), "n, source"), key=str) for s in streams}
        found["letters"] = sorted((r for r in rows(d.directory / "data" / "dead_letters",
                                   "stream, code, raw::varchar, source")), key=str)
        results.append(found)
        code, text = d.audit()
        assert code == 0, text
        stopped(d)
    assert results[0] == results[1], "\n".join(f"{s}: {results[0][s]} {results[1][s]}" for s in results[0])
    assert len(results[0]["letters"]) == 6, results[0]["letters"]


def test_two_daemons_share_what_any_of_them_takes_in(root):
    topic = KAFKA.topic("log", 4)
    nodes = [started(node(root / n, topic)) for n in "ab"]
    wait_for("two each", lambda: all(d.metric("sluice_kafka_partitions") == 2 for d in nodes))
    senders = [Sender(d, [body(10000 * i + 100 * n, 100) for n in range(20)], name=f"s{i}") for i, d in enumerate(nodes)]
    for s in senders:
        s.start()
    for s in senders:
        s.join()
        assert s.statuses == {200: 20} and not s.bad, (s.statuses, s.bad)
    taken(nodes, 4000)
    assert ids_of(nodes) == sorted(10000 * i + n for i in range(2) for n in range(2000))
    assert all(d.metric("sluice_kafka_messages_total") > 500 for d in nodes)
    for d in nodes:
        assert d.audit()[0] == 0
        stopped(d)


def test_a_daemon_that_is_killed_loses_nothing_and_brings_nothing_twice(root):
    topic = KAFKA.topic("log", 2)
    nodes = [started(node(root / n, topic)) for n in "ab"]
    wait_for("one each", lambda: all(d.metric("sluice_kafka_partitions") == 1 for d in nodes))
    for kill in range(4):
        sender = Sender(nodes[0], [body(1500 * kill + 50 * n, 50) for n in range(30)], name=f"s{kill}")
        sender.start()
        wait_for("some", lambda: nodes[1].metric("sluice_kafka_messages_total") > 20)
        nodes[1].kill()
        started(nodes[1])
        sender.join()
        assert sender.statuses == {200: 30}, sender.statuses
    wait_for("they read", lambda: all(d.metric("sluice_kafka_partitions") == 1 for d in nodes))

    def all_of_it():
        for d in nodes:
            flush_until(d)
        return len(ids_of(nodes)) >= 6000

    wait_for("all of it", all_of_it)
    assert ids_of(nodes) == list(range(6000)), len(ids_of(nodes))
    for d in nodes:
        assert d.audit()[0] == 0
        stopped(d)


def test_a_request_that_comes_again_counts_once(root):
    """Under its Idempotency-Key, at whichever node, also after a kill; the stream knows no ids."""
    topic = KAFKA.topic("log", 4)
    nodes = [started(node(root / n, topic)) for n in "ab"]
    wait_for("two each", lambda: all(d.metric("sluice_kafka_partitions") == 2 for d in nodes))
    bodies = [body(100 * n, 100) for n in range(10)]
    for n, content in enumerate(bodies):
        post(nodes[n % 2], content, Idempotency_Key=f"k{n}")
    for n, content in enumerate(bodies):
        post(nodes[(n + 1) % 2], content, Idempotency_Key=f"k{n}")
    taken(nodes, 2000)
    assert ids_of(nodes) == list(range(1000))
    assert sum(d.metric("sluice_duplicate_events_total") for d in nodes) == 1000
    nodes[1].kill()
    started(nodes[1])
    wait_for("two each", lambda: all(d.metric("sluice_kafka_partitions") == 2 for d in nodes))
    for n, content in enumerate(bodies):
        post(nodes[1], content, Idempotency_Key=f"k{n}")
        post(nodes[0], body(1000 + 10 * n, 10))  # Without a key each is one of its own.
    wait_for("all of it", lambda: sum(d.metric("sluice_kafka_lag") for d in nodes) == 0 and
             ([flush_until(d) for d in nodes], len(ids_of(nodes)) >= 1100)[1])
    assert ids_of(nodes) == list(range(1100)), len(ids_of(nodes))
    for d in nodes:
        assert d.audit()[0] == 0
        stopped(d)


def test_the_same_events_give_the_same_tables_whichever_way_they_come(root):
    import base64
    import sqlite3

    events = [event(i) for i in range(300)] + [{"kind": "bad"}]
    lines = [json.dumps(e).encode() for e in events]
    results = {}
    for way in ("journal", "log", "source", "kinesis"):
        topic = KAFKA.topic("same", 3)
        d = node(root / way, topic)
        if way != "log":
            del d.config["ingest"]
        if way == "source":
            d.config["sources"] = {"orders": {"kafka": {"brokers": KAFKA.brokers, "topics": [topic], "group": topic}}}
            d.config["streams"]["events"]["from"] = ["orders"]
        elif way != "log":
            del d.config["kafka"]
        started(d)
        if way == "source":
            KAFKA.produce(topic, lines)
        elif way == "kinesis":
            records = [{"Data": base64.b64encode(line).decode(), "PartitionKey": "p"} for line in lines]
            status, reply = d.request("POST", "/", json.dumps({"StreamName": "events", "Records": records}).encode(),
                                      {"X-Amz-Target": "Kinesis_20131202.PutRecords", "Content-Type": "application/x-amz-json-1.1"})
            assert status == 200, reply
        else:
            post(d, b"\n".join(lines))
        if way in ("log", "source"):
            taken([d], len(lines))
        flush_until(d)
        with sqlite3.connect(d.warehouse()) as db:
            windows = sorted(db.execute("SELECT window_start, kind, events FROM per_minute").fetchall())
        results[way] = (sorted(rows(d.directory / "lake", 'id, kind, text, epoch_us("at")')), windows,
                        sorted(rows(d.directory / "data" / "dead_letters", "code, raw::varchar")))
        assert d.audit()[0] == 0
        stopped(d)
    assert len(results["journal"][0]) == 300 and len(results["journal"][2]) == 1
    for way, found in results.items():
        assert found == results["journal"], way


def test_an_event_too_large_leaves_nothing_behind(root):
    topic = KAFKA.topic("log", 1)
    d = started(node(root, topic, read=False, http={"max_body": "4MiB", "max_event": "3MiB"}))
    large = {"id": 2, "text": "x" * 1200000}
    assert "message.max.bytes" in post(d, [event(1), large], expected=413)["error"]["message"]
    assert messages(topic) == []
    stopped(d)
    # What the daemon lets through and the topic doesn't take.
    d.config["kafka"]["properties"]["message.max.bytes"] = 3000000
    started(d)
    assert "max.message.bytes" in post(d, [large], expected=413)["error"]["message"]
    post(d, [event(1)])
    assert len(messages(topic)) == 1
    stopped(d)


def test_the_kinesis_api_appends_record_by_record(root):
    import base64

    topic = KAFKA.topic("log", 2)
    d = started(node(root, topic))
    records = [{"Data": base64.b64encode(json.dumps(event(i)).encode()).decode(), "PartitionKey": "p"} for i in range(5)]
    records.append({"Data": base64.b64encode(b"{broken").decode(), "PartitionKey": "p"})
    status, reply = d.request("POST", "/", json.dumps({"StreamName": "events", "Records": records}).encode(),
                              {"X-Amz-Target": "Kinesis_20131202.PutRecords", "Content-Type": "application/x-amz-json-1.1"})
    assert status == 200 and json.loads(reply)["FailedRecordCount"] == 0, reply
    assert sorted(m[1]["sluice-source"] for m in messages(topic)) == [b"kinesis"] * 6
    taken([d], 6)
    once(d, range(5))
    assert metric(d, "sluice_dead_letters_total", "syntax") == 1
    stopped(d)


def test_validate_asks_for_the_topic(root):
    d = node(root, "not-there-" + KAFKA.name(), read=False)
    (root / "sluice.yaml").write_text(json.dumps(d.config))
    done = subprocess.run([BINARY, "validate", str(root / "sluice.yaml")], capture_output=True, text=True)
    code, text = done.returncode, done.stdout + done.stderr
    assert code == 78 and "ingest.log: topic not-there" in text and "kafka-topics.sh" in text, (code, text)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
