#!/usr/bin/env python3
"""The Kafka clients alone, against a real broker that is killed and paused, with every way to log in."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import rigs

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", TOP / "build" / "dev"))
PROGRAM = BUILD / "src" / "io" / "kafka" / "kafka_client"
SLOW = 60  # A wait that is this long has failed.

mine = rigs.own("kafka")
kafka = rigs.Kafka(mine.variables)
AT = {n: mine["SLUICE_TEST_KAFKA" + n] for n in ("_SASL", "_TLS", "_SASL_TLS", "_MTLS", "_USER", "_PASSWORD", "_TLS_DIR")}
CA = AT["_TLS_DIR"] + "/ca.pem"
LOGIN = {"user": AT["_USER"], "password": AT["_PASSWORD"]}


class Client:
    """One process; its lines are kept, and looked for from where the last search ended."""

    def __init__(self, kind, **options):
        options = {"brokers": kafka.brokers, "reconnect.backoff.max.ms": 500, **{k.replace("__", "."): v for k, v in options.items()}}
        self.process = subprocess.Popen([str(PROGRAM), kind, *(f"{k}={v}" for k, v in options.items())], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.lines, self.at, self.ended, self.changed = [], 0, False, threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(line.rstrip("\n"))
                self.changed.notify()
        with self.changed:
            self.ended = True
            self.changed.notify()

    def say(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def wait(self, pattern):
        """The next line that fits; the search goes on behind it."""
        until = time.monotonic() + SLOW
        with self.changed:
            while True:
                for i in range(self.at, len(self.lines)):
                    found = re.search(pattern, self.lines[i])
                    if found:
                        self.at = i + 1
                        return found
                assert not self.ended and time.monotonic() < until, f"no {pattern!r} in {self.lines[-20:]}"
                self.changed.wait(1)

    def ask(self, words, pattern):
        self.say(words)
        return self.wait(pattern)

    def offsets(self):
        with self.changed:
            return [int(line.split()[1]) for line in self.lines if line.startswith("message ")]

    def has(self, pattern):
        with self.changed:
            return any(re.search(pattern, line) for line in self.lines)

    def close(self):
        if not self.ended:
            self.say("close")
            self.wait("^closed$")
        self.process.stdin.close()
        assert self.process.wait(SLOW) == 0

    def end(self):
        """Of those that read lines until there are no more."""
        self.process.stdin.close()
        return self.process.wait(SLOW)


def values(count, word="v"):
    return [f"{word}{i}".encode() for i in range(count)]


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


def members(protocol, **more):
    """A second member takes half of the partitions, and gives them back by leaving."""
    topic = kafka.topic(partitions=4)
    for p in range(4):
        kafka.produce(topic, values(5), partition=p)
    settings = dict(group=topic, topics=topic, start="earliest", session__timeout__ms=6000, heartbeat__interval__ms=300,
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
    b.wait("^lost")
    b.close()
    a.close()


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


if not PROGRAM.exists():
    print(f"{PROGRAM} isn't built")
    sys.exit(77)
for name, function in list(vars().items()):
    if name.startswith("test_") and name[5:] in (os.environ.get("SLUICE_ONLY") or name[5:]).split():
        began = time.monotonic()
        function()
        print("ok", name[5:], f"{time.monotonic() - began:.1f} s", flush=True)
sys.exit(0)
