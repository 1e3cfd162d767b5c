#!/usr/bin/env python3
"""`sluice test`: what its configurations' tests say of events is what the engine does with them, what differs is shown as it
is, and nothing but the report comes of it."""

import json
import os
import pty
import random
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from support import BINARY, Daemon, duckdb, run_tests, started, stopped

TOP = Path(__file__).resolve().parents[2]
CLICKS = """
streams:
  clicks:
    schema:
      type: object
      required: [id]
      properties:
        id: { type: string }
        user: { type: string }
        kind: { type: string }
        at: { type: string, format: date-time }
        amount: { type: number, x-decimal: [12, 2] }
        ratio: { type: number }
        tags: { type: array }
        place: { type: object, properties: { city: { type: string }, zip: { type: string } } }
    event_time: at
    add: [processed_at, source]
"""


def write(root, text, name="sluice.yaml"):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return root / name


def sluice(root, *arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    return subprocess.run([BINARY, "test", *map(str, arguments)], cwd=root, capture_output=True, text=True, env={**clean, **environment})


def passes(root, text, count):
    write(root, text)
    done = sluice(root, "sluice.yaml")
    assert done.returncode == 0 and done.stdout.endswith(f"\n{count} passed, 0 failed\n"), (done.returncode, done.stdout, done.stderr)


def test_what_the_documents_show_passes(root):
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (TOP / "docs/testing.md").read_text(), re.M | re.S)
    tests = [b.removeprefix("tests:\n") for b in blocks if b.startswith("tests:\n") and "…" not in b]
    variables = [b for b in blocks if b.startswith("test_environment:")]
    assert len(tests) == 1 and len(variables) == 1
    passes(root, blocks[0] + "".join(tests) + "".join(variables), 3)
    assert sluice(root, "-c", "sluice.yaml").returncode == 0


def test_what_differs_is_shown_aligned_with_its_line(root):
    write(root, CLICKS + """    steps: [require: { amount: 'amount < 100.0' }]
    lake: { partition_by: [kind] }
windows:
  per_minute: { of: clicks, every: 1m, by: [kind], measures: { n: count(), sum: sum(amount) } }
tests:
  - name: passes
    events: [{ stream: clicks, event: { id: a, amount: 1 } }]
    expect: { clicks: 1 }
  - name: differs
    events:
      - { stream: clicks, event: { id: a, kind: x, at: "2026-01-01T00:00:00Z", amount: 1.50 } }
      - { stream: clicks, event: { id: b, kind: y, at: "2026-01-01T00:00:01Z", amount: 2, place: { city: Ulm } } }
      - { stream: clicks, event: { id: c, kind: y, at: "2026-01-01T00:00:02Z", amount: 3 } }
      - { stream: clicks, event: { id: d, amount: 100 } }
    expect:
      clicks:
        - { id: a, amount: 1.5, kind: z }
        - { id: new }
        - { id: b, place: { city: Bonn } }
        - { id: c }
      per_minute: [{ kind: x, n: 1 }, { kind: y, n: 3, sum: 5.00 }]
      duplicates: { clicks: 1 }
      paths: { clicks: [kind=x] }
""")
    done = sluice(root, "sluice.yaml")
    assert done.stdout == """ok    passes
FAIL  differs
      sluice.yaml:26: dead_letters: row 1 wasn't expected
        + LETTER
      sluice.yaml:34: clicks: row 1 differs (- expected, + came)
          id     "a"
          amount 1.50
        - kind   "z"
        + kind   "x"
      sluice.yaml:35: clicks: a row is missing
        - { id: "new" }
      sluice.yaml:36: clicks: row 2 differs (- expected, + came)
          id    "b"
        - place { city: "Bonn" }
        + place { city: "Ulm" }
      sluice.yaml:38: per_minute: row 2 differs (- expected, + came)
          kind "y"
        - n    3
        + n    2
          sum  5.00
      sluice.yaml:39: duplicates: clicks: 1 expected, 0 came
      sluice.yaml:40: paths: clicks: path 2 wasn't expected
        + "kind=y/"
1 passed, 1 failed
""".replace("LETTER", re.search(r"\+ (\{ stream: .*)", done.stdout)[1]), done.stdout
    letter = re.search(r"\+ (\{ stream: .*)", done.stdout)[1]
    assert 'code: "require", path: "/amount"' in letter and 'raw: "{\\"id\\": \\"d\\", \\"amount\\": 100}"' in letter, letter
    assert done.returncode == 1 and not done.stderr


