#!/usr/bin/env python3
"""Kafka sources when the broker goes, a topic isn't the one that was read, retention was quicker, or nothing more can be taken."""

import sys
import time

from kafka_topics import KAFKA, lake_ids, once, reader, taken, values
from rigs import Kafka, own
from support import Watch, flush_until, noise, run_tests, started, stopped, wait_for, within


def test_the_broker_goes_and_comes_back(root):
    rig = own("kafka")
    kafka = Kafka(rig.variables)
    topic = kafka.topic("orders", 2)
    kafka.produce(topic, values(0, 1000))
    d = started(reader(root, topic, brokers=kafka.brokers))
    taken(d, 1000)
    kafka.pause()
    time.sleep(0.5)
    kafka.resume()
    kafka.produce(topic, values(1000, 1000))
    taken(d, 2000)
    rig.stop()
    assert d.get("/livez")[0] == 200
    rig.start()
    kafka.produce(topic, values(2000, 1000))
    taken(d, 3000)
    once(d, range(3000))
    kafka.produce(topic, values(3000, 60000))
    wait_for("some of the rest", lambda: d.metric("sluice_kafka_messages_total") > 3000)
    rig.stop()
    stopped(d, 60)  # Nobody answers: not the last commit, nor the goodbye.
    rig.start()
    started(d)
    wait_for("partitions", lambda: d.metric("sluice_kafka_partitions") == 2)
    wait_for("all rows", lambda: (flush_until(d), len(lake_ids(d)) >= 63000)[1])
    once(d, range(63000))
    stopped(d)
    rig.down()


def test_a_topic_made_anew_stands_still(root):
    for fewer in (True, False):
        topic = KAFKA.topic("anew", 1)
        KAFKA.produce(topic, values(0, 100))
        d = started(reader(root / str(fewer), topic))
        taken(d, 100)
        once(d, range(100))
        stopped(d)
        KAFKA.delete(topic)
        wait_for("the topic is gone", lambda: topic not in KAFKA.admin.list_topics(timeout=10).topics)
        KAFKA.topic(name=topic)
        KAFKA.produce(topic, values(1000, 50 if fewer else 200))
        started(d)
        wait_for("an alarm", lambda: d.metric("sluice_kafka_partitions_stopped") == 1)
        assert "made anew" in d.said(), d.said()[-2000:]
        assert d.metric("sluice_kafka_messages_total") == 0
        once(d, range(100))
        stopped(d)


def test_what_retention_took_before_it_was_read_is_told(root):
    from confluent_kafka import TopicPartition

    topic = KAFKA.topic("gap", 1)
    KAFKA.produce(topic, values(0, 100))
    d = started(reader(root, topic))
    taken(d, 100)
    flush_until(d)
    stopped(d)
    KAFKA.produce(topic, values(100, 100))
    for future in KAFKA.admin.delete_records([TopicPartition(topic, 0, 150)]).values():
        future.result(30)
    started(d)
    wait_for("an alarm", lambda: d.metric("sluice_kafka_partitions_stopped") == 1)
    assert "deleted before" in d.said(), d.said()[-2000:]
    stopped(d)


def test_a_backlog_keeps_within_memory_and_journal(root):
    topic = KAFKA.topic("orders", 2)
    KAFKA.produce(topic, noise(0, 30000, 1000).split(b"\n"))
    (root / "lake").mkdir(parents=True)
    (root / "lake" / "events").write_text("in the way")
    d = started(reader(root, topic, stream={"lake": {"to": str(root / "lake" / "events"), "max_age": "1s"}}, memory="96MiB",
                       journal={"quota": "8MiB", "segment_size": "2MiB"}, spool={"quota": "4MiB"}))
    watch = Watch(d)
    watch.start()
    wait_for("it waits", lambda: d.metric("sluice_kafka_retries_total") > 3)
    assert d.metric("sluice_kafka_messages_total") < 30000
    (root / "lake" / "events").unlink()
    taken(d, 30000)
    once(d, range(30000))
    within(watch.end(), 96)
    stopped(d)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
