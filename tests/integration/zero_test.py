#!/usr/bin/env python3
"""Without any configuration: the README's curl, every form of body, every coding, types that widen before the first
cut and drift after it, event times found by name, a hundred streams and no more."""

import shutil
import subprocess
import zlib

from checks import *
from rebuild import differences, rebuilt


def rows(d, stream, kind="lake"):
    out = []
    for f in files_of(d, stream, kind):
        out += pa.parquet.read_table(f, partitioning=None).to_pylist()
    return out


def types(d, stream):
    """Column types of each file, in the order of positions."""
    return [
        {f.name: str(f.type) for f in pa.parquet.read_schema(p)}
        for p in sorted(files_of(d, stream), key=lambda p: Path(p).name.split("-")[1])
    ]


def readme(d):
    body = '{"user_id":"u1","event_type":"page_view","amount":3.5}'
    if shutil.which("curl"):
        out = subprocess.run(["curl", "-sS", "-d", body, f"127.0.0.1:{d.port}/v1/events"], capture_output=True, text=True)
        print("by curl: " + out.stdout + out.stderr)
        reply = json.loads(out.stdout)
    else:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        reply = json.loads(d.request("POST", "/v1/events", body.encode(), headers)[1])
    expect("readme: reply", (reply["accepted"], reply["rejected"]), (1, 0))
    d.flush()
    db = connect()
    expect("readme: DuckDB's row", db.execute(f"SELECT user_id, event_type, amount FROM {lake_sql(d, 'events')}").fetchall(), [("u1", "page_view", 3.5)])
    expect("readme: its window", [r["count"] for r in table(d, "events_per_minute")], [1])
    expect("readme: /v1/windows", [r["count"] for r in d.windows("events_per_minute")], [1])


def bodies(d):
    gz = lambda b: gzip.compress(b)
    zstd = lambda b: pa.Codec("zstd").compress(b, asbytes=True)
    event = lambda i: {"i": i, "text": "é\n\"\\ " + "x" * (i % 50)}
    sent, n = {}, 0

    def forms():
        some = [event(i) for i in range(n, n + 7)]
        lines = lines_of(some)
        yield "one object", lines_of([event(n)])[0], 1, {}
        yield "pretty object", json.dumps(event(n), indent=2).encode(), 1, {}
        yield "array", json.dumps(some).encode(), 7, {}
        yield "pretty array", json.dumps(some, indent=1).encode(), 7, {}
        yield "lines", b"\n".join(lines), 7, {}
        yield "lines with CR LF and a newline at the end", b"\r\n".join(lines) + b"\r\n", 7, {}
        yield "lines with empty ones", b"\n\n".join(lines) + b"\n \n", 7, {}
        yield "objects without a newline", b"".join(lines), 7, {}
        yield "white space before", b" \t\r\n" + lines[0], 1, {}
        big = [event(i) for i in range(n, n + 5000)]
        yield "gzip", gz(b"\n".join(lines_of(big))), 5000, {"Content-Encoding": "gzip"}
        yield "gzip, two members", gz(b"\n".join(lines[:3]) + b"\n") + gz(b"\n".join(lines[3:])), 7, {"Content-Encoding": "gzip"}
        yield "zstd", zstd(b"\n".join(lines_of(big))), 5000, {"Content-Encoding": "zstd"}
        yield "zstd, two frames", zstd(b"\n".join(lines[:3]) + b"\n") + zstd(b"\n".join(lines[3:])), 7, {"Content-Encoding": "zstd"}
        yield "deflate", zlib.compress(json.dumps(big).encode()), 5000, {"Content-Encoding": "deflate"}
        yield "x-gzip", gz(lines[0]), 1, {"Content-Encoding": "x-gzip"}
        yield "content types", lines[0], 1, {"Content-Type": "application/x-ndjson; charset=utf-8"}

    at_ = 0
    while True:
        whole = list(forms())
        if at_ == len(whole):
            break
        what, body, count, headers = whole[at_]
        status, reply = d.request("POST", "/v1/events/bodies", body, headers)
        if what == "x-gzip":
            # RFC 9110 8.4.1.3: to be taken as gzip; the documentation names gzip alone.
            print(f"x-gzip: {status}")
            count = json.loads(reply).get("accepted", 0)
        else:
            expect(f"bodies: {what}", (status, json.loads(reply).get("accepted")), (200, count))
        for i in range(n, n + count):
            sent[i] = event(i)
        n += count
        at_ += 1
    before = d.metric("sluice_requests_total")
    for what, body, headers, codes in (
        ("empty body", b"", {}, (400,)),
        ("white space", b" \n ", {}, (400,)),
        ("empty array", b"[]", {}, (200, 400)),
        ("not gzip", b"{}", {"Content-Encoding": "gzip"}, (400,)),
        ("gzip cut off", gz(b'{"i":1}')[:-9], {"Content-Encoding": "gzip"}, (400,)),
        ("zstd with a wrong byte", bytes(b ^ (i == 9) for i, b in enumerate(zstd(b'{"i":1,"text":"' + b"abc" * 99 + b'"}'))), {"Content-Encoding": "zstd"}, (400,)),
        ("brotli", b"{}", {"Content-Encoding": "br"}, (415,)),
        ("bomb", gz(b" " * (11 << 20) + b"{}"), {"Content-Encoding": "gzip"}, (413,)),
        ("image", b"{}", {"Content-Type": "image/png"}, (415,)),
        ("name of a stream", b"{}", {}, (400, 404)),
    ):
        path = "/v1/events/no%20name" if what == "name of a stream" else "/v1/events/bodies"
        status, reply = d.request("POST", path, body, headers)
        if not hold(f"bodies: {what} gets {status}", status in codes, reply[:150].decode()):
            n += json.loads(reply).get("accepted", 0)
    print(f"requests made durable by these: {d.metric('sluice_requests_total') - before:.0f}")
    d.flush()
    got = {r["i"]: r for r in rows(d, "bodies") if r["i"] is not None}
    expect("bodies: every event as it was sent", {i: {"i": r["i"], "text": r["text"]} for i, r in got.items()}, sent)


