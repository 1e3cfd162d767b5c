#!/usr/bin/env python3
"""Documents of JSON suites as bodies and as members of events: each verdict is what the file's name says, good
neighbours are kept, refused events lie among the dead letters as they were sent. Numbers keep their bits."""

import re
import struct

from checks import *

need_shared("json", "yyjson", "test_checker")
SUITE = SHARED / "json" / "yyjson"
ANYTHING = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}
NUMBERS = {"type": "object", "properties": {"id": {"type": "integer"}, "x": {"type": "number"}, "i": {"type": "integer"}}}


def valid(path):
    """By the name: README.md of the suite."""
    name = path.name
    if path.parent.name == "test_encoding":
        return name == "utf8.json"
    if "EXCLUDE" in name:
        return True  # fail01 is a document today, fail18 is nested 20 deep
    if name.startswith("fail"):
        return False
    return not set(re.findall(r"\(([a-z_]+)\)", name)) - {"bignum"}


def documents():
    for folder in ("test_checker", "test_encoding", "test_roundtrip", "test_yyjson"):
        yield from sorted((SUITE / folder).glob("*.json"))


def post(d, stream, body):
    status, reply = d.request("POST", f"/v1/events/{stream}", body)
    return status, json.loads(reply)


def as_members(d):
    """Every document inside an event, between two good ones."""
    wrong, lost, replies, kept = [], [], Counter(), {}
    paths = list(documents())
    for n, path in enumerate(paths):
        inner = path.read_bytes()
        body = b'{"id":"before %d"}\n{"id":"%d","doc":' % (n, n) + inner + b'}\n{"id":"after %d"}\n' % n
        status, reply = post(d, "members", body)
        replies["accepted"] += reply["accepted"]
        replies["rejected"] += reply["rejected"]
        good = reply["rejected"] == 0 and reply["accepted"] == 3
        if good != valid(path) or status != 200:
            wrong.append((str(path.relative_to(SUITE)), reply))
        kept[n] = path
    d.flush()
    rows = {}
    for f in files_of(d, "members"):
        for r in pa.parquet.read_table(f, partitioning=None).to_pylist():
            assert r["id"] not in rows, r["id"]
            rows[r["id"]] = r
    for n, path in enumerate(paths):
        lost += [path.name for side in ("before", "after") if f"{side} {n}" not in rows]
    expect(f"members: verdicts of {len(paths)} documents ({sum(map(valid, paths))} of them valid) against their names", wrong, [])
    expect("members: neighbours lost", lost, [])
    expect("members: rows in the lake", len(rows), replies["accepted"])
    different = []
    for n, path in enumerate(paths):
        if valid(path):
            row = rows.get(str(n))
            want = json.loads(path.read_bytes())
            if row is None or json.loads(row["_rest"])["doc"] != want:
                different.append(path.name)
    expect("members: valid documents that came out changed", different, [])
    letters = []
    for f in files_of(d, "members", "dead_letters"):
        letters += pa.parquet.read_table(f, partitioning=None).to_pylist()
    expect("members: dead letters, as many as were rejected", len(letters), replies["rejected"])
    # What follows the error on further lines is judged by itself.
    begun = {x["raw"].split(b'"', 4)[3] for x in letters if x["code"] == "syntax" and x["raw"].startswith(b'{"id":"')}
    expect("members: broken documents whose letter begins as the event did",
           sorted(int(b) for b in begun), [n for n, p in enumerate(paths) if not valid(p)])


def as_bodies(d):
    """Every document as a body of its own: one event, an array of events, or no event at all."""
    wrong, total = [], Counter()
    for path in documents():
        body = path.read_bytes()
        status, reply = post(d, "bodies", body)
        total["accepted"] += reply.get("accepted", 0)
        total["rejected"] += reply.get("rejected", 0)
        codes = {e["code"] for e in reply.get("errors", [])}
        if valid(path):
            root = json.loads(body)
            events = root if isinstance(root, list) else [root]
            objects = sum(isinstance(e, dict) for e in events)
            if (reply.get("accepted"), reply.get("rejected")) != (objects, len(events) - objects) or codes - {"not_an_object"}:
                wrong.append((path.name, status, reply))
            elif status != (200 if objects or not events else 400):
                wrong.append((path.name, status, reply))
        elif path.name == "content_after_doc_4(garbage).json":
            # Two objects are no JSON document; as a body they are NDJSON.
            if (reply["accepted"], reply["rejected"]) != (2, 0):
                wrong.append((path.name, status, reply))
        elif not reply.get("rejected") and status != 400:
            wrong.append((path.name, status, reply))
    expect("bodies: replies against names", wrong, [])
    d.flush()
    db = connect()
    expect("bodies: rows in the lake", db.execute(f"SELECT count(*) FROM {lake_sql(d, 'bodies')}").fetchone()[0], total["accepted"])
    expect("bodies: dead letters", db.execute(f"SELECT count(*) FROM {lake_sql(d, 'bodies', 'dead_letters')}").fetchone()[0], total["rejected"])


