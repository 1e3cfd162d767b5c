#!/usr/bin/env python3
"""A topic as the log when its brokers go: what was answered is there, what comes again under its key is there once."""

import sys
import time

from kafka_topics import lake_ids
from rigs import Kafka, own
from support import Daemon, Sender, body, configuration, flush_until, run_tests, started, stopped, wait_for

RIG = own("kafka")
KAFKA = Kafka(RIG.variables)


def node(root, topic, **more):
    config = configuration(root, **more)
    config["ingest"] = {"log": f"kafka://{KAFKA.brokers}/{topic}", "group": topic}
    config["kafka"] = {"brokers": KAFKA.brokers, "properties": {"reconnect.backoff.max.ms": 500, "message.timeout.ms": 1500}}
    return Daemon(root, config)


def all_of_it(d, count):
    wait_for("all of it", lambda: (flush_until(d), len(lake_ids(d)) >= count and d.metric("sluice_kafka_lag") == 0)[1])
    assert lake_ids(d) == list(range(count)), len(lake_ids(d))
    assert d.audit()[0] == 0


def test_brokers_pause_and_die_while_requests_come(root):
    topic = KAFKA.topic("log", 2)
    d = started(node(root, topic))
    sender = Sender(d, [body(20 * n, 20) for n in range(100)], pause=0.1)
    sender.start()
    wait_for("some", lambda: len(sender.taken) > 10)
    KAFKA.pause()
    wait_for("a refusal", lambda: sender.statuses.get(503, 0) > 0)
    assert d.get("/readyz")[0] == 503 and d.get("/livez")[0] == 200
    KAFKA.resume()
    at = len(sender.taken)
    wait_for("more", lambda: len(sender.taken) > at + 10 or not sender.is_alive())
    RIG.stop()
    refused = sender.statuses[503]
    wait_for("a refusal", lambda: sender.statuses[503] > refused or not sender.is_alive())
    RIG.start()
    sender.join()
    assert not sender.bad and sender.retry_after == {"5"}, (sender.bad, sender.retry_after)
    assert len(sender.taken) == 100
    all_of_it(d, 2000)
    assert d.metric("sluice_ingest_log_messages_total") >= 2000
    stopped(d)


def test_a_stop_does_not_wait_for_brokers_that_are_gone(root):
    topic = KAFKA.topic("log", 1)
    d = started(node(root, topic))
    sender = Sender(d, [body(20 * n, 20) for n in range(30)], insist=False)
    sender.start()
    sender.join()
    RIG.stop()
    last = Sender(d, [body(600, 20)], insist=False, name="last")
    last.start()
    time.sleep(0.2)
    stopped(d, 30)
    last.join()
    assert 200 not in last.statuses, last.statuses
    RIG.start()
    started(d)
    wait_for("ready", lambda: d.get("/readyz")[0] == 200)
    wait_for("it is read", lambda: d.metric("sluice_kafka_partitions") == 1)
    Sender(d, [body(600, 20)], name="last").run()
    all_of_it(d, 620)
    stopped(d)


if __name__ == "__main__":
    try:
        run_tests(sys.modules[__name__])
    finally:
        RIG.down()
