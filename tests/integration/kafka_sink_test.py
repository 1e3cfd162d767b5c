#!/usr/bin/env python3
"""Topics of Kafka as targets, on a real broker: each row's message once for who reads committed ones, whatever dies in between."""

import base64
import json
import os
import shutil
import signal
import sys
import time

from kafka_topics import KAFKA
from support import Daemon, body, check_once, configuration, event, flush_until, run_tests, started, stopped, wait_for


def writer(root, topic, brokers=None, key="kind", stream=None, **more):
    config = configuration(root, **more)
    config["kafka"] = {"brokers": brokers or KAFKA.brokers, "properties": {"reconnect.backoff.max.ms": 500}}
    config["streams"]["events"].update({"topic": {"to": topic, **({"key": key} if key else {})}, **(stream or {})})
    return Daemon(root, config)


def send(daemon, first, count, **options):
    status, reply = daemon.request("POST", "/v1/events/events", body(first, count, **options))
    assert status == 200, (status, reply)


def messages(topic, kafka=KAFKA):
    """(key, value) of all that is committed, partition by partition."""
    return {p: [(m.key(), json.loads(m.value())) for m in all_] for p, all_ in kafka.read(topic).items()}


def ids(topic, kafka=KAFKA):
    return sorted(value["id"] for all_ in messages(topic, kafka).values() for _, value in all_)


def exact(daemon, topic, count, kafka=KAFKA):
    flush_until(daemon)
    check_once(daemon, range(count), daemon.directory / "lake")
    found = ids(topic, kafka)
    assert found == list(range(count)), f"{len(found)} messages, {len(set(found))} different, of {count}"


def stalled(daemon, topic):
    return f'sluice_table_stalled{{table="events/topic/{topic}"}} 1' in daemon.get("/metrics")[1].decode()


def test_each_event_becomes_one_message(root):
    topic = KAFKA.topic("out", 4)
    d = started(writer(root, topic, workers=3))
    for at in range(0, 20000, 500):
        send(d, at, 500)
    exact(d, topic, 20000)
    found = messages(topic)
    for all_ in found.values():
        for key, value in all_:
            assert value == event(value["id"]) and key == value["kind"].encode(), (key, value)
        for kind in {k for k, _ in all_}:  # In the order of the log.
            of = [v["id"] for k, v in all_ if k == kind]
            assert of == sorted(of), of[:20]
    places = {k: p for p, all_ in found.items() for k, _ in all_}
    assert len(places) == 5 and all(places[k] == p for p, all_ in found.items() for k, _ in all_)
    (offset, _), = KAFKA.committed(f"sluice.{identity(d)}.events/topic/{topic}", topic).values()
    assert offset == state(d)["position"], (offset, state(d))
    stopped(d)


def identity(daemon):
    return state(daemon)["journal"]["identity"].split(":")[-1]


def state(daemon):
    return json.loads(daemon.get("/v1/state")[1])


def test_members_without_a_column_and_keys_of_all_types(root):
    topic = KAFKA.topic("out", 1)
    config = {"schema": {"type": "object", "properties": {"id": {"type": "integer"}, "user": {"type": "object", "properties": {
        "at": {"type": "string", "format": "date-time"}, "n": {"type": "integer"}}}}}, "event_time": None}
    d = started(writer(root, topic, key="user.at", stream=config, windows={}))
    sent = [{"id": 1, "user": {"at": "2026-01-01T00:00:00Z", "n": 5}, "more": {"a": [1, None]}}, {"id": 2}, {"id": 3, "user": {"n": 1}}]
    assert d.request("POST", "/v1/events/events", json.dumps(sent).encode())[0] == 200
    flush_until(d)
    found = messages(topic)[0]
    assert [k for k, _ in found] == [b"2026-01-01T00:00:00Z", None, None], found
    assert found[0][1] == {"id": 1, "user": sent[0]["user"], "_rest": {"more": {"a": [1, None]}}} and found[1][1] == {"id": 2}, found
    stopped(d)


def test_kill_9_at_every_point_of_a_delivery(root):
    topic = KAFKA.topic("out", 3)
    d = writer(root, topic)
    at = 0
    for point in ("worker_sealed", "commit_after_spool_sync", "commit_in_transaction", "commit_after", "deliver_before:2", "deliver_remote_after",
                  "deliver_remote_after:2", "deliver_before_mark:2", "deliver_after_mark:2"):
        d.start("--crash-at", point)
        for _ in range(2):
            try:
                status = d.request("POST", "/v1/events/events", body(at, 300), {"Idempotency-Key": str(at)})[0]
            except OSError:
                break  # It died; what had no reply is sent again: it may be in the log, so under the same key.
            at += 300 if status == 200 else 0
            try:
                d.request("POST", "/v1/flush")
            except OSError:
                break
        d.kill()
    started(d)
    flush_until(d)
    found = ids(topic)
    assert len(found) == len(set(found)) and set(found) >= set(range(at)), (len(found), len(set(found)), at)
    code, text = d.audit()
    assert code == 0, text
    stopped(d)


def test_kill_9_at_random_moments(root):
    topic = KAFKA.topic("out", 2)
    d = writer(root, topic, cut={"every": "100ms"})
    at = 0
    for n in range(12):
        started(d)
        for _ in range(4):
            send(d, at, 500)
            at += 500
        time.sleep(0.03 * n)
        d.kill()
    started(d)
    exact(d, topic, at)
    stopped(d)


