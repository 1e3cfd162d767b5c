#!/usr/bin/env python3
"""The Kafka clients alone, with members that come, go and stand still, a broker that is killed and paused, a topic made anew."""

import re
import signal
import time

from kafka_client import Client, kafka, mine, run, values


def members(protocol, **more):
    """A second member takes half of the partitions, and gives them back by leaving."""
    topic = kafka.topic(partitions=4)
    for p in range(4):
        kafka.produce(topic, values(5), partition=p)
    settings = dict(group=topic, topics=topic, start="earliest", session__timeout__ms=4000, heartbeat__interval__ms=300,
                    partition__assignment__strategy=protocol, **more)
    a = Client("consume", **settings)
    assert len(a.wait("^assigned (.*)")[1].split()) == 4
    b = Client("consume", **settings)
    return topic, a, b


def test_cooperative_members_share():
    topic, a, b = members("cooperative-sticky", release="manual")
    gone = a.wait("^revoked (.*)")[1].split()
    assert len(gone) == 2
    assert not b.has("^assigned ."), "it has what the other hasn't released"
    a.say("release")
    assert sorted(b.wait("^assigned (..*)")[1].split()) == sorted(gone)
    b.process.kill()
    assert sorted(a.wait("^assigned (..*)")[1].split()) == sorted(gone)
    a.say("close")
    assert len(a.wait("^revoked (.*)")[1].split()) == 4
    a.say("release")
    a.wait("^closed")
    assert a.end() == 0


def test_eager_members_share():
    topic, a, b = members("range")
    assert len(a.wait("^revoked (.*)")[1].split()) == 4
    assert len(a.wait("^assigned (.*)")[1].split()) == 2
    assert len(b.wait("^assigned (.*)")[1].split()) == 2
    b.close()
    assert len(a.wait("^revoked (.*)")[1].split()) == 2
    assert len(a.wait("^assigned (.*)")[1].split()) == 4
    a.close()


def test_a_member_that_stood_still_has_lost():
    topic, a, b = members("cooperative-sticky")
    a.wait("^revoked")
    b.wait("^assigned .")
    b.process.send_signal(signal.SIGSTOP)
    a.wait("^assigned .")
    b.process.send_signal(signal.SIGCONT)
    b.wait("^(lost|revoked)")  # The latter when it stood still in the middle of a rebalance.
    b.close()
    a.close()


def test_a_killed_broker_costs_and_doubles_nothing():
    topic = kafka.topic()
    kafka.produce(topic, values(1000))
    c = Client("consume", group=topic, topics=topic, start="earliest", verbose=1)
    p = Client("produce")
    c.wait("^message 999 ")
    mine.stop()
    p.say(f"put {topic} - again 500")
    p.wait("^taken 500 ok")
    assert c.wait("^error (.*)")[1].startswith("eio")
    mine.start()
    assert p.ask("flush", "^flushed .*")[0] == "flushed ok delivered 500 failed 0 pending 0"
    c.wait("^message 1499 ")
    assert c.offsets() == list(range(1500))
    kafka.pause()
    p.say(f"put {topic} - late 10")
    p.wait("^taken 10 ok")
    assert p.ask("flush 200", "^flushed .*")[0] == "flushed eagain delivered 500 failed 0 pending 10"
    kafka.resume()
    c.wait("^message 1509 ")
    p.close()
    c.close()


def test_a_topic_made_anew_does_not_hold_the_old_cursor():
    topic = kafka.topic()
    kafka.produce(topic, values(100))
    quick = dict(verbose=1, session__timeout__ms=3000, heartbeat__interval__ms=300,
                 topic__metadata__refresh__interval__ms=500, topic__metadata__propagation__max__ms=1000)
    c = Client("consume", group=topic, topics=topic, start="earliest", **quick)
    c.wait("^message 99 ")
    c.say(f"commit {topic} 0 100")
    c.wait("^offsets ok")
    kafka.delete(topic)
    c.wait("^(lost|revoked)")
    c.close()
    while topic in kafka.admin.list_topics(timeout=10).topics:
        time.sleep(0.1)
    kafka.topic(name=topic)
    kafka.produce(topic, values(5, "new"))
    c = Client("consume", group=topic, topics=topic, start="100", **quick)
    assert re.search(rf"{topic}:0 .*made anew", c.wait("^error enotfound .*")[0])
    assert not c.offsets()
    c.close()
    r = Client("read")
    assert r.ask(f"read {topic} 0 99 100", "^read .*")[0].startswith("read enotfound 0")
    r.end()


def test_a_full_producer_says_so_and_goes_on():
    topic = kafka.topic(partitions=4)
    p = Client("produce", memory=4 << 20, topic__metadata__propagation__max__ms=500)
    kafka.pause()
    taken = int(p.ask(f"put {topic} key value 1000000 h", r"^taken (\d+) efull")[1])
    assert 1000 < taken < 1000000
    kafka.resume()
    p.wait("^room")
    assert p.ask("flush", "^flushed .*")[0] == f"flushed ok delivered {taken} failed 0 pending 0"
    big = p.ask(f"put {topic} - {'x' * 2000} 1", "^taken .*")[0]
    assert big.startswith("taken 1 ok"), big
    p.ask("put nothing-there - x", "^taken 1 ok")
    p.wait("^delivered enotfound ")
    p.close()
    found = kafka.read(topic)
    assert len({m.key() for messages in found.values() for m in messages} - {None}) == 1
    assert sorted(len([m for m in messages if m.key()]) for messages in found.values()) == [0, 0, 0, taken]

run(dict(vars()))
