#!/usr/bin/env python3
"""A site's clicks, as config/examples/clickstream has them: raw zone, curated zone by type, date and hour, aggregates in the
warehouse; a reader of the lake and the warehouse give the same numbers, those of the events that were sent."""

import sys
from collections import defaultdict

from example import EXAMPLES, Example, about, clean, day, hour, minute, moment, read, run_tests, same, started, stopped

import duckdb

COUNT = 10000
STREAM = "realtime-datalake-stream"


def test_clicks_in_the_lake_and_the_warehouse_are_those_that_were_sent(root):
    d = started(Example(root, "clickstream"))
    # The stream is the only one, so it needs no name.
    lines = d.send("", "clickstream", COUNT, "--invalid", 0.01, "--duplicates", 0.02, "--event-hours", 3)
    first = (EXAMPLES / "clickstream" / "event.json").read_bytes().strip()
    assert d.post(first)[1]["accepted"] == 1
    lines.append(first)
    d.flush()
    clicks, refused, seen = [], [], set()
    for line in lines:
        event = read(line)
        kept = event is not None and "user_id" in event and event["timestamp"] != "n/a"
        if not kept:
            refused.append(line)
        elif event.get("event_id") not in seen:
            clicks.append(event)
            seen.add(event.get("event_id"))
    assert len(clicks) + len(refused) < len(lines) - COUNT * 0.01, "nothing came again"
    assert COUNT * 0.95 < len(clicks) < COUNT * 0.98
    curated(d, clicks)
    raw_zone(d, lines)
    aggregates(d, clicks)
    assert sorted(sum(d.dead_letters(STREAM).values(), [])) == sorted(refused)
    clean(d)
    stopped(d)


def curated(d, clicks):
    def row(e):
        data = e["data"]
        return (e["user_id"], e["event_type"], e["timestamp"], data["session_id"], data["page_url"], data.get("device_type"),
                data["location"]["country"], data["location"]["city"], "http")

    got = sorted(
        (r["user_id"], r["event_type"], r["timestamp"], r["data"]["session_id"], r["data"]["page_url"], r["data"]["device_type"],
         r["data"]["location"]["country"], r["data"]["location"]["city"], r["source"]) for r in d.parquet("clicks"))
    want = sorted((*r[:2], moment(r[2]), *r[3:]) for r in map(row, clicks))
    same("curated rows", [list(r[:5]) + list(r[6:]) for r in got], [list(r[:5]) + list(r[6:]) for r in want])
    same("device types", sorted(str(r[5]) for r in got), sorted(str(r[5]) for r in want))
    # What a reader takes from the directories' names is what is in the files.
    db = duckdb.connect()
    wrong = db.execute("""SELECT count(*) FROM read_parquet($1, hive_partitioning=true, filename=true) WHERE filename NOT LIKE
        '%/event_type=' || event_type || '/date=' || strftime("timestamp", '%Y-%m-%d') || '/hour=' || strftime("timestamp", '%H') || '/%'""",
                       [str(d.directory / "lake/clicks/**/*.parquet")]).fetchone()[0]
    assert wrong == 0, wrong


def raw_zone(d, lines):
    """Every record as it came, also what was refused: zstd NDJSON."""
    files = sorted(str(p) for p in (d.directory / "data/raw" / STREAM).rglob("*.zst"))
    assert files
    rows = duckdb.connect().execute("SELECT json FROM read_ndjson_objects($1, ignore_errors=true)", [files]).fetchall()
    assert len(rows) >= len([x for x in lines if read(x) is not None]) / 500, len(rows)


def aggregates(d, clicks):
    by_minute, by_day, by_category = defaultdict(list), defaultdict(list), defaultdict(list)
    for e in clicks:
        by_minute[minute(e["timestamp"]), e["event_type"]].append(e)
        by_day[day(e["timestamp"])].append(e)
        place = e["data"]
        by_category[hour(e["timestamp"]), place["category"], place["location"]["country"], place.get("device_type")].append(e)
    same("clicks per minute", {(r["window_start"], r["event_type"]): r["events"] for r in d.sql("SELECT * FROM clicks_per_minute")},
         {k: len(v) for k, v in by_minute.items()})
    same("clicks by category", {(r["window_start"], r["data_category"], r["data_location_country"], r["data_device_type"]): r["events"]
                                for r in d.sql("SELECT * FROM clicks_by_category")}, {k: len(v) for k, v in by_category.items()})
    rows = {r["window_start"]: r for r in d.sql("SELECT * FROM clicks_per_day")}
    assert rows.keys() == by_day.keys()
    for key, group in by_day.items():
        count = {t: sum(e["event_type"] == t for e in group) for t in ("page_view", "purchase")}
        same(f"{key}", [rows[key]["events"], rows[key]["page_views"], rows[key]["purchases"], rows[key]["conversion_rate"]],
             [len(group), count["page_view"], count["purchase"], count["purchase"] / count["page_view"]], close=1e-9)
        about(f"users of {key}", rows[key]["users"], len({e["user_id"] for e in group}))
        about(f"sessions of {key}", rows[key]["sessions"], len({e["data"]["session_id"] for e in group}))
    # The same question to the lake.
    lake = duckdb.connect().execute("SELECT event_type, count(*) FROM read_parquet($1) GROUP BY 1",
                                    [str(d.directory / "lake/clicks/**/*.parquet")]).fetchall()
    same("lake and warehouse", dict(lake), {r["t"]: r["n"] for r in d.sql(
        "SELECT event_type AS t, sum(events) AS n FROM clicks_per_minute GROUP BY 1")})


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