def test_every_kind_of_value(root):
    passes(root, CLICKS + """tests:
  - name: values
    now: 2026-01-01T12:00:00Z
    events:
      - { stream: clicks, event: { id: a, amount: 12345678.90, ratio: 0.1, tags: [1, { b: [x] }], place: { city: Ulm },
          at: "2026-01-01T01:00:00+01:00", more: { deep: [true] } } }
    expect:
      clicks:
        - id: a
          amount: 12345678.9
          ratio: 1e-1
          tags: [1.0, { b: [x] }]
          place: { city: Ulm, zip: null }
          place.city: Ulm
          at: 2026-01-01T00:00:00Z
          kind: null
          processed_at: 2026-01-01T12:00:00Z
          source: http
          _rest: { more: { deep: [true] } }
""", 1)


def test_an_inferred_stream_is_compared_too(root):
    passes(root, """
streams: { free: { lake: {} }, rows: { warehouse: { table: r } } }
windows: { w: { of: free, every: 1m, measures: { n: count(), sum: sum(x) } } }
tests:
  - name: types appear and widen
    events:
      - { stream: free, event: { x: 1, g: { a: t }, timestamp: "2026-01-01T00:00:30Z" } }
      - { stream: free, raw: '[{"x": 2.5, "new": true}, {"x": 3}]' }
      - { stream: rows, event: { y: 1 } }
    expect:
      free: [{ x: 1, g.a: t }, { x: 2.5, new: true }, { x: 3 }]
      w: [{ window_start: "2026-01-01T00:00:00Z", n: 3, sum: 6.5 }]
      rows: [{ y: 1 }]
      paths: { free: [./], rows: [./] }
""", 1)


def test_time_travels_with_events_and_at(root):
    passes(root, CLICKS + """    late_limit: 1h
windows:
  w: { of: clicks, every: 1m, lateness: 5m, measures: { n: count() } }
tests:
  - name: within the limit it is late and counts, beyond it goes to the late table
    events:
      - { stream: clicks, event: { id: a, at: "2026-01-01T10:00:00Z" } }
      - { stream: clicks, event: { id: b, at: "2026-01-01T11:00:00Z" } }
      - { stream: clicks, event: { id: c, at: "2026-01-01T10:00:00Z" } }
      - { stream: clicks, event: { id: d, at: "2026-01-01T09:59:59Z" } }
    expect:
      clicks: [{ id: a }, { id: b }, { id: c, processed_at: "2026-01-01T11:00:00Z" }]
      late: { clicks: [{ id: d }] }
      w: [{ window_start: "2026-01-01T10:00:00Z", n: 2 }, { window_start: "2026-01-01T11:00:00Z", n: 1 }]
  - name: an event from the future makes nobody late
    events:
      - { stream: clicks, event: { id: a, at: "2026-01-01T10:00:00Z" } }
      - { stream: clicks, event: { id: b, at: "2099-01-01T00:00:00Z" }, at: +1s }
      - { stream: clicks, event: { id: c, at: "2026-01-01T10:00:01Z" }, at: "2026-01-01T10:00:02Z" }
    expect:
      clicks: [{ id: a }, { id: b, processed_at: "2026-01-01T10:00:01Z" }, { id: c, processed_at: "2026-01-01T10:00:02Z" }]
      late: { clicks: [] }
  - name: now says when the first one arrives
    now: 2026-02-01T00:00:00Z
    events:
      - { stream: clicks, event: { id: a, at: "2026-01-01T10:00:00Z" } }
      - { stream: clicks, event: { id: b }, at: +30d }
    expect:
      clicks: [{ id: a, processed_at: "2026-02-01T00:00:00Z" }, { id: b, processed_at: "2026-03-03T00:00:00Z" }]
""", 3)
    write(root, CLICKS + """tests:
  - name: back
    events:
      - { stream: clicks, event: { id: a }, at: +2s }
      - { stream: clicks, event: { id: b }, at: +1s }
    expect: { clicks: 2 }
""")
    done = sluice(root, "sluice.yaml")
    assert done.returncode == 1 and "      sluice.yaml:22: event 2 arrives at 2026-01-01T00:00:01Z, before the one before it" in done.stdout, done.stdout


