#!/usr/bin/env python3
"""As crash_test.py, with S3 and PostgreSQL as targets: the daemon dies at every point of committing and
delivering, and at random moments."""

import os
import sys
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import crash_test  # noqa: E402
import rigs  # noqa: E402

POINTS = ("commit_", "deliver_before", "deliver_after", "deliver_remote")


class Remote:
    def __init__(self, directory):
        self.directory = directory
        self.schema = f"c{uuid.uuid4().hex[:12]}"

    def configure(self, config):
        self.store = rigs.S3()
        rigs.psql(os.environ["SLUICE_TEST_PG"], f"CREATE SCHEMA {self.schema}")
        config["s3"] = {"endpoint": os.environ["SLUICE_TEST_S3_ENDPOINT"], "path_style": True}
        config["warehouse"] = {"postgres": {"url": os.environ["SLUICE_TEST_PG"] + self.options()}}
        config["streams"]["events"]["lake"]["to"] = self.store.url

    def options(self):
        return f"?options=-csearch_path%3D{self.schema}"

    def lake(self):
        """The objects, brought here."""
        copies = self.directory / "objects"
        for n, key in enumerate(self.store.keys()):
            copies.mkdir(parents=True, exist_ok=True)
            (copies / f"{n}.parquet").write_bytes(self.store.read(key))
        return f"read_parquet('{copies}/*.parquet')"

    def query(self, daemon, text):
        def value(cell):
            return int(cell) if cell.isdigit() else cell

        rows = rigs.psql(os.environ["SLUICE_TEST_PG"] + self.options(), text)
        return [tuple(value(cell) for cell in row) for row in rows]


if __name__ == "__main__":
    rigs.need("s3", "postgres")
    crash_test.main(Remote, lambda points: [p for p in points if p.startswith(POINTS)], "2")
