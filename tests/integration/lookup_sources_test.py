#!/usr/bin/env python3
"""Lookup tables from where they are: objects in S3, SQLite, PostgreSQL. The same rows give the same columns from each; what
can't be read ends the start with a message that says what to do, and shows no secret."""

import json
import os
import sqlite3
import subprocess
import sys
import urllib.parse

import rigs

rigs.need("s3", "postgres")

from support import BINARY, Daemon, free_port, rows, run_tests, started, stopped  # noqa: E402

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "user_id": {"type": "string"}}}
USERS = [("u1", "Ann", 31, True), ("u2", 'Böll, "H."', None, False)]
CSV = "user_id,name,age,vip\nu1,Ann,31,true\nu2,\"Böll, \"\"H.\"\"\",,false\n"
STEPS = [{"lookup": {"table": "users", "on": "user_id", "into": "user"}}, {"set": {"adult": "user.age >= 18"}}]
POSTGRES = os.environ["SLUICE_TEST_PG"]


def configuration(root, **users):
    root.mkdir(parents=True, exist_ok=True)
    return {"streams": {"visits": {"schema": SCHEMA, "lake": {"to": str(root / "lake"), "max_age": "1s"}, "steps": STEPS}},
            "lookups": {"users": {"key": "user_id", **users}},
            "s3": {"endpoint": os.environ["SLUICE_TEST_S3_ENDPOINT"], "region": os.environ["AWS_REGION"], "path_style": True}}


def check(root, vip="user.vip", **users):
    daemon = started(Daemon(root, configuration(root, **users)))
    sent = [{"id": 1, "user_id": "u1"}, {"id": 2, "user_id": "u2"}, {"id": 3, "user_id": "u9"}, {"id": 4}]
    assert daemon.post(sent, "/v1/events/visits")[1]["accepted"] == 4
    daemon.flush()
    assert sorted(rows(root / "lake", f"id, user.name, user.age, {vip}, adult")) == [
        (1, "Ann", 31, True, True), (2, 'Böll, "H."', None, False, None), (3, None, None, None, None),
        (4, None, None, None, None)]
    shown = daemon.get("/config")[1].decode() + daemon.said()
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)
    return shown