def test_duplicates_within_the_horizon(root):
    passes(root, CLICKS + """    id: id
    dedupe: 1h
tests:
  - name: the first one stays
    events:
      - { stream: clicks, event: { id: a, kind: first, at: "2026-01-01T10:00:00Z" } }
      - { stream: clicks, event: { id: a, kind: again, at: "2026-01-01T10:00:00Z" }, at: +30m }
      - { stream: clicks, event: { id: b, at: "2026-01-01T12:00:00Z" } }
      - { stream: clicks, event: { id: a, kind: old, at: "2026-01-01T10:00:00Z" } }
      - { stream: clicks, event: { id: a, kind: new, at: "2026-01-01T12:00:01Z" } }
    expect:
      clicks: [{ id: a, kind: first }, { id: b }, { id: a, kind: new }]
      duplicates: { clicks: 1 }
      late: { clicks: [{ id: a, kind: old }] }
""", 1)


def test_steps_and_dead_letters(root):
    passes(root, CLICKS + """    steps:
      - where: 'kind != "test"'
      - require: { user: 'user != ""' }
      - set: { large: 'amount > 1000.0' }
      - rename: { user: who }
      - hash: { fields: [place.zip], salt: "${SALT}" }
test_environment: { SALT: 0123456789abcdef }
tests:
  - name: what becomes of events
    events:
      - { stream: clicks, event: { id: a, user: u, kind: k, amount: 1000.01, place: { zip: "12345" } } }
      - { stream: clicks, event: { id: b, user: u, kind: test } }
      - { stream: clicks, event: { id: c, user: "", kind: k } }
      - { stream: clicks, event: { user: u, kind: k } }
      - { stream: clicks, raw: "{\\"id\\": \\"e\\", \\"amount\\": 1.999}\\n{\\"id\\": \\"f\\", \\"user\\": \\"v\\", \\"kind\\": \\"k\\"}\\n[1" }
    expect:
      clicks: [{ id: a, large: true, who: u, place.zip: "b51b36fb2fcd1fa98ea2c0d3a71b2d8e" }, { id: f, large: null }]
      filtered: { clicks: 1 }
      dead_letters: { contains: [{ code: require, path: /user, stream: clicks }, { code: required, path: /id }], count: 4 }
""".replace('place.zip: "b51b36fb2fcd1fa98ea2c0d3a71b2d8e"', "place.zip: " + digest()), 1)


def digest():
    import hashlib
    import hmac

    return hmac.new(b"0123456789abcdef", b"12345", hashlib.sha256).hexdigest()


