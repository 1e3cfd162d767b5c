#!/usr/bin/env python3
"""CloudEvents 1.0 on /v1/events: structured, in batches, and with attributes in headers; what is none is refused with its place
and kept; restarts, keys, conditions and replays judge the same; the cases of the specification's own suite."""

import json
import re
import subprocess
import sys
from pathlib import Path

from support import BINARY, Daemon, configuration, rows, run_tests, started, stopped

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json; charset=utf-8"
SHARED = Path(__file__).resolve().parents[2].parent / "shared/data/cloudevents"


def envelope(i, **more):
    return {"specversion": "1.0", "id": f"e{i}", "source": "/shop", "type": "com.example.order", "time": f"2026-01-01T00:{i % 60:02}:00Z",
            "datacontenttype": "application/json", "data": {"user_id": f"u{i % 7}", "amount": i / 4}, **more}


def post(daemon, body, kind=ONE, path="/v1/events/orders", **headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    code, reply = daemon.request("POST", path, body, headers={**({"Content-Type": kind} if kind else {}), **headers})
    return code, json.loads(reply)


def shop(root, **more):
    """A stream of orders that knows its events' data."""
    config = configuration(root)
    config["streams"] = {"orders": {
        "schema": {"type": "object", "required": ["id", "type"], "properties": {
            "id": {"type": "string"}, "source": {"type": "string"}, "type": {"type": "string"}, "time": {"type": "string", "format": "date-time"},
            "data": {"type": "object", "required": ["user_id"], "properties": {"user_id": {"type": "string"}, "amount": {"type": "number"}}}}},
        "event_time": "time", "lake": {"to": str(root / "lake"), "max_age": "1s"}, **more}}
    config["windows"] = {"per_minute": {"of": "orders", "every": "1m", "by": ["data.user_id"], "measures": {"events": "count()", "total": "sum(data.amount)"}}}
    return config


def audited(daemon):
    code, text = daemon.audit()
    assert code == 0, text


def test_attributes_are_columns_and_data_is_nested(root):
    daemon = started(Daemon(root, shop(root)))
    assert post(daemon, envelope(0)) == (200, {"accepted": 1, "rejected": 0, "errors": []})
    assert post(daemon, [envelope(i) for i in range(1, 100)], BATCH)[1]["accepted"] == 99
    assert post(daemon, [], BATCH) == (200, {"accepted": 0, "rejected": 0, "errors": []})
    daemon.flush()
    assert sorted(rows(root / "lake", "id, type, data.user_id, data.amount, epoch(time)")) == sorted(
        (f"e{i}", "com.example.order", f"u{i % 7}", i / 4, 1767225600 + i % 60 * 60) for i in range(100))
    assert sum(w["events"] for w in daemon.windows("per_minute")) == 100
    assert len({w["window_start"] for w in daemon.windows("per_minute")}) == 60, "the event's own time counts"
    audited(daemon)
    stopped(daemon)


def test_inferred_streams_take_time_for_the_event_time(root):
    daemon = started(Daemon(root, {"cut": {"every": "200ms"}}))
    assert post(daemon, envelope(1, traceparent="00-1", rate=5), path="/v1/events")[0] == 200
    assert post(daemon, {**envelope(2), "data": "text"}, path="/v1/events/texts")[0] == 200
    daemon.flush()
    lake = Path(daemon.config["data_dir"]) / "lake"
    assert rows(lake / "events", "id, source, epoch(time), data.user_id, traceparent, rate") == [("e1", "/shop", 1767225660, "u1", "00-1", 5)]
    assert rows(lake / "texts", "id, data") == [("e2", "text")]
    assert [w["window_start"] for w in daemon.windows("events_per_minute")] == ["2026-01-01T00:01:00Z"]
    audited(daemon)
    stopped(daemon)


BROKEN = [
    ({"specversion": None}, "required", "/specversion"), ({"id": ""}, "format", "/id"), ({"source": "a b"}, "format", "/source"), ({"type": 7}, "type", "/type"),
    ({"specversion": "0.3"}, "format", "/specversion"), ({"time": "yesterday"}, "format", "/time"), ({"data_base64": "eA=="}, "format", "/data_base64"),
    ({"datacontenttype": "json"}, "format", "/datacontenttype"), ({"userId": "u"}, "format", "/userId"), ({"ext": {"a": 1}}, "type", "/ext"),
    ({"data": {}}, "required", "/data/user_id"),
]


def test_what_is_none_is_refused_and_its_neighbours_are_kept(root):
    daemon = started(Daemon(root, shop(root)))
    batch = [e for i, (change, _, _) in enumerate(BROKEN) for e in ({**envelope(i), **change}, envelope(100 + i))]
    code, reply = post(daemon, batch, BATCH, **{"Idempotency-Key": "one"})
    assert (code, reply["accepted"], reply["rejected"]) == (200, len(BROKEN), len(BROKEN)), reply
    assert [(e["index"] // 2, e["code"], e["path"]) for e in reply["errors"]] == [(i, c, p) for i, (_, c, p) in enumerate(BROKEN)], reply
    # The same bytes as plain JSON lack nothing but what the schema asks for.
    assert post(daemon, {**envelope(500), "specversion": "0.3", "userId": "u"}, "application/json")[0] == 200
    daemon.kill()
    started(daemon)
    assert post(daemon, batch, BATCH, **{"Idempotency-Key": "one"}) == (code, reply), "the result is derived again from the log"
    assert post(daemon, batch, "application/json", **{"Idempotency-Key": "one"})[0] == 422, "read in another way it is another request"
    daemon.flush()
    assert sorted(r[0] for r in rows(root / "lake")) == sorted([f"e{100 + i}" for i in range(len(BROKEN))] + ["e500"])
    letters = rows(root / "data/dead_letters", "code, path, format, raw")
    assert sorted(l[:3] for l in letters) == sorted((c, p, "cloudevents") for _, c, p in BROKEN), letters
    assert {json.loads(bytes(l[3]))["source"] for l in letters} == {"/shop", "a b"}
    audited(daemon)
    code, reply = post(daemon, b'{"specversion":"1.0","id":', ONE)
    assert code == 400 and reply["errors"][0]["code"] == "syntax", reply
    assert post(daemon, envelope(1), "application/cloudevents+xml")[0] == 415
    stopped(daemon)


def test_dead_letters_are_replayed_as_what_they_were(root):
    strict = shop(root, id="id", steps=[{"require": {"small": "data.amount < 10.0"}}])
    daemon = started(Daemon(root, strict))
    assert post(daemon, [envelope(i) for i in (1, 80)] + [{**envelope(2), "source": "a b"}], BATCH)[1]["rejected"] == 1
    daemon.flush()
    assert [r[0] for r in rows(root / "lake")] == ["e1"]
    stopped(daemon)
    daemon.config = {**shop(root, id="id"), "http": daemon.config["http"], "data_dir": daemon.config["data_dir"]}
    started(daemon)
    for _ in range(2):
        done = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml")], capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout, done.stderr)
        daemon.flush()
        assert sorted(r[0] for r in rows(root / "lake")) == ["e1", "e80"], "a broken envelope stays one"
        audited(daemon)
    stopped(daemon)


def test_raw_records_come_again_as_what_they_were(root):
    daemon = started(Daemon(root, shop(root, raw=True)))
    batch = [envelope(1), {**envelope(2), "source": "a b"}, envelope(3)]
    assert post(daemon, batch, BATCH)[1]["rejected"] == 1
    assert post(daemon, {**envelope(4), "source": "a b"}, "application/json")[0] == 200
    daemon.flush()
    done = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml"), "--into", "again", "--stream", "orders"], capture_output=True, text=True)
    assert done.returncode == 0 and "clean" in done.stdout, (done.stdout, done.stderr)
    assert sorted(rows(root / "again")) == sorted(rows(root / "lake")) == [("e1",), ("e3",), ("e4",)]
    stopped(daemon)


def test_conditions_route_them_and_the_stream_refuses(root):
    config = configuration(root)
    lake = {"max_age": "1s"}
    typed = {"type": "object", "properties": {"id": {"type": "string"}, "type": {"type": "string"}}}
    config["streams"] = {"orders": {"schema": typed, "when": 'type == "com.example.order"', "lake": {"to": str(root / "orders"), **lake}},
                         "rest": {"lake": {"to": str(root / "rest"), **lake}}}
    del config["windows"]
    daemon = started(Daemon(root, config))
    batch = [envelope(1), envelope(2, type="x"), {**envelope(3), "time": "never"}, envelope(4, type="x", Bad=1)]
    code, reply = post(daemon, batch, BATCH, "/v1/events")
    assert [(e["index"], e["path"]) for e in reply["errors"]] == [(2, "/time"), (3, "/Bad")], reply
    daemon.flush()
    assert rows(root / "orders") == [("e1",)] and rows(root / "rest") == [("e2",)]
    assert sorted(rows(root / "data/dead_letters", "stream, path")) == [("orders", "/time"), ("rest", "/Bad")]
    audited(daemon)
    stopped(daemon)


def test_attributes_in_headers_make_the_same_event(root):
    daemon = started(Daemon(root, shop(root)))
    e = envelope(5)
    headers = {f"ce-{k}": v for k, v in e.items() if k not in ("data", "datacontenttype")}
    assert post(daemon, e["data"], "application/json", **headers) == (200, {"accepted": 1, "rejected": 0, "errors": []})
    assert post(daemon, e)[0] == 200
    code, reply = post(daemon, e["data"], "application/json", **{**headers, "ce-source": "%20"})
    assert code == 400 and reply["errors"][0]["path"] == "/source", reply
    code, reply = post(daemon, b'{"user_id":', "application/json", **headers)
    assert code == 400 and reply["error"]["code"] == "bad_request", reply
    daemon.flush()
    one, other = rows(root / "lake", "id, source, type, epoch(time), data")
    assert one == other and one[4]["amount"] == 1.25, (one, other)
    assert len(rows(root / "data/dead_letters", "raw")) == 1
    audited(daemon)
    stopped(daemon)


def requests_of(feature):
    """The requests of a conformance feature's outlines, with the attributes that belong to them."""
    for outline in feature.split("Scenario Outline:")[1:]:
        request, data = re.findall(r'"""\n(.*?)\n\s*"""', outline, re.S)
        expected = dict(re.findall(r"\|\s*(\w+)\s*\|\s*(\S.*?)\s*\|", outline.split("Then the attributes are:")[1].split("And the data")[0]))
        for kind in re.findall(r"^\s*\| (application/\S.*?)\s*\|", outline.split("Examples:")[1], re.M):
            lines = [line.strip() for line in request.replace("<contentType>", kind).split("\n")]
            empty = lines.index("")
            headers = dict(line.split(": ", 1) for line in lines[1:empty])
            wanted = {k: v.replace("<contentType>", kind) for k, v in expected.items() if k != "key"}
            yield {k: v for k, v in headers.items() if k not in ("Host", "Content-Length")}, "\n".join(lines[empty:]).encode(), wanted, json.loads(data)


def test_the_specifications_own_cases(root):
    if not SHARED.is_dir():
        print(f"skipped: no {SHARED}")
        return
    daemon = started(Daemon(root, {"cut": {"every": "200ms"}}))
    cases = list(requests_of((SHARED / "conformance_http-protocol-binding.feature").read_text()))
    assert len(cases) == 4
    for headers, body, wanted, data in cases:
        code, reply = post(daemon, body, None, **headers)
        assert (code, reply["accepted"]) == (200, 1), (headers, reply)
    daemon.flush()
    stored = rows(Path(daemon.config["data_dir"]) / "lake/orders", "id, specversion, type, source, strftime(time AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ'), datacontenttype, data")
    names = ("id", "specversion", "type", "source", "time", "datacontenttype")
    key = lambda c: str(sorted(c[0].items()))
    assert sorted(((dict(zip(names, r)), r[6]) for r in stored), key=key) == sorted(((c[2], c[3]) for c in cases), key=key)
    for name, text in re.findall(r"id: (\S+)\n.*?datacontenttype: (.*?)\n", (SHARED / "conformance_v1_minimum.yaml").read_text(), re.S):
        code, reply = post(daemon, b'"Hello, \xf0\x9f\x8c\x8e!"', text, **{"ce-specversion": "1.0", "ce-type": "io.cloudevents.minimum", "ce-id": name, "ce-source": "//github.com/x"})
        assert code == 200, (name, reply)
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