def widening(d):
    """Types before the first cut: the widest that was seen; after it: what doesn't fit goes to _rest."""
    early = [
        {"n": 1, "b": True, "t": "a", "o": {"x": 1}, "l": [1]},
        {"n": 2.5, "b": "yes", "o": {"x": 2, "y": {"z": None}}, "late": None},
        {"n": 9007199254740992, "o": {"x": "three"}},  # the last integer that a double surely holds
        {"s": 1},
        {"s": 2.25},
        {"s": "word"},
        {"big": 12345678901234567890},
        {"f": 1e300, "e": 1e2, "z": -0.0},
        {"ts": "2021-05-05T12:00:00+02:00", "created_at": "soon"},
        {"A": 1, "a": 2},
        {"date": "2020-02-02", "null": None, "empty": {}, "list": []},
    ]
    for e in early:
        d.post([e], "/v1/events/wide")
    d.flush()
    first = types(d, "wide")
    print(f"first version: {first[0]}")
    expect("widening: types of n, b, s, l, o.x", [first[0]["n"], first[0]["b"], first[0]["s"], first[0]["l"]], ["double", "string", "string", "string"])
    late = [
        {"n": "eleven", "b": False, "s": {"now": "an object"}, "o": 5},
        {"n": 3, "fresh": 1, "o": {"w": True, "x": 7}},
        {"l": {"was": "a list"}, "t": 5, "fresh": "other"},
        {"n": None, "o": {"x": None}},
    ]
    drift = d.metric("sluice_schema_drift_total")
    for e in late:
        d.post([e], "/v1/events/wide")
    d.flush()
    after = types(d, "wide")
    stable = all(f.get(c, t) == t or f[c].startswith("struct") for f in after for c, t in first[0].items())
    hold("drift: no column changed its type between files", stable, "" if stable else after)
    hold("drift: counted", d.metric("sluice_schema_drift_total") > drift, d.metric("sluice_schema_drift_total") - drift)
    db = connect()
    expect("drift: DuckDB reads all files as one", db.execute(f"SELECT count(*) FROM {lake_sql(d, 'wide')}").fetchone()[0], len(early) + len(late))
    by = sorted(files_of(d, "wide"), key=lambda p: Path(p).name)
    got = [r for f in by for r in pa.parquet.read_table(f, partitioning=None).to_pylist()]
    sent = early + late
    left = []
    for r in got:
        found = [e for e in sent if not list(differences(e, rebuilt(r)))]
        if found:
            sent.remove(found[0])
        else:
            left.append(r)
    expect("drift: events that can't be put together again", (sent, left), ([], []))


