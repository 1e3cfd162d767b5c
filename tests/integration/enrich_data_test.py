#!/usr/bin/env python3
"""7,702 real events, each with an address and a user agent, through geoip and user_agent: what the lake has of each
event is what the reference implementations said. A damaged database is told by a reload, and the old one goes on."""

import json
import shutil
import signal
import sqlite3
import sys

from checks import need_shared, read_bytes
from support import Daemon, rows, run_tests, started, stopped, wait_for

EVENTS = need_shared("streams", "enrich", "events_0.jsonl.zst")
DATABASE = need_shared("geoip", "GeoIP2-City-Test.mmdb")
RULES = need_shared("useragent", "regexes.yaml")
SCHEMA = {"type": "object", "required": ["event_id"], "properties": {
    "event_id": {"type": "string"}, "event_type": {"type": "string"}, "timestamp": {"type": "string", "format": "date-time"},
    "user_id": {"type": "string"}, "repo": {"type": "string"}, "size": {"type": "integer"}, "ip": {"type": "string"},
    "user_agent": {"type": "string"}}}
COLUMNS = ("event_id, geo.country_iso, geo.city, geo.latitude, geo.longitude, device.browser.family, device.browser.major, "
           "device.os.family, device.device.family, device.device.brand")


def geo_configuration(root):
    root.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATABASE, root / "city.mmdb")
    (root / "city.mmdb").chmod(0o644)
    steps = [{"geoip": {"ip": "ip", "database": str(root / "city.mmdb"), "into": "geo"}},
             {"user_agent": {"from": "user_agent", "into": "device", "regexes": str(RULES)}}]
    return {"workers": 2, "streams": {"events": {"schema": SCHEMA, "event_time": "timestamp", "id": "event_id", "dedupe": "24h", "steps": steps,
                                                 "lake": {"to": str(root / "lake"), "max_age": "1s"}}},
            "windows": {"by_country": {"of": "events", "every": "1h", "by": ["geo.country_iso"], "measures": {"events": "count()"}}}}


def lines(path):
    return [line for line in read_bytes(path).split(b"\n") if line]


def test_each_event_has_what_the_references_say(root):
    daemon = started(Daemon(root, geo_configuration(root)))
    events = lines(EVENTS)
    for again in range(2):  # The second time they are duplicates.
        for i in range(0, len(events), 500):
            assert daemon.request("POST", "/v1/events/events", b"\n".join(events[i:i + 500]))[0] == 200
    daemon.flush()
    got = {r[0]: r for r in rows(root / "lake", COLUMNS)}
    want = [json.loads(line) for line in lines(EVENTS.parent / "expected_per_event_0.jsonl.zst")]
    assert len(want) == len(events) == len(got) == len(rows(root / "lake", "event_id"))
    silent = {e["event_id"] for e in map(json.loads, events) if not e.get("user_agent")}  # Nothing was said: nulls, not "Other".
    expected = [tuple(w.values())[:5] + (None,) * 5 if w["event_id"] in silent else tuple(w.values()) for w in want]
    wrong = [(got[w[0]], w) for w in expected if got[w[0]] != w]
    assert len(silent) < 300
    assert not wrong, f"{len(wrong)} events differ, such as {wrong[0]}"
    countries = json.loads((EVENTS.parents[2] / "expected" / "enrich_0.json").read_text())["by_country_iso"]
    with sqlite3.connect(daemon.warehouse()) as db:
        counted = dict(db.execute("SELECT coalesce(geo_country_iso, 'None'), sum(events) FROM by_country GROUP BY 1").fetchall())
    assert {k: counted.get(k) for k in countries} == countries
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_a_database_of_another_kind_is_refused_before_the_start(root):
    config = geo_configuration(root)
    shutil.copy(DATABASE.parent / "MaxMind-DB-test-ipv4-24.mmdb", root / "other.mmdb")
    config["streams"]["events"]["steps"][0]["geoip"]["database"] = str(root / "other.mmdb")
    del config["windows"]
    daemon = Daemon(root, config)
    assert daemon.start() == 78 and "a database of type Test tells neither country, city nor ASN" in daemon.said(), daemon.said()


def test_a_damaged_database_leaves_the_old_one_in_use(root):
    daemon = started(Daemon(root, geo_configuration(root)))
    events = lines(EVENTS)
    assert daemon.request("POST", "/v1/events/events", b"\n".join(events[:500]))[0] == 200
    whole = (root / "city.mmdb").read_bytes()
    (root / "city.mmdb").write_bytes(whole[:len(whole) // 2])  # In its place, while it is in use.
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("the refusal", lambda: "not reloaded" in daemon.said() and "city.mmdb" in daemon.said())
    assert daemon.request("POST", "/v1/events/events", b"\n".join(events[500:1000]))[0] == 200
    daemon.flush()
    want = {w["event_id"]: w["country_iso"] for w in map(json.loads, lines(EVENTS.parent / "expected_per_event_0.jsonl.zst")[:1000])}
    assert dict(rows(root / "lake", "event_id, geo.country_iso")) == want
    stopped(daemon)


def test_a_database_that_is_replaced_is_read_again(root):
    config = geo_configuration(root)
    steps = config["streams"]["events"]["steps"]
    steps[0]["geoip"]["refresh"] = "1s"
    steps.append({"geoip": {"ip": "ip", "database": str(root / "city.mmdb"), "into": "again"}})  # The same file once more.
    daemon = started(Daemon(root, config))
    whole, sent = (root / "city.mmdb").read_bytes(), {}

    def place(content):
        (root / "new").write_bytes(content)
        (root / "new").rename(root / "city.mmdb")

    def send(city):
        sent[f"e{len(sent)}"] = city
        event = {"event_id": f"e{len(sent) - 1}", "timestamp": "2026-01-01T00:00:00Z", "ip": "81.2.69.160"}
        assert daemon.post([event], "/v1/events/events")[1]["accepted"] == 1

    def failures():
        return daemon.metric("sluice_lookup_refresh_failures_total")

    send("London")
    place(whole.replace(b"London", b"Lundon"))
    wait_for("the refresh", lambda: daemon.said().count('"other data from here on" geoip=') == 2)
    send("Lundon")
    for content, words in ((whole[:len(whole) // 2], "city.mmdb"), ((DATABASE.parent / "GeoLite2-ASN-Test.mmdb").read_bytes(), "it lacks")):
        before = failures()
        place(content)
        wait_for("the refusal", lambda: failures() > before)
        assert words in daemon.said().split("not read again")[-1]
        send("Lundon")
    place(whole)
    wait_for("the refresh", lambda: daemon.said().count('"other data from here on" geoip=') == 3)
    send("London")
    daemon.flush()
    assert dict(rows(root / "lake", "event_id, geo.city")) == dict(rows(root / "lake", "event_id, again.city")) == sent
    assert b'sluice_lookup_bytes{database="' in daemon.get("/metrics")[1]
    with sqlite3.connect(f"file:{root}/data/ledger.db?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM versions WHERE kind = 'geoip'").fetchone() == (3,)
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
