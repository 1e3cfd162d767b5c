#!/usr/bin/env python3
"""Topics as targets while their broker is away: what can't be written waits, and is there once when it comes back."""

import sys

from kafka_sink_test import exact, send, stalled, writer
from rigs import Kafka, own
from support import run_tests, started, stopped, wait_for


def test_the_broker_goes_in_the_middle(root):
    rig = own("kafka")
    kafka = Kafka(rig.variables)
    topic = kafka.topic("out", 2)
    d = started(writer(root, topic, brokers=kafka.brokers))
    send(d, 0, 1000)
    exact(d, topic, 1000, kafka)
    kafka.pause()
    send(d, 1000, 1000)
    wait_for("a stalled table", lambda: stalled(d, topic))
    d.kill()  # A transaction may be open there, or be committed by and by.
    kafka.resume()
    started(d)
    exact(d, topic, 2000, kafka)
    rig.stop()
    send(d, 2000, 1000)
    wait_for("a stalled table", lambda: stalled(d, topic))
    stopped(d, 60)
    started(d)
    rig.start()
    exact(d, topic, 3000, kafka)
    assert not stalled(d, topic)
    stopped(d)
    rig.down()


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