def test_a_second_daemon_with_the_same_log_stops_the_first(root):
    topic = KAFKA.topic("out", 1)
    d = started(writer(root, topic))
    send(d, 0, 100)
    flush_until(d)
    os.kill(d.process.pid, signal.SIGSTOP)  # It holds the lock of a directory that was copied.
    shutil.copytree(root, root.parent / (root.name + "-copy"))
    config = writer(root.parent / (root.name + "-copy"), topic)
    other = started(config)
    send(other, 100, 100)
    flush_until(other)
    os.kill(d.process.pid, signal.SIGCONT)
    send(d, 1000, 100)
    wait_for("an alarm", lambda: "table stopped, a person has to look" in d.said() and "another daemon has written" in d.said())
    assert stalled(d, topic) and ids(topic) == list(range(200))
    send(other, 200, 100)
    flush_until(other)
    assert ids(topic) == list(range(300))
    stopped(other)
    stopped(d)
    shutil.rmtree(other.directory)


def test_a_topic_that_is_not_there_is_waited_for(root):
    topic = KAFKA.name("out")
    d = started(writer(root, topic))
    send(d, 0, 100)
    wait_for("a stalled table", lambda: stalled(d, topic))
    wait_for("the mend", lambda: "create the topic" in d.said())
    KAFKA.topic(name=topic)
    exact(d, topic, 100)
    assert not stalled(d, topic)
    stopped(d)


def test_a_topic_that_is_deleted_and_made_anew_stops_the_table(root):
    topic = KAFKA.topic("out", 1)
    d = started(writer(root, topic))
    send(d, 0, 100)
    exact(d, topic, 100)
    KAFKA.delete(topic)
    KAFKA.topic(name=topic)
    send(d, 100, 100)
    wait_for("an alarm", lambda: "table stopped, a person has to look" in d.said() and "has no marker" in d.said())
    assert stalled(d, topic)
    code, text = d.audit()
    assert code == 1 and "has no marker, the ledger says" in text, text
    d.kill()
    started(d)
    wait_for("the same alarm", lambda: stalled(d, topic))
    assert ids(topic) == []
    stopped(d)


def test_an_event_that_no_message_holds_leaves_its_place(root):
    topic = KAFKA.topic("out", 1)
    d = started(writer(root, topic, stream={"topic": {"to": topic, "max_message": "2000"}}))
    send(d, 0, 10)
    send(d, 10, 1, text="x" * 5000)
    send(d, 11, 10)
    flush_until(d)
    found = [v for _, v in messages(topic)[0]]
    assert [v.get("id") for v in found] == [*range(10), None, *range(11, 21)], found
    place = found[10]["sluice_too_large"]
    assert place["bytes"] > 5000 and place["partition"] == "journal:" + identity(d), place
    assert d.metric("sluice_topic_too_large_total") == 1
    check_once(d, range(21), d.directory / "lake")
    stopped(d)


def test_dead_letters_are_written_to_a_topic_too(root):
    dead = KAFKA.topic("dead", 2)
    d = started(writer(root, KAFKA.topic("out", 1), stream={"dead_letters": {"topic": dead}}))
    bad = [b'{"id":"seven"}', b'{"id":8,', b'{"kind":"k"}', b'{"id":9,"text":"\xff"}']
    for at in range(4):
        send(d, 10 * at, 10)
        status, reply = d.request("POST", "/v1/events/events", bad[at])
        assert status == 400, (status, reply)
        if at == 1:
            flush_until(d)
            d.kill()
            started(d)
    flush_until(d)
    found = sorted((v for all_ in messages(dead).values() for k, v in all_ if k is None), key=lambda v: v["position"])
    assert [v.get("raw", "").encode() or base64.b64decode(v["raw_base64"]) for v in found] == bad, found
    assert {v["stage"] for v in found} == {"decode", "schema"} and all(v["code"] for v in found), found
    for v in found:
        assert v["stream"] == "events" and v["message"] and v["partition"] == "journal:" + identity(d) and "arrived" in v, v
    check_once(d, range(40), d.directory / "lake")
    stopped(d)


def test_a_topic_that_takes_less_is_waited_for(root):
    topic = KAFKA.topic("out", 1, max_message_bytes=20000)
    d = started(writer(root, topic))
    send(d, 0, 1, text="".join(chr(33 + i * i % 90) for i in range(60000)))
    wait_for("a stalled table", lambda: stalled(d, topic))
    wait_for("the mend", lambda: "max.message.bytes" in d.said())
    alter(topic, "max.message.bytes", "1048588")
    flush_until(d)
    assert ids(topic) == [0]
    stopped(d)


def alter(topic, name, value):
    from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for future in KAFKA.admin.incremental_alter_configs([resource]).values():
        future.result(30)


def test_another_topic_is_another_table_and_the_old_one_is_delivered(root):
    first, second = KAFKA.topic("out", 1), KAFKA.topic("out", 1)
    d = writer(root, first)
    d.start("--crash-at", "deliver_before:1")
    try:
        send(d, 0, 100)
        d.request("POST", "/v1/flush")
    except OSError:
        pass
    d.kill()
    d = started(writer(root, second))
    send(d, 100, 100)
    flush_until(d)
    wait_for("what was committed", lambda: ids(first) == list(range(100)))
    assert ids(second) == list(range(100, 200))
    stopped(d)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
