#!/usr/bin/env python3
"""Lines of CSV as records: the rows that JSON gives, place and reason of what is refused, contract, steps, dedupe and windows as
for JSON, keys, compressed bodies, restarts."""

import gzip
import json
import sys

from support import BINARY, Daemon, configuration, rows, run_tests, started, stopped

import subprocess

SCHEMA = {
    "type": "object",
    "required": ["id", "at"],
    "properties": {
        "id": {"type": "integer"},
        "kind": {"type": "string", "enum": ["k0", "k1", "k2"]},
        "text": {"type": "string"},
        "amount": {"type": "number", "minimum": 0, "x-decimal": [12, 2]},
        "share": {"type": "number", "maximum": 0.3},
        "good": {"type": "boolean"},
        "at": {"type": "string", "format": "date-time"},
        "day": {"type": "string", "format": "date"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        "place": {
            "type": "object",
            "properties": {"city": {"type": "string", "minLength": 2}, "at": {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "number"}}}},
        },
    },
    "if": {"properties": {"kind": {"const": "k2"}}},
    "then": {"required": ["amount"]},
}
NAMES = ["place.at.y", "id", "text", "kind", "place.city", "amount", "good", "at", "day", "tags", "place.at.x", "share"]
COLUMNS = 'id, kind, text, amount, share, good, epoch_us("at"), day, tags, place, _rest'


def event(i):
    texts = ["plain", 'say "hi"', "one, two", "two\nlines", "\\ back", "ümlaut ☃", "", "tab\there", "5", "true"]
    full = {
        "id": i,
        "kind": f"k{i % 3}",
        "text": texts[i % len(texts)],
        "amount": i * 7 % 1000 / 4,
        "share": i % 3 / 10,
        "good": i % 2 == 0,
        "at": f"2026-01-01T{i // 3600 % 24:02}:{i // 60 % 60:02}:{i % 60:02}Z",
        "day": f"2026-02-{1 + i % 28:02}",
        "tags": [f"t{i % 7}", "é"],
        "place": {"city": "Ulm", "at": {"x": i % 13, "y": i / 8}},
    }
    if i % 5 == 1:
        del full["text"], full["place"]["city"]
    if i % 5 == 2:
        del full["place"]["at"], full["good"], full["share"]
    if i % 5 == 3:
        del full["place"], full["tags"], full["day"]
    return full


def value_of(event, name):
    for part in name.split("."):
        if not isinstance(event, dict) or part not in event:
            return None
        event = event[part]
    return event


def cell(value, delimiter=","):
    if value is None:
        return ""
    if value == "":
        return '""'  # An empty text, which is another thing than no value.
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if any(c in text for c in ('"', delimiter, "\n", "\r")):
        return '"' + text.replace('"', '""') + '"'
    return text


def csv_of(events, names=NAMES, header=True, delimiter=",", end="\r\n"):
    lines = [delimiter.join(names)] if header else []
    lines += [delimiter.join(cell(value_of(e, n), delimiter) for n in names) for e in events]
    return (end.join(lines) + end).encode()


def csv_configuration(root, **stream):
    config = configuration(root)
    config["streams"]["events"] = {**config["streams"]["events"], "schema": SCHEMA, **stream}
    return config


def post(daemon, body, kind="text/csv", stream="events", **headers):
    code, reply = daemon.request("POST", f"/v1/events/{stream}", body, headers={"Content-Type": kind, **headers})
    return code, json.loads(reply)


def table(daemon, lake):
    return sorted(rows(lake, COLUMNS), key=lambda r: r[0])


