#!/usr/bin/env python3
"""Random nested events with odd keys and changing types, without a schema: whatever became a column, widened,
drifted or went to `_rest`, each event can be put together again, and all files can be read as one."""

import random
from concurrent.futures import ThreadPoolExecutor

from checks import *
from rebuild import differences, rebuilt

KEYS = [
    "a", "b", "A", "name", "Name", "x.y", "x", "y", "", " ", "ключ", "k\u0000null", "quote\"d", "back\\slash", "new\nline", "_rest",
    "source", "processed_at", "count", "window_start", "date", "hour", "select", "1", "-", "😀", "k" * 255, "k" * 300, "list", "element",
    "timestamp", "created_at", "ts", "nested", "n1", "n2", "n3", "_position", "e\u0301", "\u00e9", "~", "/", "$ref", "a_b",
]  # fmt: skip


def value(r, depth):
    kind = r.random()
    if depth < 11 and kind < 0.22:
        return {k: value(r, depth + 1) for k in r.sample(KEYS, r.randrange(0, 4))}
    if kind < 0.30:
        return [value(r, depth + 3) if r.random() < 0.2 else r.choice([1, "x", None, True]) for _ in range(r.randrange(3))]
    return r.choice(
        [
            None, True, False, 0, 1, -1, r.randrange(-(2**40), 2**40), 2**53 + 1, -(2**63), 12345678901234567890123, 0.5, -1e-7, 1e300, r.uniform(-1e6, 1e6), "", "text", "ünï", "1", "true",
            "null", "{}", "[1]", '"', "\u0001\u001f", "2021-01-02T03:04:05Z", "2021-01-02T03:04:05.123456789+01:00", "2021-01-02", "\u0000", "😀" * 3,
        ]  # fmt: skip
    )


def run(seed, workers, cuts):
    r = random.Random(seed)
    d = daemon(f"seed-{seed}", {"workers": workers, "cut": {"every": "1d"}, "lake": {"max_age": "1d"}})
    sent, bodies = {}, []
    for cut in range(cuts):
        bodies.append([])
        for body in range(4 * cut, 4 * cut + 4):
            events = []
            for _ in range(r.choice([1, 5, 40])):
                i = f"e{len(sent)}"
                # Keys of the beginning are few, so that columns come and change over time.
                keys = r.sample(KEYS[: 6 + body * 3], min(6 + body * 3, r.randrange(7), len(KEYS)))
                e = {k: value(r, 0) for k in keys}
                e["id"] = i
                events.append(e)
                sent[i] = e
            texts = [json.dumps(e, ensure_ascii=r.random() < 0.5).encode() for e in events]
            raw = b"[" + b",".join(texts) + b"]" if r.random() < 0.5 else b"\n".join(texts)
            bodies[-1].append((raw, len(events)))
    for some in bodies:
        # Odd seeds send side by side, so that workers see schemas of different age.
        with ThreadPoolExecutor(4 if seed % 2 else 1) as pool:
            for (raw, count), (status, reply) in zip(some, pool.map(lambda b: d.post(b[0], "/v1/events/odd"), some)):
                if (status, reply.get("accepted")) != (200, count):
                    hold(f"seed {seed}: accepted", False, (status, reply, raw[:300]))
        d.flush()
        if r.random() < 0.2:
            d.kill()
            assert d.start() is None, d.said()[-2000:]
    d.flush()
    rows = {}
    twice = 0
    for f in files_of(d, "odd"):
        for row in pa.parquet.read_table(f, partitioning=None).to_pylist():
            twice += row["id"] in rows
            rows[row["id"]] = row
    wrong = []
    for i, e in sent.items():
        if i not in rows:
            wrong.append((i, "missing"))
            continue
        row = dict(rows[i])
        try:
            wrong += [(i, *x) for x in differences(e, rebuilt(row))]
        except AssertionError as x:
            wrong.append((i, str(x), e, row))
    if twice or wrong:
        hold(f"seed {seed}, {workers} workers: {len(sent)} events put together again", False, f"{twice} twice, {len(wrong)} differ: {str(wrong[:2])[:800]}")
    db = connect()
    try:
        n = db.execute(f"SELECT count(*), count(DISTINCT id) FROM {lake_sql(d, 'odd')}").fetchone()
    except duckdb.Error as x:
        n = str(x)[:500]
    columns = {f.name for p in files_of(d, "odd") for f in pa.parquet.read_schema(p)}
    code, text = d.audit()
    good = n == (len(sent), len(sent)) and code == 0
    hold(f"seed {seed}, {workers} workers, {cuts} cuts: {len(sent)} events, {len(columns)} columns, {d.metric('sluice_schema_drift_total'):.0f} drifted; DuckDB and audit", good, "" if good else (n, text))
    code = d.stop()
    if code != 0:
        hold(f"seed {seed}: exit code", False, code)


