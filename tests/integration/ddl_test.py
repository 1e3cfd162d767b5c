#!/usr/bin/env python3
"""`sluice ddl athena`: Glue's types, Hive partitions, where the files are."""

import json
import subprocess
import sys

from support import BINARY, run_tests

TYPES = {"id": {"type": "string"}, "n": {"type": "integer"}, "d": {"type": "number", "x-decimal": [12, 2]}, "r": {"type": "number"},
         "b": {"type": "boolean"}, "day": {"type": "string", "format": "date"}, "at": {"type": "string", "format": "date-time"},
         "g": {"type": "object", "properties": {"x": {"type": "string"}, "y": {"type": "integer"}}}}
WANTED = """-- stream s
CREATE EXTERNAL TABLE IF NOT EXISTS `s` (
  `n` bigint,
  `d` decimal(12,2),
  `r` double,
  `b` boolean,
  `day` date,
  `at` timestamp,
  `g` struct<x:string,y:bigint>,
  `_rest` string
)
PARTITIONED BY (
  `id` string,
  `date` date
)
STORED AS PARQUET
LOCATION 's3://bucket/lake/s/';
"""


def test_athena(root):
    root.mkdir(parents=True, exist_ok=True)
    path = root / "ddl.yaml"
    path.write_text(json.dumps({"data_dir": str(root / "data"), "lake": {"to": "s3://bucket/lake"}, "s3": {"region": "eu-central-1"}, "streams": {
        "s": {"schema": {"type": "object", "properties": TYPES}, "event_time": "at", "lake": {"partition_by": ["id", "date"]}}}}))
    done = subprocess.run([BINARY, "ddl", "athena", "-c", str(path)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith(WANTED), (done.stdout, done.stderr)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
