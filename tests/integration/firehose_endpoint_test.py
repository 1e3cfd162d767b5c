#!/usr/bin/env python3
"""Firehose's deliveries to an HTTP endpoint: the rows that the same records give over HTTP, once under their request id and over
restarts; access keys, compressed bodies, streams by path and by attribute, replies in Firehose's form."""

import base64
import gzip
import http.client
import json
import sys
import time

from support import Daemon, body, configuration, event, free_port, rows, run_tests, started, stopped


def delivery(name, records):
    return json.dumps({"requestId": name, "timestamp": int(time.time() * 1000),
                       "records": [{"data": base64.b64encode(r).decode()} for r in records]}).encode()


def send(daemon, content, path="/v1/firehose/events", **headers):
    """Status, reply and its headers, of which those that Firehose asks for are checked."""
    sent = {"Content-Type": "application/json", "X-Amz-Firehose-Protocol-Version": "1.0", **{k.replace("_", "-"): v for k, v in headers.items()}}
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    connection.request("POST", path, content, sent)
    response = connection.getresponse()
    reply = json.loads(response.read())
    assert response.getheader("Content-Type") == "application/json" and response.getheader("Content-Encoding") is None
    connection.close()
    return response.status, reply


def deliver(daemon, name, records, path="/v1/firehose/events", **headers):
    code, reply = send(daemon, delivery(name, records), path, X_Amz_Firehose_Request_Id=name, **headers)
    assert reply["requestId"] == name and abs(reply["timestamp"] / 1000 - time.time()) < 3600, reply
    assert ("errorMessage" in reply) == (code != 200), reply
    return code, reply


def audited(daemon):
    code, text = daemon.audit()
    assert code == 0, text


def test_records_are_stored_once_under_their_request_id(root):
    daemon = started(Daemon(root, configuration(root)))
    lines = body(0, 900).split(b"\n")
    # A record may hold one event, several lines, or an array.
    records = [lines[i] for i in range(300)] + [b"\n".join(lines[300:600]) + b"\n", b"[" + b",".join(lines[600:900]) + b"]"]
    for _ in range(2):
        assert deliver(daemon, "one", records)[0] == 200
    packed = gzip.compress(delivery("one", records))
    assert send(daemon, packed, X_Amz_Firehose_Request_Id="one", Content_Encoding="gzip")[0] == 200
    daemon.kill()
    started(daemon)
    assert deliver(daemon, "one", records)[0] == 200
    code, reply = deliver(daemon, "one", records[:-1])
    assert code == 400 and "other records" in reply["errorMessage"], reply
    # An Idempotency-Key of the same text is another key.
    assert daemon.request("POST", "/v1/events/events", body(900, 1), headers={"Idempotency-Key": "one"})[0] == 200
    assert deliver(daemon, "two", [])[0] == 200
    daemon.flush()
    assert sorted(r[0] for r in rows(root / "lake")) == list(range(901))
    audited(daemon)
    stopped(daemon)


def test_a_broken_record_spares_its_neighbours(root):
    daemon = started(Daemon(root, configuration(root)))
    good = body(0, 10).split(b"\n")
    assert deliver(daemon, "a", [good[0], b'{"id":', good[1], b"[{", good[2], b"\xff", b"", b'{"id":"x"}', b"hello", *good[3:]])[0] == 200
    assert deliver(daemon, "b", [b"none of them"])[0] == 200, "what is durable as a dead letter needs no other try"
    daemon.flush()
    assert sorted(r[0] for r in rows(root / "lake")) == list(range(10))
    letters = rows(root / "data/dead_letters", "code, source, raw")
    assert sorted(bytes(l[2]) for l in letters) == sorted([b'{"id":', b"{", b"\xff", b"", b'{"id":"x"}', b"hello", b"none of them"]), letters
    assert {l[1] for l in letters} == {"firehose"}
    audited(daemon)
    stopped(daemon)


