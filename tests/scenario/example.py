"""What the tests of the examples share: a daemon that runs a configuration of config/examples as it lies there, the events
that `sluice generate` sends it, and reading back what came of them."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "integration"))
import daemon  # noqa: E402
from support import ROOT, run_tests, started, stopped, wait_for  # noqa: E402, F401

import duckdb  # noqa: E402

TOP = Path(__file__).resolve().parents[2]
BINARY = str(Path(daemon.BINARY).resolve())
EXAMPLES = TOP / "config" / "examples"


class Example(daemon.Daemon):
    """`name`: a folder of config/examples. Its file is taken as it is; only variables say where things are."""

    def __init__(self, root, name, tables=(), **variables):
        root = Path(root).resolve()
        shutil.rmtree(root, ignore_errors=True)
        variables = {"DATA_DIR": str(root / "data"), "LAKE": str(root / "lake"), **variables}
        super().__init__(root, environment=variables)
        self.environment["LISTEN"] = f"127.0.0.1:{self.port}"
        self.file = EXAMPLES / name / "sluice.yaml"
        for kind in tables:
            self.environment["TABLES"] = str(root / "tables")
            sluice("generate", kind, "--tables", root / "tables")

    def start(self, *more, wait=True):
        self.log = open(self.directory / "daemon.log", "ab")
        self.process = subprocess.Popen([BINARY, "run", "-c", str(self.file), *self.arguments, *more], stdout=self.log,
                                        stderr=self.log, env=self.environment, cwd=self.directory)
        while wait:
            if self.process.poll() is not None:
                return self.process.returncode
            try:
                if self.get("/readyz", timeout=5)[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.01)
        return None

    def audit(self):
        done = subprocess.run([BINARY, "audit", "-c", str(self.file)], capture_output=True, text=True, env=self.environment,
                              cwd=self.directory)
        return done.returncode, done.stdout + done.stderr

    def url(self, stream):
        return f"http://127.0.0.1:{self.port}/v1/events{'/' + stream if stream else ''}"

    def send(self, stream, kind, count, *options):
        """As a person would: `sluice generate KIND --to URL`. The lines that were sent."""
        options = ["--count", str(count), "--batch", "500", "--no-progress", *map(str, options)]
        sluice("generate", kind, *options, "--to", self.url(stream))
        return lines_of(kind, *options)

    def post_csv(self, stream, file):
        """A table as it lies there, as `curl -H 'Content-Type: text/csv' --data-binary @FILE` does; how many rows it has."""
        content = Path(file).read_bytes()
        status, reply = self.post(content, f"/v1/events/{stream}", Content_Type="text/csv")
        assert status == 200 and reply["rejected"] == 0, reply
        assert reply["accepted"] == content.count(b"\n") - 1, reply
        return reply["accepted"]

    def sql(self, text):
        """Rows of the warehouse as dictionaries."""
        with sqlite3.connect(self.warehouse()) as db:
            db.row_factory = sqlite3.Row
            return [dict(r) for r in db.execute(text)]

    def files(self, stream, below="lake"):
        return sorted(str(p) for p in (self.directory / below / stream).rglob("*.parquet"))

    def parquet(self, stream, columns="*", below="lake"):
        """Rows of a stream's Parquet files as dictionaries, read by DuckDB."""
        db = duckdb.connect()
        db.execute("SET TimeZone='UTC'")
        return db.sql(f"SELECT {columns} FROM read_parquet($1, hive_partitioning=false, union_by_name=true)",
                      params=[self.files(stream, below)]).to_arrow_table().to_pylist()

    def dead_letters(self, stream):
        """Lines that were refused, by code."""
        found = defaultdict(list)
        if self.files(stream, "data/dead_letters"):
            for r in self.parquet(stream, "code, raw", "data/dead_letters"):
                found[r["code"]].append(bytes(r["raw"]))
        return found


def sluice(*arguments, check=True):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, env=environment)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done.stdout


def lines_of(kind, *options):
    return sluice("generate", kind, *options).splitlines()


def read(line):
    """The event as anybody reads it, numbers exact; None where it is no JSON."""
    try:
        return json.loads(line, parse_float=Decimal)
    except ValueError:
        return None


def good(lines, key, number):
    """(events that a stream keeps, by id, the first of each; lines that it refuses; how many came again).
    `number`: the member that `--invalid` makes a text."""
    kept, refused, again = {}, [], 0
    for line in lines:
        event = read(line)
        if event is None or key not in event or event[number] == "n/a":
            refused.append(line)
        elif event[key] in kept:
            again += 1
        else:
            kept[event[key]] = event
    return kept, refused, again


def moment(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def hour(text):
    return text[:13] + ":00:00Z"


def minute(text):
    return text[:16] + ":00Z"


def day(text):
    return text[:10] + "T00:00:00Z"


def same(what, got, want, close=0):
    """`close`: doubles may differ by so much of themselves."""
    if isinstance(want, dict):
        assert got.keys() == want.keys(), f"{what}: only there {sorted(map(str, got.keys() - want.keys()))[:3]}, only wanted " \
                                          f"{sorted(map(str, want.keys() - got.keys()))[:3]} of {len(want)}"
        for k in want:
            same(f"{what} {k}", got[k], want[k], close)
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want), f"{what}: {len(got)}, not {len(want)}"
        for i, (g, w) in enumerate(zip(got, want)):
            same(f"{what}[{i}]", g, w, close)
    elif close and got is not None and want is not None and not isinstance(want, str):
        assert abs(float(got) - float(want)) <= close * max(abs(float(got)), abs(float(want))), f"{what}: {got}, not {want}"
    elif isinstance(want, Decimal):
        assert got is not None and Decimal(str(got)) == want, f"{what}: {got!r}, not {want!r}"
    else:
        assert got == want, f"{what}: {got!r}, not {want!r}"


def about(what, got, want):
    """`unique` counts up to 768 one by one, and estimates beyond with a standard error of 1.6 %; four of them are taken."""
    assert abs(got - want) <= (1 if want <= 768 else 0.065 * want), f"{what}: {got}, not about {want}"


def clean(d):
    code, text = d.audit()
    assert code == 0, text
    return text


UTC = timezone.utc
