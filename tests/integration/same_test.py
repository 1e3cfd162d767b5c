#!/usr/bin/env python3
"""The same bodies, sent one after another to daemons with 1, 2 and 4 workers that cut every 100 ms, every second
and only when asked, and to one that is killed twice: every table has the same rows."""

import random
import re

from checks import *
from rebuild import loose, rebuilt

BODIES = int(os.environ.get("SLUICE_SAME_BODIES", "240"))
SCHEMA = {
    "type": "object",
    "required": ["id", "kind"],
    "properties": {
        "id": {"type": "integer"},
        "kind": {"type": "string"},
        "at": {"type": "string", "format": "date-time"},
        "amount": {"type": ["number", "null"], "x-decimal": [14, 3]},
        "weight": {"type": "number"},
        "who": {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}},
        "tags": {"type": "array"},
        "ok": {"type": "boolean"},
    },
}
MEASURES = {
    "n": "count()",
    "good": "count(ok)",
    "total": "sum(amount)",
    "low": "min(amount)",
    "high": "max(who.name)",
    "people": "unique(who.name)",
    "median": "quantile(weight, 0.5)",
    "ages": "avg(who.age)",
    "share": "good / n",
}


def recorded():
    """(stream, body) in their order: good events, all kinds of bad ones, late ones, arrays and lines."""
    r = random.Random(20200101)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    out, i = [], 0
    for b in range(BODIES):
        lines = []
        for _ in range(r.choice([1, 3, 40, 100, 250])):
            i += 1
            t = start + timedelta(seconds=i * 0.9 + r.uniform(-30, 0))
            if r.random() < 0.01:
                t -= timedelta(seconds=r.randrange(200, 4000))
            e = {
                "id": i,
                "kind": r.choice(["view", "buy", "größe/ü", "a=b%", ""]),
                "at": t.isoformat(timespec=r.choice(["seconds", "milliseconds", "microseconds"])),
                "amount": r.choice([None, round(r.uniform(-1000, 1000), 3), r.randrange(1000)]),
                "weight": r.uniform(-5, 50),
                "who": {"name": f"n{r.randrange(3000)}", "age": r.randrange(90)},
                "ok": r.random() < 0.3,
            }
            for k in ("weight", "amount", "who", "ok"):
                if r.random() < 0.05:
                    e.pop(k)
            if r.random() < 0.1:
                e["tags"] = [r.randrange(5), "x", None]
                e[f"extra{r.randrange(3)}"] = {"deep": [1, {"a": 2}]}
            bad = r.random()
            if bad < 0.01:
                e["id"] = "seven"
            elif bad < 0.02:
                e.pop("kind")
            elif bad < 0.03:
                e["at"] = "yesterday"
            text = json.dumps(e, ensure_ascii=r.random() < 0.5)
            if 0.03 < bad < 0.04:
                text = text[:-3]
            elif 0.04 < bad < 0.045:
                text = "[1]"
            lines.append(text)
        if r.random() < 0.2 and all(l.endswith("}") for l in lines):
            body = "[" + ",".join(lines) + "]"
        else:
            body = "\n".join(lines)
        out.append(("orders", body.encode()))
        if b % 3 == 0:
            # Types stay; new members appear all the time.
            guess = [
                {"n": i * 10 + k, "time": (start + timedelta(seconds=i)).isoformat(), "s": f"s{k}", f"m{b % 17}": {"x": k / 8, "l": [k]}}
                for k in range(20)
            ]
            out.append(("guessed", b"\n".join(lines_of(guess))))
        if b % 29 == 0:
            out.append(("nobody", b'{"a":1}'))
    return out


def config(workers, cut):
    age = {"100ms": "200ms", "1s": "1s", "1d": "1d"}[cut]
    return {
        "workers": workers,
        "cut": {"every": cut},
        "lake": {"max_age": age},
        "streams": {
            "orders": {
                "schema": SCHEMA,
                "event_time": "at",
                "late_limit": "2m",
                "lake": {"partition_by": ["kind", "hour"], "max_age": age},
                "warehouse": {"table": "order_rows"},
            },
            "guessed": {"event_time": "time"},
        },
        "windows": {
            "minutes": {"of": "orders", "every": "1m", "lateness": "30s", "by": ["kind"], "measures": MEASURES},
            "hours": {"of": "orders", "every": "1h", "measures": MEASURES},
            "doubles": {"of": "orders", "every": "10m", "measures": {"n": "count()", "weight": "sum(weight)", "mean": "avg(weight)"}},
            "guesses": {"of": "guessed", "every": "1m", "measures": {"n": "count()", "total": "sum(n)", "x": "unique(s)"}},
        },
    }


def sorted_rows(rows, leave_out=()):
    return sorted(
        tuple(sorted((k, repr(v)) for k, v in r.items() if k not in leave_out and v is not None)) for r in rows
    )


def parquet_rows(d, kind, stream):
    base = d.directory / "data" / kind / stream
    out = []
    for f in files_of(d, stream, kind):
        directories = dict(p.split("=", 1) for p in Path(f).relative_to(base).parts[:-1])
        for row in pa.parquet.read_table(f, partitioning=None).to_pylist():
            out.append({**{f"/{k}": v for k, v in directories.items()}, **row})
    return out


