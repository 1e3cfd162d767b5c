#!/usr/bin/env python3
"""Web analytics, as config/examples/web_analytics has it: each visit once, with its user, place and device, in the tables
under their columns' names; figures by minute and day; what is broken is in the dead letters."""

import csv
import json
import sys
from collections import defaultdict
from decimal import Decimal
from ipaddress import ip_address, ip_network

import places
from example import EXAMPLES, Example, about, clean, day, good, hour, minute, moment, run_tests, same, started, stopped

COUNT = 10000
# Families of the user agents that the generator knows, by a word that only they have.
BROWSERS = {"SamsungBrowser/": "Samsung Internet", "Edg/": "Edge", "Googlebot/": "Googlebot", "Firefox/": "Firefox",
            "Mobile/15E148": "Mobile Safari", "Mobile Safari/": "Chrome Mobile", "Chrome/": "Chrome", "Version/": "Safari"}


def place_of(address):
    for network, code, _, city, *_ in places.PLACES:
        if ip_address(address) in ip_network(network):
            return code, city
    return None, None


def browser_of(agent):
    return next(family for word, family in BROWSERS.items() if word in agent)


def users_of(d):
    with open(d.directory / "tables/users.csv", newline="", encoding="utf-8") as file:
        return {r["user_id"]: r for r in csv.DictReader(file)}


def test_the_places_are_those_of_the_script(root):
    assert (EXAMPLES / "web_analytics/tables/places.mmdb").read_bytes() == places.build()


def test_visits_are_enriched_and_counted_once(root):
    d = started(Example(root, "web_analytics", tables=["web-analytics"]))
    assert d.post_csv("users", d.directory / "tables/users.csv") == 10000
    lines = d.send("events", "web-analytics", COUNT, "--event-hours", 24, "--duplicates", 0.03, "--invalid", 0.02)
    d.flush()
    visits, refused, again = good(lines, "eventId", "revenue")
    assert again > COUNT * 0.02 and len(refused) > COUNT * 0.01
    check_rows(d, visits)
    check_figures(d, visits)
    letters = d.dead_letters("events")
    assert sorted(sum(letters.values(), [])) == sorted(refused)
    assert letters.keys() == {"required", "type", "syntax"}, letters.keys()
    same("users", {r["user_id"]: [r["name"], r["signup_date"]] for r in d.sql("SELECT * FROM users")},
         {u["user_id"]: [u["name"], u["signup_date"]] for u in users_of(d).values()})
    clean(d)
    stopped(d)


def check_rows(d, visits):
    users = users_of(d)
    rows = {r["event_id"]: r for r in d.sql("SELECT * FROM events")}
    lake = {r["event_id"]: r for r in d.parquet("events")}
    assert rows.keys() == visits.keys() == lake.keys()
    for i, v in visits.items():
        r, f, user = rows[i], lake[i], users[v["userId"]]
        code, city = place_of(v["ip"])
        want = [v["userId"], v["eventType"], v["responseTime"], user["name"], user["segment"], code, city, browser_of(v["userAgent"]),
                v["timestamp"][:10], "http"]
        same(f"row {i}", [r["user_id"], r["event_type"], r["response_ms"], r["user_name"], r["user_segment"], r["location_country_iso"],
                          r["location_city"], r["device_browser_family"], r["date"], r["source"]], want)
        same(f"lake {i}", [f["user_id"], f["event_type"], f["response_ms"], f["user"]["name"], f["user"]["segment"],
                           (f["location"] or {}).get("country_iso"), (f["location"] or {}).get("city"), f["device"]["browser"]["family"], f["date"],
                           f["source"]], want)
        assert Decimal(str(r["revenue"])) == f["revenue"] == v["revenue"]
        assert json.loads(r["properties"]) == json.loads(f["properties"]) == v["properties"]
        assert f["timestamp"] == moment(v["timestamp"]) and f["created_at"] == f["processed_at"] > f["timestamp"]
        assert r["created_at"] == r["processed_at"]


def figures(group):
    count = {t: sum(v["eventType"] == t for v in group) for t in ("purchase", "error")}
    exact = [len(group), sum(v["revenue"] for v in group), count["purchase"], count["error"]]
    return exact, [count["purchase"] / len(group), count["error"] / len(group)]


def check_figures(d, visits):
    by_minute, by_day, by_place = defaultdict(list), defaultdict(list), defaultdict(list)
    for v in visits.values():
        by_minute[minute(v["timestamp"])].append(v)
        by_day[day(v["timestamp"]), v["timestamp"][:10]].append(v)
        by_place[hour(v["timestamp"]), place_of(v["ip"])[0], v["eventType"]].append(v)
    for name, groups in (("metrics_per_minute", by_minute), ("daily_metrics", by_day)):
        rows = {(r["window_start"], r["date"]) if "date" in r else r["window_start"]: r for r in d.sql(f"SELECT * FROM {name}")}
        assert rows.keys() == groups.keys(), name
        for k, group in groups.items():
            exact, shares = figures(group)
            r = rows[k]
            same(f"{name} {k}", [r["total_events"], r["total_revenue"], r["purchases"], r["errors"]], exact)
            same(f"{name} {k}", [r["conversion_rate"], r["error_rate"]], shares, close=1e-9)
            about(f"{name} {k}", r["unique_users"], len({v["userId"] for v in group}))
            times = sorted(v["responseTime"] for v in group)
            at = times[int(0.99 * (len(times) - 1))]
            assert abs(r["response_ms_p99"] - at) <= 0.011 * at, (name, k, r["response_ms_p99"], at)
    rows = defaultdict(int)
    for r in d.sql("SELECT * FROM by_country_and_device"):
        rows[r["window_start"], r["location_country_iso"], r["event_type"]] += r["events"]
    same("by country", dict(rows), {k: len(v) for k, v in by_place.items()})


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