def test_csv_gives_the_rows_that_json_gives(root):
    events = [event(i) for i in range(3000)]
    stored = {}
    for name in ("json", "csv", "tsv", "configured", "gzip"):
        directory = root / name
        more = {"format": "csv", "csv": {"columns": NAMES, "delimiter": ";"}} if name == "configured" else {}
        daemon = started(Daemon(directory, csv_configuration(directory, **more)))
        for first in range(0, 3000, 1000):
            some = events[first : first + 1000]
            body, kind, headers = {
                "json": ("\n".join(json.dumps(e, ensure_ascii=False) for e in some).encode(), "application/x-ndjson", {}),
                "csv": (csv_of(some), "text/csv", {}),
                "tsv": (csv_of(some, NAMES[::-1], True, "\t", "\n"), "text/tab-separated-values", {}),
                "configured": (csv_of(some, NAMES, False, ";"), "application/octet-stream", {}),
                "gzip": (gzip.compress(csv_of(some)), "text/csv; header=present", {"Content-Encoding": "gzip"}),
            }[name]
            code, reply = post(daemon, body, kind, **headers)
            assert (code, reply["accepted"], reply["rejected"]) == (200, 1000, 0), (name, reply)
        daemon.flush()
        stored[name] = table(daemon, directory / "lake")
        code, text = daemon.audit()
        assert code == 0, text
        windows = sorted((w["window_start"], w["kind"], w["events"]) for w in daemon.windows("per_minute"))
        assert sum(w[2] for w in windows) == 3000
        stopped(daemon)
    assert len(stored["json"]) == 3000
    for name, got in stored.items():
        for one, other in zip(stored["json"], got):
            assert one == other, (name, one, other)
        assert len(got) == 3000, name


def test_refused_lines_have_their_place_and_spare_their_neighbours(root):
    daemon = started(Daemon(root, csv_configuration(root)))
    at = "2026-01-01T00:00:00Z"
    lines = [
        b"id,at,kind,place.city,amount,tags,share",
        b"1,%s,k0,Ulm,,,0.3",
        b"2,%s,k0,Ulm,",  # 5 values
        b"3,%s,k0,Ulm,,,",
        b"x,%s,k0,Ulm,,,",  # no integer
        b"4,%s,k9,Ulm,,,",  # contract, by columns
        b"5,%s,k0,U,,,",
        b'6,%s,k0,Ulm,,"[""a"",""a""]",',  # by a tree
        b"7,%s,k2,,,,",
        b"8,%s,k0,,,,0.30000000000000000001",
        b'9,%s,k0,"Ulm"x,,,',
        b"10,%s,k0,\xff,,,",
        b"11,%s,k2,Ulm,0.50,,",
        b'"12,%s,k0,Ulm,,,',  # unclosed: to the end of the line, as no quote follows
        b"13,%s,k0,Ulm,,,",
    ]
    body = lines[0] + b"\n" + b"\n".join(l.replace(b"%s", at.encode()) for l in lines[1:])
    code, reply = post(daemon, body)
    assert code == 200 and (reply["accepted"], reply["rejected"]) == (4, 10), reply
    told = {e["index"]: (e["code"], e["path"], e["message"]) for e in reply["errors"]}
    assert told[1][0] == "syntax" and told[1][2] == "line 3, column 31: 5 values for 7 names", told
    assert told[3] == ("type", "/id", "line 5, column 1: expected int64, found a string"), told
    assert told[4][:2] == ("schema", "/kind") and "k9" in told[4][2], told
    assert told[5][:2] == ("schema", "/place/city") and told[6][:2] == ("schema", "/tags"), told
    assert told[7][:2] == ("schema", "") and told[8][:2] == ("schema", "/share"), told
    assert told[9][0] == "syntax" and told[9][2].startswith("line 11, column 32: text behind"), told
    assert told[10][2] == "line 12, column 28: not UTF-8", told
    assert told[12][2].startswith("line 14, column 1: the quote"), told
    daemon.flush()
    assert sorted(r[0] for r in rows(root / "lake")) == [1, 3, 11, 13]
    letters = rows(root / "data/dead_letters", 'raw, "position", "index", format, header, stage')
    assert {l[3] for l in letters} == {"csv,"} and {l[4] for l in letters} == {lines[0].decode()}
    raw = sorted((l[2], bytes(l[0])) for l in letters)
    assert [r[1] for r in raw] == [body.split(b"\n")[i + 1] for i in sorted(told)]
    start = {l[1] - body.index(bytes(l[0])) for l in letters}
    assert len(start) == 1, "an event's offset is that of its first byte"
    code, text = daemon.audit()
    assert code == 0, text
    # A header that can't be used.
    code, reply = post(daemon, b"id,at,id\n1,2,3\n4,5,6\n")
    assert code == 400 and reply["rejected"] == 1 and "'id' is there twice" in reply["errors"][0]["message"], reply
    code, reply = post(daemon, b"1,2\n", "text/csv; header=absent")
    assert code == 400 and "csv.columns" in reply["errors"][0]["message"], reply
    code, reply = daemon.request("POST", "/v1/events", b"", headers={"Content-Type": "text/csv; charset=latin1"})
    assert code == 415, reply
    stopped(daemon)


