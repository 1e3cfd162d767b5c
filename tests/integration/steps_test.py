#!/usr/bin/env python3
"""Steps of a stream, through the daemon: what they set is in the lake, the windows and the warehouse; what they refuse is
a dead letter with its place; nothing of it changes by kill -9, and audit counts all."""

import json
import random
import sqlite3
import subprocess
import sys
import time

from support import BINARY, Daemon, Sender, body, configuration, event, flush_until, rows, run_tests, started, stopped

STEPS = [
    {"where": 'kind != "k4"'},
    {"require": {"id": "id % 10 != 3"}},
    {"set": {"tens": "id / 10", "label.size": 'id > 500 ? "large" : "small"'}},
    {"rename": {"text": "words"}},
    {"redact": ["words"]},
    {"set": {"odd": "id % 2 == 1"}},
]


def steps_configuration(root, **more):
    config = configuration(root, **more)
    config["streams"]["events"]["steps"] = STEPS
    config["streams"]["events"]["lake"]["partition_by"] = ["label.size"]
    config["streams"]["events"]["warehouse"] = {"table": "event_rows"}
    config["windows"]["per_minute"]["by"] = ["odd"]
    config["windows"]["per_minute"]["measures"] = {"events": "count()", "tens": "sum(tens)"}
    return config


def kept(count):
    return [i for i in range(count) if i % 5 != 4 and i % 10 != 3]


def check(daemon, root, count):
    got = sorted(rows(root / "lake", "id, tens, odd, label.size, words, kind"))
    want = [(i, i // 10, i % 2 == 1, "large" if i > 500 else "small", "***", f"k{i % 5}") for i in kept(count)]
    assert got == want, (len(got), len(want), got[:3], want[:3])
    letters = rows(root / "data/dead_letters", "code, stage, path, message, raw, position")
    refused = [i for i in range(count) if i % 5 != 4 and i % 10 == 3]
    assert sorted(json.loads(bytes(l[4]))["id"] for l in letters) == refused
    assert {l[:4] for l in letters} == {("require", "steps", "/id", "requires id % 10 != 3")}, letters[:2]
    with sqlite3.connect(daemon.warehouse()) as db:
        assert [r[0] for r in db.execute("SELECT id FROM event_rows ORDER BY id")] == kept(count)
        assert {r[0] for r in db.execute("SELECT label_size FROM event_rows")} == {"small", "large"}
        windows = dict(db.execute("SELECT odd, sum(tens) FROM per_minute GROUP BY odd").fetchall())
    assert {bool(k): v for k, v in windows.items()} == {
        odd: sum(i // 10 for i in kept(count) if (i % 2 == 1) == odd) for odd in (False, True)}
    code, text = daemon.audit()
    assert code == 0, text


def test_what_steps_make_is_in_every_table(root):
    daemon = started(Daemon(root, steps_configuration(root)))
    for i in range(10):
        code, reply = daemon.request("POST", "/v1/events/events", body(i * 100, 100))
        assert code == 200 and json.loads(reply)["accepted"] == 100, "what steps refuse was taken all the same"
    daemon.flush()
    check(daemon, root, 1000)
    metrics = daemon.request("GET", "/metrics")[1].decode()
    for line in ('step="1 where",result="refused"} 200', 'step="2 require",result="refused"} 100',
                 'step="2 require",result="passed"} 700', 'step="3 set",result="changed"} 1400',
                 'sluice_dead_letters_total{code="require"} 100'):
        assert line in metrics, (line, [m for m in metrics.splitlines() if "step" in m])
    stopped(daemon)


def test_the_place_of_a_dead_letter_is_that_of_its_event(root):
    daemon = started(Daemon(root, steps_configuration(root)))
    lines = [json.dumps(event(i)) for i in range(40)]
    lines[12] = "not json"
    assert daemon.request("POST", "/v1/events/events", "\n".join(lines).encode())[0] == 200
    daemon.flush()
    letters = sorted(rows(root / "data/dead_letters", '"index", code, raw, position'))
    assert [(i, code) for i, code, _, _ in letters] == [(3, "require"), (12, "syntax"), (13, "require"), (23, "require"),
                                                        (33, "require")], letters
    first = letters[0][3]
    for index, _, raw, position in letters:
        assert bytes(raw).decode() == lines[index]
        assert position - first == sum(len(l) + 1 for l in lines[3:index]), (index, position, first)
    stopped(daemon)


def test_killed_at_any_moment_nothing_is_lost_or_doubled(root):
    daemon = started(Daemon(root, steps_configuration(root)))
    sender = Sender(daemon, [body(i * 50, 50) for i in range(100)], pause=0.05)
    sender.start()
    source = random.Random(7)
    while sender.is_alive():
        time.sleep(source.uniform(0.1, 0.8))
        daemon.kill()
        started(daemon)
    sender.join()
    assert len(sender.taken) == 100 and not sender.bad
    flush_until(daemon)
    check(daemon, root, 5000)
    stopped(daemon)


def test_what_cannot_be_set_is_null_in_every_table(root):
    """Also where the schema requires the member: no 0 and no "" that nobody sent. A member that is set makes its object."""
    config = steps_configuration(root)
    stream = config["streams"]["events"]
    properties = {"id": {"type": "integer"}, "per": {"type": "integer"}, "text": {"type": "string"},
                  "label": {"type": "object", "required": ["size"], "properties": {"size": {"type": "integer"}}}}
    stream["schema"] = {"type": "object", "required": ["id", "per", "text"], "properties": properties}
    stream["steps"] = [{"set": {"per": "100 / per", "text": "text.substring(3)", "label.short": "size(text) < 3"}}]
    del stream["event_time"], stream["lake"]["partition_by"], config["windows"]
    daemon = started(Daemon(root, config))
    daemon.post([{"id": 1, "per": 4, "text": "abcde", "label": {"size": 7}}, {"id": 2, "per": 0, "text": "ab"}, {"id": 3, "per": 5, "text": "abc"}],
                "/v1/events/events")
    daemon.flush()
    want = [(1, 25, "de", 7, True), (2, None, None, None, None), (3, 20, "", None, True)]
    assert sorted(rows(root / "lake", "id, per, text, label.size, label.short")) == want, rows(root / "lake", "*")
    assert sorted(rows(root / "lake", "id, label IS NULL")) == [(1, False), (2, True), (3, False)]
    with sqlite3.connect(daemon.warehouse()) as db:
        got = db.execute("SELECT id, per, text, label_size, label_short FROM event_rows ORDER BY id").fetchall()
    assert got == want, got
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_the_shown_configuration_is_read_again(root):
    daemon = started(Daemon(root, steps_configuration(root)))
    shown = daemon.request("GET", "/config")[1].decode()
    assert '- where: "kind != \\"k4\\""' in shown, shown
    again = root / "shown.yaml"
    again.write_text(shown)
    stopped(daemon)
    done = subprocess.run([BINARY, "validate", str(again)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
