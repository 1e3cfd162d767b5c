#!/usr/bin/env python3
"""AWS's own producers (boto3, the AWS CLI, the SDK for JavaScript) with nothing but the endpoint changed: records, descriptions, keys,
limits, errors in AWS's words, records of the KPL, and a crash with a resend. What isn't installed here is skipped, and said."""

import base64
import datetime
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

from support import Daemon, check_once, configuration, event, flush_until, rows, run_tests, skip, started, stopped, wait_for

try:
    import botocore.session
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.config import Config
    from botocore.credentials import Credentials
    from botocore.exceptions import ClientError
except ImportError:
    skip("boto3 isn't installed: tests/setup")

TOP = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SLUICE_SHARED_DATA") or TOP / "../shared/data")
KEY, SECRET = "AKIASLUICETEST0000001", "sluice/test+secret0for0loopback0tests000"
KEYS = {"auth": {"aws_keys": [{"access_key_id": "AKIAOTHER", "secret_access_key": "other"},
                              {"access_key_id": KEY, "secret_access_key": SECRET}]}}
SMALL = {"max_body": "512KiB", "max_event": "256KiB"}
# Whatever this machine has of its own stays out.
os.environ.update(AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null", AWS_EC2_METADATA_DISABLED="true", NO_PROXY="127.0.0.1",
                  AWS_DEFAULT_REGION="eu-central-1", AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET)
os.environ.pop("AWS_SESSION_TOKEN", None)


def client(daemon, service="kinesis", key=KEY, secret=SECRET, retries=0, **more):
    config = Config(retries={"total_max_attempts": retries + 1, "mode": "standard"}, parameter_validation=False, **more)
    return botocore.session.get_session().create_client(
        service, region_name="eu-central-1", endpoint_url=f"http://127.0.0.1:{daemon.port}", aws_access_key_id=key, aws_secret_access_key=secret,
        config=config)


def refused(code, call, **arguments):
    """The message of the error that the call has to end with."""
    try:
        reply = call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert error.response["ResponseMetadata"]["RequestId"], error.response
        return error.response["Error"]["Message"]
    raise AssertionError(f"{code} expected: {reply}")


def data(i):
    return json.dumps(event(i)).encode()


def record(i):
    return {"Data": data(i), "PartitionKey": f"user-{i}"}


def test_boto3_puts_records_and_firehose_does(root):
    """PutRecord, PutRecords of 500, Firehose's two; each event once in lake and windows; junk is a dead letter and no error."""
    daemon = started(Daemon(root, configuration(root, http={**KEYS, "max_body": "4MiB", "max_event": "256KiB"})))
    kinesis, firehose = client(daemon), client(daemon, "firehose")
    first = kinesis.put_record(StreamName="events", Data=data(0), PartitionKey="u", ExplicitHashKey="0")
    arn = "arn:aws:kinesis:eu-central-1:000000000000:stream/events"
    second = kinesis.put_records(StreamARN=arn, Records=[record(i) for i in range(1, 501)])
    assert second["FailedRecordCount"] == 0 and len(second["Records"]) == 500
    third = kinesis.put_record(StreamName="events", Data=data(501) + b"\n" + data(502) + b"\n", PartitionKey="u")
    numbers = [int(r["SequenceNumber"]) for r in [first, *second["Records"], third]]
    assert numbers == sorted(set(numbers)) and {len(str(n)) for n in numbers} == {56}
    assert {r["ShardId"] for r in [first, *second["Records"], third]} == {"shardId-000000000000"}
    assert firehose.put_record(DeliveryStreamName="events", Record={"Data": data(503)})["RecordId"]
    batch = firehose.put_record_batch(DeliveryStreamName="events", Records=[{"Data": d} for d in (data(504), b"no JSON", b"", data(505))])
    assert batch["FailedPutCount"] == 0 and len({r["RecordId"] for r in batch["RequestResponses"]}) == 4
    daemon.flush()
    assert daemon.metric("sluice_received_events_total") >= 507
    stopped(daemon)
    check_once(daemon, range(506), root / "lake")


