#!/usr/bin/env python3
"""The stream's JSON Schema beyond types: what breaks it is refused in the reply, with its place, becomes a dead letter, and
is in no table; conditions that columns can't tell are judged, too."""

import json
import sys

from support import Daemon, configuration, rows, run_tests, started, stopped

SCHEMA = {
    "type": "object",
    "required": ["id", "kind"],
    "$defs": {"place": {"type": "object", "properties": {"city": {"type": "string", "minLength": 2}, "zip": {"type": "string", "pattern": "^[0-9]{5}$"}}}},
    "properties": {
        "id": {"type": "integer", "minimum": 0, "maximum": 1000000},
        "kind": {"type": "string", "enum": ["k0", "k1", "k2", "order"]},
        "amount": {"type": "number", "exclusiveMinimum": 0, "x-decimal": [12, 2]},
        "at": {"type": "string", "format": "date-time"},
        "mail": {"type": "string", "format": "email"},
        "place": {"$ref": "#/$defs/place"},
        "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "maxItems": 3},
    },
    "if": {"properties": {"kind": {"const": "order"}}},
    "then": {"required": ["amount"]},
}
GOOD = [{"id": 1, "kind": "k0"}, {"id": 2, "kind": "order", "amount": 0.01, "mail": "a@b.org"},
        {"id": 3, "kind": "k1", "place": {"city": "Ulm", "zip": "89073"}, "tags": ["a", "b"]}]
BAD = [({"id": -1, "kind": "k0"}, "/id", "minimum"), ({"id": 1, "kind": "k7"}, "/kind", "k7"),
       ({"id": 1, "kind": "order"}, "", "amount"), ({"id": 1, "kind": "k0", "amount": 0}, "/amount", "0"),
       ({"id": 1, "kind": "k0", "mail": "nobody"}, "/mail", "email"),
       ({"id": 1, "kind": "k0", "place": {"city": "U"}}, "/place/city", '(minLength: "U")'),
       ({"id": 1, "kind": "k0", "place": {"zip": "8907"}}, "/place/zip", "8907"),
       ({"id": 1, "kind": "k0", "tags": ["a", "a"]}, "/tags", "tags"),
       ({"id": 1, "kind": "k0", "tags": ["a", 5]}, "/tags/1", "string")]


def contract_configuration(root):
    config = configuration(root)
    config["streams"]["events"]["schema"] = SCHEMA
    return config


def test_what_breaks_the_contract_is_refused_with_its_place(root):
    daemon = started(Daemon(root, contract_configuration(root)))
    events = [e for pair in zip(GOOD * 3, (b for b, _, _ in BAD)) for e in pair]
    lines = [json.dumps(e) for e in events]
    lines.insert(4, "no json")  # The decoder's refusals and the contract's come in the order of the events.
    code, reply = daemon.request("POST", "/v1/events/events", "\n".join(lines).encode())
    reply = json.loads(reply)
    assert code == 200 and (reply["accepted"], reply["rejected"]) == (9, 10), reply
    assert [e["index"] for e in reply["errors"]] == [1, 3, 4, 6, 8, 10, 12, 14, 16, 18], reply
    told = [e for e in reply["errors"] if e["code"] == "schema"]
    for error, (event, path, word) in zip(told, BAD):
        assert error["path"] == path and word in error["message"], (error, event, path, word)
    daemon.flush()
    assert sorted(r[0] for r in rows(root / "lake")) == sorted(e["id"] for e in GOOD * 3)
    letters = rows(root / "data/dead_letters", 'code, stage, path, message, raw, "index"')
    assert sorted((l[0], l[1]) for l in letters) == [("schema", "schema")] * 9 + [("syntax", "decode")]
    assert {(l[2], l[3], l[5]) for l in letters if l[0] == "schema"} == {(e["path"], e["message"], e["index"]) for e in told}
    assert sorted(bytes(l[4]).decode() for l in letters) == sorted([json.dumps(b) for b, _, _ in BAD] + ["no json"])
    code, text = daemon.audit()
    assert code == 0, text
    assert 'sluice_dead_letters_total{code="schema"} 9\n' in daemon.request("GET", "/metrics")[1].decode()
    stopped(daemon)


def test_a_request_without_any_good_event_is_refused_whole_and_again_by_its_key(root):
    daemon = started(Daemon(root, contract_configuration(root)))
    text = "\n".join(json.dumps(b) for b, _, _ in BAD).encode()
    first = daemon.request("POST", "/v1/events/events", text, headers={"Idempotency-Key": "once"})
    assert first[0] == 400 and json.loads(first[1])["rejected"] == 9
    daemon.kill()
    started(daemon)
    again = daemon.request("POST", "/v1/events/events", text, headers={"Idempotency-Key": "once"})
    assert again[0] == 400 and json.loads(again[1])["rejected"] == 9, again
    daemon.flush()
    assert len(rows(root / "data/dead_letters", "code")) == 9
    stopped(daemon)


def test_a_keyword_that_isnt_known_is_told_before_the_start(root):
    config = contract_configuration(root)
    for change, word in (({"id": {"type": "integer", "minimun": 0}}, "/properties/id/minimun"),
                         ({"id": {"type": "string", "pattern": "("}}, "/properties/id/pattern"),
                         ({"id": {"$ref": "#/$defs/none"}}, "/properties/id/$ref")):
        config["streams"]["events"]["schema"] = {"type": "object", "properties": {**SCHEMA["properties"], **change}, "$defs": SCHEMA["$defs"]}
        daemon = Daemon(root, config)
        assert daemon.start() == 78
        assert word in daemon.said()[-600:], daemon.said()[-600:]


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
