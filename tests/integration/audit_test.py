#!/usr/bin/env python3
"""`sluice audit` is content with what the daemon left, and names the file, the range or the row after each kind of
damage; with the daemon stopped and while it runs."""

import json
import re
import shutil
import sqlite3

from checks import *

CONFIG = {
    "workers": 2,
    "cut": {"every": "1d"},
    "lake": {"max_age": "1d"},
    "streams": {
        "events": {
            "schema": {
                "type": "object",
                "properties": {
                    "id": {"type": "integer"},
                    "kind": {"type": "string"},
                    "at": {"type": "string", "format": "date-time"},
                    "amount": {"type": "number"},
                },
            },
            "event_time": "at",
            "late_limit": "10m",
            "lake": {"partition_by": ["kind"], "max_age": "1d"},
            "warehouse": {"table": "event_rows"},
        }
    },
    "windows": {"minutes": {"of": "events", "every": "1m", "by": ["kind"], "measures": {"n": "count()", "total": "sum(amount)", "users": "unique(id)"}}},
}


def events(first, count):
    out = []
    for i in range(first, first + count):
        e = {"id": i, "kind": "abc"[i % 3], "at": f"2021-03-01T{i // 60 % 24:02}:{i % 60:02}:00Z", "amount": i / 8}
        if i % 50 == 49:
            e["at"] = "2021-02-01T00:00:00Z"
        out.append(e)
    return out


def fill(d):
    for n in range(4):
        d.post(events(n * 300, 300), "/v1/events/events")
        d.post(b'{"id":"x"}\n{"id":\n{"id":1.5}\n{"id":%d,"kind":"a","at":"2021-03-01T00:00:00Z"}' % n, "/v1/events/events")
        d.flush()


def damaged(d, what, harm, *say, clean=False):
    """Everything as it was left, damaged; what audit says about it."""
    data = d.directory / "data"
    shutil.rmtree(data)
    shutil.copytree(ROOT / "pristine", data)
    needles = harm(data) or ()
    code, text = d.audit()
    wanted = [*say, *map(str, needles)]
    missing = [w for w in wanted if w not in text]
    ok = code == (0 if clean else 1) and not missing
    hold(f"{what}: exit {0 if clean else 1} and {wanted} named", ok, "" if ok else f"exit {code}, missing {missing}:\n{text}")
    for line in text.splitlines()[:2]:
        if not re.search(r"received|weren.t taken|warning|findings", line):
            print("    " + line.replace(str(data), "…"))


def lake_file(data, kind="lake", n=0):
    return sorted((data / kind / "events").rglob("*.parquet"))[n]


def range_of(path):
    """Positions of the entry that a file belongs to, as its name has them."""
    return [str(int(x, 16)) for x in path.stem.split("-")[1:3]]


def delete(kind, n):
    def harm(data):
        path = lake_file(data, kind, n)
        first, last = range_of(path)
        path.unlink()
        return (path.name, f"positions {first} to {last}")

    return harm


def copied(data):
    path = lake_file(data, n=3)
    copy = path.parent / "another-name.parquet"
    shutil.copy(path, copy)
    first, last = map(int, range_of(path))
    at = pa.parquet.read_metadata(path).metadata[b"sluice.positions"].decode()
    low, high = map(int, at.split("-"))
    assert first <= low <= high < last, (first, at, last)
    return (copy.name, at)


def copied_elsewhere(data):
    path = lake_file(data, n=3)
    folder = data / "lake" / "events" / "kind=zzz"
    folder.mkdir()
    shutil.copy(path, folder / path.name)
    return (f"kind=zzz/{path.name}",)


def renamed(data):
    path = lake_file(data, n=3)
    path.rename(path.with_name("moved.parquet"))
    return (path.name, "moved.parquet")


def flip(where):
    def harm(data):
        path = lake_file(data, n=5)
        raw = bytearray(path.read_bytes())
        raw[int(where * (len(raw) - 1))] ^= 1
        path.write_bytes(raw)
        return (path.name, "positions")

    return harm


def shortened(data):
    path = lake_file(data, n=2)
    path.write_bytes(path.read_bytes()[:-1])
    return (path.name,)