def test_steps_and_duplicates_are_those_of_json_and_keys_hold_over_a_kill(root):
    config = csv_configuration(root, id="id", dedupe="1d", steps=[{"trim": ["text"]}, {"require": {"small": "double(amount) < 200.0"}}, {"set": {"twice": "id * 2"}}])
    daemon = started(Daemon(root, config))
    events = [{"id": i, "at": "2026-01-01T00:00:00Z", "text": f"  t{i} ", "amount": 100 + i} for i in range(150)]
    body = csv_of(events, ["id", "text", "amount", "at"])
    code, reply = post(daemon, body, **{"Idempotency-Key": "one"})
    assert (code, reply["accepted"]) == (200, 150), reply
    daemon.kill()
    started(daemon)
    assert post(daemon, body, **{"Idempotency-Key": "one"}) == (code, reply)
    # The same bytes, read in another way, are another request.
    assert post(daemon, body, "text/csv; header=absent", **{"Idempotency-Key": "one"})[0] == 422
    assert post(daemon, body, "application/json", **{"Idempotency-Key": "one"})[0] == 422
    assert post(daemon, body)[0] == 200  # All are duplicates.
    daemon.flush()
    assert sorted(rows(root / "lake", "id, text, twice")) == [(i, f"t{i}", 2 * i) for i in range(100)]
    letters = rows(root / "data/dead_letters", "code, raw")
    assert len(letters) == 100 and {l[0] for l in letters} == {"require"}
    assert b'130,  t130 ,230,2026-01-01T00:00:00Z' in {bytes(l[1]) for l in letters}
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_dead_letters_are_replayed_with_the_names_they_came_with(root):
    def config(most, columns):
        made = csv_configuration(root, id="id", steps=[{"require": {"small": f"id <= {most}"}}], csv={"columns": columns, "header": True})
        made["streams"]["events"]["schema"] = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "text": {"type": "string"}}}
        del made["streams"]["events"]["event_time"]
        del made["windows"]
        return made

    daemon = started(Daemon(root, config(10, ["text"])))
    assert post(daemon, b'text,"id"\r\n"a\nb",5\r\nc,15\r\n"d,""",16\r\n', "text/csv")[0] == 200
    assert post(daemon, b"id\ttext\n17\tx,y\n", "text/tab-separated-values")[0] == 200
    assert post(daemon, b"z,18\nw,7\n", "text/csv; header=absent")[0] == 400  # One name for two values.
    daemon.flush()
    assert rows(root / "lake", "id, text") == [(5, "a\nb")]
    letters = sorted(rows(root / "data/dead_letters", "raw, format, header"))
    assert [(bytes(l[0]), l[1], l[2]) for l in letters] == [
        (b'"d,""",16', "csv,", 'text,"id"'), (b"17\tx,y", "csv\t", "id\ttext"), (b"c,15", "csv,", 'text,"id"'),
        (b"w,7", "csv,", ""), (b"z,18", "csv,", "")], letters
    stopped(daemon)
    http = daemon.config["http"]
    daemon.config = {**config(100, ["text", "id"]), "http": http, "data_dir": daemon.config["data_dir"]}
    started(daemon)
    for _ in range(2):  # The second time changes nothing.
        done = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml")], capture_output=True, text=True)
        assert done.returncode == 0, (done.stdout, done.stderr)
        daemon.flush()
        assert sorted(rows(root / "lake", "id, text")) == [(5, "a\nb"), (7, "w"), (15, "c"), (16, 'd,"'), (17, "x,y"), (18, "z")]
        code, text = daemon.audit()
        assert code == 0, text
    stopped(daemon)


