#!/usr/bin/env python3
"""Rows of closed windows in a topic of Kafka, on a real broker: each once, and again with the next revision when a late event changes it."""

import json
import sys
import time

from kafka_sink_test import messages
from kafka_topics import KAFKA
from support import Daemon, configuration, flush_until, run_tests, started, stopped

MEASURES = {"events": "count()", "last": "max(id)", "mean": "avg(id)"}


def writer(root, topic, key="kind", lateness="10s", by=("kind",), most="1MB", **more):
    config = configuration(root, **more)
    config["kafka"] = {"brokers": KAFKA.brokers, "properties": {"reconnect.backoff.max.ms": 500}}
    config["windows"] = {"m": {"of": "events", "every": "1m", "by": list(by), "lateness": lateness, "measures": MEASURES,
                               "topic": {"to": topic, "max_message": most, **({"key": key} if key else {})}}}
    return Daemon(root, config)


def at(second):
    return f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


def send(daemon, *events):
    """(id, kind, second)"""
    text = b"\n".join(json.dumps({"id": i, "kind": kind, "text": "t", "at": at(second)}).encode() for i, kind, second in events)
    status, reply = daemon.request("POST", "/v1/events/events", text)
    assert status == 200, (status, reply)


def rows(topic):
    return [value for all_ in messages(topic).values() for _, value in all_]


def row(minute, kind, revision, ids):
    return {"window_start": at(60 * minute), "window_end": at(60 * minute + 60), "kind": kind, "events": len(ids), "last": max(ids),
            "mean": sum(ids) / len(ids), "revision": revision}


def ordered(all_):
    return sorted(all_, key=lambda r: (r["window_start"], str(r["kind"]), r["revision"]))


def found(topic):
    return ordered({**r, "window_start": r["window_start"].replace(".000000", ""), "window_end": r["window_end"].replace(".000000", "")}
                   for r in rows(topic))


def clean(daemon):
    code, text = daemon.audit()
    assert code == 0, text
    return text


def test_rows_go_once_when_the_watermark_has_passed(root):
    topic = KAFKA.topic("final", 3)
    d = started(writer(root, topic))
    send(d, (1, "a", 1), (2, "b", 2), (3, "a", 59))
    flush_until(d)
    send(d, (4, "a", 69))  # A second before end and lateness.
    flush_until(d)
    assert rows(topic) == []
    send(d, (5, "c", 70))  # No event of the window: it closes all the same.
    flush_until(d)
    first = [row(0, "a", 1, [1, 3]), row(0, "b", 1, [2])]
    assert found(topic) == ordered(first), rows(topic)
    assert {k: v["kind"].encode() for all_ in messages(topic).values() for k, v in all_} == {b"a": b"a", b"b": b"b"}
    d.kill()
    started(d)
    send(d, (6, "a", 71))
    flush_until(d)
    assert found(topic) == ordered(first), rows(topic)
    send(d, (7, "a", 3600))  # All that is open closes.
    flush_until(d)
    assert found(topic) == ordered(first + [row(1, "a", 1, [4, 6]), row(1, "c", 1, [5])]), rows(topic)
    assert "events/final/m/" in clean(d)
    stopped(d)


def test_a_late_event_writes_the_row_again(root):
    topic = KAFKA.topic("final", 2)
    d = started(writer(root, topic))
    send(d, (1, "a", 1), (2, "b", 2))
    send(d, (3, "a", 130))
    flush_until(d)
    send(d, (4, "a", 5), (5, "a", 6))  # Two of one cut are one revision.
    flush_until(d)
    d.kill()
    started(d)
    send(d, (6, "a", 7), (7, "new", 8))  # A group that it hadn't.
    flush_until(d)
    expected = [row(0, "a", 1, [1]), row(0, "a", 2, [1, 4, 5]), row(0, "a", 3, [1, 4, 5, 6]), row(0, "b", 1, [2]), row(0, "new", 1, [7])]
    assert found(topic) == ordered(expected), rows(topic)
    of_a = [v["revision"] for all_ in messages(topic).values() for k, v in all_ if k == b"a"]
    assert of_a == [1, 2, 3], of_a
    assert d.metric("sluice_late_events_total") == 2
    send(d, (8, "z", 8000))  # An hour after it closed its states are gone:
    flush_until(d)
    expected.append(row(2, "a", 1, [3]))
    send(d, (9, "a", 9), (10, "never", 9))  # nothing is left to be amended.
    flush_until(d)
    assert found(topic) == ordered(expected), rows(topic)
    clean(d)
    stopped(d)


def test_a_watermark_that_stands_still_closes_nothing(root):
    topic = KAFKA.topic("final", 1)
    d = started(writer(root, topic, lateness="0s"))
    send(d, (1, "a", 1), (2, "a", 59))
    flush_until(d)
    send(d, (3, "b", 59))
    flush_until(d)
    time.sleep(0.5)  # Some cuts.
    d.kill()
    started(d)
    flush_until(d)
    assert rows(topic) == []
    send(d, (4, "a", 60))
    flush_until(d)
    assert found(topic) == [row(0, "a", 1, [1, 2]), row(0, "b", 1, [3])], rows(topic)
    stopped(d)