def sql(text, *needles):
    def harm(data):
        db = sqlite3.connect(data / "warehouse.db")
        changed = db.execute(text).rowcount
        db.commit()
        db.close()
        assert changed == 1, (text, changed)
        return needles

    return harm


def replaced(data):
    """As many rows as before, but one is another's copy under its position."""
    db = sqlite3.connect(data / "warehouse.db")
    gone = db.execute("SELECT _position FROM event_rows LIMIT 1 OFFSET 40").fetchone()[0]
    db.execute("DELETE FROM event_rows WHERE _position = ?", (gone,))
    columns = ", ".join(f'"{r[1]}"' for r in db.execute("PRAGMA table_info(event_rows)") if r[1] != "_position")
    db.execute(f"INSERT INTO event_rows (_position, {columns}) SELECT {gone}, {columns} FROM event_rows LIMIT 1 OFFSET 90")
    db.commit()
    db.close()
    return (f"_position={gone}",)


def swapped(data):
    """Two windows' sums change places; the sum stays."""
    db = sqlite3.connect(data / "warehouse.db")
    (a, n), (b, m) = db.execute("SELECT _key, total FROM minutes ORDER BY total DESC LIMIT 2").fetchall()
    db.executemany("UPDATE minutes SET total = ? WHERE _key = ?", [(m, a), (n, b)])
    db.commit()
    db.close()
    return ("2 rows",)


def companion(data):
    path = lake_file(data, "dead_letters", 0)
    shutil.copy(path, path.with_name("copy.parquet"))
    return ("copy.parquet",)


def doubled(name, key):
    def harm(data):
        db = sqlite3.connect(data / "warehouse.db")
        columns = [r[1] for r in db.execute(f"PRAGMA table_info({name})")]
        rest = [c for c in columns if c != key]
        names = ", ".join(f'"{c}"' for c in rest)
        # Another key, all else as it is.
        value = f'(SELECT max("{key}") + 7 FROM {name})' if key == "_position" else "x'00'"
        db.execute(f'INSERT INTO {name} ("{key}", {names}) SELECT {value}, {names} FROM {name} LIMIT 1')
        db.commit()
        db.close()

    return harm


PARTITIONS = [f"kafka:c/clicks/{n}@g" for n in range(3)]


def brought(stands, elsewhere=0):
    """Entries brought parts of three partitions of another log, each up to offset 10 times its entry's number; the warehouse's
    ledger has them at `stands`; None: no row. Of the first entry `elsewhere` events were in the table already."""

    def harm(data):
        db = sqlite3.connect(data / "ledger.db")
        entries = [r[0] for r in db.execute("SELECT e.id FROM entries e JOIN tables t ON t.id = e.table_id"
                                            " WHERE t.name = 'events/rows' ORDER BY e.sequence")]
        assert len(entries) >= 4, entries
        for n, entry in enumerate(entries):
            # The first partition isn't in the last two.
            lines = "".join(f"{n * 10} {n * 10 + 10} {p}\n" for p in PARTITIONS if p != PARTITIONS[0] or n < len(entries) - 2)
            db.execute("UPDATE entries SET ranges = ? WHERE id = ?", (lines, entry))
        db.execute("UPDATE entries SET received = received + ?, elsewhere = ? WHERE id = ?", (elsewhere, elsewhere, entries[0]))
        db.commit()
        db.close()
        db = sqlite3.connect(data / "warehouse.db")
        for p, at in zip(PARTITIONS, stands(10 * len(entries))):
            if at is not None:
                db.execute("INSERT INTO sluice_ledger_event_rows (partition, position, hash, rows) VALUES (?, ?, '', 0)", (p, str(at)))
        db.commit()
        db.close()

    return harm


def only_elsewhere(data):
    """Counted as elsewhere, and not as received."""
    brought(lambda end: (end, end, end), 3)(data)
    db = sqlite3.connect(data / "ledger.db")
    db.execute("UPDATE entries SET received = received - elsewhere WHERE elsewhere <> 0")
    db.commit()
    db.close()


