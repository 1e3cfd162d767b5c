#!/usr/bin/env python3
"""The daemon and PostgreSQL: two daemons that write the same tables, conflicts of transactions, an outage that uses up
its own quota only, TLS with a password from a file."""

import json
import math
import os
import random
import re
import subprocess
import sys
import time

import rigs
from outside import PG, Outside, address_of, proxies
from support import (
    BINARY, Daemon, Sender, body, event, flush_until, noise, rows, run_tests, started, stopped, wait_for,
)

MEASURES = {
    "events": "count()", "total": "sum(x)", "whole": "sum(id)", "least": "min(x)", "most": "max(x)", "mean": "avg(x)",
    "first": "min(at)", "users": "unique(id)", "some": "unique(kind)", "median": "quantile(x, 0.5)", "high": "quantile(x, 0.99)",
    "share": "count(x < 0)",
}


def windowed(outside, root):
    config = outside.configuration(root)
    schema = config["streams"]["events"]["schema"]
    config["streams"]["events"]["schema"] = {**schema, "properties": {**schema["properties"], "x": {"type": "number"}}}
    config["windows"] = {
        "per_minute": {"of": "events", "every": "1m", "by": ["kind"], "measures": MEASURES},
        "per_hour": {"of": "events", "every": "1h", "measures": MEASURES},
    }
    return config


def doubles(i):
    """Numbers whose sum depends on their order, unless it is taken exactly."""
    source = random.Random(i)
    return source.choice((1e16, -1e16, 1.0, 0.1, 1e-9, 3e5)) * source.random()


def values(outside, table, names):
    names = ["window_start", *(["kind"] if table == "per_minute" else []), *names]
    return sorted(outside.query("SET extra_float_digits = 3; SELECT " + ", ".join(f'"{n}"::text' for n in names) + f" FROM {table}"))


def same_windows(a, b, table, least):
    """All digits of all columns. Sums of doubles are rounded wherever they meet in the warehouse: those may differ in
    the last bits of what was added."""
    exact = [n for n in MEASURES if n not in ("total", "mean")]
    got, want = values(a, table, exact), values(b, table, exact)
    assert len(want) >= least and got == want, [(x, y) for x, y in zip(got, want) if x != y][:3]
    names = ["total", "events", "mean", "least", "most"]
    for x, y in zip(values(a, table, names), values(b, table, names)):
        (total, n, mean, least, most), (other, _, average, _, _) = map(float, x[-5:]), map(float, y[-5:])
        bits = 4 * math.ulp(n * max(-least, most))
        assert abs(total - other) <= bits and abs(mean - average) <= bits / n, (x, y)


def test_two_daemons_give_the_rows_of_one(root):
    """Each with a data_dir of its own, one lake and one schema for both, every other request and all windows in common;
    late events; one of them is killed and goes on. The rows are those of one daemon that got everything."""
    count, size = 120, 50
    both, one = Outside(root / "both"), Outside(root / "one")
    bodies = [b"\n".join(json.dumps(dict(event(i), x=doubles(i), text="t")).encode()
                         for i in range(k * size, (k + 1) * size)) for k in range(count)]
    order = list(range(count))
    random.Random(7).shuffle(order)  # Windows are met again and again, long after they seemed done.
    bodies = [bodies[k] for k in order]
    pair = [started(Daemon(root / name, windowed(both, root / name))) for name in ("a", "b")]
    senders = [Sender(d, bodies[k::2], name=f"d{k}") for k, d in enumerate(pair)]
    for s in senders:
        send = s.send
        s.send = lambda *a, send=send: (time.sleep(0.05), send(*a))[1]
        s.start()
    for _ in range(3):
        time.sleep(0.7)
        pair[0].kill()
        started(pair[0])
    for s in senders:
        s.join(120)
        assert not s.is_alive() and not s.bad and len(s.taken) == count // 2
    single = started(Daemon(root / "one", windowed(one, root / "one")))
    alone = Sender(single, bodies)
    alone.run()
    assert alone.statuses == {200: count}
    for d in (*pair, single):
        flush_until(d)
    for table, least in (("per_minute", 100), ("per_hour", 2)):
        same_windows(both, one, table, least)
    n = str(count * size)
    assert both.query("SELECT count(*), count(DISTINCT id) FROM event_rows") == [[n, n]]
    assert sorted(r[0] for r in rows(both.objects())) == list(range(count * size))
    for d in (*pair, single):
        code, text = d.audit()
        assert code == 0, text
    # Both go on while each other's rows are there; audit tells them apart.
    assert both.query("SELECT count(*) FROM sluice_ledger_per_minute") == [["2"]]
    for d in (*pair, single):
        stopped(d)