def test_inferred_streams_learn_types_from_values_and_widen(root):
    config = configuration(root)
    config["streams"]["free"] = {"lake": {"to": str(root / "free"), "max_age": "60s"}}
    daemon = started(Daemon(root, config))
    first = b"id,n,ok,when.time,zip\n1,5,true,2026-01-01T00:00:00Z,89073\n2,,false,,01234\n"
    second = b"n,id,extra\n2.5,3,x\n,4,\n"
    for body in (first, second):
        code, reply = post(daemon, body, stream="free")
        assert (code, reply["accepted"], reply["rejected"]) == (200, 2, 0), reply
    daemon.flush()
    got = sorted(rows(root / "free", "id, n, ok, \"when\".time IS NULL, zip, extra"))
    assert got == [(1, 5.0, True, False, "89073", None), (2, None, False, True, "01234", None), (3, 2.5, None, True, None, "x"),
                   (4, None, None, True, None, None)], got
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_lines_go_to_the_stream_whose_condition_they_meet(root):
    config = configuration(root)
    lake = {"max_age": "60s"}
    typed = {"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}, "kind": {"type": "string"}, "n": {"type": "integer"}}}
    config["streams"] = {
        "orders": {"schema": typed, "when": 'kind == "order"', "lake": {"to": str(root / "orders"), **lake}, "csv": {"columns": ["id", "kind", "n"]}},
        "others": {"schema": typed, "lake": {"to": str(root / "others"), **lake}},
    }
    del config["windows"]
    daemon = started(Daemon(root, config))
    lines = b"".join(b"%d,%s,%d\r\n" % (i, [b"order", b'"visit"'][i % 2], i) for i in range(5000)) + b"x,order,1\n7000,order,y\n"
    for body, kind in ((b"id,kind,n\n" + lines, "text/csv; header=present"), (lines, "text/csv")):
        code, reply = daemon.request("POST", "/v1/events", body, headers={"Content-Type": kind})
        reply = json.loads(reply)
        assert (code, reply["accepted"], reply["rejected"]) == (200, 5000, 2), reply
        assert [(e["index"], e["message"]) for e in reply["errors"]] == [
            (5000, "column 1: expected int64, found a string"), (5001, "column 12: expected int64, found a string")], reply
    daemon.flush()
    for name, first in (("orders", 0), ("others", 1)):
        assert sorted(rows(root / name, "id, n")) == sorted((i, i) for i in range(first, 5000, 2) for _ in range(2)), name
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_validate_names_what_cannot_be(root):
    for change, words in (
        ({"csv": {"delimiter": "ab"}}, "csv.delimiter: 'ab'"),
        ({"csv": {"header": False}}, "needs csv.columns"),
        ({"csv": {"columns": ["a", "b", "a"]}}, "'a' is there twice"),
        ({"csv": {"columns": ["a.b", "a"]}}, "'a.b' can't be in 'a'"),
        ({"format": "tsv"}, "format"),
    ):
        daemon = Daemon(root, csv_configuration(root, **change))
        path = root / "sluice.yaml"
        path.write_text(json.dumps(daemon.config, indent=1))
        done = subprocess.run([BINARY, "validate", "-c", str(path)], capture_output=True, text=True)
        assert done.returncode == 78 and words in done.stderr, (change, done.stderr)
    path.write_text(json.dumps(Daemon(root, csv_configuration(root, format="csv", csv={"delimiter": "tab"})).config))
    assert subprocess.run([BINARY, "validate", "-c", str(path)], capture_output=True).returncode == 0


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
