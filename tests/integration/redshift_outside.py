"""A daemon's targets for tests of Redshift: a prefix of an S3 server and a schema of the double, of one test's own."""

import os
import sqlite3
import time
import uuid

import rigs
from support import Daemon, Sender, body, configuration, flush_until, rows, started, stopped, wait_for

IAM_PASSWORD = "of/iam+=<&>'"
os.environ["RSD_IAM_PASSWORD"] = IAM_PASSWORD
# Of its own: the faults are injected for whoever comes next.
os.environ.update(rigs.own("s3", "postgres", "redshift").variables)
URL = os.environ["SLUICE_TEST_REDSHIFT"]
MEASURES = {
    "events": "count()", "total": "sum(id)", "least": "min(id)", "most": "max(id)", "mean": "avg(id)",
    "users": "unique(id)", "median": "quantile(id, 0.5)",
}
COLUMNS = ", ".join(["kind", *MEASURES])


def embedded_windows(daemon):
    with sqlite3.connect(daemon.warehouse()) as db:
        return sorted((w[:16].replace("T", " "), k, *map(float, m)) for w, k, *m in
                      db.execute(f"SELECT window_start, {COLUMNS} FROM per_minute"))


class Steady(Sender):
    """Sends at a pace, so that what happens meanwhile happens in the middle."""

    def send(self, *arguments):
        time.sleep(self.pause)
        return super().send(*arguments)


class Outside:
    """A prefix of the bucket and a schema, of one test's own."""

    def __init__(self, root):
        self.root, self.store, self.stage = root, rigs.S3(), rigs.S3()
        # versitygw's folders go with their last object, also from under one that comes: so one stays.
        self.stage.put(self.stage.bucket, self.stage.prefix + "keep", b"")
        self.schema = f"d{uuid.uuid4().hex[:12]}"
        self.query(f"CREATE SCHEMA {self.schema}")

    def query(self, text):
        return rigs.psql(URL, text)

    def inject(self, kind, match, times=1, argument=None):
        more = "" if argument is None else f", '{argument}'"
        self.query(f"SELECT rsd_inject('{kind}', '{match}', {times}{more})")

    def configuration(self, root=None, **more):
        config = configuration(
            root or self.root, lake=self.store.url,
            s3={"endpoint": os.environ["SLUICE_TEST_S3_ENDPOINT"], "path_style": True},
            warehouse={"redshift": {"url": URL, "stage": self.stage.url}}, **more,
        )
        config["streams"]["events"]["warehouse"] = {"table": f"{self.schema}.event_rows"}
        config["windows"]["per_minute"]["measures"] = MEASURES
        config["windows"]["per_minute"]["warehouse"] = {"table": f"{self.schema}.per_minute"}
        return config

    def windows(self):
        return sorted((w[:16], k, *map(float, m)) for w, k, *m in
                      self.query(f"SELECT window_start, {COLUMNS} FROM {self.schema}.per_minute"))

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
