#!/usr/bin/env python3
"""The daemon with a lake in S3 and tables in Redshift (the double): what was acknowledged is loaded once, through
conflicts, lost connections and kill -9, and `sluice audit` reads both."""

import json
import random
import sys
import time

from redshift_outside import MEASURES, Outside, Steady, embedded_windows, run
from support import Daemon, Sender, body, configuration, event, flush_until, run_tests, started, stopped, wait_for

def test_rows_are_those_of_the_embedded_store(root):
    outside = Outside(root / "out")
    config = configuration(root / "in")
    config["windows"]["per_minute"]["measures"] = MEASURES
    inside = started(Daemon(root / "in", config))
    daemon = started(Daemon(root / "out", outside.configuration()))
    for i in range(12):
        for d in (inside, daemon):
            assert d.request("POST", "/v1/events/events", body(i * 500, 500))[0] == 200
        if i % 4 == 3:  # Rows of windows meet what the tables have.
            inside.flush()
            daemon.flush()
    outside.check(daemon, 6000)
    got, want = outside.windows(), embedded_windows(inside)
    assert got == want, (got[:2], want[:2])
    wait_for("staged objects to be deleted", lambda: outside.stage.keys() == ["keep"])
    stopped(inside)
    stopped(daemon)


def test_audit_tells_of_rows_that_were_changed_or_lost(root):
    outside = Outside(root)
    daemon = started(Daemon(root, outside.configuration()))
    assert daemon.request("POST", "/v1/events/events", body(0, 1000))[0] == 200
    daemon.flush()
    outside.check(daemon, 1000)
    kept = outside.query(f"SELECT kind FROM {outside.schema}.event_rows WHERE id = 7")[0][0]
    for change, back, word in (
        ("UPDATE {}.event_rows SET kind = 'other' WHERE id = 7", f"UPDATE {{}}.event_rows SET kind = '{kept}' WHERE id = 7",
         "altered: 1 rows"),
        ("UPDATE {}.per_minute SET total = total + 1", "UPDATE {}.per_minute SET total = total - 1", "altered"),
        ("DELETE FROM {}.event_rows WHERE id = 7", None, "999 events in the warehouse, 1000 were delivered"),
    ):
        outside.query(change.format(outside.schema))
        code, text = daemon.audit()
        assert code == 1 and word in text, (code, text)
        if back:
            outside.query(back.format(outside.schema))
            assert daemon.audit()[0] == 0
    stopped(daemon)


def test_serialisation_errors(root):
    run(root, "1023", "^(insert|delete|update)", 4, seen="1023")


def test_conflicts_at_commit(root):
    run(root, "conflict", "^commit", 3, seen="trying again")


def test_connections_lost_before_the_copy(root):
    run(root, "drop", "^copy", 4)


def test_connections_lost_at_the_lock(root):
    run(root, "drop", "^lock", 3)


def test_commits_in_doubt_are_looked_up(root):
    run(root, "drop_after", "^commit", 4)


def test_s3_refuses_redshift_for_a_while(root):
    run(root, "s3", "", 6)


def test_more_failures_than_are_tried_at_once(root):
    run(root, "1023", "^insert", 15, seen="delivery failed, it will be tried again")


def narrow(outside, kind="VARCHAR(2)", columns="kind {}, text VARCHAR(65535), \"at\" TIMESTAMP"):
    """A table of somebody else's, which `kind` of every tenth event doesn't fit into."""
    outside.query(f"CREATE TABLE {outside.schema}.event_rows (_partition BIGINT, _position BIGINT, _hash BIGINT, id BIGINT, "
                  f"{columns.format(kind)})")


def wide(first, count):
    return b"\n".join(json.dumps({**event(i), "kind": "ü€k" if i % 10 == 0 else f"k{i % 5}"}).encode()
                      for i in range(first, first + count))


def test_texts_too_long_are_cut(root):
    outside = Outside(root)
    narrow(outside)
    daemon = started(Daemon(root, outside.configuration()))
    assert daemon.request("POST", "/v1/events/events", wide(0, 1000))[0] == 200
    daemon.flush()
    outside.check(daemon, 1000)
    assert outside.query(f"SELECT count(*) FROM {outside.schema}.event_rows WHERE kind = 'ü'") == [["100"]]
    assert daemon.metric("sluice_warehouse_cut_values_total") == 100
    stopped(daemon)


