#!/usr/bin/env python3
"""Where rows go: processed_at and source, the late table, partition directories whose names need escaping, dates of
a time zone, a lake on another file system."""

import re
import shutil
import tempfile
from urllib.parse import unquote
from zoneinfo import ZoneInfo

from checks import *

TEXT = {"type": "string"}
TIME = {"type": "string", "format": "date-time"}
SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "place": TEXT,
        "at": TIME,
        "number": {"type": "integer"},
        "flag": {"type": "boolean"},
        "day": {"type": "string", "format": "date"},
        "price": {"type": "number", "x-decimal": [9, 2]},
        "inner": {"type": "object", "properties": {"deep": TEXT}},
    },
}
PLACES = [
    "plain", "with space", "a/b", "..", ".", "a=b", "50%", "%2F", "ü ö", "日本", "x:y", "q?*", '"quoted"', "it's", "back\\slash",
    "tab\tnew\nline", "#hash", "[brackets]", "{braces}", "comma,semi;", "NULL", "null", "__HIVE_DEFAULT_PARTITION__",
    "-dash", "~tilde", "a+b&c", "UPPER", "upper", " lead", "trail ", "trail.", "e\u0301", "\u00e9", "\x7f", "😀", "x" * 200, "ü" * 120, "x" * 249, "x" * 250,
    "x" * 300, "y" * 300, "/" * 100, "日" * 5000, "x" * 100_000, "", None,
]  # fmt: skip


def directories(d, stream, base=None):
    """(directory parts below the stream, rows) of each file, read without DuckDB's or Arrow's own idea of them."""
    base = Path(base or d.lake(stream))
    for f in sorted(base.rglob("*.parquet")):
        yield f.relative_to(base).parts[:-1], pa.parquet.read_table(f, partitioning=None).to_pylist()


def places():
    """Every odd value comes back, by unquoting and by DuckDB."""
    d = daemon(
        "places",
        {
            "cut": {"every": "1d"},
            "streams": {"places": {"schema": SCHEMA, "event_time": "at", "lake": {"partition_by": ["place"], "max_age": "1d"}}},
        },
    )
    sent = {i: p for i, p in enumerate(PLACES)}
    total = send(d, lines_of([{"id": i} | ({} if p is None else {"place": p}) for i, p in sent.items()]), "places")
    expect("places: accepted", total["accepted"], len(PLACES))
    d.flush()
    names, wrong = {}, []
    for parts, rows in directories(d, "places"):
        key, _, value = parts[0].partition("=")
        for r in rows:
            names[r["id"]] = parts[0]
            inside = r.get("place", sent[r["id"]])
            if len(parts) != 1 or key != "place" or inside != sent[r["id"]]:
                wrong.append((r["id"], parts))
            if sent[r["id"]] and len(sent[r["id"]].encode()) < 60 and unquote(value) != sent[r["id"]]:
                wrong.append((r["id"], parts, sent[r["id"]]))
    expect("places: each row in the directory of its value", wrong, [])
    print(f"  {names[2]!r} {names[3]!r} {names[5]!r} {names[7]!r} {names[15]!r} null {names[len(PLACES) - 1]!r} empty {names[len(PLACES) - 2]!r} long {names[35][:24]!r}…")
    # Null, nothing and Hive's own word for null are one directory.
    expect("places: distinct directories", len(set(names.values())), len(set(PLACES)) - 2)
    db = connect()
    columns = [r[0] for f in files_of(d, "places")[:1] for r in db.execute(f"DESCRIBE SELECT * FROM read_parquet('{f}', hive_partitioning=false)").fetchall()]
    print(f"  the column itself is {'kept in' if 'place' in columns else 'left out of'} the files")
    got = dict(db.execute(f"SELECT id, place FROM {lake_sql(d, 'places', hive_partitioning='true', hive_types_autocast='false')}").fetchall())
    odd = {i: (sent[i], got.get(i)) for i in sent if got.get(i) != sent[i] and (sent[i] or got.get(i))}
    # Nor can a directory's name say more than 200 bytes, or Hive's own word for null.
    allowed = {i for i, p in sent.items() if p and (len(re.sub('["#%\'*/:=?\\\\{\\[\\]^\x00-\x1f\x7f]', "%xx", p).encode()) > 200 or p == "__HIVE_DEFAULT_PARTITION__")}
    hold("places: DuckDB reads back each value, but long ones and __HIVE_DEFAULT_PARTITION__", set(odd) <= allowed, {k: str(v)[:50] for k, v in odd.items()})
    dataset = pa.dataset.dataset(str(d.lake("places")), format="parquet", partitioning=pa.dataset.partitioning(pa.schema([("place", pa.string())]), flavor="hive"))
    by = {r["id"]: r["place"] for r in dataset.to_table(columns=["id", "place"]).to_pylist()}
    odd = {i: (sent[i], by.get(i)) for i in sent if by.get(i) != sent[i] and (sent[i] or by.get(i))}
    hold("places: pyarrow reads back each value, but the same", set(odd) <= allowed, {k: str(v)[:50] for k, v in odd.items()})
    audit_clean(d)
    stop(d)