def event_times(d):
    """A timestamp under an obvious name is the event time."""
    for name in ("timestamp", "ts", "@timestamp", "created_at", "event_time"):
        stream = "time_" + name.replace("@", "at_")
        d.post([{name: f"2022-07-0{i % 3 + 1}T10:00:0{i}Z", "i": i} for i in range(9)], f"/v1/events/{stream}")
        d.flush()
        expect(f"event time: {name}", {r["window_start"]: r["count"] for r in table(d, stream + "_per_minute")},
               {f"2022-07-0{k}T10:00:00Z": 3 for k in (1, 2, 3)})


def hundred(root):
    d = daemon("hundred")
    status = [d.request("POST", f"/v1/events/s{i}", b'{"i":%d}' % i)[0] for i in range(105)]
    replies = [d.post([{"i": i}], f"/v1/events/s{i}") for i in (0, 99, 103)]
    expect("streams: statuses of 105 new names", Counter(status), Counter({200: 100, 400: 5}) if 400 in status else Counter({200: 100, 404: 5}))
    expect("streams: a known one, the last one, one too many", [(s, r.get("accepted", 0)) for s, r in replies], [(200, 1), (200, 1), (status[-1], 0)])
    print(f"  the last one's reply: {replies[-1]}")
    d.flush()
    have = sorted(p.name for p in (d.directory / "data" / "lake").iterdir())
    expect("streams: directories in the lake", have, sorted(f"s{i}" for i in range(100)))
    expect("streams: rows", sum(len(rows(d, s)) for s in have), 102)
    letters = rows(d, "_unrouted", "dead_letters")
    expect("streams: dead letters no_stream", Counter(r["code"] for r in letters), Counter({"no_stream": 6}))
    audit_clean(d)
    # The names are known after a restart, too.
    d.kill()
    assert d.start() is None
    expect("streams: after kill -9 a known and an unknown one", [d.request("POST", f"/v1/events/{s}", b"{}")[0] for s in ("s99", "s100")], [200, status[-1]])
    d.flush()
    expect("streams: rows after the restart", sum(len(rows(d, s)) for s in have), 103)
    audit_clean(d)
    stop(d)


def restart(d):
    """Frozen types are known after kill -9."""
    d.post([{"v": 1, "k": "a"}], "/v1/events/again")
    d.flush()
    d.post([{"v": 2, "k": "b", "more": 1}], "/v1/events/again")
    d.kill()
    assert d.start() is None, d.said()[-2000:]
    d.post([{"v": "three", "k": "c", "more": 2.5}], "/v1/events/again")
    d.flush()
    got = sorted((r["k"], r["v"], r.get("more"), r["_rest"]) for r in rows(d, "again"))
    print(f"restart: {got}")
    expect("restart: v stays an integer", [(k, v) for k, v, _, _ in got], [("a", 1), ("b", 2), ("c", None)])
    expect("restart: the misfit is in _rest", json.loads(got[2][3]).get("v"), "three")


def main():
    d = daemon("zero", {"cut": {"every": "1d"}, "lake": {"max_age": "1d"}})
    readme(d)
    bodies(d)
    widening(d)
    event_times(d)
    restart(d)
    audit_clean(d)
    stop(d)
    hundred(ROOT)
    finish()


if __name__ == "__main__":
    main()
