#!/usr/bin/env python3
"""Lookup tables and databases that are read again while events pass: the new version holds from a position of the log that the ledger
knows, no event is lost, and what can't be read leaves the old one in use."""

import json
import os
import signal
import sqlite3
import sys
import threading
import time

import rigs

rigs.need("s3", "postgres")

from support import Daemon, rows, run_tests, started, stopped, wait_for  # noqa: E402

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "user_id": {"type": "string"}}}
STEPS = [{"lookup": {"table": "users", "on": "user_id", "into": "user"}}]
POSTGRES = os.environ["SLUICE_TEST_PG"]


def csv(version, users=100):
    return "user_id,name,version\n" + "".join(f"u{i},name {i},{version}\n" for i in range(users))


def configuration(root, steps=STEPS, **users):
    root.mkdir(parents=True, exist_ok=True)
    return {"workers": 2, "streams": {"visits": {"schema": SCHEMA, "lake": {"to": str(root / "lake"), "max_age": "1s"}, "steps": steps}},
            "lookups": {"users": {"key": "user_id", "refresh": "1s", **users}},
            "s3": {"endpoint": os.environ["SLUICE_TEST_S3_ENDPOINT"], "region": os.environ["AWS_REGION"], "path_style": True}}


def replace(path, text):
    """As a table should be changed: beside, then renamed. Its time is in the past, as that of a file that lay there for a while."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    os.utime(beside, (time.time() - 60 + replace.calls, time.time() - 60 + replace.calls))
    replace.calls += 0.01
    beside.rename(path)


replace.calls = 0


def versions(root, name="users"):
    """(position, version) in the order in which they came."""
    with sqlite3.connect(f"file:{root}/data/ledger.db?mode=ro", uri=True) as db:
        return [(int(p), v) for p, v in db.execute("SELECT position, version FROM versions WHERE name = ? ORDER BY id", (name,))]


def read_again(daemon):
    return daemon.said().count('event="read again"')


def failures(daemon):
    return daemon.metric("sluice_lookup_refresh_failures_total")


def asked(daemon, first, user="u1"):
    """What one more event gets."""
    assert daemon.post([{"id": first, "user_id": user}], "/v1/events/visits")[1]["accepted"] == 1
    daemon.flush()
    return rows(daemon.directory / "lake", "id, user.version")


def versions_used(daemon):
    return [line for line in daemon.said().splitlines() if 'event="other data from here on"' in line]


def keep_sending(daemon, first, done, sent):
    """Batches of 50 until `done`; `sent` gets how many each brought."""
    while not done.is_set():
        events = [{"id": i, "user_id": f"u{i % 100}"} for i in range(first, first + 50)]
        assert daemon.post(events, "/v1/events/visits")[1]["accepted"] == 50
        sent.append(50)
        first += 50


def clean(daemon):
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_under_load_each_event_gets_the_version_of_its_position(root):
    root.mkdir(parents=True, exist_ok=True)
    table = root / "users.csv"
    replace(table, csv(1))
    config = configuration(root, csv=str(table))
    config["streams"]["visits"]["add"] = ["processed_at"]
    config["streams"]["visits"]["warehouse"] = {"table": "visit_rows"}
    daemon = started(Daemon(root, config))
    done, sent = threading.Event(), []
    senders = [threading.Thread(target=keep_sending, args=(daemon, k * 1_000_000, done, sent)) for k in range(3)]
    for s in senders:
        s.start()
    for version in (2, 3):
        wait_for("events of the version before", lambda: len(sent) > 50 * version)
        replace(table, csv(version))
        wait_for("the refresh", lambda: len(versions_used(daemon)) == version)
    many = len(sent)
    wait_for("events of the last version", lambda: len(sent) > many + 50)
    done.set()
    for s in senders:
        s.join()
    sent = sum(sent)
    daemon.flush()
    assert rows(root / "lake", "count(*), count(DISTINCT id)") == [(sent, sent)]
    assert {v for v, in rows(root / "lake", "DISTINCT user.version")} == {1, 2, 3}
    with sqlite3.connect(daemon.warehouse()) as db:
        in_warehouse = dict(db.execute("SELECT id, user_version FROM visit_rows").fetchall())
    assert in_warehouse == dict(rows(root / "lake", "id, user.version")), "lake and warehouse have other versions"
    assert (9_999_999, 3) in asked(daemon, 9_999_999)
    history = versions(root)
    assert len(history) == 3 and len({v for _, v in history}) == 3, history
    assert [p for p, _ in history] == sorted(p for p, _ in history), history
    clean(daemon)


def test_what_is_as_it_was_changes_nothing(root):
    root.mkdir(parents=True, exist_ok=True)
    table = root / "users.csv"
    replace(table, csv(1))
    daemon = started(Daemon(root, configuration(root, csv=str(table))))
    asked(daemon, 1)
    replace(table, csv(1))  # Another file with the same rows.
    wait_for("a look", lambda: b'sluice_lookup_age_seconds{lookup="users"} 0' in daemon.get("/metrics")[1])
    replace(table, csv(2))
    wait_for("the refresh", lambda: read_again(daemon) == 1)
    wait_for("it is used", lambda: "other data from here on" in daemon.said().split('event="read again"')[1])
    assert (2, 2) in asked(daemon, 2)
    assert len(versions(root)) == 2, versions(root)
    text = daemon.get("/metrics")[1].decode()
    assert 'sluice_lookup_rows{lookup="users"} 100\n' in text and 'sluice_lookup_bytes{lookup="users"} ' in text
    assert 'sluice_lookup_refresh_failures_total{lookup="users"} 0\n' in text, text
    clean(daemon)


def test_what_is_damaged_leaves_the_old_one_in_use(root):
    root.mkdir(parents=True, exist_ok=True)
    table = root / "users.csv"
    replace(table, csv(1))
    daemon = started(Daemon(root, configuration(root, csv=str(table))))
    damaged = {"half written": csv(2)[: len(csv(2)) // 2].rsplit(",", 1)[0], "no rows": "user_id,name,version\n",
               "has no rows": "user_id,name,version\n", "a column less": "user_id,name\nu1,Ann\n",
               "another type": csv(1).replace("u1,name 1,1", "u1,name 1,one"), "empty": "", "not text": "\x00\x01\x02"}
    for n, (what, text) in enumerate(damaged.items(), 1):
        before = failures(daemon)
        replace(table, text)
        wait_for(what, lambda: failures(daemon) > before)
        assert (n, 1) in asked(daemon, n), what
    table.unlink()
    before = failures(daemon)
    wait_for("the missing file", lambda: failures(daemon) > before)
    assert (99, 1) in asked(daemon, 99)
    code, text = daemon.audit()  # It needs no table.
    assert code == 0, text
    said = daemon.said()
    for words in ("it has no rows", 'no column \\"version\\"', "is not", "No such file", "the old one stays in use"):
        assert words in said, words
    replace(table, csv(5).replace("version", "more,version", 1).replace(",5\n", ",x,5\n"))
    wait_for("the next good one", lambda: read_again(daemon) == 1)
    wait_for("it is used", lambda: "other data from here on" in daemon.said().split('event="read again"')[1])
    assert (100, 5) in asked(daemon, 100)
    assert "new columns wait for a reload" in daemon.said() and 'columns="more"' in daemon.said()
    clean(daemon)


def test_a_rewind_and_a_restart_make_the_same_rows(root):
    """A reload keeps the position of a refresh; a crash makes what wasn't cut with what the start reads, and says so."""
    root.mkdir(parents=True, exist_ok=True)
    table = root / "users.csv"
    replace(table, csv(1))
    config = configuration(root, csv=str(table))
    config["streams"]["visits"]["lake"]["max_age"] = "1h"
    daemon = started(Daemon(root, config))
    assert daemon.post([{"id": 1, "user_id": "u1"}], "/v1/events/visits")[1]["accepted"] == 1
    replace(table, csv(2))
    wait_for("the refresh", lambda: "other data from here on" in daemon.said().split('event="read again"')[-1] and read_again(daemon))
    assert daemon.post([{"id": 2, "user_id": "u1"}], "/v1/events/visits")[1]["accepted"] == 1
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: "requests are taken again" in daemon.said())
    assert sorted(rows(root / "lake", "id, user.version")) == [(1, 1), (2, 2)]
    assert daemon.post([{"id": 3, "user_id": "u1"}], "/v1/events/visits")[1]["accepted"] == 1
    daemon.kill()
    replace(table, csv(3))
    started(daemon)
    daemon.flush()
    assert sorted(rows(root / "lake", "id, user.version")) == [(1, 1), (2, 2), (3, 3)]
    history = versions(root)
    assert [v for _, v in history][0] != history[1][1] and len({v for _, v in history}) == 3, history
    clean(daemon)


