#!/usr/bin/env python3
"""Entries and tables at the edge: an entry without a row, a lake that is no longer configured."""

import sys

from outside import Outside, proxies
from support import Daemon, body, flush_until, run_tests, started, stopped, wait_for


def test_an_entry_without_rows_moves_the_warehouses_ledger(root):
    outside = Outside(root)
    daemon = started(Daemon(root, outside.configuration()))
    assert daemon.request("POST", "/v1/events/events", b'{"kind":"no id"}')[0] == 400
    daemon.flush()
    assert daemon.request("POST", "/v1/events/events", body(0, 10))[0] == 200
    daemon.flush()
    outside.check(daemon, 10)
    stopped(daemon)


def test_a_lake_that_was_taken_out_gets_what_was_committed_for_it(root):
    s3, postgres = proxies()
    with s3, postgres:
        outside = Outside(root, s3)
        config = outside.configuration()
        daemon = started(Daemon(root, config))
        s3.set(refuse=True)
        s3.close_all()
        assert daemon.request("POST", "/v1/events/events", body(0, 100))[0] == 200
        wait_for("an entry that waits for S3", lambda: "table=events/lake" in daemon.said())
        daemon.kill()
        s3.set(refuse=False)
        del config["streams"]["events"]["lake"]
        daemon = started(Daemon(root, config))
        wait_for("the file in S3", lambda: any(k.endswith(".parquet") for k in outside.store.keys()))
        assert daemon.request("POST", "/v1/events/events", body(100, 100))[0] == 200
        flush_until(daemon)
        assert outside.loaded() == 200
        stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
