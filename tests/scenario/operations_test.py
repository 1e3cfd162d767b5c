#!/usr/bin/env python3
"""Operations, as config/examples/operations has it: two stages with their dead letters, what is known of each object, a
target that is away, all of it set by variables; and the same without a file, as in a container."""

import json
import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

from example import BINARY, EXAMPLES, Example, clean, good, lines_of, read, run_tests, same, sluice, started, stopped, wait_for

import duckdb

COUNT = 10000
OPTIONS = ("--event-hours", 3, "--duplicates", 0.02, "--invalid", 0.02)


def objects(d):
    """What config/examples/operations/objects.sql says, by the command line, as a person asks."""
    with open(EXAMPLES / "operations/objects.sql", encoding="utf-8") as question:
        said = subprocess.run(["sqlite3", "-json", str(d.directory / "data/ledger.db")], stdin=question, capture_output=True,
                              text=True, check=True).stdout
    return json.loads(said)


def stages(lines, most=1500):
    """(rows, by code what becomes a dead letter) as the two stages decide."""
    orders, refused, _ = good(lines, "order_id", "amount")
    rows, late = {}, []
    for line in lines:
        event = read(line)
        if line in refused or event["status"] == "cancelled":
            continue
        if event["amount"] > most:
            late.append(line)
        else:
            rows.setdefault(event["order_id"], event)
    return rows, refused, late


def check(d, lines):
    rows, first, second = stages(lines)
    assert len(first) > COUNT * 0.01 and len(second) > COUNT * 0.005 and len(rows) > COUNT / 2, (len(first), len(second), len(rows))
    letters = d.dead_letters("orders")
    assert letters.keys() == {"required", "type", "syntax", "require"}
    assert sorted(letters["require"]) == sorted(second)
    assert sorted(sum((v for k, v in letters.items() if k != "require"), [])) == sorted(first)
    check_rows(d, rows)


def check_rows(d, rows):
    want = {i: [o["amount"], o["status"], o["amount"] > 1000] for i, o in rows.items()}
    for what, found in (("table", d.sql("SELECT * FROM orders")), ("lake", d.parquet("orders"))):
        same(what, {r["order_id"]: [r["amount"], r["status"], bool(r["is_large"])] for r in found}, want)
    totals = {r["status"]: r["n"] for r in d.sql("SELECT status, sum(orders) AS n FROM orders_per_minute GROUP BY 1")}
    same("windows", totals, dict(Counter(o["status"] for o in rows.values())))


def test_two_stages_and_what_is_known_of_each_object(root):
    d = started(Example(root, "operations", CUT_EVERY="1s", MAX_AGE="5s"))
    lines = d.send("orders", "orders", COUNT, *OPTIONS)
    d.flush()
    check(d, lines)
    known = objects(d)
    files = {Path(f).name: f for f in d.files("orders")}
    lake = [o for o in known if o["object"] and o["table"] == "orders/lake"]
    assert {Path(o["object"]).name for o in lake} == files.keys() and files, (lake[:1], list(files)[:1])
    for o in lake:
        file = files[Path(o["object"]).name]
        rows, = duckdb.connect().execute("SELECT count(*) FROM read_parquet($1)", [file]).fetchone()
        assert (o["rows"], o["bytes"], o["delivered"]) == (rows, os.path.getsize(file), "yes"), o
    # Each table's ranges follow each other, and what was received went somewhere.
    for table in {o["table"] for o in known}:
        entries = {o["from_position"]: o for o in known if o["table"] == table}
        ranges = sorted((int(o["from_position"]), int(o["to_position"])) for o in entries.values())
        assert all(a[1] == b[0] for a, b in zip(ranges, ranges[1:])), (table, ranges)
    entries = {o["from_position"]: o for o in lake}.values()
    assert sum(o["received"] for o in entries) == COUNT
    assert sum(o["rows"] for o in lake) + sum(o["dead_letters"] + o["duplicates"] + o["filtered"] + o["late"] for o in entries) == COUNT
    clean(d)
    stopped(d)


