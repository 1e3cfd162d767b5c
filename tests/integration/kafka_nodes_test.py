#!/usr/bin/env python3
"""Three nodes whose log is one topic, one PostgreSQL, and producers that go to another node when theirs doesn't answer: one node after
the other is killed, one of them for good."""

import http.client
import random
import shutil
import sys
import threading
import time

from kafka_log_test import node
from kafka_shared_test import PG, SECONDS, Shared
from kafka_topics import KAFKA
from support import body, run_tests, started, stopped

SIZE = 50


class Producer(threading.Thread):
    """Each body until some node has answered 200, under one key."""

    def __init__(self, nodes, number, over):
        super().__init__(daemon=True)
        self.nodes, self.number, self.over, self.bodies, self.bad, self.tries = nodes, number, over, 0, [], 0

    def send(self, target, content, key):
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
        try:
            connection.request("POST", "/v1/events/events", body=content, headers={"Idempotency-Key": key})
            response = connection.getresponse()
            reply = response.read()
            if response.status not in (200, 429, 503):
                self.bad.append((response.status, reply[:200]))
            return response.status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def run(self):
        draw = random.Random(self.number)
        while not self.over.is_set():
            first = (2 * self.bodies + self.number) * SIZE
            content, key = body(first, SIZE), f"p{self.number}-{self.bodies}"
            self.tries += 1
            while not self.send(draw.choice(self.nodes), content, key):
                self.tries += 1
                time.sleep(0.05)
            self.bodies += 1
            time.sleep(0.02)


def test_nodes_are_killed_while_producers_go_to_others(root):
    topic = KAFKA.topic("log", 6)
    shared = Shared(root, topic)
    quick = {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000}
    nodes = []
    for name in "abc":
        d = node(root / name, topic, properties=quick, warehouse={"postgres": {"url": PG + shared.options()}})
        d.config["streams"]["events"]["warehouse"] = {"table": "event_rows"}
        nodes.append(started(d))
    over, draw = threading.Event(), random.Random(5)
    producers = [Producer(nodes, n, over) for n in range(2)]
    for p in producers:
        p.start()
    until, kills = time.monotonic() + SECONDS, 0
    while time.monotonic() < until:
        time.sleep(draw.uniform(0.5, 2.5))
        victim = draw.choice(nodes[:2])
        victim.kill()
        kills += 1
        time.sleep(draw.choice((0, 0, 8)))
        started(victim)
    nodes[2].kill()  # For good, with its disk.
    shutil.rmtree(root / "c")
    time.sleep(1)
    over.set()
    for p in producers:
        p.join(60)
        assert not p.is_alive() and not p.bad, p.bad
    # Each has its own half of the numbers: what is even beyond the shorter one's end isn't sent.
    sent = {i for p in producers for n in range(p.bodies) for i in range((2 * n + p.number) * SIZE, (2 * n + p.number + 1) * SIZE)}
    shared.proves(sent, nodes[:2])
    print(f"{len(sent)} events in {sum(p.bodies for p in producers)} requests, sent {sum(p.tries for p in producers)} times, {kills + 1} kills")
    for d in nodes[:2]:
        stopped(d)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
