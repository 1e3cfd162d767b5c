"""What the tests of Kafka sources share: the rig's broker, a daemon that reads a topic, and that each event is stored once."""

import json

from rigs import Kafka, need
from support import Daemon, check_once, configuration, event, flush_until, rows, wait_for

need("kafka")
KAFKA = Kafka()


def reader(root, topic, group=None, kafka=None, stream=None, brokers=None, **more):
    """A daemon that reads the topic into the stream `events`."""
    config = configuration(root, **more)
    config["sources"] = {"orders": {"kafka": {"brokers": brokers or KAFKA.brokers, "topics": [topic], "group": group or topic,
                                              "properties": {"reconnect.backoff.max.ms": 500}, **(kafka or {})}}}
    config["streams"]["events"].update({"from": ["orders"], **(stream or {})})
    return Daemon(root, config)


def values(first, count):
    return [json.dumps(event(i)).encode() for i in range(first, first + count)]


def taken(daemon, count):
    wait_for(f"{count} messages", lambda: daemon.metric("sluice_kafka_messages_total") >= count)


def lake_ids(daemon):
    return sorted(r[0] for r in rows(daemon.directory / "lake"))


def once(daemon, expected):
    """Each id is in the lake once and in the windows once, and audit agrees."""
    flush_until(daemon)
    check_once(daemon, expected, daemon.directory / "lake")


def committed(group, topic, partitions=4):
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": KAFKA.brokers, "group.id": group, "log_level": 0})
    found = consumer.committed([TopicPartition(topic, p) for p in range(partitions)], 30)
    consumer.close()
    return {p.partition: p.offset for p in found if p.offset >= 0}
