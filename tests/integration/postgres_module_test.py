#!/usr/bin/env python3
"""The PostgreSQL target alone, against a real server that fails in every way: each row is there once."""

import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import rigs

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", TOP / "build" / "dev"))
LOAD = BUILD / "src" / "sinks" / "warehouse" / "postgres" / "postgres_load"

rigs.need("postgres")
URL = os.environ["SLUICE_TEST_PG"]
OURS = f"module{os.getpid()}"  # Other scripts use the same server meanwhile.
MINE = f"{URL}?application_name={OURS}"
tables = 0


def table(word="t"):
    """A name that nobody has."""
    global tables
    tables += 1
    name = f"{word}_{os.getpid()}_{tables}"
    sql(f'DROP TABLE IF EXISTS "{name}", "sluice_ledger_{name}", "sluice_dead_{name}"')
    return name


def sql(text, url=None):
    return rigs.psql(url or URL, text)


def one(text, url=None):
    return sql(text, url)[0][0]


class Loader:
    """A process that loads what it is told."""

    def __init__(self, url=None, *words):
        self.spool = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen([str(LOAD), url or URL, self.spool.name, *words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def start(self, words):
        self.process.stdin.write(words + "\n")

    def wait(self):
        self.process.stdin.write("wait\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline().rstrip("\n")
        assert line, f"the loader ended: {self.process.wait()}"
        name, start, status, *text = line.split(" ", 3)
        return status, text[0] if text else ""

    def load(self, words):
        self.start(words)
        self.wait()
        return self.answer()

    def insist(self, words, seconds=60):
        """As the engine does: again, until it is in. Statuses that would stop a table end it."""
        end = time.monotonic() + seconds
        while True:
            status, text = self.load(words)
            if status == "ok":
                return
            assert status in ("eio", "eagain", "efull", "edenied", "enospc"), (status, text)
            assert time.monotonic() < end, (status, text)
            time.sleep(0.3)

    def audit(self, words):
        """found, position, rows, altered, first"""
        self.process.stdin.write(f"audit {words}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline().rstrip("\n").split(" ", 6)
        assert len(line) == 7, line
        return line[2] == "1", int(line[3]), int(line[4]), int(line[5]), line[6]

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0, self.process.returncode
        self.spool.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.end()
        else:
            self.process.kill()


def whole(name, rows, url=None):
    """Each position once."""
    found = sql(f'SELECT count(*), count(DISTINCT ("_partition", "_position")) FROM "{name}"', url)
    assert found == [[str(rows), str(rows)]], found


def plain(url):
    """Unencrypted, so that the proxy can read it."""
    return url + "?sslmode=disable"


def through(proxy, url=None):
    rest = (url or URL).split("@")[1].split("/")[1]
    return plain(f"postgresql://sluice:sluice@{proxy.address}/{rest}")


def address(url=None):
    return (url or URL).split("@")[1].split("/")[0]


# --- what is loaded ---


def test_rows_are_loaded_once_however_often_they_come():
    name = table()
    with Loader() as l:
        for _ in range(3):
            assert l.load(f"rows {name} partition=p from=0 to=50000 first") == ("ok", "")
        assert l.load(f"rows {name} partition=p from=50000 to=60000 columns=wide")[0] == "ok"
        assert l.audit(f"{name} partition=p from=0 to=60000") == (True, 60000, 6000, 0, "")
        assert l.audit(f"{name} partition=p from=10 to=100")[2] == 9
    whole(name, 6000)
    assert one(f'SELECT count(*) FROM "{name}" WHERE late_column = \'late\'') == "1000"


def test_values_arrive_as_they_are():
    name = table()
    with Loader() as l:
        l.insist(f"rows {name} partition=p from=0 to=100 first")
    rows = sql(f'SELECT name, n, x::text, price, "at", day, paid, doc, raw FROM "{name}" WHERE "_position" = 10')
    assert rows == [["n1", "-9223372036854775798", "3.3333333333333335", "-4899.90", "2023-11-14 22:13:20.123466+00",
                     "2022-01-18", "f", '{"a": "é", "b": [10, 1.50]}', "\\x0001ff"]], rows
    assert sql(f'SELECT n, x, "at", doc FROM "{name}" WHERE "_position" = 30') == [[None, None, None, None]]


def test_the_ledger_refuses_what_does_not_join():
    name = table()
    with Loader() as l:
        assert l.load(f"rows {name} partition=p from=0 to=100")[0] == "econflict"  # no row, and not the first
        l.insist(f"rows {name} partition=p from=0 to=100 first")
        for words in ("from=0 to=100 hash=other", "from=50 to=150", "from=200 to=300", "from=0 to=50"):
            status, text = l.load(f"rows {name} partition=p {words}")
            assert status == "econflict" and "stands at 100" in text, (words, status, text)
        assert l.load(f"rows {name} partition=q from=100 to=200")[0] == "econflict"
        l.insist(f"rows {name} partition=q from=100 to=200 first")
        l.insist(f"rows {name} partition=p from=100 to=200")
        sql(f'UPDATE "sluice_ledger_{name}" SET position = \'what\'')
        assert l.load(f"rows {name} partition=p from=200 to=300")[0] == "econflict"
    whole(name, 30)


def test_windows_merge_to_what_one_load_gives():
    one_load, many = table("w"), table("w")
    with Loader() as l:
        l.insist(f"window {one_load} partition=p from=0 to=1000 events=0..20000 groups=70 first")
        for i in range(0, 20000, 2500):  # Cuts within windows, and windows that come again.
            l.insist(f"window {many} partition=p from={i} to={i + 2500} events={i}..{i + 2500} groups=70" +
                     " first" * (i == 0))
            l.insist(f"window {many} partition=p from={i} to={i + 2500} events={i}..{i + 2500} groups=70")
        assert l.audit(f"{many} partition=p window")[:4] == (True, 20000, 20000, 0)
    same_windows(one_load, many)
    assert one(f'SELECT sum(events) FROM "{many}"') == "20000"


def same_windows(a, b, url=None):
    columns = "window_start, country, events, big, amounts, revenue, least, most, last_user, mean, mean__state, users," \
              ' users__state, p50, p50__state, share, "_key", "_rows", "_hash"'
    assert one(f'SELECT count(*) FROM "{a}"', url) == one(f'SELECT count(*) FROM "{b}"', url) != "0"
    different = sql(f'SELECT {columns} FROM "{a}" EXCEPT SELECT {columns} FROM "{b}"', url)
    assert different == [], different[:2]


def test_two_daemons_give_the_rows_of_one():
    single, shared = table("w"), table("w")
    steps = 20
    with Loader() as l:
        l.insist(f"window {single} partition=p from=0 to=1000 events=0..{steps * 500} first")

    def daemon(which):
        with Loader() as own:
            for i in range(which, steps, 2):
                n = i // 2 * 10
                own.insist(f"window {shared} partition=p{which} from={n} to={n + 10} events={i * 500}..{i * 500 + 500}" +
                           " first" * (i == which))

    together([threading.Thread(target=daemon, args=(k,)) for k in (0, 1)])
    same_windows(single, shared)
    assert one(f'SELECT sum(rows) FROM "sluice_ledger_{shared}"') == str(steps * 500)


def together(threads):
    failures = []
    old, threading.excepthook = threading.excepthook, lambda a: failures.append(a.exc_value)
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    threading.excepthook = old
    assert not failures, failures


def test_more_tables_than_sessions_wait_for_each_other():
    names = [table() for _ in range(9)]
    with Loader(MINE, "sessions=2") as l:
        for step in range(3):
            for n in names:
                l.start(f"rows {n} partition=p from={step * 1000} to={step * 1000 + 1000}" + " first" * (step == 0))
            l.wait()
            assert [l.answer()[0] for _ in names] == ["ok"] * len(names)
        assert 1 <= int(one(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{OURS}'")) <= 2
    for n in names:
        whole(n, 300)


def test_rows_with_an_id_are_updated():
    name = table()
    with Loader() as l:
        l.insist(f"rows {name} partition=p from=0 to=5000 first id=name")  # n0 … n99, five times each.
        assert one(f'SELECT count(*) FROM "{name}"') == "100"
        assert one(f'SELECT min("_position") FROM "{name}"') == "4000"
        l.insist(f"rows {name} partition=p from=5000 to=5500 id=name")
        assert one(f'SELECT count(*) FROM "{name}"') == "100"
        assert one(f'SELECT count(*) FROM "{name}" WHERE "_position" >= 5000') == "50"
        assert l.audit(f"{name} partition=p from=0 to=6000")[2:4] == (100, 0)
        status, text = l.load(f"rows {name} partition=p from=5500 to=5600 id=other")
        assert status == "einval" and "no such column" in text, (status, text)


# --- tables of others ---


def test_tables_are_not_made_where_that_is_off():
    name = table()
    with Loader() as l:
        status, text = l.load(f"rows {name} partition=p from=0 to=100 first no_create")
        assert status == "eio" and "no table" in text and "sluice ddl" in text, (status, text)
        l.insist(f"rows {name} partition=p from=0 to=100 first")
        status, text = l.load(f"rows {name} partition=p from=100 to=200 columns=wide no_create")
        assert status == "eio" and "ADD COLUMN" in text, (status, text)
        sql(f'ALTER TABLE "{name}" ADD COLUMN late_column VARCHAR(9), ADD COLUMN theirs INT DEFAULT 7')
        l.insist(f"rows {name} partition=p from=100 to=200 columns=wide no_create")
    assert one(f'SELECT sum(theirs) FROM "{name}"') == "140"


def test_a_column_of_another_type_stalls_and_says_what_helps():
    name = table()
    with Loader() as l:
        l.insist(f"rows {name} partition=p from=0 to=100 first")
        sql(f'ALTER TABLE "{name}" ALTER n TYPE NUMERIC(20)')
        status, text = l.load(f"rows {name} partition=p from=100 to=200")
        assert status == "eio" and "numeric" in text and "BIGINT" in text, (status, text)
        sql(f'ALTER TABLE "{name}" ALTER n TYPE BIGINT, ADD COLUMN must INT NOT NULL DEFAULT 1')
        sql(f'ALTER TABLE "{name}" ALTER must DROP DEFAULT')
        status, text = l.load(f"rows {name} partition=p from=100 to=200")
        assert status == "eio" and '"must" is NOT NULL' in text, (status, text)
        sql(f'ALTER TABLE "{name}" DROP must')
        l.insist(f"rows {name} partition=p from=100 to=200")
    whole(name, 20)


def test_other_types_that_lose_nothing_are_taken():
    name = table()
    sql(f'CREATE TABLE "{name}" ("_partition" BIGINT, "_position" BIGINT, "_hash" BIGINT, name VARCHAR(50), n BIGINT,'
        ' x FLOAT8, price NUMERIC, "at" TIMESTAMP, day DATE, paid BOOL, doc TEXT, raw BYTEA)')
    with Loader() as l:
        l.insist(f'rows {name} partition=p from=0 to=100 first doc={{"a":1.0}}')
        assert l.audit(f"{name} partition=p from=0 to=10")[2] == 1
    assert one(f'SELECT doc FROM "{name}" WHERE "_position" = 0') == '{"a":1.0}'
    assert one(f'SELECT "at" FROM "{name}" WHERE "_position" = 0') == "2023-11-14 22:13:20.123456"


def test_texts_are_cut_or_become_dead_letters():
    cut, dead = table(), table()
    with Loader() as l:
        for name in (cut, dead):
            l.insist(f"rows {name} partition=p from=0 to=100 first")
            sql(f'ALTER TABLE "{name}" ALTER name TYPE VARCHAR(4)')
        l.insist(f"rows {cut} partition=p from=100 to=200 name=äöüß€€")
        assert one(f'SELECT name FROM "{cut}" WHERE "_position" = 100') == "äöüß"
        l.insist(f"rows {dead} partition=p from=100 to=200 name=äöüß€€ policy=dead_letter")
        rows = sql(f'SELECT partition, position, "column", "row"::jsonb ->> \'name\' FROM "sluice_dead_{dead}"')
        assert rows == [["p", "100", "name", "äöüß€€"]], rows
        assert l.audit(f"{cut} partition=p from=0 to=200") == (True, 200, 20, 0, "")
        assert l.audit(f"{dead} partition=p from=0 to=200") == (True, 200, 20, 0, "")
    whole(dead, 19)


def test_json_that_jsonb_cannot_hold_is_kept_as_text():
    name = table()
    documents = [r'{"a":"\u0000"}', r'["\ud800"]', r'["\udc00\ud800"]', '[1e400000]', '[1e-400000]', "[" + "9" * 3000 + "]",
                 r'{"\u0000":1}', r'["\\u0000","\ud83d\ude00"]', "[1e300,-0.0]", '"x"', "null"]
    kept = [True, True, True, True, True, False, True, False, False, False, False]
    with Loader() as l:
        for i, d in enumerate(documents):
            l.insist(f"rows {name} partition=p from={i * 10} to={i * 10 + 10} doc={d}" + " first" * (i == 0))
        assert l.audit(f"{name} partition=p from=0 to=1000")[2:4] == (len(documents), 0)
    for i, d in enumerate(documents):
        kind, text = sql(f"SELECT jsonb_typeof(doc), doc #>> '{{}}' FROM \"{name}\" WHERE \"_position\" = {i * 10}")[0]
        assert not kept[i] or (kind == "string" and text == d), (d, kind, text)
        assert kept[i] or one(f"SELECT doc = '{d}'::jsonb FROM \"{name}\" WHERE \"_position\" = {i * 10}") == "t", (d, text)


def test_altered_rows_are_found():
    rows, windows = table(), table("w")
    with Loader() as l:
        l.insist(f"rows {rows} partition=p from=0 to=1000 first")
        l.insist(f"window {windows} partition=p from=0 to=1000 events=0..1000 first")
        sql(f'UPDATE "{rows}" SET price = price + 0.01 WHERE "_position" = 500')
        sql(f'UPDATE "{windows}" SET events = events + 1 WHERE country = \'g1\' AND window_start = \'1970-01-01 00:02:00Z\'')
        assert l.audit(f"{rows} partition=p from=0 to=1000") == (True, 1000, 100, 1, "_position=500")
        assert l.audit(f"{windows} partition=p window")[3:] == (1, "window_start=1970-01-01 00:02:00+00")
        sql(f'DELETE FROM "{rows}" WHERE "_position" = 20')
        assert l.audit(f"{rows} partition=p from=0 to=1000")[2] == 99
        assert not l.audit(f"{rows} partition=q from=0 to=1000")[0]


def test_a_long_group_is_one_row_all_the_same():
    name = table("w")
    with Loader() as l:
        l.insist(f"window {name} partition=p from=0 to=10 events=0..300 groups=300 first")
    assert int(one(f'SELECT max(length("_key")) FROM "{name}"')) < 600


# --- partitions that several daemons read ---


def parts_of(name):
    """Where the ledger stands, by partition; ids are unique, and journals keep theirs."""
    rows = sql(f'SELECT partition, position FROM "sluice_ledger_{name}" WHERE partition LIKE \'kafka:%\' ORDER BY partition')
    assert one(f'SELECT count(*) = count(DISTINCT id) FROM "sluice_ledger_{name}"') == "t"
    return {p.split("/")[2].split("@")[0]: int(at) for p, at in rows}


def test_another_reader_brings_what_comes_after():
    for kind in ("rows", "window"):
        name = table()
        with Loader() as l:
            l.insist(f"{kind} {name} partition=journal:a from=0 to=1000 first parts=0..2:0..50")
            for _ in range(2):  # Again: done already, though its partitions have moved.
                assert l.load(f"{kind} {name} partition=journal:a from=0 to=1000 first parts=0..2:0..50") == ("ok", "")
            l.insist(f"{kind} {name} partition=journal:b from=0 to=1000 first parts=1..3:50..70")
            assert parts_of(name) == {"0": 50, "1": 70, "2": 70}
            status, text = l.load(f"{kind} {name} partition=journal:a from=1000 to=2000 parts=0..2:50..60")
            assert status == "emoved" and "brought kafka:c/t/1@g up to offset 70, this load begins at 50" in text, (status, text)
            assert text.endswith("0 50 kafka:c/t/0@g;0 70 kafka:c/t/1@g;0 70 kafka:c/t/2@g;"), text
            assert parts_of(name) == {"0": 50, "1": 70, "2": 70}
            l.insist(f"{kind} {name} partition=journal:a from=1000 to=2000 parts=0..1:50..60 parts=1..2:70..90")
            l.insist(f"{kind} {name} partition=journal:a from=2000 to=3000")
            assert parts_of(name) == {"0": 60, "1": 90, "2": 70}
            words = f"{name} from=0 to=3000 parts" + " window" * (kind == "window")
            stands = "0 60 kafka:c/t/0@g;0 90 kafka:c/t/1@g;0 70 kafka:c/t/2@g;"
            for partition, at, brought in (("journal:a", 3000, 300), ("journal:b", 1000, 100)):
                told = l.audit(f"{words} partition={partition}")
                assert told[:4] == (True, at, brought, 0) and sorted(told[4].split(";")) == sorted(stands.split(";")), told
        ids = sql(f'SELECT id, rows FROM "sluice_ledger_{name}" WHERE partition LIKE \'journal:%\' ORDER BY partition')
        assert [r for _, r in ids] == ["300", "100"], ids
        if kind == "rows":
            whole(name, 400)
            counted = sql(f'SELECT "_partition", count(*) FROM "{name}" GROUP BY 1 ORDER BY 2 DESC')
            assert counted == [[i, r] for i, r in ids], (counted, ids)
        else:
            assert one(f'SELECT sum(events) FROM "{name}"') == "400"


def test_of_two_that_race_for_a_partition_one_wins():
    """Six processes bring the same offsets, round after round; the one that wins is the only one whose rows are there."""
    names = "abcdef"
    for kind in ("rows", "window"):
        name = table()
        loaders = {j: Loader() for j in names}
        at, rows = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
        loaders["a"].insist(f"{kind} {name} partition=journal:a from=0 to=100 first parts=1..2:0..5")
        at["a"], rows["a"] = 100, 10
        for i in range(12):
            for j, l in loaders.items():
                first = " first" if at[j] == 0 else ""
                l.start(f"{kind} {name} partition=journal:{j} from={at[j]} to={at[j] + 100} parts=0..1:{i * 5}..{i * 5 + 5}{first}")
                l.wait()
            said = {j: l.answer() for j, l in loaders.items()}
            won = [j for j, (status, _) in said.items() if status == "ok"]
            assert len(won) == 1 and all(s == "emoved" for j, (s, _) in said.items() if j != won[0]), said
            for j, (_, text) in said.items():
                assert j == won[0] or f"0 {i * 5 + 5} kafka:c/t/0@g;" in text, text
            at[won[0]] += 100
            rows[won[0]] += 10
        for l in loaders.values():
            l.end()
        assert parts_of(name) == {"0": 60, "1": 5}
        ledger = sql(f'SELECT partition, rows FROM "sluice_ledger_{name}" WHERE partition LIKE \'journal:%\' AND rows <> 0 ORDER BY 1')
        assert ledger == [[f"journal:{j}", str(n)] for j, n in rows.items() if n], (ledger, rows)
        if kind == "rows":
            whole(name, 130)
        else:
            assert one(f'SELECT sum(events) FROM "{name}"') == "130"


def test_a_lost_reply_moves_partitions_once():
    name = table()
    with rigs.Proxy(address()) as proxy, Loader(through(proxy)) as l, Loader() as other:
        l.insist(f"rows {name} partition=journal:a from=0 to=1000 first parts=0..3:0..10")
        proxy.rule("drop_reply", match=rb"COMMIT\0", times=1)
        assert l.load(f"rows {name} partition=journal:a from=1000 to=2000 parts=0..3:10..20")[0] == "ok"
        assert parts_of(name) == {"0": 20, "1": 20, "2": 20}
        # It never arrived: nothing is there, and another may take it.
        proxy.rule("hang", match=rb"COMMIT\0", times=1)
        l.start(f"rows {name} partition=journal:a from=2000 to=3000 parts=0..3:20..30")
        l.wait()
        end = time.monotonic() + 60
        held = f"SELECT count(*) FROM pg_locks WHERE mode = 'ExclusiveLock' AND granted AND relation = '\"sluice_ledger_{name}\"'::regclass"
        while one(held) == "0":
            assert time.monotonic() < end, "it has no lock"
            time.sleep(0.02)
        other.start(f"rows {name} partition=journal:b from=0 to=1000 first parts=0..1:20..25")
        other.wait()
        time.sleep(0.3)
        proxy.clear()
        proxy.close_all()
        said = {l.answer()[0], other.answer()[0]}
        assert said == {"ok", "emoved"}, said
        whole(name, 300)


def test_thousands_of_partitions_move_together():
    name = table()
    with Loader() as l:
        l.insist(f"rows {name} partition=journal:a from=0 to=100 first parts=0..5000:0..7")
        l.insist(f"rows {name} partition=journal:a from=100 to=200 parts=0..5000:7..9")
        status, text = l.load(f"rows {name} partition=journal:b from=0 to=100 first parts=4999..5001:8..20")
        assert status == "emoved" and text.count("@g;") == 5000, (status, len(text))
    assert set(parts_of(name).values()) == {9}
    assert one(f'SELECT id FROM "sluice_ledger_{name}" WHERE partition = \'journal:a\'') == "1"


# --- faults ---


def test_a_commit_whose_reply_is_lost_is_looked_up():
    for kind in ("rows", "window"):
        name = table()
        with rigs.Proxy(address()) as proxy, Loader(through(proxy)) as l:
            l.insist(f"{kind} {name} partition=p from=0 to=2000 first")
            proxy.rule("drop_reply", match=rb"COMMIT\0", times=1)
            assert l.load(f"{kind} {name} partition=p from=2000 to=4000")[0] == "ok"
            assert one(f'SELECT rows FROM "sluice_ledger_{name}"') == "400"
            if kind == "rows":
                whole(name, 400)
            else:
                assert one(f'SELECT sum(events) FROM "{name}"') == "400"


def test_a_commit_that_never_arrived_is_done_again():
    for kind in ("rows", "window"):
        name = table()
        with rigs.Proxy(address()) as proxy, Loader(through(proxy)) as l:
            l.insist(f"{kind} {name} partition=p from=0 to=2000 first")
            proxy.rule("hang", match=rb"COMMIT\0", times=1)
            closer = threading.Timer(0.5, proxy.close_all)
            closer.start()
            assert l.load(f"{kind} {name} partition=p from=2000 to=4000")[0] == "ok"
            closer.join()
            assert one(f'SELECT rows FROM "sluice_ledger_{name}"') == "400"


def test_connections_are_lost_at_every_statement():
    name = table()
    matches = [rb"pg_attribute", rb"LOCK TABLE", rb"BEGIN", rb"COPY ", rb"INSERT INTO", rb"UPDATE ", rb"COMMIT\0", rb"SELECT \"id\""]
    with rigs.Proxy(address()) as proxy, Loader(through(proxy)) as l:
        at = 0
        l.insist(f"rows {name} partition=p from=0 to=100 first")
        for action in ("reset", "drop_reply"):
            for match in matches:
                at += 100
                proxy.rule(action, match=match, times=1)
                l.insist(f"rows {name} partition=p from={at} to={at + 100}")
                proxy.clear()
        assert l.audit(f"{name} partition=p from=0 to={at + 100}")[2:4] == (at // 10 + 10, 0)
    whole(name, at // 10 + 10)


def test_sessions_are_killed_at_random():
    rows, windows = table(), table("w")
    stop = threading.Event()

    def killer():
        chance = random.Random(7)
        while not stop.is_set():
            time.sleep(chance.uniform(0.01, 0.12))
            sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{OURS}' AND random() < 0.5")

    k = threading.Thread(target=killer)
    k.start()
    try:
        with Loader(MINE) as l:
            for i in range(40):
                words = f"partition=p from={i * 3000} to={i * 3000 + 3000}" + " first" * (i == 0)
                l.insist(f"rows {rows} {words}")
                l.insist(f"window {windows} {words} events={i * 300}..{i * 300 + 300}")
    finally:
        stop.set()
        k.join()
    whole(rows, 12000)
    clean = table("w")
    with Loader() as l:
        l.insist(f"window {clean} partition=p from=0 to=10 events=0..12000 first")
    same_windows(clean, windows)


def test_the_server_is_restarted_within_a_copy():
    mine = rigs.own("postgres")
    url = mine["SLUICE_TEST_PG"]
    with rigs.Proxy(address(url)) as proxy, Loader(through(proxy, url)) as l:
        l.insist("rows events partition=p from=0 to=1000 first")
        proxy.set(bytes_per_s=3_000_000)
        l.start("rows events partition=p from=1000 to=1001000")  # 15 MB
        l.wait()
        end = time.monotonic() + 60
        while one("SELECT count(*) FROM pg_stat_progress_copy", url) != "1":
            assert time.monotonic() < end, "no COPY"
            time.sleep(0.05)
        mine.stop()
        status, text = l.answer()
        assert status == "eio", (status, text)
        proxy.clear()
        assert l.load("rows events partition=p from=1000 to=1001000")[0] == "eio"
        mine.start()
        l.insist("rows events partition=p from=1000 to=1001000")
    whole("events", 100100, url)
    mine.down()


def test_serialisation_errors_are_tried_again():
    name = table()
    with Loader() as l:
        l.insist(f"rows {name} partition=p from=0 to=100 first")
        sql(f"CREATE SEQUENCE s_{name}")
        sql(f"""CREATE FUNCTION f_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF nextval('s_{name}') % 4 <> 0 THEN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END IF; RETURN NULL; END $$""")
        sql(f'CREATE TRIGGER t AFTER INSERT ON "{name}" EXECUTE FUNCTION f_{name}()')
        for i in range(1, 4):
            assert l.load(f"rows {name} partition=p from={i * 100} to={i * 100 + 100}") == ("ok", "")
        sql(f"""CREATE OR REPLACE FUNCTION f_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION 'never' USING ERRCODE = '40P01', DETAIL = 'of a kind'; END $$""")
        status, text = l.load(f"rows {name} partition=p from=400 to=500")
        assert status == "eagain" and "never; of a kind" in text and "40P01" in text, (status, text)
        sql(f'DROP TRIGGER t ON "{name}"')
        sql(f"CREATE CONSTRAINT TRIGGER t AFTER INSERT ON \"{name}\" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"
            f" EXECUTE FUNCTION f_{name}()")  # COMMIT itself fails.
        assert l.load(f"rows {name} partition=p from=400 to=500")[0] == "eagain"
        sql(f'DROP TRIGGER t ON "{name}"')
        l.insist(f"rows {name} partition=p from=400 to=500")
    whole(name, 50)


def test_a_lock_that_nobody_gives_back_is_waited_for_in_vain():
    name = table()
    with Loader(None, "timeout_ms=400") as l:
        l.insist(f"rows {name} partition=p from=0 to=100 first")
        holder = subprocess.Popen(["psql", "-Xq", URL], stdin=subprocess.PIPE, text=True)
        holder.stdin.write(f'BEGIN; LOCK TABLE "sluice_ledger_{name}";\n')
        holder.stdin.flush()
        while one("SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted"
                  f" AND relation = '\"sluice_ledger_{name}\"'::regclass") == "0":
            time.sleep(0.05)
        status, text = l.load(f"rows {name} partition=p from=100 to=200")
        assert status == "eagain" and "timed out" in text, (status, text)
        holder.stdin.close()
        holder.wait()
        l.insist(f"rows {name} partition=p from=100 to=200")
    whole(name, 20)


def test_a_table_that_vanishes_or_changes_is_looked_at_again():
    name = table()
    with Loader() as l:
        l.insist(f"rows {name} partition=p from=0 to=100 first")
        sql(f'ALTER TABLE "{name}" DROP COLUMN x')
        l.insist(f"rows {name} partition=p from=100 to=200")
        assert one(f'SELECT count(x) FROM "{name}" WHERE "_position" >= 100') == "8"
        sql(f'DROP TABLE "{name}"')
        l.insist(f"rows {name} partition=p from=200 to=300")
        sql(f'DROP TABLE "sluice_ledger_{name}"')
        assert l.load(f"rows {name} partition=p from=300 to=400")[0] == "econflict"
    whole(name, 10)


# --- ways in ---


def test_certificates_are_verified():
    port = address().split(":")[1]
    authority = f"sslrootcert={os.environ['SLUICE_TEST_PG_CA']}"
    name = table()
    with Loader(f"postgresql://sluice:sluice@localhost:{port}/sluice?sslmode=verify-full&{authority}") as l:
        l.insist(f"rows {name} partition=p from=0 to=100 first")
    for url in (f"postgresql://sluice:sluice@localhost:{port}/sluice?sslmode=verify-full",
                f"postgresql://sluice:sluice@another.example:{port}/sluice?hostaddr=127.0.0.1&sslmode=verify-full&{authority}"):
        with Loader(url) as l:
            status, text = l.load(f"rows {name} partition=p from=100 to=200")
            assert status == "eio" and "certif" in text, (url, status, text)
    whole(name, 10)


def test_a_wrong_password_is_told():
    with Loader(f"postgresql://sluice:wrong@{address()}/sluice") as l:
        status, text = l.load("rows x partition=p from=0 to=100 first")
        assert status == "edenied" and "authentication failed" in text and "wrong" not in text, (status, text)
    with Loader("postgresql://sluice@127.0.0.1:1/sluice") as l:
        assert l.load("rows x partition=p from=0 to=100 first")[0] == "eio"
    with Loader("postgresql://sluice@nowhere.invalid/sluice") as l:
        status, text = l.load("rows x partition=p from=0 to=100 first")
        assert status == "eio" and "nowhere.invalid" in text, (status, text)


for name, function in list(vars().items()):
    if name.startswith("test_") and name[5:] in (os.environ.get("SLUICE_ONLY") or name[5:]).split():
        function()
        print("ok", name[5:], flush=True)
sys.exit(0)