def test_lookup_tables_come_with_the_test_or_from_their_file(root):
    write(root, "id,plan\nu1,free\n", "users.csv")
    text = "lookups: { users: { csv: FILE, key: id } }" + CLICKS + """    steps:
      - lookup: { table: users, on: user, into: profile }
      - set: { paying: 'profile.plan != "free"' }
tests:
  - name: of the test
    lookups: { users: [{ id: u1, plan: gold, since: 2020 }] }
    events: [{ stream: clicks, event: { id: a, user: u1 } }, { stream: clicks, event: { id: b, user: u2 } }]
    expect: { clicks: [{ paying: true, profile: { plan: gold, since: 2020 } }, { profile: null }] }
  - name: of another test
    lookups: { users: [{ id: u1, plan: free }] }
    events: [{ stream: clicks, event: { id: a, user: u1 } }]
    expect: { clicks: [{ paying: false, profile.since: null }] }
"""
    passes(root, text.replace("FILE", "/nowhere.csv").replace(", profile.since: null", ""), 2)
    passes(root, text.replace("FILE", "users.csv").replace(", profile.since: null", "") + """  - name: of the file
    events: [{ stream: clicks, event: { id: a, user: u1 } }]
    expect: { clicks: [{ paying: false, profile.plan: free }] }
""", 3)
    for name in ("of the test", "of another test", "of the file"):
        assert sluice(root, "sluice.yaml", "--filter", name).returncode == 0, name


def test_events_without_a_stream_find_theirs(root):
    passes(root, """
streams:
  a: { when: 'has(a)', schema: { type: object, properties: { a: { type: integer }, ts: { type: string, format: date-time } } }, event_time: ts }
  b: { when: 'has(b)', schema: { type: object, properties: { b: { type: integer } } } }
tests:
  - name: each finds its own
    events:
      - { event: { b: 1 } }
      - { event: { a: 2, ts: "2026-01-01T01:00:00Z" } }
      - { event: { c: 3 } }
    expect:
      a: [{ a: 2 }]
      b: [{ b: 1 }]
      dead_letters: [{ code: no_stream, stream: _unrouted, arrived: "2026-01-01T01:00:00Z" }]
""", 1)


def test_lines_of_csv_are_events(root):
    schema = "schema: { type: object, properties: { id: { type: string }, n: { type: integer }, place: { type: object, properties: { city: { type: string } } } } }"
    passes(root, f"""
streams:
  lines: {{ format: csv, csv: {{ columns: [id, n, place.city], delimiter: ";" }}, {schema} }}
  json: {{ {schema} }}
tests:
  - name: as the stream says, and as the event says
    events:
      - {{ stream: lines, raw: "a;1;Ulm\\nb;x;Bonn\\n" }}
      - {{ stream: lines, event: {{ id: c, n: 3 }} }}
      - {{ stream: json, raw: "id,n\\nd,4\\n", format: csv }}
      - {{ stream: json, raw: "id,n" }}
    expect:
      lines: [{{ id: a, n: 1, place.city: Ulm }}, {{ id: c, n: 3 }}]
      json: [{{ id: d, n: 4 }}]
      dead_letters: [{{ stream: lines, code: type, path: /n, raw: "b;x;Bonn" }}, {{ stream: json, code: syntax }}]
""", 1)


def test_lines_of_a_file_are_given_as_they_are(root):
    passes(root, """
sources: { log: { file: { path: "${LOGS:?where}/*.csv" } } }
streams:
  lines: { from: [log], format: csv, add: [source], schema: { type: object, properties: { id: { type: string }, n: { type: integer } } } }
  sent: { from: [http], schema: { type: object, properties: { id: { type: string } } } }
tests:
  - name: each source has its stream
    events:
      - { source: log, raw: "id,n\\na,1\\nb,2\\n" }
      - { event: { id: c } }
    expect:
      lines: [{ id: a, n: 1, source: log }, { id: b, n: 2 }]
      sent: [{ id: c }]
""", 1)


def test_days_are_the_configured_zone_s(root):
    passes(root, "timezone: Asia/Tokyo\n" + CLICKS + """    lake: { partition_by: [date, hour] }
tests:
  - name: a new day in Tokyo
    events: [{ stream: clicks, event: { id: a, at: "2026-01-01T15:30:00Z" } }]
    expect: { paths: { clicks: [date=2026-01-02/hour=00] } }
""", 1)