def test_another_lateness_closes_what_it_says(root):
    topic = KAFKA.topic("final", 1)
    d = started(writer(root, topic, lateness="1h"))
    send(d, (1, "a", 1), (2, "a", 130))
    flush_until(d)
    assert rows(topic) == []
    d.kill()
    d = started(writer(root, topic, lateness="0s"))
    send(d, (3, "a", 131))
    flush_until(d)
    assert found(topic) == [row(0, "a", 1, [1])], rows(topic)
    d.kill()
    d = started(writer(root, topic, lateness="1h"))
    send(d, (4, "a", 2))  # Open again, but its row was written.
    flush_until(d)
    assert found(topic) == [row(0, "a", 1, [1]), row(0, "a", 2, [1, 4])], rows(topic)
    clean(d)
    stopped(d)


def test_keys_and_one_group(root):
    topic = KAFKA.topic("final", 2)
    d = started(writer(root, topic, key="window_start", by=()))
    send(d, (1, "a", 1), (2, "b", 2), (3, "a", 61), (4, "a", 200))
    flush_until(d)
    all_ = [(k, v) for p in messages(topic).values() for k, v in p]
    assert len(all_) == 2 and all(k.decode() == v["window_start"] and "kind" not in v for k, v in all_), all_
    stopped(d)


def test_a_row_that_no_message_holds_says_which_it_is(root):
    topic = KAFKA.topic("final", 1)
    d = started(writer(root, topic, lateness="0s", most="1KiB"))
    send(d, (1, "a", 1), (2, "x" * 2000, 2), (3, "b", 3), (4, "a", 60))
    flush_until(d)
    all_ = [v for _, v in messages(topic)[0]]
    assert [v.get("kind") for v in all_] == ["a", "b", None], all_
    large = all_[2]["sluice_too_large"]
    assert large["bytes"] > 2000 and large["window"] == "m" and large["window_start"] == all_[0]["window_start"], large
    assert d.metric("sluice_topic_too_large_total") == 1
    clean(d)
    stopped(d)


def test_kill_9_at_every_point(root):
    topic = KAFKA.topic("final", 3)
    d = writer(root, topic, lateness="0s")
    n, kinds = 0, 7
    taken = []
    for point in ("worker_sealed", "commit_after_spool_sync", "commit_in_transaction", "commit_after", "deliver_before:2", "deliver_remote_after",
                  "deliver_remote_after:2", "deliver_before_mark:2", "deliver_after_mark:2"):
        d.start("--crash-at", point)
        for _ in range(3):
            events = [(n + i, f"k{i % kinds}", 7 * (n // 50) + i % 7) for i in range(50)]
            try:
                send(d, *events)
                taken += events
                n += 50
                d.request("POST", "/v1/flush")
            except (OSError, AssertionError):
                break
        d.kill()
    started(d)
    send(d, (n, "end", 80000))
    flush_until(d)
    last = {}
    every = rows(topic)
    for r in every:
        group = (r["window_start"], r["kind"])
        last.setdefault(group, []).append(r)
    for group, all_ in last.items():
        assert sorted(r["revision"] for r in all_) == list(range(1, len(all_) + 1)), (group, all_)
    newest = [max(all_, key=lambda r: r["revision"]) for all_ in last.values()]
    assert sum(r["events"] for r in newest) >= len(taken), (sum(r["events"] for r in newest), len(taken))
    text = clean(d)
    total = next(int(line.split("received ")[1].split()[0]) for line in text.splitlines() if line.startswith("events/lake"))
    assert sum(r["events"] for r in newest) == total - 1, (sum(r["events"] for r in newest), total)
    stopped(d)


def test_kill_9_at_random_moments(root):
    topic = KAFKA.topic("final", 2)
    d = writer(root, topic, lateness="0s", cut={"every": "100ms"})
    n = 0
    for turn in range(10):
        started(d)
        for _ in range(8):
            send(d, *[(n + i, f"k{i % 5}", 20 * (n // 40) - 45 * (i % 3 == 0) + 100) for i in range(40)])
            n += 40
        time.sleep(0.03 * turn)
        d.kill()
    started(d)
    send(d, (n, "end", 80000))
    flush_until(d)
    groups = {}
    for r in rows(topic):
        groups.setdefault((r["window_start"], r["kind"]), {})[r["revision"]] = r
    assert len(rows(topic)) == sum(len(g) for g in groups.values())  # No revision is there twice,
    for g in groups.values():
        assert sorted(g) == list(range(1, len(g) + 1)), g  # or missing, and each has more than the one before.
        counts = [g[i]["events"] for i in sorted(g)]
        assert all(x < y for x, y in zip(counts, counts[1:])), counts
    assert sum(g[max(g)]["events"] for g in groups.values()) == n
    clean(d)
    stopped(d)


def test_a_window_without_its_topic_again(root):
    """What was committed is delivered; a topic that is named later begins with what comes."""
    topic = KAFKA.topic("final", 1)
    d = started(writer(root, topic, lateness="0s"))
    send(d, (1, "a", 1), (2, "a", 61))
    flush_until(d)
    d.kill()
    more = KAFKA.topic("final", 1)
    d = started(writer(root, more, lateness="0s"))
    send(d, (3, "a", 125), (4, "a", 190))
    flush_until(d)
    assert found(topic) == [row(0, "a", 1, [1])] and found(more) == [row(2, "a", 1, [3])], (rows(topic), rows(more))
    clean(d)
    stopped(d)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
