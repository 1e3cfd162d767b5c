#!/usr/bin/env python3
"""The food delivery's example on a real S3 server and a real PostgreSQL: only variables say so. Dimensions and facts are in
the datamart's schema, the lake in the bucket; the dashboards' questions, asked of the star, give what the windows say."""

import os
import sys
import uuid
from decimal import Decimal

from example import Example, clean, good, run_tests, same, started, stopped

import rigs

import duckdb

COUNT = 6000
OPTIONS = ("--event-hours", 24, "--duplicates", 0.05, "--invalid", 0.01)
DIMENSIONS = {"dimCustomers": "customers", "dimRestaurants": "restaurants", "dimDeliveryRiders": "riders"}
# What dashboards ask of the star, and what the windows have ready.
BY_HOUR = """
SELECT to_char(date_trunc('hour', f."OrderDate", 'UTC') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), r."City", count(*),
       round(avg(f."DeliveryTime"), 6), sum(f."OrderValue" + f."DeliveryFee" + f."TipAmount"), sum(f."TipAmount"), sum(f."DeliveryFee")
FROM "factOrders" f JOIN "dimRestaurants" r USING ("RestaurantID") GROUP BY 1, 2 ORDER BY 1, 2"""
BY_HOUR_WINDOW = """
SELECT to_char(window_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'), city, orders, round(average_minutes::numeric, 6), revenue, tips, fees
FROM delivery_by_city_and_hour ORDER BY 1, 2"""
BY_CUISINE = """
SELECT r."City", r."CuisineType", count(*), count(DISTINCT c."CustomerID") > 0
FROM "factOrders" f JOIN "dimRestaurants" r USING ("RestaurantID") JOIN "dimCustomers" c USING ("CustomerID")
     JOIN "dimDeliveryRiders" USING ("RiderID") GROUP BY 1, 2 ORDER BY 1, 2"""
BY_CUISINE_WINDOW = 'SELECT city, cuisine, sum(orders), true FROM orders_by_city_and_cuisine GROUP BY 1, 2 ORDER BY 1, 2'


def deliver(root, url, as_url=None, **variables):
    """The day's orders on their way to a schema of this test's own: (daemon, bucket, the schema's name, orders by id)."""
    store, schema = rigs.S3(), f"food_{uuid.uuid4().hex[:8]}"
    rigs.psql(url, f"CREATE SCHEMA {schema}")
    d = Example(root, "food_delivery", tables=["food-delivery"], LAKE=store.url, WAREHOUSE=as_url or url, DATAMART=f"{schema}.",
                SLUICE_S3_ENDPOINT=os.environ["SLUICE_TEST_S3_ENDPOINT"], SLUICE_S3_PATH_STYLE="true", **variables)
    # The dimensions lie in the bucket before the first order comes.
    store.put(store.bucket, store.prefix + "dims/restaurants.csv", (d.directory / "tables/restaurants.csv").read_bytes())
    d.environment["TABLES"] = f"{store.url}/dims"
    started(d)
    for stream, table in DIMENSIONS.items():
        d.post_csv(stream, d.directory / "tables" / f"{table}.csv")
    lines = d.send("", "food-delivery", COUNT, *OPTIONS)  # Without the stream's name: `when` finds it.
    d.flush()
    orders, refused, again = good(lines, "OrderID", "OrderValue")
    assert refused and again
    return d, store, schema, orders


def facts(rows, orders):
    """Rows of OrderID, RiderID and the money."""
    same("facts", {int(r[0]): [int(r[1]), *map(Decimal, r[2:])] for r in rows},
         {i: [o["RiderID"], *(o[m] for m in ("OrderValue", "DeliveryFee", "TipAmount"))] for i, o in orders.items()})
    assert len(rows) == len(orders)


def test_the_star_schema_is_in_postgres_and_the_lake_in_the_bucket(root):
    rigs.need("s3", "postgres")
    url = os.environ["SLUICE_TEST_PG"] + "?sslmode=disable"
    d, store, schema, orders = deliver(root, url)

    def ask(text):
        return rigs.psql(f"{url}&options=-csearch_path%3D{schema}", text)

    facts(ask('SELECT "OrderID", "RiderID", "OrderValue", "DeliveryFee", "TipAmount" FROM "factOrders"'), orders)
    # A broken order is no customer, though it names one.
    assert ask('SELECT count(*), count("CustomerName") FROM "dimCustomers"') == [["10000", "10000"]]
    assert ask(BY_HOUR) == ask(BY_HOUR_WINDOW)
    assert ask(BY_CUISINE) == ask(BY_CUISINE_WINDOW)
    in_the_bucket(d, store, orders)
    clean(d)
    stopped(d)
    rigs.psql(url, f"DROP SCHEMA {schema} CASCADE")


def test_the_star_schema_is_in_redshift(root):
    rigs.need("s3", "postgres", "redshift")
    url, stage = os.environ["SLUICE_TEST_REDSHIFT"], rigs.S3()
    stage.put(stage.bucket, stage.prefix + "keep", b"")
    d, store, schema, orders = deliver(root, url, as_url=url.replace("postgresql://", "redshift://"), STAGE=stage.url)
    facts(rigs.psql(url, f"SELECT orderid, riderid, ordervalue, deliveryfee, tipamount FROM {schema}.factorders"), orders)
    assert rigs.psql(url, f"SELECT count(*), count(customername) FROM {schema}.dimcustomers") == [["10000", "10000"]]
    star = f"""SELECT r.city, r.cuisinetype, count(*), sum(f.income) FROM {schema}.factorders f
               JOIN {schema}.dimrestaurants r ON r.restaurantid = f.restaurantid GROUP BY 1, 2 ORDER BY 1, 2"""
    window = f"SELECT city, cuisine, sum(orders), sum(revenue) FROM {schema}.orders_by_city_and_cuisine GROUP BY 1, 2 ORDER BY 1, 2"
    assert rigs.psql(url, star) == rigs.psql(url, window)
    in_the_bucket(d, store, orders)
    clean(d)
    stopped(d)
    rigs.psql(url, f"DROP SCHEMA {schema} CASCADE")


def in_the_bucket(d, store, orders):
    keys = [k for k in store.keys("orders/") if k.endswith(".parquet")]
    assert keys and all(k.startswith("orders/date=2024-03-2") for k in keys), keys
    found = {}
    for n, key in enumerate(keys):
        file = d.directory / f"{n}.parquet"
        file.write_bytes(store.read(key))
        for i, city in duckdb.connect().execute('SELECT "OrderID", city FROM read_parquet($1)', [str(file)]).fetchall():
            assert i not in found, f"{i} is there twice"
            found[i] = city
    assert found.keys() == orders.keys() and None not in found.values()


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