def cellphones(d):
    lines = need_shared("json", "simdjson", "amazon_cellphones.ndjson").read_bytes().splitlines()
    names, rows = json.loads(lines[0]), [json.loads(l) for l in lines[1:]]
    # A body that begins with '[' is an array, so the file itself brings its first line's names as 9 events.
    status, reply = post(d, "phones_alone", b"\n".join(lines))
    expect("cellphones alone: status, accepted, rejected", (status, reply["accepted"], reply["rejected"]), (400, 0, len(names) + len(rows)))
    body = b"\n".join([b'{"id":"a"}', *lines[:400], b'{"id":"b"}', *lines[400:], b'{"id":"c"}'])
    status, reply = post(d, "phones", body)
    expect("cellphones: status, accepted, rejected", (status, reply["accepted"], reply["rejected"]), (200, 3, len(lines)))
    expect("cellphones: first errors", ([e["index"] for e in reply["errors"]][:3], {e["code"] for e in reply["errors"]}, len(reply["errors"])),
           ([1, 2, 3], {"not_an_object"}, 100))
    objects = [dict(zip(names, r), id=str(i)) for i, r in enumerate(rows)]
    post(d, "phones", json.dumps(objects).encode())
    d.flush()
    db = connect()
    letters = [r[0] for r in db.execute(f'SELECT raw FROM {lake_sql(d, "phones", "dead_letters")} ORDER BY position, "index"').fetchall()]
    expect("cellphones: dead letters hold the lines", letters, lines)
    got = {r[0]: json.loads(r[1]) for r in db.execute(f"SELECT id, _rest FROM {lake_sql(d, 'phones')} WHERE _rest IS NOT NULL").fetchall()}
    expect("cellphones: the same as objects in an array", got, {o["id"]: {k: v for k, v in o.items() if k != "id"} for o in objects})


def bits(x):
    return struct.pack("<d", x)


def numbers(d):
    sent, refused, wrong = {}, {}, []
    n = 0
    for path in sorted((SUITE / "num").iterdir()):
        if path.name.startswith("README"):
            continue
        texts = [t.strip() for t in read_bytes(path).split(b"\n")]
        texts = [t for t in texts if t and not t.startswith(b"#")]
        strict = path.name.startswith(("int", "real")) and not re.search(r"\((ext|fail)\)", path.name)
        whole = path.name.startswith("int") and strict
        for at_ in range(0, len(texts), 500):
            events, ids = [], []
            for t in texts[at_ : at_ + 500]:
                events.append(b'{"id":%d,"x":%s}' % (n, t))
                ids.append((n, t))
                n += 1
                if whole:
                    events.append(b'{"id":%d,"i":%s}' % (n, t))
                    ids.append((n, b"i" + t))
                    n += 1
            # One body each for what must be refused: an error there may not hide another.
            bodies = [b"\n".join(events)] if strict and "inf" not in path.name else events
            index = 0
            for body in bodies:
                status, reply = post(d, "numbers", body)
                errors = {index + e["index"]: e["code"] for e in reply.get("errors", [])}
                if len(bodies) == 1 and reply["rejected"] > 100:
                    wrong.append((path.name, "too many refused", reply["rejected"]))
                for i, (k, t) in enumerate(ids if len(bodies) == 1 else ids[index : index + 1], index):
                    code = errors.get(i)
                    if not strict:
                        if code is None:
                            wrong.append((path.name, t, "accepted"))
                        continue
                    want_code = None
                    if t.startswith(b"i"):
                        want_code = "range" if not -(2**63) <= int(t[1:]) < 2**63 else None
                    elif abs(float(t)) == float("inf"):
                        want_code = "range"
                    if code != want_code:
                        wrong.append((path.name, t[:60], code, want_code))
                    if code is None:
                        sent[k] = t
                index += 1
    d.flush()
    expect(f"numbers: verdicts of {n} numbers", wrong[:10], [])
    different, count = [], 0
    for f in files_of(d, "numbers"):
        for r in pa.parquet.read_table(f, partitioning=None).to_pylist():
            count += 1
            t = sent[r["id"]]
            same = r["i"] == int(t[1:]) if t.startswith(b"i") else bits(r["x"]) == bits(float(t))
            if not same:
                different.append((t, r["x"], r["i"]))
    expect("numbers: rows", count, len(sent))
    expect("numbers: not the same bits", different[:5], [])


def main():
    d = daemon(
        "suites",
        {
            "cut": {"every": "100ms"},
            "streams": {
                "members": {"schema": ANYTHING},
                "bodies": {"schema": {"type": "object"}},
                "phones": {"schema": ANYTHING},
                "phones_alone": {"schema": ANYTHING},
                "numbers": {"schema": NUMBERS},
            },
        },
    )
    as_members(d)
    as_bodies(d)
    cellphones(d)
    numbers(d)
    audit_clean(d)
    stop(d)
    finish()


if __name__ == "__main__":
    main()
