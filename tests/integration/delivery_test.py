#!/usr/bin/env python3
"""S3 and PostgreSQL through outages: what was acknowledged arrives once, one target's trouble is not another's, and
`sluice audit` agrees, having read both."""

import os
import signal
import sqlite3
import sys
import time

import rigs
from outside import STORM, Outside, proxies, run
from support import (
    Daemon, Sender, body, configuration, event, flush_until, noise, rows, run_tests, started, stopped, wait_for,
)


def test_totals_are_those_of_the_embedded_store(root):
    outside = Outside(root / "out")
    inside = started(Daemon(root / "in", configuration(root / "in")))
    daemon = started(Daemon(root / "out", outside.configuration()))
    for i in range(20):
        for d in (inside, daemon):
            assert d.request("POST", "/v1/events/events", body(i * 500, 500))[0] == 200
    inside.flush()
    daemon.flush()
    outside.check(daemon, 10_000)
    with sqlite3.connect(inside.warehouse()) as db:
        want = sorted((w[:16].replace("T", " "), k, str(n)) for w, k, n in
                      db.execute("SELECT window_start, kind, events FROM per_minute"))
    got = sorted((w[:16], k, n) for w, k, n in outside.query(
        "SELECT window_start AT TIME ZONE 'UTC', kind, events FROM per_minute"))
    assert got == want
    assert sorted(rows(root / "in/lake", 'id, kind, text, "at"::VARCHAR')) == sorted(rows(outside.objects(), 'id, kind, text, "at"::VARCHAR'))
    stopped(inside)
    stopped(daemon)


def test_rows_with_an_id_are_kept_by_it(root):
    """SQLite and PostgreSQL: a later event replaces the row of its id, within a load and across loads."""
    def last_texts(query):
        return sorted((int(i), t.split()[0]) for i, t in query("SELECT id, text FROM event_rows"))

    outside = Outside(root / "out")
    configs = {"in": configuration(root / "in"), "out": outside.configuration()}
    for name, config in configs.items():
        config["streams"]["events"]["id"] = "id"
        config["streams"]["events"]["warehouse"] = {"table": "event_rows"}
        daemon = started(Daemon(root / name, config))
        for turn in range(3):
            events = [dict(event(i), text=f"{turn}.{k}") for k in range(2) for i in range(turn * 10, 100)]
            assert daemon.post(events, "/v1/events/events")[1]["accepted"] == len(events)
            daemon.flush()
        want = [(i, f"{min(i // 10, 2)}.1") for i in range(100)]
        if name == "in":
            with sqlite3.connect(daemon.warehouse()) as db:
                assert last_texts(lambda text: db.execute(text).fetchall()) == want
        else:
            assert last_texts(outside.query) == want
        code, text = daemon.audit()
        assert code == 0, text
        stopped(daemon)


def test_storms_of_503_are_weathered(root):
    run(root, lambda s3, postgres, daemon: s3.rule("answer", match=rb"PUT ", times=12, reply=STORM))


def test_replies_lost_after_the_object_was_written(root):
    run(root, lambda s3, postgres, daemon: s3.rule("drop_reply", match=rb"PUT ", times=6))


def test_connections_reset_within_a_body(root):
    run(root, lambda s3, postgres, daemon: s3.rule("reset", match=rb"PUT ", times=6, after=3000))


def test_slow_networks_only_take_longer(root):
    run(root, lambda s3, postgres, daemon: (s3.set(bytes_per_s=400_000, latency_ms=20), postgres.set(latency_ms=20)),
        bodies=20)


def test_commits_without_a_reply_are_looked_up(root):
    run(root, lambda s3, postgres, daemon: postgres.rule("drop_reply", match=rb"COMMIT", times=5))


def test_connections_lost_in_the_middle_of_a_copy(root):
    run(root, lambda s3, postgres, daemon: postgres.rule("reset", match=rb"PGCOPY", times=5, after=500))


