#!/usr/bin/env python3
"""The Kafka clients alone, against a real broker, with every way to log in."""

import re
import time

from kafka_client import AT, CA, LOGIN, SLOW, Client, kafka, run, values


def test_messages_come_with_key_headers_and_time_and_tombstones():
    topic = kafka.topic()
    kafka.produce(topic, [b"one"], key=b"k", headers={"a": b"1", "b": b"2"}, timestamp=1700000000123)
    kafka.produce(topic, [None], key=b"k")
    c = Client("consume", group=topic, topics=topic, start="earliest", verbose=1)
    c.wait(r"^message 0 key k value one time 1700000000123000 a=1 b=2$")
    c.wait(r"^message 1 key k value  time \d+ tombstone$")
    assert re.fullmatch(r"state cluster \S{22} .*", c.ask("state", "^state .*")[0])
    c.close()


def test_offsets_and_their_text_come_back():
    topic = kafka.topic(partitions=2)
    kafka.produce(topic, values(10), partition=1)
    c = Client("consume", group=topic, topics=topic, start="earliest")
    c.wait("^assigned")
    assert c.ask(f"committed {topic} 1", "^offsets .*")[0] == f"offsets ok {topic}:1=-1''"
    assert c.ask(f"commit {topic} 1 7 claim:node-a", "^offsets .*")[0] == f"offsets ok {topic}:1=7'claim:node-a'"
    assert c.ask(f"committed {topic} 1", "^offsets .*")[0] == f"offsets ok {topic}:1=7'claim:node-a'"
    assert kafka.committed(topic, topic)[1] == (7, "claim:node-a")
    assert c.ask(f"marks {topic} 1", "^marks .*")[0] == f"marks ok {topic}:1=0..10"
    assert c.ask("marks nothing 0", "^marks .*")[0].startswith("marks enotfound")
    c.close()


def test_the_owner_says_later_where_a_partition_begins():
    topic = kafka.topic(partitions=2)
    kafka.produce(topic, values(10), partition=0)
    kafka.produce(topic, values(10), partition=1)
    c = Client("consume", group=topic, topics=topic, verbose=1)
    c.wait(rf"^assigned {topic}:0 {topic}:1")
    c.say(f"start {topic} 1 8")
    c.wait("^message 9 ")
    assert c.offsets() == [8, 9]
    c.say(f"start {topic} 0 9")
    c.wait("^message 9 ")
    assert c.offsets() == [8, 9, 9]
    assert c.ask(f"start {topic} 0 1", "^refused.*")[0].startswith("refused enotfound")
    assert c.ask(f"lag {topic} 1", "^lag .*")[0] == "lag 0"
    c.close()


def test_what_is_not_taken_waits():
    topic = kafka.topic()
    kafka.produce(topic, values(100))
    c = Client("consume", group=topic, topics=topic, start="earliest", take=3, verbose=1)
    c.wait("^message 2 ")
    assert c.ask("count", r"^count (\d+)")[1] == "3"
    assert c.ask(f"lag {topic} 0", r"^lag (\d+)")[1] == "97"
    c.say("continue")
    c.wait("^message 5 ")
    c.say("take 1000")
    c.say(f"seek {topic} 0 50")
    c.say("continue")
    c.wait("^message 99 ")
    assert c.offsets() == [*range(6), *range(50, 100)]
    c.say(f"pause {topic} 0")
    c.say("state")
    c.wait("^state")
    kafka.produce(topic, values(1))
    assert c.ask(f"marks {topic} 0", "^marks .*")[0].endswith("=0..101")
    assert c.offsets()[-1] == 99
    c.say(f"resume {topic} 0")
    c.wait("^message 100 ")
    c.close()


def test_patterns_find_topics_that_come_later():
    word = kafka.name("p").replace("-", "")
    first = kafka.topic(name=word + "a")
    c = Client("consume", group=word, topics=f"^{word}.*", start="earliest", verbose=1, topic__metadata__refresh__interval__ms=500)
    c.wait(f"^assigned {first}:0")
    second = kafka.topic(name=word + "b")
    c.wait(rf"^assigned {second}:0")
    kafka.produce(second, [b"found"])
    c.wait("value found")
    c.close()


def test_credentials_are_told_from_outages():
    topic = kafka.topic()
    kafka.produce(topic, [b"x"])
    good = {
        "plain": dict(brokers=AT["_SASL"], **LOGIN),
        "scram": dict(brokers=AT["_SASL"], mechanism="SCRAM-SHA-256", **LOGIN),
        "scram over TLS": dict(brokers=AT["_SASL_TLS"], mechanism="SCRAM-SHA-512", ca=CA, **LOGIN),
        "TLS": dict(brokers=AT["_TLS"], ca=CA),
        "mTLS": dict(brokers=AT["_MTLS"], ca=CA, cert=AT["_TLS_DIR"] + "/client.pem", key=AT["_TLS_DIR"] + "/client.key"),
    }
    for name, options in good.items():
        r = Client("read", **options)
        assert r.ask(f"topic {topic}", "^topic .*")[0].startswith("topic ok 1"), name
        assert r.end() == 0
    wrong = {"sasl.password": {**good["plain"], "password": "no"}, "sasl.password ": {**good["scram"], "password": "no"},
             "tls.ca": {**good["TLS"], "ca": AT["_TLS_DIR"] + "/other-ca.pem"}, "tls.cert": {**good["TLS"], "brokers": AT["_MTLS"]}}
    for key, options in wrong.items():
        r = Client("read", **options)
        told = r.ask(f"topic {topic}", "^topic .*")[0]
        assert told.startswith("topic edenied") and key.strip() in told, (key, told)
        assert r.end() == 0
    c = Client("consume", group=topic, topics=topic, **wrong["sasl.password"])
    c.wait("^error edenied .*sasl.password")
    c.close()