def test_rows_with_texts_too_long_are_dead_letters(root):
    outside = Outside(root)
    narrow(outside)
    config = outside.configuration()
    config["streams"]["events"]["warehouse"]["strings"] = "dead_letter"
    daemon = started(Daemon(root, config))
    for i in range(4):
        assert daemon.request("POST", "/v1/events/events", wide(i * 500, 500))[0] == 200
        outside.inject("drop_after", "^commit")
        daemon.flush()
    fit, dead = f"{outside.schema}.event_rows", f"{outside.schema}.sluice_dead_event_rows"
    assert outside.query(f"SELECT count(*), count(DISTINCT id), max(kind) FROM {fit}") == [["1800", "1800", "k4"]]
    ids = [json.loads(r[0])["id"] for r in outside.query(f'SELECT "row" FROM {dead} WHERE "column" = \'kind\'')]
    assert sorted(ids) == list(range(0, 2000, 10))
    assert json.loads(outside.query(f'SELECT "row" FROM {dead}')[0][0])["kind"] == "ü€k"
    # Windows have counted them, and the column of groups in sluice's own table is wide enough.
    assert outside.query(f"SELECT sum(events) FROM {outside.schema}.per_minute") == [["2000"]]
    code, text = daemon.audit()
    assert code == 0, text
    outside.query(f"DELETE FROM {dead} WHERE position IN (SELECT min(position) FROM {dead})")
    code, text = daemon.audit()
    assert code == 1 and "1999 events in the warehouse, 2000 were delivered" in text, (code, text)
    stopped(daemon)


def test_without_create_a_missing_column_stalls_its_table_alone(root):
    outside = Outside(root)
    narrow(outside, "VARCHAR(40)", "kind {}, \"at\" TIMESTAMP")
    config = outside.configuration()
    config["streams"]["events"]["warehouse"]["create"] = False
    daemon = started(Daemon(root, config))
    assert daemon.request("POST", "/v1/events/events", body(0, 1000))[0] == 200
    wait_for("the window", lambda: outside.query(
        f"SELECT 1 FROM pg_tables WHERE schemaname = '{outside.schema}' AND tablename = 'per_minute'") and outside.query(
        f"SELECT sum(events) FROM {outside.schema}.per_minute") == [["1000"]])
    wait_for("the complaint", lambda: r'the table lacks column \"text\", column \"_rest\": ALTER TABLE' in daemon.said())
    assert daemon.request("POST", "/v1/flush", timeout=120)[0] == 503
    assert outside.loaded() == 0 and daemon.request("POST", "/v1/events/events", body(1000, 500))[0] == 200
    outside.query(f"ALTER TABLE {outside.schema}.event_rows ADD COLUMN text VARCHAR(65535)")
    outside.query(f"ALTER TABLE {outside.schema}.event_rows ADD COLUMN _rest SUPER")
    outside.query(f'CREATE TABLE {outside.schema}.sluice_ledger_event_rows (id BIGINT, "partition" VARCHAR(512), '
                  '"position" VARCHAR(512), hash VARCHAR(512), rows BIGINT)')
    flush_until(daemon)
    outside.check(daemon, 1500)
    stopped(daemon)


def test_two_daemons_tables_are_one_daemons(root):
    """Two daemons, a table; the same windows at the same time."""
    config = configuration(root / "one")
    config["windows"]["per_minute"]["measures"] = MEASURES
    one = started(Daemon(root / "one", config))
    outside = Outside(root)
    two = [started(Daemon(root / name, outside.configuration(root / name))) for name in ("a", "b")]
    bodies = [body(i * 50, 50) for i in range(80)]
    senders = [Steady(d, bodies[k::2], pause=0.03) for k, d in enumerate(two)] + [Sender(one, bodies)]
    for s in senders:
        s.start()
    for s in senders:
        s.join(120)
        assert not s.bad and set(s.statuses) == {200}
    one.flush()
    for d in two:
        flush_until(d)
    assert outside.query(f"SELECT count(*), count(DISTINCT id), sum(id) FROM {outside.schema}.event_rows") == [
        ["4000", "4000", str(4000 * 3999 // 2)]]
    assert outside.windows() == embedded_windows(one)
    for d in (one, *two):
        code, text = d.audit()
        assert code == 0, text
        stopped(d)


def test_killed_at_any_moment(root):
    outside = Outside(root)
    daemon = started(Daemon(root, outside.configuration()))
    sender = Steady(daemon, [body(i * 50, 50) for i in range(160)], pause=0.03)
    sender.start()
    source, kills = random.Random(4), 0
    while sender.is_alive():
        time.sleep(source.uniform(0.2, 1.5))
        if kills % 3 == 1:
            outside.inject("drop_after", "^commit")
        daemon.kill()
        kills += 1
        started(daemon)
    sender.join()
    assert len(sender.taken) == 160 and not sender.bad
    outside.query("SELECT rsd_clear()")
    flush_until(daemon)
    outside.check(daemon, 8000)
    stopped(daemon)
    assert kills >= 2
    print(f"{kills} kills", end=" ")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