def test_postgres_restarted_in_the_middle(root):
    server = rigs.own("postgres")
    url = server["SLUICE_TEST_PG"]
    outside = Outside(root, url=url)
    daemon = started(Daemon(root, outside.configuration()))
    sender = Sender(daemon, [body(i * 100, 100) for i in range(100)])
    sender.start()
    for _ in range(2):
        time.sleep(0.4)
        server.stop()
        time.sleep(0.3)
        server.start()
    sender.join(120)
    assert sender.statuses == {200: 100}, sender.statuses
    flush_until(daemon)
    outside.check(daemon, 10_000)
    stopped(daemon)


def test_denied_credentials_stall_and_lose_nothing(root):
    """Keys without any right: the table is stalled, says so, and goes on when the rights are there."""
    outside = Outside(root)
    daemon = Daemon(root, outside.configuration(), environment={
        "AWS_ACCESS_KEY_ID": os.environ["SLUICE_TEST_S3_DENIED_ACCESS_KEY_ID"],
        "AWS_SECRET_ACCESS_KEY": os.environ["SLUICE_TEST_S3_DENIED_SECRET_ACCESS_KEY"]})
    started(daemon)
    assert daemon.request("POST", "/v1/events/events", body(0, 100))[0] == 200
    wait_for("the alarm", lambda: daemon.metric("sluice_table_stalled") >= 1)
    wait_for("PostgreSQL all the same", lambda: outside.loaded() == 100)
    assert "403" in daemon.said() and "AccessDenied" in daemon.said(), daemon.said()[-1500:]
    stopped(daemon)
    daemon.environment.update({k: os.environ[k] for k in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")})
    started(daemon)
    flush_until(daemon)
    outside.check(daemon, 100)
    stopped(daemon)


def test_an_outage_uses_up_its_own_quota_only(root):
    """S3 is away, until its spool and then the journal are full; PostgreSQL gets everything meanwhile; then all drains."""
    s3, postgres = proxies()
    with s3, postgres:
        outside = Outside(root, s3, postgres)
        s3.set(refuse=True)
        daemon = started(Daemon(root, outside.configuration(
            spool={"quota": "4MiB"}, journal={"quota": "24MiB", "segment_size": "2MiB"})))
        sender = Sender(daemon, [noise(i * 50, 50, 4000) for i in range(400)], pause=0.1)
        sender.start()
        wait_for("503", lambda: 503 in sender.statuses, 120)
        taken = len(sender.taken)
        assert taken * 50 * 4000 > 10 << 20, f"only {taken} bodies were taken"
        wait_for("PostgreSQL has what was taken", lambda: outside.loaded() >= taken * 50, 60)
        assert daemon.metric("sluice_oldest_uncommitted_seconds") > 0
        assert "spool.quota is used up" in daemon.said()
        s3.clear()
        sender.join(240)
        assert not sender.is_alive() and not sender.bad and len(sender.taken) == 400
        flush_until(daemon, 240)
        outside.check(daemon, 20_000)
        assert daemon.metric("sluice_oldest_uncommitted_seconds") < 5
        stopped(daemon)


def test_killed_behind_full_spools(root):
    """kill -9 while one table waits for room in the spool, twice, and a reload; the target comes back to the third daemon."""
    s3, postgres = proxies()
    with s3, postgres:
        outside = Outside(root, s3, postgres)
        s3.set(refuse=True)
        daemon = started(Daemon(root, outside.configuration(
            spool={"quota": "4MiB"}, journal={"quota": "24MiB", "segment_size": "2MiB"})))
        sender = Sender(daemon, [noise(i * 50, 50, 4000) for i in range(200)], pause=0.1)
        sender.start()
        wait_for("503", lambda: 503 in sender.statuses, 120)
        for _ in range(2):
            daemon.kill()
            started(daemon)
            taken = len(sender.taken)
            wait_for("PostgreSQL has what was taken", lambda: outside.loaded() >= taken * 50, 60)
        reloads = daemon.metric("sluice_config_reloads_total")
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: daemon.metric("sluice_config_reloads_total") > reloads)
        s3.clear()
        sender.join(240)
        assert not sender.is_alive() and not sender.bad and len(sender.taken) == 200
        flush_until(daemon, 240)
        outside.check(daemon, 10_000)
        stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