def together():
    """Two daemons load into one SQLite warehouse: rows, rows by id, windows. Each answers for what it brought."""
    config = {**CONFIG, "warehouse": {"sqlite": str(ROOT / "together.db")}}
    config["streams"] = {**CONFIG["streams"], "people": {
        "schema": {"type": "object", "properties": {"user": {"type": "string"}, "n": {"type": "integer"}}},
        "id": "user", "warehouse": {"table": "people"}}}
    two = [daemon(name, config) for name in ("here", "there")]
    for n in range(3):
        for i, d in enumerate(two):
            d.post(events(n * 600 + i * 300, 300), "/v1/events/events")
            d.post([{"user": f"u{k % 7}", "n": k} for k in range(20 + i)], "/v1/events/people")
            d.flush()
    for d in two:
        audited(d, f"{d.directory.name}: two daemons' rows, clean while both run", "clean")
        stop(d)
        audited(d, f"{d.directory.name}: and when both have ended", "clean")
    db = sqlite3.connect(ROOT / "together.db")
    expect("windows count both daemons' events", db.execute("SELECT sum(n) FROM minutes").fetchone()[0],
           db.execute("SELECT count(*) FROM event_rows").fetchone()[0])
    expect("an id is there once", db.execute("SELECT count(*) FROM people").fetchone()[0], 7)
    assert db.execute("DELETE FROM event_rows WHERE rowid = (SELECT max(rowid) FROM event_rows)").rowcount == 1
    db.commit()
    clean = [d.audit()[0] == 0 for d in two]
    hold("one row less: the one that brought it says so", sorted(clean) == [False, True], clean)


def audited(d, what, *say, clean=True, config=None):
    """What audit says with a configuration of its own."""
    if config is not None:
        (d.directory / "sluice.yaml").write_text(json.dumps(config))
    code, text = d.audit()
    ok = code == (0 if clean else 1) and all(w in text for w in say)
    hold(what, ok, "" if ok else f"exit {code}, wanted {say}:\n{text}")
    return text


def moved():
    """Directories that are elsewhere now than when their files were made."""
    d = daemon("moving", {**CONFIG, "lake": {"max_age": "1d", "to": str(ROOT / "moving" / "outside")}})
    fill(d)
    stop(d)
    text = audited(d, "nothing moved: clean", "clean")
    hold("dead letters are told as what they are", "12 events that weren't taken" in text and "received 0" not in text, text)
    where = {**d.config, "data_dir": str(d.directory / "elsewhere")}
    (d.directory / "data").rename(where["data_dir"])
    audited(d, "data_dir moved: clean", "clean", config=where)
    where["lake"] = {"max_age": "1d", "to": str(d.directory / "new")}
    (d.directory / "outside").rename(d.directory / "new")
    audited(d, "the lake moved, too, and no daemon ran since: clean", "clean", config=where)
    # Another directory for what comes: the older files stay where they are.
    where["lake"]["to"] = str(d.directory / "third")
    d.config = where
    assert d.start() is None, d.said()[-2000:]
    fill(d)
    stop(d)
    files = {n: sorted((d.directory / n).rglob("*.parquet")) for n in ("new", "third")}
    hold("files are in both", all(files.values()), {n: len(f) for n, f in files.items()})
    audited(d, "what the ledger knows in a third directory: missing", "missing", clean=False)
    (d.directory / "new").rename(d.directory / "outside")
    audited(d, "where the ledger knows them: clean", "clean")
    path = next((d.directory / "outside").rglob("*.parquet"))
    copy = d.directory / "third" / "events" / path.relative_to(d.directory / "outside" / "events")
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, copy)
    audited(d, "a file in the old and in the new directory: twice", "twice", path.name, clean=False)
    path.unlink()
    audited(d, "carried over: clean", "clean")
    copy.unlink()
    audited(d, "in neither: missing", "missing", path.name, clean=False)