def test_streams_come_from_path_attribute_and_configuration(root):
    config = configuration(root)
    lake = {"max_age": "1s"}
    config["streams"] = {name: {"from": ["http"], "lake": {"to": str(root / name), **lake}, "add": ["source"]} for name in ("first", "second")}
    config["streams"]["lines"] = {"format": "csv", "csv": {"columns": ["id", "text"]}, "lake": {"to": str(root / "lines"), **lake}}
    del config["windows"]
    daemon = started(Daemon(root, config))
    named = {"X_Amz_Firehose_Common_Attributes": json.dumps({"commonAttributes": {"team": "x", "stream": "second"}})}
    assert deliver(daemon, "1", [b'{"id":1}'], "/v1/firehose")[0] == 200
    assert deliver(daemon, "2", [b'{"id":2}'], "/v1/firehose", **named)[0] == 200
    assert deliver(daemon, "3", [b'{"id":3}'], "/v1/firehose/first", **named)[0] == 200
    assert deliver(daemon, "4", [b'4,"a,b"\n', b"5,c\n6,d\n"], "/v1/firehose/lines")[0] == 200
    assert deliver(daemon, "5", [b'{"id":7}'], "/v1/firehose/9")[0] == 400
    daemon.flush()
    assert sorted(rows(root / "first", "id, source")) == [(1, "firehose"), (3, "firehose")]
    assert rows(root / "second", "id") == [(2,)]
    assert sorted(rows(root / "lines", "id, text")) == [(4, "a,b"), (5, "c"), (6, "d")]
    audited(daemon)
    stopped(daemon)


def test_access_keys_are_the_tokens(root):
    config = configuration(root)
    config["http"]["auth"] = {"tokens": ["secret-one", "secret-two"]}
    daemon = started(Daemon(root, config))
    line = body(0, 1)
    for headers in ({}, {"X_Amz_Firehose_Access_Key": "secret"}, {"X_Amz_Firehose_Access_Key": ""}, {"Authorization": "Bearer secret-one"}):
        code, reply = deliver(daemon, "k", [line], **headers)
        assert code == 401 and "http.auth.tokens" in reply["errorMessage"], (headers, reply)
    assert deliver(daemon, "k", [line], X_Amz_Firehose_Access_Key="secret-two")[0] == 200
    daemon.flush()
    assert [r[0] for r in rows(root / "lake")] == [0]
    stopped(daemon)


def test_refusals_say_what_is_wrong(root):
    daemon = started(Daemon(root, configuration(root)))
    for content, words in ((b"{", "unexpected"), (b'{"records":[{"data":"?"}]}', "Base64"), (b'{"requestId":"other","records":[]}', "requestId")):
        code, reply = send(daemon, content, X_Amz_Firehose_Request_Id="r")
        assert code == 400 and words in reply["errorMessage"] and reply["requestId"] == "r", reply
    code, reply = send(daemon, delivery("v", []), X_Amz_Firehose_Request_Id="v", X_Amz_Firehose_Protocol_Version="2.0")
    assert code == 400 and "1.0" in reply["errorMessage"], reply
    code, reply = send(daemon, delivery("big", [b"x" * 600000]), X_Amz_Firehose_Request_Id="big")
    assert code == 413 and "http.max_body" in reply["errorMessage"] and reply["requestId"] == "big", (code, reply)
    code, reply = send(daemon, b"no gzip", X_Amz_Firehose_Request_Id="r", Content_Encoding="gzip")
    assert code == 400 and "Content-Encoding" in reply["errorMessage"] and reply["requestId"] == "r", (code, reply)
    code, reply = send(daemon, gzip.compress(delivery("big", [b"x" * 600000])), X_Amz_Firehose_Request_Id="big", Content_Encoding="gzip")
    assert code == 413 and "expands" in reply["errorMessage"] and reply["requestId"] == "big", (code, reply)
    daemon.flush()
    assert rows(root / "lake") == [] and rows(root / "data/dead_letters", "raw") == []
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