def test_what_does_not_fit_in_memory_is_refused(root):
    root.mkdir(parents=True, exist_ok=True)
    table = root / "users.csv"
    replace(table, csv(1))
    daemon = started(Daemon(root, configuration(root, csv=str(table)) | {"memory": "64MiB"}))
    used = daemon.metric("sluice_memory_used_bytes")
    large = "user_id,name,version\n" + "".join(f"u{i},{i} {'x' * 600_000},2\n" for i in range(100))
    replace(table, large)
    wait_for("the refusal", lambda: failures(daemon) > 0)
    assert "what `memory` leaves" in daemon.said(), daemon.said()[-500:]
    assert (1, 1) in asked(daemon, 1)
    assert daemon.metric("sluice_memory_used_bytes") < used + (32 << 20)
    replace(table, csv(3))
    wait_for("the refresh", lambda: len(versions_used(daemon)) == 2)
    assert (2, 3) in asked(daemon, 2)
    clean(daemon)
    replace(table, large)
    assert daemon.start() == 1 and "lookup users: its" in daemon.said() and "`memory`" in daemon.said()


def test_what_is_read_again_from_the_log_gets_what_its_position_had(root):
    """The lake is away until its share of the spool is used up, and its table waits. Meanwhile the data changes."""
    root.mkdir(parents=True, exist_ok=True)
    table = root / "users.csv"
    replace(table, csv(1))
    proxy = rigs.Proxy(os.environ["SLUICE_TEST_S3_ENDPOINT"].split("//")[1])
    s3 = rigs.S3()
    config = configuration(root, csv=str(table))
    config["s3"]["endpoint"] = f"http://{proxy.address}"
    config["spool"] = {"quota": "4MiB"}
    config["streams"]["visits"]["schema"] = {"type": "object", "properties": {**SCHEMA["properties"], "noise": {"type": "string"}}}
    config["streams"]["visits"].update(lake={"to": s3.url, "max_age": "1s"}, warehouse={"table": "visit_rows"})
    daemon = started(Daemon(root, config))
    proxy.set(refuse=True)
    number = 0

    def send():
        nonlocal number
        events = [{"id": number + i, "user_id": f"u{i}", "noise": os.urandom(6000).hex()} for i in range(50)]
        assert daemon.post(events, "/v1/events/visits")[1]["accepted"] == 50
        number += 50
    while "table waits: spool.quota is used up" not in daemon.said():
        send()
    replace(table, csv(2))
    wait_for("the refresh", lambda: len(versions_used(daemon)) == 2)
    send()
    proxy.clear()
    wait_for("all is there", lambda: daemon.request("POST", "/v1/flush", timeout=300)[0] == 200)
    with sqlite3.connect(daemon.warehouse()) as db:
        counts = dict(db.execute("SELECT user_version, count(*) FROM visit_rows GROUP BY 1").fetchall())
    assert counts == {1: number - 50, 2: 50}, counts
    copy = root / "copy"
    copy.mkdir()
    for n, key in enumerate(k for k in s3.keys() if k.endswith(".parquet")):
        (copy / f"{n}.parquet").write_bytes(s3.read(key))
    found = rows(copy, "id, user.version")
    assert sorted(found) == [(i, 1 if i < number - 50 else 2) for i in range(number)], len(found)
    clean(daemon)