def oracle():
    """What compares here sees a member that got lost, came from nowhere or became another value."""
    text = {"a": {"l": "{}"}}
    for what, original, got, alike in (
        ("an empty object as JSON text", {"a": {"l": {}}}, text, True),
        ("null for an empty object in JSON text", {"a": {"l": {}}}, {"a": {"l": None}}, False),
        ("an empty object from nowhere", {"a": {}}, text, False),
        ("an object's JSON text from nowhere", {}, {"a": "{}"}, False),
        ("an object without its member", {"a": {"l": {}}}, {"a": {}}, False),
        ("no object at all", {"a": {"l": {}}}, {}, False),
        ("null for an empty object", {"a": {}}, {"a": None}, False),
        ("an empty object for null", {"a": None}, {"a": {}}, False),
        ("a group without values", {"a": {}}, {"a": {"l": None}}, True),
        ("null for nothing", {"a": None}, {}, True),
        ("null in JSON text", {"a": {"n": None}}, {"a": '{"n": null}'}, True),
        ("null's text from nowhere", {"a": None}, {"a": "null"}, False),
        ("1 for true", {"a": True}, {"a": 1}, False),
        ("a number as its text", {"a": 1}, {"a": "1"}, True),
        ("an integer in a column of doubles", {"a": 1}, {"a": 1.0}, True),
        ("a double for an integer", {"a": 1.5}, {"a": 1}, False),
    ):
        if (not list(differences(original, got))) != alike:
            hold(f"oracle: {what} is {'alike' if alike else 'a difference'}", False, (original, got))


def empty_objects():
    """Objects that hold nothing, whatever came first: a group, an array or a scalar."""
    d = daemon("empty", {"workers": 2, "cut": {"every": "1d"}, "lake": {"max_age": "1d"}})
    odd = [
        {"a": {"back\\slash": {}}}, {"a": {"back\\slash": {"n": None}}}, {"a": {"back\\slash": {"n": {}}}}, {"a": {"back\\slash": []}},
        {"a": {"back\\slash": "{}"}}, {"a": {"back\\slash": None}}, {"a": {}}, {"a": None}, {"a": {"other": {}}}, {"a": "{}"}, {"other": {}}, {},
    ]  # fmt: skip
    first = {
        "group": [{"a": {"x": 1}}, {"a": {"back\\slash": [None]}}], "deep": [{"a": {"back\\slash": {"n": {"x": 1}}}}],
        "text": [{"a": {"back\\slash": "text"}}], "array": [{"a": [None]}], "scalar": [{"a": 1}], "nothing": [],
    }  # fmt: skip
    for name, some in first.items():
        for cut in (False, True):
            # The types are frozen by a cut in between, or the schema changes below one batch.
            stream = f"{name}_{cut}"
            sent = [{**e, "id": i} for i, e in enumerate(some + odd)]
            at = len(some) if cut else 0
            for part in (sent[:at], sent[at:]):
                if part:
                    d.post(part, f"/v1/events/{stream}")
                    d.flush()
            rows = {r["id"]: r for f in files_of(d, stream) for r in pa.parquet.read_table(f, partitioning=None).to_pylist()}
            wrong = [(e, x) for e in sent for x in differences(e, rebuilt(rows[e["id"]]))]
            hold(f"empty objects behind {name}{', after a cut' if cut else ''}: {len(rows)} put together again", len(rows) == len(sent) and not wrong, wrong[:3] if wrong else "")
            if name == "group":
                # Not just alike: a column that began with an array holds the text of whatever comes.
                text = rows[len(some)]["a"]
                expect(f"empty objects behind {name}: the text", text, {"x": None, "back\\slash": "{}"})
    hold("empty objects: exit code", d.stop() == 0)


def main():
    oracle()
    empty_objects()
    seeds = int(os.environ.get("SLUICE_INFERRED_SEEDS", "28"))
    first = int(os.environ.get("SLUICE_INFERRED_FIRST", "0"))
    for seed in range(first, first + seeds):
        run(seed, 1 + seed % 4, 1 + seed % 6)
    finish()


if __name__ == "__main__":
    main()