def test_exit_codes_and_options(root):
    write(root, CLICKS + """tests:
  - { name: one thing, events: [{ stream: clicks, event: { id: a } }], expect: { clicks: 1 } }
  - { name: another thing, events: [{ stream: clicks, event: { id: b } }], expect: { clicks: 2 } }
""")
    one, another, none = (sluice(root, "sluice.yaml", "--filter", name) for name in ("one", "another", "third"))
    assert one.returncode == 0 and one.stdout == "ok    one thing\n1 passed, 0 failed\n", one
    assert another.returncode == 1 and another.stdout.endswith("\n0 passed, 1 failed\n"), another
    assert none.returncode == 1 and "no tests of that name" in none.stderr, none
    verbose = sluice(root, "--verbose", "sluice.yaml", "--filter", "one")
    assert '      clicks\n          { id: "a", processed_at: "2026-01-01T00:00:00Z", source: "http" }\n' in verbose.stdout, verbose
    assert sluice(root).returncode == 64 and sluice(root, "sluice.yaml", "--fitler", "x").returncode == 64
    assert sluice(root, "missing.yaml").returncode == 78
    write(root, CLICKS + "tests: [{ name: x, expect: { clciks: 1 } }]\n", "wrong.yaml")
    wrong = sluice(root, "wrong.yaml")
    assert wrong.returncode == 78 and "wrong.yaml:18:30: tests: no stream or window 'clciks' (did you mean 'clicks'?)" in wrong.stderr, wrong
    for file, code in (("sluice.yaml", 0), ("wrong.yaml", 78)):
        assert subprocess.run([BINARY, "validate", file], cwd=root, capture_output=True).returncode == code
    write(root, CLICKS, "none.yaml")
    assert sluice(root, "none.yaml").returncode == 1


def test_a_ci_server_gets_junit_s_form(root):
    write(root, CLICKS + """tests:
  - { name: 'a < b & "c"', events: [{ stream: clicks, event: { id: a } }], expect: { clicks: 1 } }
  - { name: fails, events: [{ stream: clicks, event: { id: a } }], expect: { clicks: [{ id: <> }] } }
""")
    assert sluice(root, "sluice.yaml", "--junit", "result.xml").returncode == 1
    suite = ElementTree.parse(root / "result.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1") and [c.get("name") for c in suite] == ['a < b & "c"', "fails"]
    assert suite[0].find("failure") is None and '- id "<>"\n        + id "a"' in suite[1].find("failure").text
    assert sluice(root, "sluice.yaml", "--filter", "b &", "--junit", "/nowhere/x").returncode == 1


def test_a_terminal_gets_colours(root):
    write(root, CLICKS + "tests: [{ name: x, events: [{ stream: clicks, event: { id: a } }], expect: { clicks: [{ id: b }] } }]\n")

    def shown(**environment):
        ours, its = pty.openpty()
        subprocess.run([BINARY, "test", "sluice.yaml"], cwd=root, stdout=its, env={**os.environ, **environment})
        os.close(its)
        text = os.read(ours, 65536).decode()
        os.close(ours)
        return text

    coloured = shown()
    assert "\x1b[31mFAIL\x1b[0m" in coloured and '\x1b[31m        - id "b"\x1b[0m' in coloured and '\x1b[32m        + id "a"\x1b[0m' in coloured, coloured
    assert "\x1b" not in shown(NO_COLOR="1")


def test_the_same_file_gives_the_same_result_everywhere(root):
    write(root, CLICKS + """    late_limit: 1h
    lake: { partition_by: [kind, date, hour] }
windows: { w: { of: clicks, every: 1m, by: [kind], measures: { n: count(), r: sum(ratio), u: unique(user), q: 'quantile(ratio, 0.9)' } } }
tests:
  - name: many
    events:
""" + "".join(f"""      - {{ stream: clicks, event: {{ id: i{i}, kind: k{i % 3}, user: u{i % 7}, ratio: 0.{i}, at: "2026-01-01T{9 + i * 7 % 11:02}:{i}:00Z" }} }}
""" for i in range(10, 60)) + "    expect: { dead_letters: [] }\n")
    said = [sluice(root, "--verbose", "sluice.yaml", **more).stdout
            for more in ({}, {"TZ": "America/New_York"}, {"SLUICE_WORKERS": "4"}, {"SLUICE_DATA_DIR": "/nowhere", "SLUICE_CUT_EVERY": "100ms"})]
    assert len(said[0].splitlines()) > 60 and len(set(said)) == 1, said


