#!/usr/bin/env python3
"""Reloads, stops and drains while S3 or PostgreSQL is away, or silent: each takes seconds, and nothing is lost. And S3
itself, stopped for a while."""

import json
import signal
import sys
import time

import rigs
from outside import Outside, proxies
from support import Daemon, Sender, body, flush_until, run_tests, started, stopped, wait_for


def reload(daemon):
    (daemon.directory / "sluice.yaml").write_text(json.dumps(daemon.config))
    before = daemon.metric("sluice_config_reloads_total")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: daemon.metric("sluice_config_reloads_total") > before, 60)


def twice(daemon):
    """The second signal ends what is still waited for."""
    daemon.process.send_signal(signal.SIGTERM)
    time.sleep(0.02)
    if daemon.process.poll() is None:
        daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(60) == 0, daemon.said()[-2000:]


def through(root, target, limit, **trouble):
    """HUP, TERM, two TERM, kill -9 and TERM of `run --drain` while the target is in trouble; then all is delivered."""
    s3, postgres = proxies()
    with s3, postgres:
        outside = Outside(root, s3, postgres)
        config = outside.configuration()
        config["streams"]["events"]["lake"]["max_age"] = "300ms"
        daemon = started(Daemon(root, config))
        count, took = 0, {}

        def send():
            nonlocal count
            assert daemon.request("POST", "/v1/events/events", body(count, 100))[0] == 200
            count += 100
            time.sleep(0.5)  # Cut by then, and on its way.

        def timed(name, end):
            at = time.monotonic()
            end()
            took[name] = time.monotonic() - at

        send()
        flush_until(daemon)
        proxy = {"s3": s3, "postgres": postgres}[target]
        proxy.set(**trouble)
        proxy.close_all()
        send()
        timed("HUP", lambda: reload(daemon))
        assert daemon.metric("sluice_config_reloads_total") == 1 and " event=\"reloaded\"" in daemon.said()
        send()
        timed("TERM", lambda: stopped(daemon, 60))
        started(daemon)
        send()
        timed("two TERM", lambda: twice(daemon))
        started(daemon)
        send()
        daemon.kill()
        started(daemon, "--drain")
        send()
        if "refuse" in trouble:
            wait_for("the alarm", lambda: daemon.metric("sluice_table_stalled") >= 1)
            timed("TERM, drain", lambda: stopped(daemon, 60))  # What is stalled isn't waited for.
            started(daemon, "--drain")
        else:
            timed("two TERM, drain", lambda: twice(daemon))
            started(daemon, "--drain")
        print("  " + ", ".join(f"{k} {v:.2f} s" for k, v in took.items()))
        assert max(took.values()) < limit, took
        proxy.clear()
        proxy.close_all()
        send()
        flush_until(daemon)
        outside.check(daemon, count)
        # And with all well, a drain delivers everything before it ends.
        proxy.set(latency_ms=30)
        send()
        send()
        stopped(daemon, 60)
        assert outside.loaded() == count
        outside.check(daemon, count)


def test_endings_while_s3_is_away(root):
    through(root, "s3", 5, refuse=True)


def test_endings_while_s3_is_silent(root):
    through(root, "s3", 5, hang=True)


def test_endings_while_postgres_is_away(root):
    through(root, "postgres", 5, refuse=True)


def test_endings_while_postgres_is_silent(root):
    through(root, "postgres", 5, hang=True)


def test_s3_stopped_and_started_twice(root):
    """As a machine that goes down, in the middle of what is sent; PostgreSQL goes on meanwhile."""
    server = rigs.own("s3")
    outside = Outside(root, endpoint=server["SLUICE_TEST_S3_ENDPOINT"])
    outside.store = rigs.S3(server.variables)
    daemon = started(Daemon(root, outside.configuration()))
    sender = Sender(daemon, [body(i * 100, 100) for i in range(600)])
    send, sender.send = sender.send, lambda *a: (time.sleep(0.1), send(*a))[1]
    sender.start()
    for _ in range(2):
        time.sleep(1.2)
        server.stop()
        wait_for("the alarm", lambda: daemon.metric("sluice_table_stalled") >= 1)
        taken = len(sender.taken)
        wait_for("PostgreSQL goes on", lambda: outside.loaded() >= taken * 100)
        server.start()
        wait_for("no alarm", lambda: daemon.metric("sluice_table_stalled") == 0)
    sender.stop = True
    sender.join(60)
    assert list(sender.statuses) == [200] and len(sender.taken) < 600, sender.statuses
    flush_until(daemon)
    outside.check(daemon, len(sender.taken) * 100)
    stopped(daemon)


def test_the_age_of_what_waits_rises_and_falls(root):
    """An outage of some seconds shows in sluice_oldest_uncommitted_seconds; then it falls as the backlog drains, in
    order: the oldest goes first."""
    s3, postgres = proxies()
    with s3, postgres:
        outside = Outside(root, s3, postgres)
        daemon = started(Daemon(root, outside.configuration()))
        sender = Sender(daemon, [body(i * 100, 100) for i in range(80)])
        send, sender.send = sender.send, lambda *a: (time.sleep(0.1), send(*a))[1]
        s3.set(refuse=True)
        sender.start()
        wait_for("its age", lambda: daemon.metric("sluice_oldest_uncommitted_seconds") > 6)
        sender.join(60)
        assert sender.statuses == {200: 80}
        highest = daemon.metric("sluice_oldest_uncommitted_seconds")
        s3.set(refuse=False, latency_ms=250)
        ages, names = [highest], []
        while ages[-1] > 1.5:
            assert len(ages) < 1200, ages[-20:]
            time.sleep(0.05)
            ages.append(daemon.metric("sluice_oldest_uncommitted_seconds"))
            names += [k for k in outside.store.keys() if k not in names]
        falls = [i for i in range(1, len(ages)) if ages[i] < ages[i - 1] - 0.5]
        print(f"  {max(ages):.1f} s at most, fell {len(falls)} times")
        assert len(falls) > 2, "entry by entry, not at once"
        order = [k.rsplit("-", 3)[1] for k in names]
        assert order == sorted(order), "in the log's order"
        flush_until(daemon)
        outside.check(daemon, 8000)
        stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