def kinds_of_values():
    """Partitions by integer, boolean, date, decimal, nested field, date and hour in a zone with daylight saving time."""
    zone = ZoneInfo("Europe/Berlin")
    d = daemon(
        "values",
        {
            "timezone": "Europe/Berlin",
            "cut": {"every": "1d"},
            "streams": {
                "values": {
                    "schema": SCHEMA,
                    "event_time": "at",
                    "lake": {"partition_by": ["number", "flag", "day", "price", "inner.deep", "date", "hour"], "max_age": "1d"},
                }
            },
        },
    )
    sent = []
    base = datetime(2024, 3, 30, 21, 30, tzinfo=UTC)  # over the change to summer time
    for i in range(12):
        sent.append({"id": i, "at": (base + timedelta(hours=i)).isoformat(), "number": i % 3 - 1, "flag": i % 2 == 0, "day": f"2020-02-2{i % 9 + 1}", "price": [0.5, -12, 1234567.89][i % 3], "inner": {"deep": f"d/{i % 2}"}})
    for i in range(12, 18):  # and back
        sent.append({"id": i, "at": (datetime(2024, 10, 26, 22, 30, tzinfo=UTC) + timedelta(hours=i - 12)).isoformat()})
    sent.append({"id": 18, "at": "1969-12-31T23:30:00Z"})
    sent.append({"id": 19, "at": "0001-01-01T12:00:00Z"})
    sent.append({"id": 20, "at": "9999-12-31T12:00:00Z"})
    total = send(d, lines_of(sent), "values")
    expect("values: accepted", total["accepted"], len(sent))
    d.flush()
    wrong, names = [], {}
    for parts, rows in directories(d, "values"):
        have = {unquote(p.partition("=")[0]): unquote(p.partition("=")[2]) for p in parts}
        for r in rows:
            e = sent[r["id"]]
            names[r["id"]] = "/".join(parts)
            if 1900 < at(e["at"]).year < 2100:
                local = at(e["at"]).astimezone(zone)
                if (have["date"], have["hour"]) != (local.strftime("%Y-%m-%d"), local.strftime("%H")):
                    wrong.append((e["at"], "/".join(parts)))
            if "number" in e:
                want = {"number": str(e["number"]), "flag": str(e["flag"]).lower(), "day": e["day"], "price": f"{e['price']:.2f}", "inner.deep": e["inner"]["deep"]}
                if {k: have.get(k) for k in want} != want:
                    wrong.append((want, "/".join(parts)))
    expect("values: directories by integer, boolean, date, decimal, nested text, local date and hour", wrong, [])
    for i in (0, 18, 19, 20):
        print(f"  {names.get(i)}")
    db = connect()
    expect("values: rows by DuckDB", db.execute(f"SELECT count(*), count(DISTINCT id) FROM {lake_sql(d, 'values', hive_partitioning='true', hive_types_autocast='false')}").fetchone(), (len(sent), len(sent)))
    audit_clean(d)
    stop(d)