def test_the_same_events_by_http_and_by_kinesis_make_the_same(root):
    """Bodies of HTTP, PutRecords, and Firehose's batches, some of several events: the same rows and windows."""
    made = []
    events = [event(i) for i in range(3000)]
    for way in ("http", "kinesis", "firehose"):
        daemon = started(Daemon(root / way, configuration(root / way, http={"max_body": "4MiB", "max_event": "256KiB"})))
        for at in range(0, len(events), 300):
            lines = [json.dumps(e, ensure_ascii=at % 600 == 0).encode() for e in events[at:at + 300]]
            records = lines[:200] + [b"\n".join(lines[200:250]), b"[" + b",".join(lines[250:]) + b"]"]
            if way == "http":
                assert daemon.post(b"\n".join(lines), "/v1/events/events")[0] == 200
            elif way == "kinesis":
                client(daemon).put_records(StreamName="events", Records=[{"Data": r, "PartitionKey": "k"} for r in records])
            else:
                client(daemon, "firehose").put_record_batch(DeliveryStreamName="events", Records=[{"Data": r} for r in records])
        daemon.flush()
        stopped(daemon)
        check_once(daemon, range(len(events)), root / way / "lake")
        with sqlite3.connect(daemon.warehouse()) as db:
            windows = sorted(db.execute("SELECT window_start, kind, events FROM per_minute"))
        made.append((sorted(rows(root / way / "lake", 'id, kind, text, CAST("at" AS VARCHAR)')), windows))
    assert made[0] == made[1] == made[2]


def test_descriptions_agree_with_each_other(root):
    daemon = started(Daemon(root, configuration(root, http={**KEYS, **SMALL})))
    kinesis, firehose = client(daemon), client(daemon, "firehose")
    (shard,) = kinesis.list_shards(StreamName="events")["Shards"]
    assert shard["HashKeyRange"] == {"StartingHashKey": "0", "EndingHashKey": str(2**128 - 1)}
    described = kinesis.describe_stream(StreamName="events")["StreamDescription"]
    summary = kinesis.describe_stream_summary(StreamName="events")["StreamDescriptionSummary"]
    assert described["Shards"] == [shard] and not described["HasMoreShards"] and summary["OpenShardCount"] == 1
    assert described["StreamARN"] == summary["StreamARN"] == "arn:aws:kinesis:eu-central-1:000000000000:stream/events"
    assert described["StreamStatus"] == summary["StreamStatus"] == "ACTIVE"
    put = kinesis.put_record(StreamARN=summary["StreamARN"], Data=data(0), PartitionKey="u")
    assert put["ShardId"] == shard["ShardId"]
    assert int(put["SequenceNumber"]) > int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
    kinesis.get_waiter("stream_exists").wait(StreamName="events")
    assert kinesis.list_streams()["StreamNames"] == ["events"]
    assert kinesis.describe_limits()["OpenShardCount"] == 1
    delivery = firehose.describe_delivery_stream(DeliveryStreamName="events")["DeliveryStreamDescription"]
    assert delivery["DeliveryStreamStatus"] == "ACTIVE" and delivery["DeliveryStreamType"] == "DirectPut"
    assert firehose.list_delivery_streams()["DeliveryStreamNames"] == ["events"]
    stopped(daemon)


def signed(daemon, body, age_s=0, target="Kinesis_20131202.PutRecord", kind="application/x-amz-json-1.1"):
    """A signed request's headers, as of some seconds ago."""
    request = AWSRequest("POST", f"http://127.0.0.1:{daemon.port}/", data=body,
                         headers={"X-Amz-Target": target, "Content-Type": kind})
    signer = SigV4Auth(Credentials(KEY, SECRET), "kinesis", "eu-central-1")
    stamp = (datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age_s)).strftime("%Y%m%dT%H%M%SZ")
    request.context["timestamp"] = stamp
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signer._inject_signature_to_request(request, signature)
    return dict(request.headers.items())


def asked(daemon, body, headers):
    status, reply = daemon.request("POST", "/", body, headers)
    reply = json.loads(reply)
    return status, reply.get("__type"), reply.get("message", "")


