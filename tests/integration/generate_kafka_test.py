#!/usr/bin/env python3
"""`sluice generate --to kafka://…`: the events of the seed are in the topic once, by their ids; rates, files, errors and stops as elsewhere."""

import json
import os
import signal
import subprocess
import sys
import time

from rigs import Kafka, need, own
from support import BINARY, run_tests

need("kafka")
KAFKA = Kafka()
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_KAFKA")}


def generate(to, *arguments, kind="orders", environment=CLEAN):
    done = subprocess.run([BINARY, "generate", *([kind] if kind else []), "--no-progress", "--to", to, *arguments], capture_output=True, text=True,
                          timeout=60, env=environment)
    return done.returncode, done.stderr


def url(topic, brokers=None):
    return f"kafka://{brokers or KAFKA.brokers}/{topic}"


def lines(kind, *arguments):
    return sorted(subprocess.run([BINARY, "generate", kind, *arguments], capture_output=True, check=True).stdout.splitlines())


def messages(topic, kafka=KAFKA):
    return [m for all_ in kafka.read(topic).values() for m in all_]


def test_the_events_of_the_seed_are_there_once_by_their_ids(root):
    ids = {"clickstream": "event_id", "orders": "order_id", "iot": "reading_id", "payments": "transaction_id",
           "web-analytics": "eventId", "food-delivery": "OrderID"}
    for kind, name in ids.items():
        topic = KAFKA.topic("gen", 3)
        code, said = generate(url(topic, KAFKA.brokers + "," + KAFKA.brokers), "--count", "3000", "--seed", "9", kind=kind)
        assert code == 0 and "3000 sent, 3000 accepted, 0 rejected, 0 given up, 0 unknown" in said, said
        found = messages(topic)
        assert sorted(m.value() for m in found) == lines(kind, "--count", "3000", "--seed", "9")
        assert all(m.key() == str(json.loads(m.value())[name]).encode() for m in found)
        assert len({m.partition() for m in found}) == 3


def test_a_rate_is_kept_and_the_duration_ends_it(root):
    topic = KAFKA.topic("gen", 1)
    began = time.monotonic()
    code, said = generate(url(topic), "--rate", "500", "--duration", "2s")
    assert code == 0 and "1000 sent, 1000 accepted" in said and time.monotonic() - began >= 1.9, said
    assert len(messages(topic)) == 1000


def test_broken_events_csv_and_files_go_as_they_are(root):
    topic = KAFKA.topic("gen", 1)
    code, said = generate(url(topic), "--count", "1000", "--invalid", "0.2", "--duplicates", "0.1")
    assert code == 0, said
    assert sorted(m.value() for m in messages(topic)) == lines("orders", "--count", "1000", "--invalid", "0.2", "--duplicates", "0.1")
    topic = KAFKA.topic("gen", 1)
    code, said = generate(url(topic), "--count", "10", "--format", "csv")
    found = messages(topic)
    assert code == 0 and len(found) == 10 and all(m.key() is None and b"," in m.value() for m in found), said
    root.mkdir(parents=True)
    (root / "f").write_bytes(b'{"a":1}\n' + b"x" * 9000 + b"\n\nlast")
    topic = KAFKA.topic("gen", 1)
    code, said = generate(url(topic), "--file", str(root / "f"), kind=None)
    assert code == 0 and [m.value() for m in messages(topic)] == [b'{"a":1}', b"x" * 9000, b"", b"last"], said


def test_login_and_tls_come_from_the_daemons_variables(root):
    topic = KAFKA.topic("gen", 1)
    e = {**CLEAN, "SLUICE_KAFKA_SASL_USER": os.environ["SLUICE_TEST_KAFKA_USER"], "SLUICE_KAFKA_TLS_CA": os.environ["SLUICE_TEST_KAFKA_TLS_DIR"] + "/ca.pem",
         "SLUICE_KAFKA_SASL_PASSWORD": os.environ["SLUICE_TEST_KAFKA_PASSWORD"]}
    code, said = generate(url(topic, os.environ["SLUICE_TEST_KAFKA_SASL_TLS"]), "--count", "10", environment=e)
    assert code == 0 and len(messages(topic)) == 10, said
    code, said = generate(url(topic, os.environ["SLUICE_TEST_KAFKA_SASL_TLS"]), "--count", "10", environment={**e, "SLUICE_KAFKA_SASL_PASSWORD": "x"})
    assert code == 1 and "check sasl.user" in said and "0 sent" in said, said


def test_what_can_not_be_is_said(root):
    topic = KAFKA.topic("gen", 1)
    for to, *arguments in ((f"kafka://{KAFKA.brokers}",), (f"kafka:///{topic}",), (url("a b"),), (url(topic), "--batch", "5"), (url(topic), "--idempotent")):
        code, said = generate(to, "--count", "1", *arguments)
        assert code == 64, (to, code, said)
    code, said = generate(url("nowhere"), "--count", "1")
    assert code == 1 and "Unknown topic or partition" in said, said
    code, said = generate(url(topic, "127.0.0.1:1"), "--count", "1")
    assert code == 1 and "Connection refused" in said, said
    small = KAFKA.topic("gen", 1, max_message_bytes=100)
    code, said = generate(url(small), "--count", "3")
    assert code == 1 and "0 accepted, 3 rejected" in said and "Message size too large" in said, said


def wait_until(kafka, topic, count):
    """That so many have come; more are coming, so that there is no end to read to."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": kafka.brokers, "group.id": "count"})
    until = time.monotonic() + 60
    while consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)[1] < count:
        assert time.monotonic() < until, "too few come"
        time.sleep(0.05)
    consumer.close()


def test_an_end_before_the_end_has_a_summary(root):
    rig = own("kafka")
    kafka = Kafka(rig.variables)
    topic = kafka.topic("gen", 1)
    arguments = [BINARY, "generate", "iot", "--no-progress", "--rate", "1000", "--to", url(topic, kafka.brokers)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    wait_until(kafka, topic, 500)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    count = len(messages(topic, kafka))
    assert process.returncode == 0 and f"{count} sent, {count} accepted" in said, said
    process = subprocess.Popen([*arguments, "--retry-for", "2s", "--duration", "4s"], stderr=subprocess.PIPE, text=True)
    wait_until(kafka, topic, count + 500)
    rig.stop()
    said = process.communicate(timeout=50)[1]
    assert process.returncode == 1 and ", 0 given up, 0 unknown" not in said, said
    rig.down()


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
