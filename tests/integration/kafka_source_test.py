#!/usr/bin/env python3
"""Kafka sources on a real broker: each message once, whatever it holds, through kill -9 and reloads."""

import json
import signal
import sys
import threading

from kafka_topics import KAFKA, committed, lake_ids, once, reader, taken, values
from support import event, flush_until, rows, run_tests, started, stopped, wait_for


def test_a_topic_becomes_rows_and_its_offsets_follow(root):
    topic = KAFKA.topic("orders", 4)
    KAFKA.produce(topic, values(0, 20000))
    d = started(reader(root, topic))
    taken(d, 20000)
    once(d, range(20000))
    ends = {p: len(m) for p, m in KAFKA.read(topic).items()}
    wait_for("committed offsets", lambda: committed(topic, topic) == ends)
    wait_for("no lag", lambda: d.metric("sluice_kafka_lag") == 0)
    assert d.metric("sluice_kafka_partitions") == 4
    stopped(d)
    KAFKA.produce(topic, values(20000, 500))
    started(d)
    taken(d, 500)
    once(d, range(20500))
    stopped(d)


def test_kill_9_under_load(root):
    topic = KAFKA.topic("orders", 3)
    d = started(reader(root, topic))
    count, end = 60000, threading.Event()

    def produce():
        for at in range(0, count, 2000):
            KAFKA.produce(topic, values(at, 2000))
        end.set()

    producer = threading.Thread(target=produce, daemon=True)
    producer.start()
    kills = 0
    while not end.is_set() or kills < 5:
        seen = d.metric("sluice_kafka_messages_total")
        wait_for("some more", lambda: d.metric("sluice_kafka_messages_total") > seen or end.is_set())
        d.kill()
        kills += 1
        started(d)
    producer.join()
    wait_for("the last ones", lambda: d.metric("sluice_kafka_partitions") == 3 and d.metric("sluice_kafka_lag") == 0)
    flush_until(d)
    wait_for("all rows", lambda: (flush_until(d), len(lake_ids(d)) >= count)[1])
    once(d, range(count))
    stopped(d)


def test_whatever_a_message_holds_costs_itself_alone(root):
    topic = KAFKA.topic("poison", 1)
    large = json.dumps(event(90, text="x" * 300000)).encode()
    both = json.dumps([event(5), event(6)]).encode()
    lines = json.dumps(event(7)).encode() + b"\n" + json.dumps(event(8)).encode()
    pretty = json.dumps(event(9), indent=2).encode()
    bad = [b"", b"{", b"\xff\xfe\x00", b'{"id":"no number"}', b"null", large]
    KAFKA.produce(topic, values(0, 1) + bad[:3] + [None, None] + values(1, 2) + bad[3:] + [both, lines, pretty] + values(10, 1))
    d = started(reader(root, topic))
    taken(d, 15)
    once(d, [0, 1, 2, 5, 6, 7, 8, 9, 10])
    assert d.metric("sluice_kafka_tombstones_total") == 2
    letters = rows(root / "data" / "dead_letters", "raw, source")
    assert sorted(bytes(r[0]) if not isinstance(r[0], str) else r[0].encode() for r in letters) == sorted(bad), len(letters)
    assert {r[1] for r in letters} == {"orders"}
    stopped(d)


def test_key_headers_and_time_are_fields(root):
    topic = KAFKA.topic("fields", 1)
    KAFKA.produce(topic, [b' { "id": 1, "at": "2026-01-01T00:00:00Z" } ', b"{}", b'{"kafka":{"offset":-5},"id":3}'], key=b"k\"1", headers=[("trace", b"t1"), ("none", None)],
                  timestamp=1767225600123)
    schema = {"type": "object", "properties": {"id": {"type": "integer"}, "kind": {"type": "string"}, "at": {"type": "string", "format": "date-time"}, "kafka": {
        "type": "object", "properties": {"topic": {"type": "string"}, "partition": {"type": "integer"}, "offset": {"type": "integer"},
                                         "timestamp": {"type": "string", "format": "date-time"}, "key": {"type": "string"},
                                         "headers": {"type": "object"}}}}}
    d = started(reader(root, topic, kafka={"metadata": "kafka"}, stream={"schema": schema}))
    taken(d, 3)
    flush_until(d)
    found = rows(root / "lake", "id, kafka.topic, kafka.partition, kafka.offset, epoch_ms(kafka.timestamp), kafka.key, kafka.headers")
    found = sorted((r[0] or 0, *r[1:6], json.loads(r[6])) for r in found)
    common = (1767225600123, 'k"1', {"trace": "t1", "none": None})
    assert found == [(0, topic, 0, 1, *common), (1, topic, 0, 0, *common), (3, topic, 0, 2, *common)], found
    stopped(d)


def test_a_reload_under_load(root):
    topic = KAFKA.topic("orders", 2)
    d = started(reader(root, topic))
    producer = threading.Thread(target=lambda: [KAFKA.produce(topic, values(at, 1000)) for at in range(0, 20000, 1000)], daemon=True)
    producer.start()
    for i in range(3):
        wait_for("some", lambda: d.metric("sluice_kafka_messages_total") > i * 3000)
        before = d.metric("sluice_config_reloads_total")
        d.process.send_signal(signal.SIGHUP)
        wait_for("reloaded", lambda: d.metric("sluice_config_reloads_total") == before + 1)
    producer.join()
    taken(d, 20000)
    once(d, range(20000))
    stopped(d)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
