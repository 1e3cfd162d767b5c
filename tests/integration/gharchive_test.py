#!/usr/bin/env python3
"""GH Archive's hour of 7,702 nested events, without any configuration and with a schema: counts, one-minute
windows, and each event put together again from columns and `_rest`."""

from checks import *
from rebuild import differences, rebuilt

need_shared("streams", "gharchive", "2015-01-01-0.jsonl.zst")
TRUTH = json.loads(need_shared("expected", "gharchive_2015-01-01-0.json").read_text())
LINES = read_bytes(SHARED / "streams" / "gharchive" / "2015-01-01-0.jsonl.zst").splitlines()
EVENTS = {e["id"]: e for e in map(json.loads, LINES)}

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
SCHEMA = {
    "type": "object",
    "required": ["id", "type", "actor", "repo", "created_at"],
    "properties": {
        "id": TEXT,
        "type": TEXT,
        "public": {"type": "boolean"},
        "created_at": {"type": "string", "format": "date-time"},
        "actor": {"type": "object", "required": ["id", "login"], "properties": {"id": NUMBER, "login": TEXT}},
        "repo": {"type": "object", "properties": {"id": NUMBER, "name": TEXT}},
        "org": {"type": "object", "properties": {"id": NUMBER, "login": TEXT}},
        "payload": {
            "type": "object",
            "properties": {
                "size": NUMBER,
                "distinct_size": NUMBER,
                "push_id": NUMBER,
                "ref": {"type": ["string", "null"]},
                "commits": {"type": "array"},
                "issue": {"type": "object"},
            },
        },
    },
}


def want_minutes():
    return {
        (w["window_start"], t): n for w in TRUTH["windows_1min_by_type"] for t, n in w["by_type"].items()
    }


def rows_of(d, stream):
    """All rows as Python objects, by id, read by pyarrow; files of different versions have different columns."""
    out = {}
    for f in files_of(d, stream):
        for row in pa.parquet.read_table(f, partitioning=None).to_pylist():
            assert row["id"] not in out, f"twice: {row['id']}"
            out[row["id"]] = row
    return out


def without_configuration():
    d = daemon("inferred")
    half = len(LINES) // 2
    total = send(d, LINES[:half], "gharchive", 250)
    d.flush()  # the first cut freezes types; new columns still appear
    total += send(d, LINES[half:], "gharchive", 250)
    d.flush()
    expect("inferred: accepted, rejected", (total["accepted"], total["rejected"]), (TRUTH["rows"], 0))
    db = connect()
    # Struct columns of several versions are joined by name.
    read = lake_sql(d, "gharchive")
    expect("inferred: rows by type", dict(db.execute(f"SELECT type, count(*) FROM {read} GROUP BY 1").fetchall()), TRUTH["by_type"])
    expect("inferred: distinct ids", db.execute(f"SELECT count(DISTINCT id) FROM {read}").fetchone()[0], TRUTH["distinct_id"])
    expect(
        "inferred: distinct actors, repositories, commits, with org",
        db.execute(f"SELECT count(DISTINCT actor.login), count(DISTINCT repo.name), sum(payload.size)::BIGINT FROM {read}").fetchone(),
        (TRUTH["distinct_actor_login"], TRUTH["distinct_repo_name"], TRUTH["push_commits_size_sum"]),
    )
    minutes = Counter()
    for (m, _), n in want_minutes().items():
        minutes[m] += n
    expect("inferred: the minute windows", keyed(table(d, "gharchive_per_minute"), "window_start", value="count"), dict(minutes))

    rows = rows_of(d, "gharchive")
    expect("inferred: ids", sorted(rows) == sorted(EVENTS), True)
    wrong, first = 0, []
    for i, original in EVENTS.items():
        found = list(differences(original, rebuilt(rows[i])))
        wrong += bool(found)
        if found and len(first) < 3:
            first.append((i, found[:2]))
    expect("inferred: events that differ from what was sent, every member", wrong, 0)
    for f in first:
        print("  ", str(f)[:600])
    kept = sum(1 for r in rows.values() if r["_rest"])
    print(f"{kept} events have something in _rest")
    audit_clean(d)
    stop(d)