def own_columns():
    """processed_at, source and the late table, whose rows are judged by the watermark at their position."""
    d = daemon(
        "own",
        {
            "cut": {"every": "100ms"},
            "streams": {
                "own": {
                    "schema": SCHEMA,
                    "event_time": "at",
                    "add": ["processed_at", "source"],
                    "late_limit": "1h",
                    "lake": {"partition_by": ["date"]},
                    "warehouse": {"table": "own_rows"},
                },
                "guess": {"add": ["source", "processed_at"]},
            },
            "windows": {"own_hours": {"of": "own", "every": "1h", "lateness": "10m", "by": ["source"], "measures": {"n": "count()", "last": "max(processed_at)"}}},
        },
    )
    began = datetime.now(UTC)
    day = datetime(2021, 6, 1, 12, tzinfo=UTC)
    plan = [  # minutes after noon, and whether that is late
        (0, False), (60, False), (0, False), (-1, True), (120, False), (60, False), (59, True), (10_000_000, False), (121, True), (119, True),
    ]  # fmt: skip
    # Far in the future: the watermark goes no further than the arrival, and everything before is late from there.
    for i, (minutes, _) in enumerate(plan):
        d.post([{"id": i, "at": (day + timedelta(minutes=minutes)).isoformat()}], "/v1/events/own")
    d.post([{"a": 1}], "/v1/events/guess")
    d.flush()
    ended = datetime.now(UTC)

    def ids(kind):
        return sorted(r["id"] for f in files_of(d, "own", kind) for r in pa.parquet.read_table(f, partitioning=None).to_pylist())

    expect("own: late ones", ids("late"), [i for i, p in enumerate(plan) if p[1]])
    expect("own: the others", ids("lake"), [i for i, p in enumerate(plan) if not p[1]])
    rows = [r for k in ("lake", "late") for f in files_of(d, "own", k) for r in pa.parquet.read_table(f, partitioning=None).to_pylist()]
    margin = timedelta(seconds=1)
    hold("own: processed_at is the arrival in all rows", all(r["processed_at"] and began - margin <= r["processed_at"] <= ended for r in rows), [str(r["processed_at"]) for r in rows[:2]])
    in_order = [r["processed_at"] for r in sorted(rows, key=lambda r: r["id"])]
    hold("own: processed_at follows the order of arrival", in_order == sorted(in_order))
    expect("own: source", {r["source"] for r in rows}, {"http"})
    sql = keyed(table(d, "own_rows"), "id")
    expect("own: the same in the warehouse", {i: (at(r["processed_at"]), r["source"]) for i, r in sql.items()},
           {r["id"]: (r["processed_at"], r["source"]) for r in rows if not plan[r["id"]][1]})
    windows = table(d, "own_hours")
    expect("own: windows hold what the lake holds, by source", (sum(r["n"] for r in windows), {r["source"] for r in windows}), (len(ids("lake")), {"http"}))
    guess = [r for f in files_of(d, "guess") for r in pa.parquet.read_table(f, partitioning=None).to_pylist()]
    expect("own: an inferred stream's", [(r["a"], r["source"], bool(r["processed_at"])) for r in guess], [(1, "http", True)])
    audit_clean(d)
    stop(d)


def another_file_system():
    other = Path("/dev/shm")
    if not other.is_dir() or not os.access(other, os.W_OK) or other.stat().st_dev == ROOT.stat().st_dev:
        print("skipped   lake and spool on different file systems: there is no other one here")
        return
    lake = Path(tempfile.mkdtemp(prefix="sluice-lake-", dir=other))
    try:
        d = daemon(
            "elsewhere",
            {
                "cut": {"every": "100ms"},
                "lake": {"to": str(lake)},
                "streams": {"far": {"schema": SCHEMA, "event_time": "at", "lake": {"partition_by": ["number"], "max_age": "300ms"}}, "near": {}},
            },
        )
        for n in range(20):
            d.post([{"id": n * 100 + i, "number": i % 5, "at": "2021-01-01T00:00:00Z"} for i in range(100)], "/v1/events/far")
            time.sleep(0.05)
            if n == 10:
                d.kill()
                assert d.start() is None, d.said()[-2000:]
        d.post([{"x": 1}], "/v1/events/near")
        d.flush()
        rows = [r["id"] for _, rs in directories(d, "far", lake / "far") for r in rs]
        expect("elsewhere: ids once each, over a kill -9", sorted(rows), list(range(2000)))
        expect("elsewhere: an inferred stream's directory", len(list((lake / "near").rglob("*.parquet"))), 1)
        left = [str(p) for p in lake.rglob("*") if p.is_file() and p.suffix != ".parquet"]
        expect("elsewhere: nothing half written is left", left, [])
        spool = list((d.directory / "data" / "spool").rglob("*.parquet"))
        expect("elsewhere: spool is empty", [p.name for p in spool], [])
        audit_clean(d)
        stop(d)
    finally:
        shutil.rmtree(lake)


def main():
    places()
    kinds_of_values()
    own_columns()
    another_file_system()
    finish()


if __name__ == "__main__":
    main()
