"""What the integration tests share: where data lies, sending it, reading back what the daemon made of it."""

import atexit
import gzip
import json
import os
import sys
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from daemon import Daemon  # noqa: E402, F401

import duckdb  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.compute  # noqa: E402, F401
import pyarrow.dataset  # noqa: E402, F401
import pyarrow.parquet  # noqa: E402, F401

TOP = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("SLUICE_SHARED_DATA", TOP.parent / "shared" / "data"))
ROOT = Path(os.environ.get("SLUICE_TMP", TOP / "build" / "tmp" / "integration"))
UTC = timezone.utc

running = []
problems = []


@atexit.register
def end_all():
    for d in running:
        if d.process is not None and d.process.poll() is None:
            d.kill()


def daemon(name, config=None, **more):
    """A started daemon, ended with the test."""
    d = Daemon(ROOT / name, config, **more)
    running.append(d)
    assert d.start() is None, d.said()[-3000:]
    return d


def need_shared(*parts):
    path = SHARED.joinpath(*parts)
    if not path.exists():
        print(f"{path} isn't there")
        sys.exit(77)
    return path


def expect(what, got, want, close=0.0):
    """Compares and says so; the test goes on, and fails at its end."""
    same = got == want
    if not same and close and isinstance(got, (int, float)) and isinstance(want, (int, float)):
        same = abs(got - want) <= close * max(abs(got), abs(want))
    if not same:
        problems.append(what)
        print(f"DIFFERENT {what}: {shown(got)}, not {shown(want)}")
        if isinstance(got, dict) and isinstance(want, dict):
            for k in list(dict.fromkeys([*want, *got])):
                if got.get(k) != want.get(k):
                    print(f"  first at {k!r}: {shown(got.get(k))}, not {shown(want.get(k))}")
                    break
    else:
        print(f"equal     {what}: {shown(got)}")
    return same


def hold(what, true, detail=""):
    if not true:
        problems.append(what)
    print(f"{'holds    ' if true else 'DIFFERENT'} {what}{': ' + str(detail) if detail != '' else ''}")
    return true


def shown(value):
    text = repr(value)
    if len(text) <= 100:
        return text
    return f"{type(value).__name__} of {len(value)}: {text[:70]}…" if hasattr(value, "__len__") else text


def finish():
    if problems:
        print(f"{len(problems)} differences: " + "; ".join(problems))
        sys.exit(1)
    print("no difference")


def read_bytes(path):
    path = Path(path)
    if path.suffix == ".zst":
        with pa.input_stream(str(path), compression="zstd") as f:
            return f.read()
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    return path.read_bytes()


def send(d, lines, stream, batch=1000, accepted=True):
    """Lines (bytes) as NDJSON in bodies of `batch`; sums of the replies."""
    import http.client

    total = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", d.port, timeout=120)
    for at in range(0, len(lines), batch):
        part = lines[at : at + batch]
        while True:
            connection.request("POST", f"/v1/events/{stream}", b"\n".join(part))
            response = connection.getresponse()
            reply = json.loads(response.read())
            if response.status not in (429, 503):
                break
            time.sleep(0.1)
        assert response.status == 200 or not accepted, (response.status, reply)
        total["accepted"] += reply.get("accepted", 0)
        total["rejected"] += reply.get("rejected", 0)
    connection.close()
    return total


def lines_of(rows):
    return [json.dumps(r, separators=(",", ":"), ensure_ascii=False).encode() for r in rows]


def files_of(d, stream, kind="lake"):
    return sorted(str(p) for p in (d.directory / "data" / kind / stream).rglob("*.parquet"))


def connect(d=None):
    """DuckDB; with a daemon its warehouse is attached as `w`, read through Python's own SQLite."""
    db = duckdb.connect()
    db.execute("SET TimeZone='UTC'")
    db.execute("SET enable_progress_bar=false")
    return db


def lake_sql(d, stream, kind="lake", **options):
    options = {"union_by_name": "true", "hive_partitioning": "false", **options}
    text = ", ".join(f"{k}={v}" for k, v in options.items())
    return f"read_parquet('{d.directory}/data/{kind}/{stream}/**/*.parquet', {text})"


def table(d, name):
    """Rows of a warehouse table as dictionaries, without the columns that are the sink's own."""
    import sqlite3

    with sqlite3.connect(d.warehouse()) as db:
        db.row_factory = sqlite3.Row
        return [
            {k: r[k] for k in r.keys() if not k.startswith("_") and not k.endswith("__state")}
            for r in db.execute(f'SELECT * FROM "{name}"')
        ]


def keyed(rows, *keys, value=None):
    out = {}
    for r in rows:
        k = tuple(r[x] for x in keys)
        k = k[0] if len(keys) == 1 else k
        assert k not in out, f"twice: {k}"
        out[k] = r[value] if value else r
    return out


def at(text):
    """A time as the daemon or a source writes it, in UTC."""
    t = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return t if t.tzinfo else t.replace(tzinfo=UTC)


def stamp(t):
    """A window's start as the warehouse has it."""
    return t.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def floor(t, step):
    return t - (t - datetime(1970, 1, 1, tzinfo=UTC)) % step


def cpu_seconds(d):
    with open(f"/proc/{d.process.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def audit_clean(d):
    code, text = d.audit()
    if expect("audit's exit code", code, 0) is False:
        print(text)
    return text


def stop(d):
    expect("exit code of the stopped daemon", d.stop(), 0)


__all__ = [n for n in dir() if not n.startswith("_")] + ["timedelta"]