def sql_rows(d, name):
    import sqlite3

    with sqlite3.connect(d.warehouse()) as db:
        db.row_factory = sqlite3.Row
        return [dict(r) for r in db.execute(f'SELECT * FROM "{name}"')]


def tables(d, positions):
    moved = () if positions else ("position", "_position")
    own = ("arrived", "partition", "_partition", "_hash", *moved)
    out = {
        "lake orders": sorted_rows(parquet_rows(d, "lake", "orders"), own),
        "late orders": sorted_rows(parquet_rows(d, "late", "orders"), own),
        "rows in SQL": sorted_rows(sql_rows(d, "order_rows"), own),
        "lake guessed": sorted((repr(sorted(loose(rebuilt(r)).items())) for r in parquet_rows(d, "lake", "guessed"))),
    }
    for stream in ("orders", "_unrouted"):
        out[f"dead letters {stream}"] = sorted_rows(parquet_rows(d, "dead_letters", stream), own)
    for window in ("minutes", "hours", "guesses"):
        out[f"window {window}"] = sorted_rows(sql_rows(d, window), own)
    out["window doubles"] = {r["window_start"]: (r["n"], r["weight"], r["mean"]) for r in table(d, "doubles")}
    return out


def run(bodies, workers, cut, kills=()):
    name = f"workers {workers}, cut {cut}" + (", killed twice" if kills else "")
    d = daemon(name.replace(" ", "-").replace(",", ""), config(workers, cut))
    total = Counter()
    began = time.monotonic()
    for n, (stream, body) in enumerate(bodies):
        if n in kills:
            d.kill()
            assert d.start() is None, d.said()[-2000:]
        status, reply = d.request("POST", f"/v1/events/{stream}", body)
        assert status in (200, 400), (status, reply)
        reply = json.loads(reply)
        total["accepted"] += reply["accepted"]
        total["rejected"] += reply["rejected"]
        if cut != "1d":
            time.sleep(0.005)  # so that there are cuts in between
    d.flush()
    out = tables(d, not kills)
    code, text = d.audit()
    hold(f"{name}: audit is clean", code == 0, "" if code == 0 else text)
    assert d.stop() == 0
    entries = sum(int(m) for m in re.findall(r"(\d+) entries", text))
    print(f"{name}: {dict(total)}, {entries} entries, {len(files_of(d, 'orders'))} files of orders, {time.monotonic() - began:.1f} s")
    return name, total, out


def compare(one, other, positions=True):
    name, total, got = other
    if not hold(f"{name}: accepted and rejected as in the first run", total == one[1], dict(total)):
        return
    same = []
    for what, want in one[2].items():
        if what == "window doubles":
            close = got[what].keys() == want.keys() and all(
                a[0] == b[0] and abs(a[1] - b[1]) <= 1e-12 * abs(b[1]) and abs(a[2] - b[2]) <= 1e-12 * abs(b[2])
                for a, b in ((got[what][k], want[k]) for k in want)
            )
            if close:
                same.append(f"{what} {len(want)}")
            else:
                hold(f"{name}: {what} but for last bits", False, f"{got[what]} {want}"[:500])
            continue
        if not positions:
            want = [tuple(c for c in r if c[0] not in ("position", "_position")) for r in want] if want and isinstance(want[0], tuple) else want
            want = sorted(want)
        if got[what] == want:
            same.append(f"{what} {len(want)}")
        else:
            a, b = Counter(want), Counter(got[what])
            hold(f"{name}: {what}", False, f"{len(want)} rows and {len(got[what])}; lacks {str(list((a - b).elements())[:1])[:700]}, has {str(list((b - a).elements())[:1])[:700]}")
    print(f"equal     {name}: rows of {', '.join(same)}")


def late_ones(bodies, limit=timedelta(minutes=2)):
    """Ids of the events that are behind the watermark at their position, which only good events move."""
    mark, late, kept = None, [], []
    for stream, body in bodies:
        if stream != "orders":
            continue
        text = body.decode()
        for line in [json.dumps(e) for e in json.loads(text)] if text[0] == "[" and text[1] == "{" else text.split("\n"):
            try:
                e = json.loads(line)
                t = at(e["at"])
                good = isinstance(e["id"], int) and "kind" in e
            except (ValueError, KeyError, TypeError):
                continue
            if not good:
                continue
            if mark is not None and t < mark - limit:
                late.append(e["id"])
            else:
                kept.append(e["id"])
            mark = t if mark is None else max(mark, t)
    return late, kept


def main():
    bodies = recorded()
    print(f"{len(bodies)} bodies, {sum(len(b) for _, b in bodies)} bytes")
    first = run(bodies, 1, "1d")
    print({k: len(v) for k, v in first[2].items()})
    for what, rows in first[2].items():
        hold(f"{what} has rows", len(rows) > 0)
    late, kept = late_ones(bodies)
    for what, want in (("late orders", late), ("lake orders", kept)):
        ids = sorted(int(dict(r)["id"]) for r in first[2][what])
        expect(f"ids of {what} against the watermark computed here", ids, sorted(want))
    for workers in (1, 2, 4):
        for cut in ("100ms", "1s", "1d"):
            if (workers, cut) != (1, "1d"):
                compare(first, run(bodies, workers, cut))
    compare(first, run(bodies, 2, "100ms", (len(bodies) // 3, 2 * len(bodies) // 3)), positions=False)
    finish()


if __name__ == "__main__":
    main()