def schema_of(name):
    rigs.psql(POSTGRES, f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")
    rigs.psql(POSTGRES, f"CREATE TABLE {name}.users(user_id text PRIMARY KEY, name text, age int, vip boolean)")
    rigs.psql(POSTGRES, f"INSERT INTO {name}.users VALUES ('u1', 'Ann', 31, true), ('u2', 'Böll, \"H.\"', NULL, false)")
    return name


def database(root):
    root.mkdir(parents=True, exist_ok=True)
    with sqlite3.connect(root / "users.db") as db:
        db.execute("CREATE TABLE users(user_id TEXT, name TEXT, age INTEGER, vip INTEGER)")
        db.executemany("INSERT INTO users VALUES (?, ?, ?, ?)", USERS)
    return str(root / "users.db")


def test_an_object_is_a_table(root):
    s3 = rigs.S3()
    s3.put(s3.bucket, s3.prefix + "dims/users.csv", CSV.encode())
    check(root, csv=f"{s3.url}/dims/users.csv")
    lines = [json.dumps(dict(zip(("user_id", "name", "age", "vip"), u))) for u in USERS]
    s3.put(s3.bucket, s3.prefix + "dims/users.ndjson", "\n".join(lines).encode())
    check(root.with_name("object_ndjson"), ndjson=f"{s3.url}/dims/users.ndjson")


def test_a_table_of_sqlite(root):
    path = database(root)
    check(root, vip="user.vip = 1", sqlite=path, table="users")
    with sqlite3.connect(path) as db:
        db.execute('ALTER TABLE users RENAME TO "odd name"')
    check(root.with_name("sqlite_query"), vip="user.vip = 1", sqlite=path,
          query='SELECT user_id, name, age, vip FROM "odd name" WHERE user_id <> \'u9\' -- all;\n;')


def test_a_table_of_postgresql(root):
    schema = schema_of("sluice_lookup_a")
    check(root, postgres=POSTGRES, table=f"{schema}.users")


def test_types_of_postgresql(root):
    daemon = Daemon(root, configuration(root, postgres=POSTGRES, query="""
        SELECT 'u' || n AS user_id, 'x' AS name, n AS age, true AS vip, n::smallint AS small, 1.25::real AS real, n * 1.10 AS price,
               DATE '2026-01-31' AS day, TIMESTAMPTZ '2026-01-31 12:00:00.5+02' AS at, TIMESTAMP '2026-01-31 12:00:00' AS plain,
               'infinity'::timestamptz AS never, 'NaN'::float8 AS nan, '{"a": 1}'::jsonb AS js, '007'::text AS code,
               NULL::bigint AS nothing FROM generate_series(1, 5000) AS n"""))
    started(daemon)
    assert daemon.post([{"id": 1, "user_id": "u4999"}], "/v1/events/visits")[1]["accepted"] == 1
    daemon.flush()
    names = "age small real price day at plain never nan js code nothing".split()
    values = rows(root / "lake", ", ".join(f"user.{n}::text" for n in names))[0]
    assert values == ("4999", "4999", "1.25", "5498.90", "2026-01-31", "2026-01-31 10:00:00.5+00", "2026-01-31 12:00:00+00", None,
                      None, '{"a": 1}', "007", None), values
    stopped(daemon)


def refused(root, *words, secret="never-a-word-of-this", **users):
    daemon = Daemon(root, configuration(root, **users))
    path = root / "sluice.yaml"
    path.write_text(json.dumps(daemon.config))
    done = subprocess.run([BINARY, "validate", str(path)], capture_output=True, text=True, env=daemon.environment)
    said = done.stdout + done.stderr
    assert done.returncode == 78 and "users" in said, said
    assert all(w in said for w in words), said
    assert secret not in said, said


def test_what_cannot_be_read_says_so(root):
    s3, path = rigs.S3(), database(root)
    refused(root, f"{s3.url}/none.csv", csv=f"{s3.url}/none.csv")
    refused(root, "BUCKET/KEY", csv="s3://bucket")
    refused(root, "none.db", "No such file", sqlite=str(root / "none.db"), table="users")
    refused(root, "no such table", sqlite=path, table="people")
    refused(root, "user_id", "name", sqlite=path, query="SELECT name FROM users")
    refused(root, "`table` and `query`", sqlite=path)
    refused(root, "`table` and `query`", csv=str(root / "x.csv"), table="users")
    refused(root, "one of `csv`", csv=str(root / "x.csv"), sqlite=path, table="users")
    refused(root, "`password` is for `postgres`", sqlite=path, table="users", password="never-a-word-of-this")
    away = f"postgresql://u:never-a-word-of-this@127.0.0.1:{free_port()}/x"
    refused(root, "postgres: ", "refused", postgres=away, table="users")
    refused(root, "users_of_nobody", "does not exist", postgres=POSTGRES, table="users_of_nobody")
    refused(root, "18 digits", postgres=POSTGRES, query="SELECT 1 AS user_id, 10.0 ^ 25 AS n")
    rigs.psql(POSTGRES, "CREATE SEQUENCE IF NOT EXISTS sluice_lookup_s")
    refused(root, "read-only", postgres=POSTGRES, query="SELECT nextval('sluice_lookup_s') AS user_id")


def test_without_the_environment_no_server_is_asked(root):
    for users in ({"csv": "s3://no-such-bucket-here/users.csv"}, {"postgres": f"postgresql://u@127.0.0.1:{free_port()}/x", "table": "users"}):
        config = configuration(root, **users)
        config["windows"] = {"w": {"of": "visits", "every": "1h", "by": ["user.name"], "measures": {"n": "count()"}}}
        path = root / "sluice.yaml"

        def validate(*more):
            path.write_text(json.dumps(config))
            done = subprocess.run([BINARY, "validate", str(path), *more], capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr
        code, said = validate("--no-environment")
        assert code == 0 and "lookup users isn't read" in said, said
        assert validate()[0] == 78
        config["windows"]["w"]["of"] = "visit"
        code, said = validate("--no-environment")
        assert code == 78 and "did you mean 'visits'" in said, said


def test_a_password_file_is_read_and_never_shown(root):
    schema = schema_of("sluice_lookup_p")
    parts = urllib.parse.urlsplit(POSTGRES)
    root.mkdir(parents=True, exist_ok=True)
    (root / "password").write_text(urllib.parse.unquote(parts.password) + "\n")
    bare = parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}").geturl()
    shown = check(root, postgres=bare, password_file="password", table=f"{schema}.users")
    assert f":{parts.password}@" not in shown and f'password: "{parts.password}"' not in shown, shown
    assert 'password: "***"' in shown, shown


def test_a_start_waits_for_a_server_that_comes_late(root):
    servers = rigs.own("postgres")
    url = servers["SLUICE_TEST_PG"]
    rigs.psql(url, "CREATE TABLE users(user_id text, name text, age int, vip boolean)")
    rigs.psql(url, "INSERT INTO users VALUES ('u1', 'Ann', 31, true)")
    servers.stop("postgres")
    daemon = Daemon(root, configuration(root, postgres=url, table="users"))
    daemon.start(wait=False)
    while "can't be read yet, tried again" not in daemon.said():
        assert daemon.process.poll() is None, daemon.said()
    servers.start("postgres")
    while True:
        try:
            if daemon.get("/readyz", timeout=5)[0] == 200:
                break
        except OSError:
            assert daemon.process.poll() is None, daemon.said()
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
