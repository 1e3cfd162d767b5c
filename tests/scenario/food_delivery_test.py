#!/usr/bin/env python3
"""Food delivery, as config/examples/food_delivery has it: dimensions first, orders twice and broken among them, a kill in
mid-stream; fact table, lake and dashboards' figures are those of the events that were sent, each order once."""

import csv
import subprocess
import sys
import time
from collections import defaultdict

from example import BINARY, Example, about, clean, day, good, hour, lines_of, minute, moment, run_tests, same, started, stopped, wait_for

COUNT = 12000
OPTIONS = ["--event-hours", 24, "--duplicates", 0.05, "--invalid", 0.01]
MONEY = ("OrderValue", "DeliveryFee", "TipAmount")


def table(d, name):
    with open(d.directory / "tables" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def load_dimensions(d):
    for stream, name in (("dimCustomers", "customers"), ("dimRestaurants", "restaurants"), ("dimDeliveryRiders", "riders")):
        d.post_csv(stream, d.directory / "tables" / f"{name}.csv")
    d.flush()
    for stream, name, key in (("dimCustomers", "customers", "CustomerID"), ("dimRestaurants", "restaurants", "RestaurantID"),
                              ("dimDeliveryRiders", "riders", "RiderID")):
        got = {r[key]: r for r in d.sql(f"SELECT * FROM {stream}")}
        for want in table(d, name):
            same(stream, {k: str(got[int(want[key])][k]) for k in want}, want)
        assert len(got) == len(table(d, name))


def enriched(d, orders):
    places = {int(r["RestaurantID"]): r for r in table(d, "restaurants")}
    for order in orders.values():
        place = places[order["RestaurantID"]]
        order.update(city=place["City"], cuisine=place["CuisineType"], income=sum(order[m] for m in MONEY))
    return orders


def check_facts(d, orders):
    """The fact table and the lake have each order once, as it was sent, with city and cuisine."""
    fields = ["OrderID", "CustomerID", "RestaurantID", "RiderID", "DeliveryTime", *MONEY, "OrderStatus", "city", "cuisine", "income"]
    want = {i: {k: o[k] for k in fields} for i, o in orders.items()}
    for what, rows in (("factOrders", d.sql("SELECT * FROM factOrders")), ("lake", d.parquet("orders"))):
        assert len(rows) == len(want), f"{what}: {len(rows)} rows, not {len(want)}"
        same(what, {r["OrderID"]: {k: r[k] for k in fields} for r in rows}, want)
    same("times", {r["OrderID"]: r["OrderDate"] for r in d.parquet("orders")},
         {i: moment(o["OrderDate"]) for i, o in orders.items()})
    for file in d.files("orders"):
        assert "/date=2024-03-2" in file, file


def check_windows(d, orders):
    by_hour, by_kind, by_minute = defaultdict(list), defaultdict(list), defaultdict(list)
    for o in orders.values():
        by_hour[hour(o["OrderDate"]), o["city"]].append(o)
        by_kind[day(o["OrderDate"]), o["city"], o["cuisine"]].append(o)
        by_minute[minute(o["OrderDate"])].append(o)
    rows = {(r["window_start"], r["city"]): r for r in d.sql("SELECT * FROM delivery_by_city_and_hour")}
    assert rows.keys() == by_hour.keys()
    for key, group in by_hour.items():
        took = [o["DeliveryTime"] for o in group if o["DeliveryTime"] is not None]
        value, fees, tips = (sum(o[m] for o in group) for m in MONEY)
        got = rows[key]
        same(f"counts of {key}", [got["orders"], got["delivered"]], [len(group), sum(o["OrderStatus"] == "Delivered" for o in group)])
        same(f"money of {key}", [got["order_value"], got["fees"], got["tips"], got["revenue"]],
             [value, fees, tips, value + fees + tips])
        same(f"shares of {key}", [got["average_minutes"], got["fee_share"], got["tip_share"]],
             [sum(took) / len(took) if took else None, fees / (value + fees + tips), tips / (value + fees + tips)], close=1e-9)
    rows = {(r["window_start"], r["city"], r["cuisine"]): r for r in d.sql("SELECT * FROM orders_by_city_and_cuisine")}
    same("orders by city and cuisine", {k: [r["orders"], r["revenue"]] for k, r in rows.items()},
         {k: [len(g), sum(o["income"] for o in g)] for k, g in by_kind.items()})
    for k, g in by_kind.items():
        about(f"riders of {k}", rows[k]["riders"], len({o["RiderID"] for o in g}))
    same("orders per minute", {r["window_start"]: [r["orders"], r["revenue"]] for r in d.sql("SELECT * FROM orders_per_minute")},
         {k: [len(g), sum(o["income"] for o in g)] for k, g in by_minute.items()})


def check(d, lines):
    orders, refused, again = good(lines, "OrderID", "OrderValue")
    assert again > COUNT * 0.03 and len(refused) > COUNT * 0.005, "nothing to see"
    enriched(d, orders)
    check_facts(d, orders)
    check_windows(d, orders)
    letters = d.dead_letters("factOrders")
    assert sorted(sum(letters.values(), [])) == sorted(refused), {k: len(v) for k, v in letters.items()}
    clean(d)


def test_orders_become_facts_beside_their_dimensions(root):
    d = started(Example(root, "food_delivery", tables=["food-delivery"]))
    load_dimensions(d)
    lines = d.send("factOrders", "food-delivery", COUNT, *OPTIONS)
    d.flush()
    check(d, lines)
    # The same day again changes nothing.
    d.send("factOrders", "food-delivery", COUNT, *OPTIONS[:4])
    d.flush()
    orders, _, _ = good(lines_of("food-delivery", "--count", str(COUNT), *map(str, OPTIONS[:4])), "OrderID", "OrderValue")
    check_facts(d, enriched(d, orders))
    stopped(d)


def test_killed_in_mid_stream_no_row_is_lost_or_there_twice(root):
    d = started(Example(root, "food_delivery", tables=["food-delivery"]))
    load_dimensions(d)
    options = ["--count", str(COUNT), "--batch", "100", *map(str, OPTIONS)]
    # A producer that insists: what got no reply is sent again under the same key.
    producer = subprocess.Popen([BINARY, "generate", "food-delivery", *options, "--rate", "6000", "--idempotent", "--no-progress",
                                 "--to", d.url("factOrders")], stderr=subprocess.PIPE)
    for kills in range(1, 4):
        wait_for("orders", lambda: producer.poll() is not None or d.metric("sluice_accepted_events_total") > 0, 30)
        if kills == 2:
            d.flush()
        time.sleep(0.2)
        d.kill()
        started(d)
    assert producer.wait(300) == 0, producer.stderr.read().decode()
    d.flush()
    check(d, lines_of("food-delivery", *options))
    stopped(d)
    # And what the ledger knows holds after another start.
    started(d)
    clean(d)
    stopped(d)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
