#!/usr/bin/env python3
"""Kafka sources and their group: partitions that move, offsets that follow what was delivered."""

import sys
import time

from kafka_topics import KAFKA, committed, lake_ids, once, reader, taken, values
from support import flush_until, run_tests, started, stopped, wait_for


def test_partitions_move_between_two_daemons(root):
    topic, quick = KAFKA.topic("orders", 4), {"properties": {"session.timeout.ms": 6000, "reconnect.backoff.max.ms": 500}}
    a = started(reader(root / "a", topic, kafka=quick))
    KAFKA.produce(topic, values(0, 4000))
    taken(a, 4000)
    b = started(reader(root / "b", topic, kafka=quick))
    wait_for("two each", lambda: a.metric("sluice_kafka_partitions") == 2 and b.metric("sluice_kafka_partitions") == 2)
    for p in range(4):
        KAFKA.produce(topic, values(4000 + 1000 * p, 1000), partition=p)
    wait_for("shared", lambda: a.metric("sluice_kafka_messages_total") + b.metric("sluice_kafka_messages_total") >= 8000)
    assert b.metric("sluice_kafka_messages_total") == 2000
    flush_until(b)
    wait_for("committed", lambda: sum(committed(topic, topic).values()) == 8000 or flush_until(a))
    stopped(b)
    wait_for("all of them", lambda: a.metric("sluice_kafka_partitions") == 4)
    KAFKA.produce(topic, values(8000, 1000))
    wait_for("the rest", lambda: a.metric("sluice_kafka_messages_total") + 0 >= 4000 and a.metric("sluice_kafka_lag") == 0 and
             (flush_until(a), len(lake_ids(a)) + len(lake_ids(b)) >= 9000)[1])
    assert sorted(lake_ids(a) + lake_ids(b)) == list(range(9000)), len(lake_ids(a) + lake_ids(b))
    for d in (a, b):
        assert d.audit()[0] == 0
    stopped(a)


def test_nothing_is_committed_before_it_is_delivered(root):
    topic = KAFKA.topic("orders", 1)
    (root / "lake").mkdir(parents=True)
    d = started(reader(root, topic, stream={"lake": {"to": str(root / "lake" / "events"), "max_age": "1s"}}))
    KAFKA.produce(topic, values(0, 100))
    taken(d, 100)
    flush_until(d)
    wait_for("committed", lambda: committed(topic, topic) == {0: 100})
    (root / "lake" / "events").rename(root / "aside")
    (root / "lake" / "events").write_text("in the way")
    KAFKA.produce(topic, values(100, 100))
    taken(d, 200)
    wait_for("stalled", lambda: d.metric("sluice_table_stalled") >= 1)
    time.sleep(2.5)
    assert committed(topic, topic) == {0: 100}
    (root / "lake" / "events").unlink()
    (root / "aside").rename(root / "lake" / "events")
    wait_for("committed", lambda: committed(topic, topic) == {0: 200})
    once(d, range(200))
    stopped(d)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