def test_an_object_that_is_denied_or_away(root):
    s3 = rigs.S3()
    proxy = rigs.Proxy(os.environ["SLUICE_TEST_S3_ENDPOINT"].split("//")[1])
    s3.put(s3.bucket, s3.prefix + "users.csv", csv(1).encode())
    config = configuration(root, csv=f"{s3.url}/users.csv")
    config["s3"]["endpoint"] = f"http://{proxy.address}"
    daemon = started(Daemon(root, config))
    for n, code in enumerate((403, 503), 1):
        proxy.rule("answer", reply=f"HTTP/1.1 {code} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", times=None)
        s3.put(s3.bucket, s3.prefix + "users.csv", csv(n + 1).encode())
        before = failures(daemon)
        wait_for(str(code), lambda: failures(daemon) > before)
        assert (n, 1 if n == 1 else 2) in asked(daemon, n), code
        proxy.clear()
        wait_for("the refresh", lambda: read_again(daemon) == n)
        wait_for("it is used", lambda: "other data from here on" in daemon.said().split('event="read again"')[n])
    assert (3, 3) in asked(daemon, 3)
    clean(daemon)


def test_a_server_that_is_down_and_a_database_that_is_locked(root):
    servers = rigs.own("postgres")
    url = servers["SLUICE_TEST_PG"]
    rigs.psql(url, "CREATE TABLE users(user_id text, name text, version int)")
    rigs.psql(url, "INSERT INTO users VALUES ('u1', 'Ann', 1)")
    root.mkdir(parents=True, exist_ok=True)
    file = root / "users.db"
    with sqlite3.connect(file) as db:
        db.execute("CREATE TABLE users(user_id TEXT, version INTEGER)")
        db.execute("INSERT INTO users VALUES ('u1', 1)")
    steps = [*STEPS, {"lookup": {"table": "others", "on": "user_id", "into": "other"}}]
    config = configuration(root, steps, postgres=url, table="users")
    config["lookups"]["others"] = {"sqlite": str(file), "table": "users", "key": "user_id", "refresh": "1s"}
    daemon = started(Daemon(root, config))
    servers.stop("postgres")
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    writer.execute("UPDATE users SET version = 2")
    wait_for("both fail", lambda: all(f'{w} error=' in daemon.said() for w in ('lookup="users"', 'lookup="others"')))
    assert (1, 1) in asked(daemon, 1)
    assert "locked" in daemon.said()
    writer.execute("COMMIT")
    writer.close()
    servers.start("postgres")
    rigs.psql(url, "UPDATE users SET version = 2")
    wait_for("both are read again", lambda: read_again(daemon) >= 2)
    wait_for("they are used", lambda: len({l.split("version=")[1].split()[0] for l in daemon.said().splitlines()
                                           if "other data from here on" in l}) == 4)
    assert daemon.post([{"id": 2, "user_id": "u1"}], "/v1/events/visits")[1]["accepted"] == 1
    daemon.flush()
    assert (2, 2, 2) in rows(root / "lake", "id, user.version, other.version")
    clean(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
