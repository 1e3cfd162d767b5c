"""A daemon's targets for tests of deliveries: a prefix of the rig's bucket and a schema of its PostgreSQL, of one test's
own, behind proxies if wanted; and the proof that every event is in both once."""

import os
import uuid
from pathlib import Path

import rigs
from rigs import Proxy
from support import Daemon, Sender, body, configuration, flush_until, rows, started, stopped

rigs.need("s3", "postgres")
PG = os.environ["SLUICE_TEST_PG"]
STORM = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def address_of(url):
    return url.rsplit("@", 1)[1].split("/")[0]


class Outside:
    """`s3`, `postgres`: proxies. `url`: of a PostgreSQL of one's own. `endpoint`: in place of the rig's."""

    def __init__(self, root, s3=None, postgres=None, url=PG, endpoint=None):
        self.root, self.store, self.server = root, rigs.S3(), url
        self.schema = f"d{uuid.uuid4().hex[:12]}"
        rigs.psql(url, f"CREATE SCHEMA {self.schema}")
        self.endpoint = endpoint or (f"http://{s3.address}" if s3 else os.environ["SLUICE_TEST_S3_ENDPOINT"])
        self.url = url.replace(address_of(url), postgres.address) if postgres else url
        self.options = f"?options=-csearch_path%3D{self.schema}&sslmode=disable"

    def configuration(self, root=None, s3=None, **more):
        config = configuration(
            root or self.root, lake=self.store.url, s3={"endpoint": self.endpoint, "path_style": True, **(s3 or {})},
            warehouse={"postgres": {"url": self.url + self.options}}, **more,
        )
        config["streams"]["events"]["warehouse"] = {"table": "event_rows"}
        return config

    def query(self, text):
        return rigs.psql(self.server + self.options, text)

    def loaded(self, table="event_rows"):
        """Its rows; the table may be still to come."""
        there = self.query(f"SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = '{table}'")
        return int(self.query(f"SELECT count(*) FROM {table}")[0][0]) if there else 0

    def objects(self, below=""):
        """The lake, brought here with its paths."""
        copies = Path(self.root) / "objects"
        for key in self.store.keys(below):
            path = copies / key
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.store.read(key))
        return copies

    def uploads(self):
        return self.store.uploads(self.store.bucket, self.store.prefix)

    def check(self, daemon, count):
        ids = sorted(r[0] for r in rows(self.objects()))
        assert ids == list(range(count)), f"{len(ids)} rows, {len(set(ids))} different, of {count}"
        assert self.query("SELECT count(*), count(DISTINCT id) FROM event_rows") == [[str(count)] * 2]
        assert self.query("SELECT sum(events) FROM per_minute") == [[str(count)]]
        code, text = daemon.audit()
        assert code == 0, text


def proxies():
    s3 = os.environ["SLUICE_TEST_S3_ENDPOINT"].split("//")[1]
    return Proxy(s3), Proxy(address_of(PG))


def run(root, prepare, bodies=60, size=100, **more):
    """Send while `prepare(s3, postgres, daemon)` makes trouble; then all is well, and everything arrives once."""
    s3, postgres = proxies()
    with s3, postgres:
        outside = Outside(root, s3, postgres)
        daemon = started(Daemon(root, outside.configuration(**more)))
        sender = Sender(daemon, [body(i * size, size) for i in range(bodies)])
        prepare(s3, postgres, daemon)
        sender.start()
        sender.join(120)
        assert not sender.is_alive() and not sender.bad and sender.statuses == {200: bodies}, sender.statuses
        flush_until(daemon)
        outside.check(daemon, bodies * size)
        stopped(daemon)
        return s3, postgres