def with_a_schema():
    d = daemon(
        "schema",
        {
            "workers": 2,
            "cut": {"every": "100ms"},
            "streams": {
                "gharchive": {
                    "schema": SCHEMA,
                    "event_time": "created_at",
                    "lake": {"partition_by": ["type", "hour"]},
                    "warehouse": {"table": "github"},
                }
            },
            "windows": {
                "per_minute": {
                    "of": "gharchive",
                    "every": "1m",
                    "by": ["type"],
                    "measures": {"n": "count()", "commits": "sum(payload.size)", "users": "unique(actor.login)"},
                },
                "all_per_minute": {"of": "gharchive", "every": "1m", "measures": {"n": "count()", "users": "unique(actor.login)"}},
                "per_hour": {
                    "of": "gharchive",
                    "every": "1h",
                    "by": ["type"],
                    "measures": {"users": "unique(actor.login)", "first": "min(created_at)", "last": "max(created_at)"},
                },
                "hour": {"of": "gharchive", "every": "1h", "measures": {"users": "unique(actor.login)", "repos": "unique(repo.name)", "org": "count(org.login != null)"}},
            },
        },
    )
    total = send(d, LINES, "gharchive", 100)
    expect("schema: accepted, rejected", (total["accepted"], total["rejected"]), (TRUTH["rows"], 0))
    d.flush()
    db = connect()
    read = lake_sql(d, "gharchive", hive_partitioning="true", hive_types_autocast="false")
    expect("schema: rows by type", dict(db.execute(f"SELECT type, count(*) FROM {read} GROUP BY 1").fetchall()), TRUTH["by_type"])
    expect("schema: hours", db.execute(f"SELECT DISTINCT hour FROM {read}").fetchall(), [("00",)])
    got = keyed(table(d, "per_minute"), "window_start", "type")
    expect("schema: count by minute and type", {k: r["n"] for k, r in got.items()}, want_minutes())
    expect("schema: commits", sum(r["commits"] for r in got.values()), TRUTH["push_commits_size_sum"])
    whole = keyed(table(d, "all_per_minute"), "window_start")
    expect("schema: count and unique users by minute", {k: (r["n"], r["users"]) for k, r in whole.items()},
           {w["window_start"]: (w["total"], w["unique_users"]) for w in TRUTH["windows_1min_by_type"]})
    hours = keyed(table(d, "per_hour"), "type")
    bad = {k: (r["users"], TRUTH["distinct_actors_by_type"][k]) for k, r in hours.items()
           if abs(r["users"] / TRUTH["distinct_actors_by_type"][k] - 1) > 0.03}
    hold("schema: unique users by type within 3 %", not bad and hours.keys() == TRUTH["by_type"].keys(), bad or "")
    expect("schema: first and last event", (min(at(r["first"]) for r in hours.values()), max(at(r["last"]) for r in hours.values())),
           (at(TRUTH["min_time"]), at(TRUTH["max_time"])))
    hour = table(d, "hour")[0]
    hold("schema: unique users and repositories of the hour within 3 %",
         abs(hour["users"] / TRUTH["distinct_actor_login"] - 1) <= 0.03 and abs(hour["repos"] / TRUTH["distinct_repo_name"] - 1) <= 0.03,
         (hour["users"], hour["repos"]))
    expect("schema: events with org", hour["org"], TRUTH["with_org"])

    # The partition column is in its directory's name; the rest is put together from columns and `_rest`.
    wrong, first = 0, []
    count = 0
    for f in files_of(d, "gharchive"):
        for row in pa.parquet.read_table(f, partitioning=None).to_pylist():
            count += 1
            original = dict(EVENTS[row["id"]])
            if "type" not in row:
                original.pop("type")
            found = list(differences(original, rebuilt(row)))
            wrong += bool(found)
            if found and len(first) < 3:
                first.append((row["id"], found[:2]))
    expect("schema: rows, and events that differ from what was sent", (count, wrong), (TRUTH["rows"], 0))
    for f in first:
        print("  ", str(f)[:600])
    rows = keyed(table(d, "github"), "id")
    expect(
        "schema: rows in the warehouse",
        {k: (r["type"], r["actor_login"], r["repo_name"], r["payload_size"]) for k, r in rows.items()},
        {k: (e["type"], e["actor"]["login"], e["repo"]["name"], e["payload"].get("size")) for k, e in EVENTS.items()},
    )
    audit_clean(d)
    stop(d)


if __name__ == "__main__":
    without_configuration()
    with_a_schema()
    finish()