def test_nothing_outside_is_asked_or_touched(root):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.2)
    port = listener.getsockname()[1]
    home, tmp, work = root / "home", root / "tmp", root / "work"
    for directory in (home, tmp):
        directory.mkdir(parents=True)
    write(work, f"""
data_dir: "${{STATE:?where}}"
http: {{ listen: 0.0.0.0:{port}, auth: {{ tokens: ["${{TOKEN}}"] }}, max_body: 10KiB, max_event: 1KiB }}
s3: {{ endpoint: "http://127.0.0.1:{port}", region: eu-central-1 }}
warehouse: {{ redshift: {{ url: "${{URL}}", iam_role: "${{ROLE}}", stage: "s3://shop/stage" }} }}
""" + CLICKS + """    lake: { to: "s3://shop/lake" }
    warehouse: { table: shop.clicks }
    raw: true
tests:
  - name: with the limits that are configured
    events: [{ stream: clicks, event: { id: a } }, { stream: clicks, event: { id: LONG } }]
    expect: { clicks: 1, dead_letters: [{ code: too_large }] }
  - name: too large for a request
    events: [{ stream: clicks, event: { id: LONG LONG LONG LONG LONG LONG LONG } }]
    expect: { clicks: 0 }
""".replace("LONG", "x" * 1600))
    done = sluice(work, "sluice.yaml", HOME=str(home), TMPDIR=str(tmp))
    assert done.stdout.startswith("ok    with the limits") and "event 1: not taken: larger than http.max_body" in done.stdout, done
    left = [p for d in (home, tmp, work) for p in d.rglob("*") if p.name != "sluice.yaml"]
    assert not left, left
    try:
        listener.accept()
        raise AssertionError("somebody called")
    except TimeoutError:
        pass


MANY = CLICKS + """    steps: [set: { double: 'amount * 2.0' }]
windows: { w: { of: clicks, every: 1m, by: [kind], measures: { n: count(), users: unique(user) } } }
tests:
"""


def many(count):
    return MANY + "".join(f"""  - name: test {i}
    events:
      - {{ stream: clicks, event: {{ id: a{i}, kind: k, at: "2026-01-01T00:00:00Z", amount: {i} }} }}
      - {{ stream: clicks, event: {{ id: b{i}, kind: k, at: "2026-01-01T00:00:10Z" }} }}
    expect: {{ clicks: [{{ double: {2 * i} }}, {{ id: b{i} }}], w: [{{ kind: k, n: 2 }}] }}
""" for i in range(count))


def test_a_hundred_tests_take_little_time(root):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    passes(root, many(100), 100)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{10 * used:.1f} ms of CPU per test")
    assert used < 5, used


def test_an_interrupt_ends_it_and_leaves_nothing(root):
    write(root, many(1000))
    tmp = root / "tmp"
    tmp.mkdir()
    running = subprocess.Popen([BINARY, "test", "sluice.yaml"], cwd=root, stdout=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp)})
    assert running.stdout.readline() == b"ok    test 0\n"
    running.send_signal(signal.SIGINT)
    rest = running.stdout.read()
    assert running.wait() == -signal.SIGINT and b"passed" not in rest
    time.sleep(0.1)
    assert sorted(p.name for p in root.rglob("*")) == ["sluice.yaml", "tmp"]


def made_up(n):
    source = random.Random(7)
    for i in range(n):
        event = {"id": f"i{source.randrange(n)}", "at": f"2026-01-01T{10 + 3 * i // n:02}:{source.randrange(60):02}:{source.randrange(60):02}Z",
                 "kind": source.choice("xyz"), "user": f"u{source.randrange(9)}", "amount": source.randrange(-5, 5000) / 4}
        if source.random() < 0.1:
            event["at"] = "2026-01-01T07:00:00Z"
        if source.random() < 0.1:
            event[source.choice(["kind", "user", "amount", "more"])] = source.choice([5, None, {"a": [1]}])
        yield json.dumps(event) if source.random() > 0.03 else json.dumps(event)[:-4]


