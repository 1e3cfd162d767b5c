#!/usr/bin/env python3
"""The daemon with a lake in S3 and tables in Redshift (the double): what was acknowledged is loaded once, through
conflicts, lost connections and kill -9, and `sluice audit` reads both."""

import os
import random
import sqlite3
import sys
import time
import uuid

import rigs
from support import (
    Daemon, Sender, body, configuration, event, flush_until, rows, run_tests, started, stopped, wait_for,
)

# Of its own: the faults are injected for whoever comes next.
os.environ.update(rigs.own("s3", "postgres", "redshift").variables)
URL = os.environ["SLUICE_TEST_REDSHIFT"]
MEASURES = {
    "events": "count()", "total": "sum(id)", "least": "min(id)", "most": "max(id)", "mean": "avg(id)",
    "users": "unique(id)", "median": "quantile(id, 0.5)",
}


class Steady(Sender):
    """Sends at a pace, so that what happens meanwhile happens in the middle."""

    def send(self, *arguments):
        time.sleep(self.pause)
        return super().send(*arguments)


class Outside:
    """A prefix of the bucket and a schema, of one test's own."""

    def __init__(self, root):
        self.root, self.store, self.stage = root, rigs.S3(), rigs.S3()
        self.schema = f"d{uuid.uuid4().hex[:12]}"
        self.query(f"CREATE SCHEMA {self.schema}")

    def query(self, text):
        return rigs.psql(URL, text)

    def inject(self, kind, match, times=1, argument=None):
        more = "" if argument is None else f", '{argument}'"
        self.query(f"SELECT rsd_inject('{kind}', '{match}', {times}{more})")

    def configuration(self, **more):
        config = configuration(
            self.root, lake=self.store.url,
            s3={"endpoint": os.environ["SLUICE_TEST_S3_ENDPOINT"], "path_style": True},
            warehouse={"redshift": {"url": URL, "stage": self.stage.url}}, **more,
        )
        config["streams"]["events"]["warehouse"] = {"table": f"{self.schema}.event_rows"}
        config["windows"]["per_minute"]["measures"] = MEASURES
        config["windows"]["per_minute"]["warehouse"] = {"table": f"{self.schema}.per_minute"}
        return config

    def loaded(self):
        there = self.query(f"SELECT 1 FROM pg_tables WHERE schemaname = '{self.schema}' AND tablename = 'event_rows'")
        return int(self.query(f"SELECT count(*) FROM {self.schema}.event_rows")[0][0]) if there else 0

    def check(self, daemon, count):
        assert self.query(f"SELECT count(*), count(DISTINCT id), sum(id) FROM {self.schema}.event_rows") == [
            [str(count), str(count), str(count * (count - 1) // 2)]]
        assert self.query(f"SELECT sum(events), sum(total), sum(_rows) FROM {self.schema}.per_minute") == [
            [str(count), str(count * (count - 1) // 2), str(count)]]
        copies = self.root / "objects"
        copies.mkdir(exist_ok=True)
        for key in self.store.keys():
            path = copies / key.replace("/", "_")
            if not path.exists():
                path.write_bytes(self.store.read(key))
        assert sorted(r[0] for r in rows(copies)) == list(range(count))
        code, text = daemon.audit()
        assert code == 0, text


def run(root, kind, match, times, argument=None, seen=None):
    """Load, with so many faults in the middle, which are all met."""
    outside = Outside(root)
    daemon = started(Daemon(root, outside.configuration()))
    assert daemon.request("POST", "/v1/events/events", body(0, 100))[0] == 200
    wait_for("the first rows", outside.loaded)
    outside.inject(kind, match, times, argument)
    sender = Steady(daemon, [body(i * 100, 100) for i in range(1, 40)], pause=0.03)
    sender.start()
    sender.join(120)
    assert not sender.is_alive() and not sender.bad and sender.statuses == {200: 39}, sender.statuses
    wait_for("all faults", lambda: outside.query("SELECT rsd_left()") == [["0"]])
    flush_until(daemon)
    outside.check(daemon, 4000)
    if seen:
        assert seen in daemon.said(), daemon.said()[-3000:]
    stopped(daemon)


def test_rows_are_those_of_the_embedded_store(root):
    outside = Outside(root / "out")
    config = configuration(root / "in")
    config["windows"]["per_minute"]["measures"] = MEASURES
    inside = started(Daemon(root / "in", config))
    daemon = started(Daemon(root / "out", outside.configuration()))
    for i in range(12):
        for d in (inside, daemon):
            assert d.request("POST", "/v1/events/events", body(i * 500, 500))[0] == 200
        if i % 4 == 3:  # Rows of windows meet what the tables have.
            inside.flush()
            daemon.flush()
    outside.check(daemon, 6000)
    columns = ", ".join(["kind", *MEASURES])
    with sqlite3.connect(inside.warehouse()) as db:
        want = sorted((w[:16].replace("T", " "), k, *map(float, m)) for w, k, *m in
                      db.execute(f"SELECT window_start, {columns} FROM per_minute"))
    got = sorted((w[:16], k, *map(float, m)) for w, k, *m in
                 outside.query(f"SELECT window_start, {columns} FROM {outside.schema}.per_minute"))
    assert got == want, (got[:2], want[:2])
    stopped(inside)
    stopped(daemon)
    assert outside.stage.keys() == [], "staged objects that nobody deleted"


def test_audit_tells_of_rows_that_were_changed_or_lost(root):
    outside = Outside(root)
    daemon = started(Daemon(root, outside.configuration()))
    assert daemon.request("POST", "/v1/events/events", body(0, 1000))[0] == 200
    daemon.flush()
    outside.check(daemon, 1000)
    kept = outside.query(f"SELECT kind FROM {outside.schema}.event_rows WHERE id = 7")[0][0]
    for change, back, word in (
        ("UPDATE {}.event_rows SET kind = 'other' WHERE id = 7", f"UPDATE {{}}.event_rows SET kind = '{kept}' WHERE id = 7",
         "altered: 1 rows"),
        ("UPDATE {}.per_minute SET total = total + 1", "UPDATE {}.per_minute SET total = total - 1", "altered"),
        ("DELETE FROM {}.event_rows WHERE id = 7", None, "999 events in the warehouse, 1000 were delivered"),
    ):
        outside.query(change.format(outside.schema))
        code, text = daemon.audit()
        assert code == 1 and word in text, (code, text)
        if back:
            outside.query(back.format(outside.schema))
            assert daemon.audit()[0] == 0
    stopped(daemon)


def test_serialisation_errors(root):
    run(root, "1023", "^(insert|delete|update)", 4, seen="1023")


def test_conflicts_at_commit(root):
    run(root, "conflict", "^commit", 3, seen="trying again")


def test_connections_lost_before_the_copy(root):
    run(root, "drop", "^copy", 4)


def test_connections_lost_at_the_lock(root):
    run(root, "drop", "^lock", 3)


def test_commits_in_doubt_are_looked_up(root):
    run(root, "drop_after", "^commit", 4)


def test_s3_refuses_redshift_for_a_while(root):
    run(root, "s3", "", 6)


def test_more_failures_than_are_tried_at_once(root):
    run(root, "1023", "^insert", 15, seen="delivery failed, it will be tried again")


def test_killed_at_any_moment(root):
    outside = Outside(root)
    daemon = started(Daemon(root, outside.configuration()))
    sender = Steady(daemon, [body(i * 50, 50) for i in range(160)], pause=0.03)
    sender.start()
    source, kills = random.Random(4), 0
    while sender.is_alive():
        time.sleep(source.uniform(0.2, 1.5))
        if kills % 3 == 1:
            outside.inject("drop_after", "^commit")
        daemon.kill()
        kills += 1
        started(daemon)
    sender.join()
    assert len(sender.taken) == 160 and not sender.bad
    outside.query("SELECT rsd_clear()")
    flush_until(daemon)
    outside.check(daemon, 8000)
    stopped(daemon)
    assert kills >= 2
    print(f"{kills} kills", end=" ")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