def test_a_target_that_is_away_gets_all_when_it_is_back(root):
    """The retries of the second stage: the lake's directory can't be made until somebody mends it."""
    d = Example(root, "operations", CUT_EVERY="200ms", MAX_AGE="200ms")
    (d.directory / "lake").write_text("a file where a directory belongs")
    started(d)
    lines = d.send("orders", "orders", COUNT, *OPTIONS)
    wait_for("the alarm", lambda: d.metric("sluice_table_stalled") > 0)
    waiting = {o["table"] for o in objects(d) if o["delivered"] == "waits"}
    assert any("orders" in t for t in waiting), waiting
    # Another target doesn't wait.
    wait_for("rows", lambda: d.sql("SELECT name FROM sqlite_master WHERE name = 'orders'") and d.sql("SELECT * FROM orders LIMIT 1"))
    (d.directory / "lake").unlink()
    wait_for("deliveries", lambda: d.request("POST", "/v1/flush", timeout=120)[0] == 200 and d.metric("sluice_table_stalled") == 0)
    check(d, lines)
    assert not [o for o in objects(d) if o["delivered"] == "waits"]
    clean(d)
    stopped(d)


def test_refused_orders_are_replayed_when_the_rule_has_changed(root):
    d = started(Example(root, "operations", CUT_EVERY="1s"))
    lines = d.send("orders", "orders", COUNT, *OPTIONS)
    d.flush()
    check(d, lines)
    stopped(d)
    d.environment["AMOUNT_MAX"] = "5000.00"
    started(d)
    rows, first, second = stages(lines, most=5000)
    assert not second

    def replay():
        done = subprocess.run([BINARY, "replay", "-c", str(d.file), "--stream", "orders", "--json"], env=d.environment,
                              cwd=d.directory, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return {b["code"]: b["taken"] for b in json.loads(done.stdout)["letters"]}

    taken = replay()
    assert taken["require"] > COUNT * 0.005 and sum(taken.values()) == taken["require"], taken
    d.flush()
    check_rows(d, rows)
    assert sum(replay().values()) == 0
    check_rows(d, rows)
    clean(d)
    stopped(d)


def test_alarms_ask_for_metrics_that_are_there(root):
    d = started(Example(root, "operations"))
    d.send("orders", "orders", 1000, *OPTIONS)
    d.flush()
    there = {line.split("{")[0].split(" ")[0] for line in d.get("/metrics")[1].decode().splitlines() if not line.startswith("#")}
    asked = set()
    for line in (EXAMPLES / "operations/alerts.yml").read_text().splitlines():
        if line.strip().startswith("expr:"):
            asked |= {word.split("[")[0] for word in line.replace("(", " ").replace(")", " ").split() if word.startswith("sluice_")}
    assert len(asked) >= 5 and asked - there <= {"sluice_s3_throttled_total"}, asked - there
    assert d.metric("sluice_dead_letters_total") > 0 and d.metric("sluice_rejected_events_total") > 0
    stopped(d)


def test_a_container_needs_only_variables(root):
    """`docker run --env-file container.env`: no file, no argument."""
    variables = dict(line.split("=", 1) for line in (EXAMPLES / "operations/container.env").read_text().splitlines()
                     if line and not line.startswith("#"))
    d = Example(root, "operations")
    clean_environment = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    d.environment = {**clean_environment, **variables, "SLUICE_HTTP_LISTEN": f"127.0.0.1:{d.port}",
                     "SLUICE_DATA_DIR": str(d.directory / "data")}
    d.process = subprocess.Popen([BINARY, "run"], stdout=open(d.directory / "daemon.log", "ab"), stderr=subprocess.STDOUT,
                                 env=d.environment, cwd=d.directory)

    def is_ready():
        try:
            return d.get("/readyz", timeout=5)[0] == 200
        except OSError:
            assert d.process.poll() is None, d.said()
            return False

    wait_for("the start", is_ready)
    token = variables["SLUICE_TOKEN"]
    assert d.request("POST", "/v1/events", b"{}")[0] == 401
    options = ["orders", "--count", "3000", "--invalid", "0.02", "--batch", "100", "--no-progress"]
    sluice("generate", *options, "--token", token, "--to", f"http://127.0.0.1:{d.port}/v1/events")
    lines = lines_of(*options)
    assert d.request("POST", "/v1/flush", timeout=120, headers={"Authorization": f"Bearer {token}"})[0] == 200
    orders, refused, _ = good(lines, "order_id", "amount")
    same("orders", {r["order_id"]: r["amount"] for r in d.parquet("events", below="data/lake")},
         {i: o["amount"] for i, o in orders.items()})
    assert d.sql("SELECT sum(events) AS n FROM events_per_minute")[0]["n"] == len(orders)
    assert sorted(sum(d.dead_letters("events").values(), [])) == sorted(refused)
    stopped(d)
    done = subprocess.run([BINARY, "audit"], capture_output=True, text=True, env=d.environment, cwd=d.directory)
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