def test_what_the_daemon_makes_is_what_a_test_sees(root):
    config = {
        "lookups": {"users": {"csv": str(root / "users.csv"), "key": "id"}},
        "streams": {"clicks": {
            "schema": {"type": "object", "required": ["id"], "properties": {
                "id": {"type": "string"}, "user": {"type": "string"}, "kind": {"type": "string"}, "at": {"type": "string", "format": "date-time"},
                "amount": {"type": "number", "x-decimal": [12, 2]}}},
            "event_time": "at", "id": "id", "dedupe": "2h",
            "steps": [{"where": "kind != 'z'"}, {"require": {"amount": "amount >= 0.0"}}, {"lookup": {"table": "users", "on": "user", "into": "who"}},
                      {"set": {"double": "amount * 2.0", "old": "who.age > 40"}}],
            "lake": {"to": str(root / "lake"), "partition_by": ["kind", "hour"]}}},
        "windows": {"per_minute": {"of": "clicks", "every": "10m", "by": ["kind", "who.plan"], "lateness": "5m", "measures": {
            "n": "count()", "users": "unique(user)", "total": "sum(amount)", "old": "count(old)", "share": "old / n", "most": "max(amount)"}}},
    }
    write(root, "id,plan,age\n" + "".join(f"u{i},{'free' if i % 2 else 'paid'},{30 + 5 * i}\n" for i in range(7)), "users.csv")
    events = list(made_up(600))
    daemon = started(Daemon(root, config))
    for e in events:
        daemon.request("POST", "/v1/events/clicks", e.encode())
    daemon.flush()
    duckdb.sql("SET TimeZone = 'UTC'")
    files = f"read_parquet('{root}/lake/**/*.parquet', union_by_name=true, hive_partitioning=false)"
    clicks = [json.loads(r[0]) for r in duckdb.sql(f"SELECT to_json(c) FROM {files} c").fetchall()]
    late = [r[0] for r in duckdb.sql(f"SELECT id FROM '{root}/data/late/**/*.parquet'").fetchall()]
    letters = duckdb.sql(f"SELECT code, path, message, decode(raw) FROM '{root}/data/dead_letters/**/*.parquet' ORDER BY position").fetchall()
    database = sqlite3.connect(root / "data/warehouse.db")
    database.row_factory = sqlite3.Row
    windows = [{k: r[k] for k in r.keys() if not k.startswith("_") and not k.endswith("__state")} for r in database.execute("SELECT * FROM per_minute")]
    counts = {name: int(daemon.metric(f"sluice_{name}_events_total")) for name in ("duplicate",)}
    stopped(daemon)
    assert len(clicks) > 200 and len(late) > 20 and len(letters) > 50 and len(windows) > 20 and counts["duplicate"] > 20, counts
    for click in clicks:
        click["at"] = click["at"] and click["at"].replace(" ", "T").replace("+00", "Z")
        click.pop("_rest", None)
    expect = {
        "clicks": {"contains": clicks, "count": len(clicks)},
        "per_minute": {"contains": windows, "count": len(windows)},
        "late": {"clicks": {"contains": [{"id": i} for i in late], "count": len(late)}},
        "dead_letters": [dict(zip(("code", "path", "message", "raw"), letter)) for letter in letters],
        "duplicates": {"clicks": counts["duplicate"]},
        "paths": {"clicks": sorted(str(p.relative_to(root / "lake")) for p in (root / "lake").glob("*/*"))},
    }
    tests = [{"name": "the same", "now": "2026-01-01T20:00:00Z", "events": [{"stream": "clicks", "raw": e} for e in events], "expect": expect}]
    passes(root, json.dumps({**config, "tests": tests}, indent=1), 1)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