def test_whoever_lacks_the_right_signature_stays_outside(root):
    """Wrong secret, unknown key, altered body, clocks that are off, none at all; and nothing of it is stored."""
    daemon = started(Daemon(root, configuration(root, http={**KEYS, **SMALL})))
    put = {"StreamName": "events", "Data": data(0), "PartitionKey": "u"}
    assert "signature we calculated" in refused("InvalidSignatureException", client(daemon, secret="x").put_record, **put)
    assert "security token" in refused("UnrecognizedClientException", client(daemon, key="AKIANOBODY").put_record, **put)
    body = json.dumps({"StreamName": "events", "Data": base64.b64encode(data(1)).decode(), "PartitionKey": "u"}).encode()
    assert asked(daemon, body, signed(daemon, body))[0] == 200
    for what, headers, code, part in [
        (body.replace(b'"u"', b'"v"'), signed(daemon, body), "InvalidSignatureException", "does not match"),
        (body, signed(daemon, body, 400), "InvalidSignatureException", "Signature expired: "),
        (body, signed(daemon, body, -400), "InvalidSignatureException", "Signature not yet current: "),
        (body, {"X-Amz-Target": "Kinesis_20131202.PutRecord"}, "MissingAuthenticationTokenException", "Missing Authentication Token"),
        (body, {**signed(daemon, body), "X-Amz-Target": "Kinesis_20131202.PutRecords"}, "InvalidSignatureException", "does not match"),
        (body, {**signed(daemon, body), "Authorization": "AWS4-HMAC-SHA256 Credential=x"}, "IncompleteSignatureException", "SignedHeaders"),
        (body, {**signed(daemon, body), "Authorization": "Bearer x"}, "MissingAuthenticationTokenException", ""),
    ]:
        status, found, message = asked(daemon, what, headers)
        assert (status, found) == (400, code) and part in message, (status, found, message)
    # Keys are no tokens: the other door is shut.
    assert daemon.post([event(2)])[0] == 401
    daemon.flush()
    stopped(daemon)
    check_once(daemon, [1], root / "lake")


def test_tokens_alone_shut_the_door_and_a_reload_opens_it(root):
    daemon = Daemon(root, configuration(root, http={"auth": {"tokens": ["t"]}, **SMALL}))
    started(daemon)
    put = {"StreamName": "events", "Data": data(0), "PartitionKey": "u"}
    assert "aws_keys" in refused("AccessDeniedException", client(daemon).put_record, **put)
    secret = root / "secret"
    secret.write_text(SECRET + "\n")
    daemon.config["http"]["auth"]["aws_keys"] = [{"access_key_id": KEY, "secret_access_key_file": str(secret)}]
    (root / "sluice.yaml").write_text(json.dumps(daemon.config))
    daemon.process.send_signal(signal.SIGHUP)
    wait_for("reload", lambda: daemon.metric("sluice_config_reloads_total") > 0)
    client(daemon).put_record(**put)
    assert daemon.post([event(1)], Authorization="Bearer t")[0] == 200
    shown = daemon.get("/config")[1].decode()
    assert KEY in shown and SECRET not in shown, shown
    assert SECRET not in daemon.said()
    daemon.flush()
    stopped(daemon)
    check_once(daemon, range(2), root / "lake")