def test_a_topic_that_is_not_there_is_named():
    name = kafka.name("none")
    c = Client("consume", group=name, topics=name, start="earliest")
    assert name in c.wait("^error enotfound (.*)")[1]
    c.close()
    r = Client("read")
    assert r.ask(f"topic {name}", "^topic .*")[0].startswith("topic enotfound 0 topic " + name)
    assert r.ask("topic ^nosuchthing", "^topic .*")[0].startswith("topic enotfound")
    r.end()
    dead = Client("read", brokers="127.0.0.1:1", timeout=1000)
    assert dead.ask("topic x", "^topic .*")[0].startswith("topic eagain 0 topic x: Kafka: ")
    dead.end()


def test_markers_of_transactions_are_no_messages():
    topic = kafka.topic()
    w = Client("write", id=topic)
    w.wait("^ready")
    for outcome in ("commit", "abort", "commit"):
        for line in ("begin", f"put {topic} - {outcome}", f"put {topic} - {outcome}", outcome):
            w.ask(line, f"^{line.split()[0]} ok")
    assert w.end() == 0
    c = Client("consume", group=topic, topics=topic, start="earliest", verbose=1)
    c.wait("^message 7 ")
    assert c.offsets() == [0, 1, 6, 7]
    c.say(f"seek {topic} 0 2")
    c.wait("^message 7 ")
    assert c.offsets() == [0, 1, 6, 7, 6, 7]
    c.close()
    r = Client("read")
    # What was aborted and each marker take an offset; behind the last message stands the last marker.
    for from_, to, told in ((0, 9, "ok 4"), (2, 6, "ok 0"), (1, 7, "ok 2"), (8, 9, "ok 0"), (0, 10, "enotfound 0")):
        assert r.ask(f"read {topic} 0 {from_} {to}", "^read .*")[0].startswith("read " + told), (from_, to)
    assert r.end() == 0


def test_compaction_leaves_gaps():
    topic = kafka.topic(cleanup_policy="compact", segment_ms=100, min_cleanable_dirty_ratio=0.01, max_compaction_lag_ms=200)
    kafka.produce(topic, values(20), key=b"same")
    r, until, count = Client("read"), time.monotonic() + SLOW, 20
    while count > 1 and time.monotonic() < until:
        kafka.produce(topic, [b"filler"], key=b"filler")  # It rolls the segment.
        time.sleep(0.3)
        count = int(r.ask(f"read {topic} 0 0 20", r"^read ok (\d+)")[1])
    assert count == 1
    assert r.end() == 0
    c = Client("consume", group=topic, topics=topic, start="3", verbose=1)
    assert c.wait(r"^message (\d+) key same")[1] == "19"
    c.close()


def test_a_second_writer_fences_the_first():
    topic = kafka.topic()
    group = topic + "-markers"
    a = Client("write", id=topic)
    a.wait("^ready")
    a.ask("begin", "^begin ok")
    a.ask(f"put {topic} - one", "^put ok")
    assert a.ask(f"committed {group} {topic}", "^committed .*")[0] == "committed ok -1''"
    a.ask(f"offsets {group} {topic} 1 entry-1", "^offsets ok")
    a.ask("commit", "^commit ok")
    assert a.ask(f"committed {group} {topic}", "^committed .*")[0] == "committed ok 1'entry-1'"
    a.ask("begin", "^begin ok")
    a.ask(f"put {topic} - two", "^put ok")
    b = Client("write", id=topic)
    b.wait("^ready")
    assert a.ask("commit", "^commit (.*)")[1].startswith("econflict")
    b.ask("begin", "^begin ok")
    b.ask(f"put {topic} - three", "^put ok")
    b.ask("commit", "^commit ok")
    assert [m.value() for m in kafka.read(topic)[0]] == [b"one", b"three"]
    a.end()
    assert b.end() == 0


def test_properties_of_ours_are_refused():
    for name, value, told in (("enable.auto.commit", "true", "committed when what they cover is delivered"), ("group.id", "x", "a key of its own"),
                              ("no.such.thing", "1", "No such configuration property"), ("session.timeout.ms", "often", "session.timeout.ms")):
        c = Client("consume", group="g", topics="t", **{name: value})
        assert told in c.wait("^failed einval (.*)")[1]
        assert c.process.wait(SLOW) == 1


def test_a_million_messages():
    topic = kafka.topic(partitions=4)
    producer = kafka.producer(queue_buffering_max_messages=200000)
    body = b'{"event_id":"%08d","user_id":"user-%06d","event_type":"page_view","page":"/products/%d","amount":12.5,"device":"mobile"}'
    for i in range(1_000_000):
        while True:
            try:
                producer.produce(topic, body % (i, i % 7919, i % 65536))
                break
            except BufferError:
                producer.poll(0.05)
    assert producer.flush(60) == 0
    c = Client("consume", group=topic, topics=topic, start="earliest", limit=1000000)
    count, _, falls, cpu = c.wait(r"^count (\d+) bytes (\d+) falls (\d+) cpu ([\d.]+)").groups()
    assert (count, falls) == ("1000000", "0")
    print(f"consumed {float(cpu):.2f} us of CPU a message")
    c.close()

run(dict(vars()))