def catalog(outside):
    """Columns with their types, and indexes, of all tables but the schema's name."""
    columns = outside.query("SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull FROM pg_attribute a"
                            " JOIN pg_class c ON c.oid = a.attrelid WHERE a.attnum > 0 AND c.relkind = 'r'"
                            f" AND c.relnamespace = '{outside.schema}'::regnamespace ORDER BY 1, a.attnum")
    indexes = outside.query(f"SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = '{outside.schema}'")
    return columns, sorted((t, d.split(" ON ")[1].replace(outside.schema, "")) for t, d in indexes)


def reload(daemon):
    (daemon.directory / "sluice.yaml").write_text(json.dumps(daemon.config))
    before = daemon.metric("sluice_config_reloads_total")
    daemon.process.send_signal(1)
    wait_for("the reload", lambda: daemon.metric("sluice_config_reloads_total") > before)


def test_printed_ddl_makes_the_tables_that_sluice_makes(root):
    """Both by hand and by sluice, with a column that comes later; and `create: false` works on what was made by hand."""
    ours, hand = Outside(root / "ours"), Outside(root / "hand")
    daemons = []
    for outside in (ours, hand):
        config = windowed(outside, outside.root)
        config["streams"]["events"]["id"] = "id"
        daemon = Daemon(outside.root, config)
        if outside is hand:
            for table in (config["streams"]["events"]["warehouse"], *(w.setdefault("warehouse", {}) for w in config["windows"].values())):
                table["create"] = False
            (daemon.directory / "sluice.yaml").write_text(json.dumps(daemon.config))
            done = subprocess.run([BINARY, "ddl", "postgres", "-c", daemon.directory / "sluice.yaml"], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            hand.query(done.stdout)
        started(daemon)
        assert daemon.request("POST", "/v1/events/events", body(0, 100))[0] == 200
        flush_until(daemon)
        daemons.append(daemon)
    assert catalog(ours) == catalog(hand)
    for outside, daemon in zip((ours, hand), daemons):
        schema = daemon.config["streams"]["events"]["schema"]
        schema["properties"] = {**schema["properties"], "more": {"type": "number", "x-decimal": [10, 3]}}
        reload(daemon)
        assert daemon.post([dict(event(i), more="1.500") for i in range(100, 200)], "/v1/events/events")[1]["accepted"] == 100
        if outside is hand:
            wait_for("the alarm", lambda: daemon.metric("sluice_table_stalled") == 1)
            assert "more" in daemon.said().splitlines()[-1], daemon.said()[-2000:]
            hand.query("ALTER TABLE event_rows ADD COLUMN more numeric(10,3)")
        flush_until(daemon)
        outside.check(daemon, 200)
        assert outside.query("SELECT count(*), sum(more) FROM event_rows WHERE more IS NOT NULL") == [["100", "150.000"]]
        stopped(daemon)
    assert catalog(ours) == catalog(hand)


def test_the_ledger_is_locked_first_and_alone(root):
    """The server's own log of statements: staging outside of any transaction; in one, first the ledger's lock, of that one
    table, then the check, the merge, the move, and COMMIT."""
    server = rigs.own("postgres")
    server.stop()
    with open(server.directory / "postgres/data/postgresql.conf", "a") as f:
        f.write("log_statement = 'all'\nlog_line_prefix = '[%p] %q%a '\n")
    server.start()
    outside = Outside(root, url=server["SLUICE_TEST_PG"])
    daemon = started(Daemon(root, outside.configuration()))
    for i in range(3):
        assert daemon.request("POST", "/v1/events/events", body(i * 100, 100))[0] == 200
        flush_until(daemon)
    outside.check(daemon, 300)
    stopped(daemon)
    sessions = {}
    for line in (server.directory / "postgres/log").read_text().splitlines():
        found = re.match(r"\[(\d+)\] sluice LOG:  (?:statement|execute [^:]*): (.*)", line)
        if found:
            sessions.setdefault(found[1], []).append(found[2])
    transactions, open_one = [], None
    for statements in sessions.values():
        for s in statements:
            if re.match(r"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", s):  # audit
                open_one = None
            elif s.startswith("BEGIN"):
                open_one = []
            elif s.startswith(("COMMIT", "ROLLBACK")) and open_one is not None:
                transactions.append(open_one + [s])
                open_one = None
            elif open_one is not None:
                open_one.append(s)
    loads = [t for t in transactions if any(s.startswith("INSERT") for s in t)]
    assert len(loads) >= 6, transactions
    for t in loads:
        locks = [s for s in t if s.startswith("LOCK")]
        assert t[0] == locks[0] and len(locks) == 1 and re.match(r'LOCK TABLE "sluice_ledger_\w+"', t[0]), t
        assert t[1].startswith("SELECT") and "sluice_ledger_" in t[1], t
        assert "sluice_ledger_" in t[-2] and re.match(r"UPDATE|INSERT", t[-2]) and t[-1] == "COMMIT", t


def triggers(outside, table, state, every):
    """Of `every` insertions into the table all but one fail so. The counter is no part of the transaction."""
    outside.query(f"CREATE SEQUENCE IF NOT EXISTS hits_{table}")
    outside.query(f"""CREATE OR REPLACE FUNCTION fail_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('{outside.schema}.hits_{table}') % {every} <> 0 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '{state}'; END IF;
        RETURN NULL; END $$""")
    outside.query(f"CREATE OR REPLACE TRIGGER fail AFTER INSERT ON {table} EXECUTE FUNCTION fail_{table}()")


def conflicts(root, state, every=3, loads=16):
    outside = Outside(root)
    daemon = started(Daemon(root, outside.configuration()))
    assert daemon.request("POST", "/v1/events/events", body(0, 100))[0] == 200
    flush_until(daemon)
    for table in ("event_rows", "per_minute"):
        triggers(outside, table, state, every)
    for i in range(1, loads):
        assert daemon.request("POST", "/v1/events/events", body(i * 100, 100))[0] == 200
        time.sleep(0.1)
    flush_until(daemon)
    hits = [int(outside.query(f"SELECT last_value FROM hits_{t}")[0][0]) for t in ("event_rows", "per_minute")]
    assert min(hits) >= every, hits
    outside.check(daemon, loads * 100)
    stopped(daemon)
    return daemon, hits


def test_serialisation_errors_are_tried_again(root):
    daemon, _ = conflicts(root, "40001")
    assert "it will be tried again" not in daemon.said(), "the load itself does it"


def test_deadlocks_are_tried_again(root):
    daemon, _ = conflicts(root, "40P01")
    assert "it will be tried again" not in daemon.said()


def test_conflicts_that_last_stall_the_table(root):
    """More of them than a load tries at once: the table says so, and goes on by itself."""
    daemon, _ = conflicts(root, "40001", 7, 5)
    assert "40001" in daemon.said() and "it will be tried again" in daemon.said(), daemon.said()[-2000:]


def test_a_real_deadlock_ends(root):
    """Somebody takes the table first and the ledger then, the other way round than we do."""
    outside = Outside(root)
    daemon = started(Daemon(root, outside.configuration()))
    sender = Sender(daemon, [body(i * 20, 20) for i in range(150)])
    send, sender.send = sender.send, lambda *a: (time.sleep(0.05), send(*a))[1]
    sender.start()
    wait_for("the table", lambda: outside.loaded() > 0)
    ended = {"done": 0, "deadlock": 0}
    while sender.is_alive():
        try:
            outside.query("BEGIN; LOCK TABLE event_rows IN EXCLUSIVE MODE; SELECT pg_sleep(0.3);"
                          " LOCK TABLE sluice_ledger_event_rows IN ACCESS EXCLUSIVE MODE; COMMIT")
            ended["done"] += 1
        except RuntimeError as e:
            assert "deadlock" in str(e), e
            ended["deadlock"] += 1
    print(f"  {ended}; {daemon.metric('sluice_warehouse_retries_total'):.0f} loads begun again")
    assert daemon.metric("sluice_warehouse_retries_total") > 0
    flush_until(daemon)
    outside.check(daemon, 3000)
    stopped(daemon)


def test_an_outage_uses_up_its_own_quota_only(root):
    """PostgreSQL is away until its spool and then the journal are full; S3 gets everything meanwhile; then all drains."""
    s3, postgres = proxies()
    with s3, postgres:
        outside = Outside(root, s3, postgres)
        postgres.set(refuse=True)
        daemon = started(Daemon(root, outside.configuration(
            spool={"quota": "4MiB"}, journal={"quota": "24MiB", "segment_size": "2MiB"})))
        sender = Sender(daemon, [noise(i * 50, 50, 4000) for i in range(400)], pause=0.1)
        sender.start()
        wait_for("503", lambda: 503 in sender.statuses, 120)
        taken = len(sender.taken)
        assert taken * 50 * 4000 > 10 << 20, f"only {taken} bodies were taken"
        wait_for("S3 has what was taken", lambda: len(rows(outside.objects())) >= taken * 50, 60)
        postgres.clear()
        sender.join(240)
        assert not sender.is_alive() and not sender.bad and len(sender.taken) == 400
        flush_until(daemon, 240)
        outside.check(daemon, 20_000)
        stopped(daemon)


def test_restarted_in_the_middle_of_large_copies(root):
    """Fast shutdown and crash of the server while entries of some MiB are being copied."""
    server = rigs.own("postgres")
    outside = Outside(root, url=server["SLUICE_TEST_PG"])
    with rigs.Proxy(address_of(server["SLUICE_TEST_PG"])) as proxy:
        outside.url = outside.server.replace(address_of(outside.server), proxy.address)
        proxy.set(bytes_per_s=8 << 20)  # So that a copy takes its time.
        config = outside.configuration()
        config["cut"] = {"every": "1s"}
        daemon = started(Daemon(root, config))
        sender = Sender(daemon, [noise(i * 100, 100, 4000) for i in range(60)])
        sender.start()
        for _ in range(2):
            wait_for("a copy", lambda: rigs.psql(
                outside.server, "SELECT 1 FROM pg_stat_progress_copy"), 30)
            server.stop()
            time.sleep(0.2)
            server.start()
        sender.join(120)
        assert sender.statuses == {200: 60}, sender.statuses
        proxy.set(bytes_per_s=0)
        flush_until(daemon)
        outside.check(daemon, 6000)
        stopped(daemon)


def test_verified_tls_with_a_password_from_a_file(root):
    """The certificate and the host's name are checked; a wrong password or authority stalls and says why."""
    outside = Outside(root)
    root.mkdir(parents=True, exist_ok=True)
    database = PG.rsplit("/", 1)[1]
    port = address_of(PG).rsplit(":", 1)[1]
    url = f"postgresql://sluice@localhost:{port}/{database}?options=-csearch_path%3D{outside.schema}&sslmode=verify-full&application_name={outside.schema}"
    secret = PG.split("//")[1].split("@")[0].split(":")[1]
    (root / "password").write_text("wr0ng-s3cret\n")
    config = outside.configuration()
    config["warehouse"] = {"postgres": {"url": url, "ca_file": os.environ["SLUICE_TEST_PG_CA"],
                                        "password_file": str(root / "password")}}
    daemon = started(Daemon(root, config))
    assert daemon.request("POST", "/v1/events/events", body(0, 100))[0] == 200
    wait_for("the alarm", lambda: daemon.metric("sluice_table_stalled") >= 1)
    assert "password authentication failed" in daemon.said(), daemon.said()[-2000:]
    (root / "password").write_text(secret + "\n")
    reloads = daemon.metric("sluice_config_reloads_total")
    daemon.process.send_signal(1)
    wait_for("the reload", lambda: daemon.metric("sluice_config_reloads_total") > reloads)
    flush_until(daemon)
    outside.check(daemon, 100)
    encrypted = outside.query("SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE "
                              f"datname = current_database() AND application_name = '{outside.schema}'")  # Others are there, too.
    assert encrypted == [["t"]], encrypted
    assert "s3cret" not in daemon.get("/config")[1].decode() and "s3cret" not in daemon.said()
    stopped(daemon)
    # Another name than the certificate's.
    daemon.config["warehouse"]["postgres"]["url"] = url.replace("@localhost", "@elsewhere.example") + "&hostaddr=127.0.0.1"
    started(daemon)
    assert daemon.request("POST", "/v1/events/events", body(100, 100))[0] == 200
    wait_for("the alarm", lambda: daemon.metric("sluice_table_stalled") >= 1)
    assert "certificate" in daemon.said(), daemon.said()[-2000:]
    stopped(daemon)
    daemon.config["warehouse"]["postgres"]["url"] = url
    started(daemon)
    flush_until(daemon)
    outside.check(daemon, 200)
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