def test_limits_and_mistakes_have_the_errors_of_aws(root):
    daemon = started(Daemon(root, configuration(root, http={"max_body": "16MiB", "max_event": "1MiB"}, journal={"segment_size": "32MiB"})))
    kinesis, firehose = client(daemon), client(daemon, "firehose")
    put = {"StreamName": "events", "Data": data(0), "PartitionKey": "u"}
    assert refused("ResourceNotFoundException", kinesis.put_record, **{**put, "StreamName": "nope"}) == (
        "Stream nope under account 000000000000 not found.")
    assert "Firehose nope" in refused("ResourceNotFoundException", firehose.put_record, DeliveryStreamName="nope", Record={"Data": b"x"})
    refused("ResourceNotFoundException", kinesis.describe_stream_summary, StreamName="nope")
    assert "'partitionKey'" in refused("ValidationException", kinesis.put_record, **{**put, "PartitionKey": "x" * 257})
    assert "2^128-1" in refused("InvalidArgumentException", kinesis.put_record, **put, ExplicitHashKey=str(2**128))
    assert "less than or equal to 500" in refused("ValidationException", kinesis.put_records, StreamName="events", Records=[record(0)] * 501)
    assert "limit" in refused("InvalidArgumentException", kinesis.put_records, StreamName="events",
                              Records=[{"Data": b"x" * (1 << 20), "PartitionKey": "u"}] * 10)
    assert "1024000" in refused("ValidationException", firehose.put_record, DeliveryStreamName="events", Record={"Data": b"x" * 1024001})
    assert "4 MB" in refused("InvalidArgumentException", firehose.put_record_batch, DeliveryStreamName="events",
                             Records=[{"Data": b"x" * 1000000}] * 5)
    refused("UnknownOperationException", kinesis.get_records, ShardIterator="x")
    assert asked(daemon, b"{", {"X-Amz-Target": "Kinesis_20131202.PutRecord"})[:2] == (400, "SerializationException")
    assert asked(daemon, b'{"StreamName":"events","Data":"*","PartitionKey":"k"}', {"X-Amz-Target": "Kinesis_20131202.PutRecord"})[:2] == (
        400, "SerializationException")
    # What HTTP refuses before anybody reads it.
    assert "http.max_body" in refused("InvalidArgumentException", kinesis.put_records, StreamName="events",
                                      Records=[{"Data": b"x" * (1 << 20), "PartitionKey": "u"}] * 13)
    # A record larger than an event may be is taken, and its event is a dead letter.
    big = b'{"id":7,"text":"' + b"x" * (2 << 20) + b'"}'
    assert kinesis.put_record(StreamName="events", Data=big, PartitionKey="u")["SequenceNumber"]
    kinesis.put_record(**put)
    daemon.flush()
    _, text = daemon.get("/metrics")
    assert b'sluice_dead_letters_total{code="too_large"} 1' in text
    stopped(daemon)
    check_once(daemon, [0], root / "lake")


def test_aggregated_records_are_taken_apart(root):
    """The shared record of the KPL: its user records one by one; damaged, it is a plain record, whose lines are no JSON."""
    path = DATA / "aws/kpl_aggregated_example.json"
    if not path.exists():
        print("skipped: no shared data")
        return
    (example,) = json.loads(path.read_text())
    config = {"cut": {"every": "200ms"}, "streams": {"clicks": {"lake": {"max_age": "1s"}}}}
    daemon = started(Daemon(root, config))
    lines = 0
    for entry in example["records"]:
        whole = base64.b64decode(entry["record_data_b64"])
        client(daemon).put_records(StreamName="clicks", Records=[{"Data": d, "PartitionKey": "a"} for d in (
            b'{"event_id":"before"}', whole, b'{"event_id":"after"}', whole[:-1] + bytes([whole[-1] ^ 64]))])
        lines += whole.count(b"\n") + 1
    daemon.flush()
    got = sorted(r[0] for r in rows(daemon.lake("clicks"), "event_id"))
    expected = sum(len(e["user_records"]) for e in example["records"])
    assert got == ["after", "before", *(f"e{i + 1}" for i in range(expected))], got
    assert daemon.metric("sluice_dead_letters_total") == lines
    stopped(daemon)
    code, text = daemon.audit()
    assert code == 0, text


