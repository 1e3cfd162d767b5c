#!/usr/bin/env python3
"""Steps that ask data from outside: a lookup table, user agents; what they add is in lake and warehouse, a miss loses
nothing, and a reload takes the newer table, or keeps the old one when that is damaged."""

import json
import signal
import sqlite3
import sys
from pathlib import Path

from support import Daemon, rows, run_tests, started, stopped, wait_for

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}, "user_id": {"type": "string"},
                                           "agent": {"type": "string"}}}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"


def enriched(root, steps, **more):
    root.mkdir(parents=True, exist_ok=True)
    (root / "users.csv").write_text("user_id,name,age,vip\nu1,Ann,31,true\nu2,\"Böll, H.\",,false\n")
    return {"streams": {"visits": {"schema": SCHEMA, "lake": {"to": str(root / "lake"), "max_age": "1s"}, "steps": steps,
                                   "warehouse": {"table": "visit_rows"}}},
            "lookups": {"users": {"csv": str(root / "users.csv"), "key": "user_id"}},
            "windows": {"by_name": {"of": "visits", "every": "1h", "by": ["user.name"],
                                    "measures": {"visits": "count()", "ages": "sum(user.age)"}}}, **more}


def send(daemon, *events):
    text = "\n".join(json.dumps(e) for e in events)
    assert daemon.request("POST", "/v1/events/visits", text.encode())[0] == 200
    daemon.flush()


LOOKUP = {"lookup": {"table": "users", "on": "user_id", "into": "user"}}


def test_a_looked_up_row_becomes_columns(root):
    steps = [LOOKUP, {"set": {"adult": "user.age >= 18"}}]
    daemon = started(Daemon(root, enriched(root, steps)))
    send(daemon, {"id": 1, "user_id": "u1"}, {"id": 2, "user_id": "u2"}, {"id": 3, "user_id": "u9"}, {"id": 4})
    assert sorted(rows(root / "lake", "id, user.name, user.age, user.vip, adult")) == [
        (1, "Ann", 31, True, True), (2, "Böll, H.", None, False, None), (3, None, None, None, None), (4, None, None, None, None)]
    with sqlite3.connect(daemon.warehouse()) as db:
        assert db.execute("SELECT id, user_name, user_age FROM visit_rows ORDER BY id").fetchall() == [
            (1, "Ann", 31), (2, "Böll, H.", None), (3, None, None), (4, None, None)]
        assert dict(db.execute('SELECT user_name, visits FROM by_name').fetchall()) == {"Ann": 1, "Böll, H.": 1, None: 2}
    metrics = daemon.request("GET", "/metrics")[1].decode()
    for result, count in (("passed", 4), ("changed", 2), ("missed", 1)):
        assert f'step="1 lookup",result="{result}"}} {count}\n' in metrics, metrics
    stopped(daemon)


def test_a_reload_takes_the_newer_table_or_keeps_the_old_one(root):
    daemon = started(Daemon(root, enriched(root, [LOOKUP])))
    send(daemon, {"id": 1, "user_id": "u1"})
    (root / "users.csv").write_text("user_id,name,age,vip\nu1,Anna,32,true\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: "requests are taken again" in daemon.said())
    send(daemon, {"id": 2, "user_id": "u1"})
    (root / "users.csv").write_text("user_id,name,age,vip\nu1,\"Anna\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("the refusal", lambda: "users.csv" in daemon.said())
    send(daemon, {"id": 3, "user_id": "u1"})
    with sqlite3.connect(f"file:{root}/data/ledger.db?mode=ro", uri=True) as db:
        history = db.execute("SELECT position, version FROM versions WHERE name = 'users' ORDER BY id").fetchall()
    assert len(history) == 2 and int(history[0][0]) < int(history[1][0]) and history[0][1] != history[1][1], history
    assert sorted(rows(root / "lake", "id, user.name, user.age")) == [(1, "Ann", 31), (2, "Anna", 32), (3, "Anna", 32)]
    (root / "users.csv").write_text("user_id,name,age,vip\nu1,Ann,31,true\n")
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_user_agents(root):
    rules = root / "regexes.yaml"
    root.mkdir(parents=True, exist_ok=True)
    rules.write_text("user_agent_parsers:\n  - regex: '(Firefox)/(\\d+)\\.(\\d+)'\nos_parsers:\n  - regex: '(Linux)'\n"
                     "device_parsers:\n  - regex: '(iPhone)'\n    brand_replacement: 'Apple'\n")
    step = {"user_agent": {"from": "agent", "into": "device", "regexes": str(rules)}}
    daemon = started(Daemon(root, enriched(root, [LOOKUP, step])))
    send(daemon, {"id": 1, "agent": FIREFOX}, {"id": 2, "agent": "curl"}, {"id": 3})
    assert sorted(rows(root / "lake", "id, device.browser.family, device.browser.major, device.os.family")) == [
        (1, "Firefox", "115", "Linux"), (2, "Other", None, "Other"), (3, None, None, None)]
    stopped(daemon)
    if Path("/usr/share/uap-core/regexes.yaml").exists():
        step["user_agent"].pop("regexes")
        daemon = started(Daemon(root / "debian", enriched(root / "debian", [LOOKUP, step])))
        send(daemon, {"id": 1, "agent": FIREFOX})
        assert rows(root / "debian" / "lake", "device.browser.family, device.browser.major, device.os.family") == [
            ("Firefox", "115", "Linux")]
        stopped(daemon)
    else:
        print("no uap-core here: Debian's rules are left out", end=" ")


def test_what_is_wrong_is_told_before_the_start(root):
    for change, word in (
        (lambda c: c["lookups"]["users"].update(csv=str(root / "none.csv")), "No such file"),
        (lambda c: c["lookups"]["users"].update(key="nam"), "nam"),
        (lambda c: c["streams"]["visits"]["steps"][0]["lookup"].update(table="user"), "did you mean 'users'?"),
        (lambda c: c["streams"]["visits"]["steps"][0]["lookup"].update(on="user"), "user_id"),
        (lambda c: c["streams"]["visits"]["schema"]["properties"].update(user_id={"type": "number"}), "'user_id' is of type double, by which no row is found"),
        (lambda c: c["streams"]["visits"]["schema"]["properties"].update(user_id={"type": ["integer", "string"]}), "'user_id' is of type json"),
        (lambda c: c["streams"]["visits"]["steps"].append({"geoip": {"ip": "agent", "database": str(root / "users.csv"), "into": "geo"}}), "geoip"),
        (lambda c: c["streams"]["visits"]["steps"].append({"user_agent": {"from": "id", "into": "d"}}), "user_agent"),
    ):
        config = json.loads(json.dumps(enriched(root, [LOOKUP])))
        change(config)
        daemon = Daemon(root, config)
        assert daemon.start() == 78, word
        assert word in daemon.said().splitlines()[-1] or word in daemon.said()[-800:], (word, daemon.said()[-800:])


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