def main():
    moved()
    together()
    d = daemon("base", CONFIG)
    fill(d)
    code, text = d.audit()
    hold("while it runs: clean", code == 0 and "clean" in text, "" if code == 0 else text)
    # A file lost under a running daemon is found as well.
    path = lake_file(d.directory / "data")
    kept = path.read_bytes()
    path.unlink()
    code, text = d.audit()
    hold("while it runs, a file deleted: exit 1, file named", code == 1 and path.name in text, "" if code == 1 else text)
    path.write_bytes(kept)
    assert d.audit()[0] == 0
    stop(d)
    shutil.copytree(d.directory / "data", ROOT / "pristine")
    schema = sqlite3.connect(d.warehouse()).execute("SELECT name FROM pragma_table_info('event_rows')").fetchall()
    print("columns of event_rows: " + ", ".join(c[0] for c in schema))

    damaged(d, "nothing done", lambda data: None, "clean", clean=True)
    damaged(d, "a lake file deleted", delete("lake", 4), "events/lake", "missing")
    damaged(d, "a file of dead letters deleted", delete("dead_letters", 1), "events/dead_letters", "missing")
    damaged(d, "a file of late events deleted", delete("late", 1), "events/late", "missing")
    damaged(d, "a lake file copied beside itself", copied, "events/lake", "twice")
    damaged(d, "a lake file copied into another directory", copied_elsewhere, "events/lake", "twice")
    damaged(d, "a lake file renamed", renamed, "events/lake")
    for where in (0.1, 0.5, 0.99):
        damaged(d, f"one bit of a lake file altered at {where:.0%}", flip(where), "events/lake", "altered")
    damaged(d, "a lake file one byte shorter", shortened, "events/lake")
    for name, column, value in (("event_rows", "amount", "amount + 1"), ("event_rows", "kind", "'z'"), ("minutes", "n", "n + 1"), ("minutes", "total", "total - 1"), ("minutes", "users", "users + 1"), ("minutes", "users__state", "x'01'")):
        key = "rowid" if name == "event_rows" else "_key"
        damaged(d, f"{name}.{column} of one row updated",
                sql(f"UPDATE {name} SET {column} = {value} WHERE {key} = (SELECT {key} FROM {name} LIMIT 1 OFFSET 5)"), f"{name if name == 'minutes' else 'events/rows'}:", "altered")
    row = sqlite3.connect(d.warehouse()).execute("SELECT _position FROM event_rows LIMIT 1 OFFSET 700").fetchone()[0]
    damaged(d, "one row of event_rows deleted",
            sql("DELETE FROM event_rows WHERE rowid = (SELECT rowid FROM event_rows LIMIT 1 OFFSET 700)"), "events/rows:", "positions", "rows in the warehouse")
    print(f"    (it was at position {row})")
    damaged(d, "one row of minutes deleted", sql("DELETE FROM minutes WHERE _key = (SELECT _key FROM minutes LIMIT 1 OFFSET 5)"), "minutes:")
    damaged(d, "a row of event_rows inserted again", doubled("event_rows", "_position"), "events/rows:")
    damaged(d, "a row of minutes inserted again", doubled("minutes", "_key"), "minutes:")
    damaged(d, "a row of event_rows replaced by another", replaced, "events/rows:", "altered")
    damaged(d, "sums of two windows swapped", swapped, "minutes:", "altered")
    damaged(d, "a file of dead letters copied", companion, "events/dead_letters", "twice")
    damaged(d, "partitions of another log stand where they were brought to, or beyond", brought(lambda end: (end - 20, end, end + 5), 3),
            "clean", "filtered + 3 elsewhere", clean=True)
    damaged(d, "one of them stands below", brought(lambda end: (end, end - 1, end)), "events/rows:", f"{PARTITIONS[1]} was brought up to offset",
            "stands at", "is it an older copy? (1 of 3 partitions)")
    damaged(d, "two of them are gone", brought(lambda end: (None, end, None)), "events/rows:", f"{PARTITIONS[0]} was brought up to offset",
            "has no row for it: was it replaced? (2 of 3 partitions)")
    damaged(d, "events counted elsewhere that weren't received", only_elsewhere, "events/rows:", "filtered + 3 elsewhere")
    damaged(d, "the warehouse's ledger put back", sql("UPDATE sluice_ledger_event_rows SET position = '4096'"), "events/rows:", "4096")
    finish()


if __name__ == "__main__":
    main()