def test_after_a_crash_what_is_sent_again_counts_once(root):
    """Producers that repeat what got no answer; killed three times; the stream knows its events by id."""
    config = configuration(root, http={**KEYS, "max_body": "4MiB", "max_event": "256KiB"})
    config["streams"]["events"].update(id="id", dedupe="1h")
    daemon = started(Daemon(root, config))
    batches, done, over = 120, [0] * 2, threading.Event()

    def produce(n):
        kinesis = client(daemon, connect_timeout=2, read_timeout=10)
        for b in range(n, batches, 2):
            while not over.is_set():
                try:
                    reply = kinesis.put_records(StreamName="events", Records=[record(b * 20 + i) for i in range(20)])
                    assert reply["FailedRecordCount"] == 0
                    done[n] += 1
                    break
                except (ClientError, botocore.exceptions.BotoCoreError):
                    time.sleep(0.02)

    threads = [threading.Thread(target=produce, args=(n,), daemon=True) for n in range(2)]
    [t.start() for t in threads]
    for part in (1, 2, 3):
        wait_for("batches", lambda: sum(done) >= part * batches // 4)
        daemon.kill()
        started(daemon)
    [t.join(90) for t in threads]
    over.set()
    assert sum(done) == batches, done
    flush_until(daemon)
    stopped(daemon)
    check_once(daemon, range(batches * 20), root / "lake")


def cbor(value):
    """As the SDK for Java writes it: maps and arrays without a length."""

    def head(major, n):
        return bytes([major << 5 | n]) if n < 24 else bytes([major << 5 | 25]) + n.to_bytes(2, "big")

    if isinstance(value, dict):
        return b"\xbf" + b"".join(cbor(k) + cbor(v) for k, v in value.items()) + b"\xff"
    if isinstance(value, list):
        return b"\x9f" + b"".join(map(cbor, value)) + b"\xff"
    return head(2, len(value)) + value if isinstance(value, bytes) else head(3, len(value.encode())) + value.encode()


def test_the_cbor_of_the_sdk_for_java_is_read(root):
    """PutRecords with blobs as they are, signed; answers and errors in CBOR as well."""
    daemon = started(Daemon(root, configuration(root, http={**KEYS, **SMALL})))
    body = cbor({"Records": [record(i) for i in range(50)], "StreamName": "events"})
    target = "Kinesis_20131202.PutRecords"
    kind = "application/x-amz-cbor-1.1"
    status, reply = daemon.request("POST", "/", body, signed(daemon, body, target=target, kind=kind))
    assert status == 200 and reply.startswith(b"\xbf\x71FailedRecordCount\x00\x67Records\x9f\xbf\x6eSequenceNumber\x78\x3849"), reply
    assert reply.count(b"\x74shardId-000000000000\xff") == 50
    altered = body.replace(b"events", b"evants")
    status, reply = daemon.request("POST", "/", altered, signed(daemon, body, target=target, kind=kind))
    assert status == 400 and reply.startswith(b"\xbf\x66__type\x78\x19InvalidSignatureException\x67message"), reply
    daemon.flush()
    stopped(daemon)
    check_once(daemon, range(50), root / "lake")


def aws(*arguments, ok=True):
    command = Path(sys.executable).parent / "aws"
    done = subprocess.run([str(command), *arguments], capture_output=True, text=True, timeout=120)
    assert (done.returncode == 0) == ok, done.stdout + done.stderr
    return json.loads(done.stdout) if ok else done.stderr


def test_the_command_of_the_clickstream_scenario_runs_as_written(root):
    """config/examples/clickstream, and `aws kinesis put-record` with the endpoint added."""
    if not (Path(sys.executable).parent / "aws").exists():
        print("skipped: no AWS CLI: tests/setup")
        return
    daemon = Daemon(root)
    root.mkdir(parents=True, exist_ok=True)
    example = TOP / "config/examples/clickstream"
    environment = {**daemon.environment, "DATA_DIR": str(root / "data"), "LAKE": str(root / "lake"), "LISTEN": f"127.0.0.1:{daemon.port}"}
    daemon.log = open(root / "daemon.log", "ab")
    binary = Path(os.environ.get("SLUICE_BIN", TOP / "build/dev/src/app/sluice")).resolve()
    daemon.process = subprocess.Popen([str(binary), "run", "-c", str(example / "sluice.yaml")], env=environment, cwd=root,
                                      stdout=daemon.log, stderr=daemon.log)

    def ready():
        try:
            return daemon.get("/readyz")[0] == 200
        except OSError:
            return False

    wait_for("the daemon", ready)
    endpoint = f"http://127.0.0.1:{daemon.port}"
    put = aws("kinesis", "put-record", "--stream-name", "realtime-datalake-stream", "--partition-key", "user123", "--data",
              f"fileb://{example / 'event.json'}", "--endpoint-url", endpoint)
    assert put["ShardId"] == "shardId-000000000000"
    text = (example / "event.json").read_text().replace("user123", "user124")
    records = json.dumps([{"Data": text, "PartitionKey": "user124"}])  # The CLI's version 1 encodes what it is given.
    assert aws("kinesis", "put-records", "--stream-name", "realtime-datalake-stream", "--records", records, "--endpoint-url",
               endpoint)["FailedRecordCount"] == 0
    assert aws("firehose", "put-record", "--delivery-stream-name", "realtime-datalake-stream", "--record",
               json.dumps({"Data": text.replace("user124", "user125")}), "--endpoint-url", endpoint)["RecordId"]
    assert len(aws("kinesis", "list-shards", "--stream-name", "realtime-datalake-stream", "--endpoint-url", endpoint)["Shards"]) == 1
    assert "ResourceNotFoundException" in aws("kinesis", "put-record", "--stream-name", "other", "--partition-key", "k", "--data", "e30=",
                                              "--endpoint-url", endpoint, ok=False)
    daemon.flush()
    users = rows(root / "lake/clicks", "user_id, source")
    assert sorted(users) == [("user123", "kinesis"), ("user124", "kinesis"), ("user125", "firehose")], users
    with sqlite3.connect(root / "data/warehouse.db") as db:
        assert db.execute("SELECT events, users FROM clicks_per_day").fetchall() == [(3, 3)]
    stopped(daemon)


JAVASCRIPT = """
const { KinesisClient, PutRecordCommand, PutRecordsCommand, ListShardsCommand } = require('@aws-sdk/client-kinesis');
const { FirehoseClient, PutRecordBatchCommand } = require('@aws-sdk/client-firehose');
const { NodeHttpHandler } = require('@smithy/node-http-handler');
const [endpoint, accessKeyId, secretAccessKey] = process.argv.slice(2);
const common = { endpoint, region: 'eu-central-1', credentials: { accessKeyId, secretAccessKey }, maxAttempts: 1 };
const event = i => Buffer.from(JSON.stringify({ id: i, kind: 'js', at: '2026-01-01T00:00:00Z' }));
(async () => {
  const kinesis = new KinesisClient({ ...common, requestHandler: new NodeHttpHandler() }), firehose = new FirehoseClient(common);
  await kinesis.send(new PutRecordCommand({ StreamName: 'events', PartitionKey: 'ä', Data: event(0) }));
  const many = await kinesis.send(new PutRecordsCommand({ StreamName: 'events', Records: [1, 2].map(i => ({ PartitionKey: 'k', Data: event(i) })) }));
  const batch = await firehose.send(new PutRecordBatchCommand({ DeliveryStreamName: 'events', Records: [{ Data: event(3) }] }));
  const shards = await kinesis.send(new ListShardsCommand({ StreamName: 'events' }));
  const refusal = await kinesis.send(new PutRecordCommand({ StreamName: 'nope', PartitionKey: 'k', Data: event(4) })).catch(e => e.name);
  console.log(JSON.stringify([many.FailedRecordCount, batch.FailedPutCount, shards.Shards.length, refusal]));
})();
"""


def test_the_sdk_for_javascript_puts_records(root):
    modules = TOP / "build/node/node_modules"
    if not modules.exists():
        print("skipped: no SDK for JavaScript: tests/setup")
        return
    daemon = started(Daemon(root, configuration(root, http={**KEYS, **SMALL})))
    done = subprocess.run(["node", "-", f"http://127.0.0.1:{daemon.port}", KEY, SECRET], input=JAVASCRIPT, capture_output=True, text=True,
                          cwd=modules.parent, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, 0, 1, "ResourceNotFoundException"], done.stdout
    daemon.flush()
    stopped(daemon)
    check_once(daemon, range(4), root / "lake")


run_tests(sys.modules[__name__])
