#!/usr/bin/env python3
"""The daemon and S3, end to end: names of any kind, large files in parts, what goes along with each object, a raw zone,
and endpoints, buckets and credentials that aren't right, or stop being so."""

import collections
import json
import os
import random
import select
import socket
import ssl
import subprocess
import sys
import threading
import time

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs

from outside import Outside, proxies  # Before what it makes importable.
from aws_double import AwsDouble, Refused
from support import (
    BINARY, Daemon, Sender, body, event, flush_until, free_port, noise, rows, run_tests, started, stopped, wait_for,
)

MIB = 1 << 20
KINDS = ["plain", "page view", "a=b", "a+b", "größe", "日本語", "x/y", "100%", "%20", "a&b?c#d", "quote'\"", " edge ", ".", "~"]


class Door(AwsDouble):
    """The rig's S3 behind temporary keys; `seen` tells what came and passed the check of its signature."""

    def __init__(self, **more):
        self.seen, self.expired, self.without = [], 0, ()
        super().__init__(s3=os.environ["SLUICE_TEST_S3_ENDPOINT"],
                         key=(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]), **more)

    def check(self, *request):
        try:
            return super().check(*request)
        except Refused as e:
            self.expired += e.code == "ExpiredToken"
            raise

    def forward(self, method, target, headers, body):
        self.seen.append((method, target, headers))
        return super().forward(method, target, {n: v for n, v in headers.items() if n not in self.without}, body)

    def daemon(self, root, outside, place, **more):
        """One that finds its keys in that place alone."""
        daemon = Daemon(root, outside.configuration(**more))
        daemon.environment = {n: v for n, v in daemon.environment.items() if not n.startswith("AWS_")}
        daemon.environment.update(self.variables(place))
        return daemon

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def file_system():
    return pyarrow.fs.S3FileSystem(
        endpoint_override=os.environ["SLUICE_TEST_S3_ENDPOINT"].split("//")[1], scheme="http", region=os.environ["AWS_REGION"],
        access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"])


def test_values_of_any_kind_are_names_of_directories(root):
    """Written by us, listed and read by others: pyarrow from S3 itself, DuckDB from a copy; both decode what we encoded."""
    outside = Outside(root)
    config = outside.configuration()
    config["streams"]["events"]["lake"]["partition_by"] = ["kind"]
    daemon = started(Daemon(root, config))
    sent = [dict(event(i, text="short"), kind=KINDS[i % len(KINDS)]) for i in range(20 * len(KINDS))]
    assert daemon.post(sent, "/v1/events/events")[1]["accepted"] == len(sent)
    daemon.flush()
    outside.check(daemon, len(sent))
    want = sorted((e["id"], e["kind"]) for e in sent)
    table = pa.dataset.dataset(
        f"{outside.store.bucket}/{outside.store.prefix.rstrip('/')}", filesystem=file_system(), format="parquet",
        partitioning=pa.dataset.HivePartitioning(pa.schema([("kind", pa.string())]), segment_encoding="uri"),
    ).to_table(columns=["id", "kind"])
    assert sorted(zip(*table.to_pydict().values())) == want
    copies = outside.objects()
    assert len(list(copies.iterdir())) == len(KINDS), "one directory for each"
    found = duckdb.sql(f"SELECT id, kind FROM read_parquet('{copies}/**/*.parquet', hive_partitioning=true, hive_types_autocast=false)")
    assert sorted(found.fetchall()) == want
    stopped(daemon)


def large(root, outside):
    """One worker and one file: 24 MiB of what can't be made smaller."""
    config = outside.configuration(workers=1)
    config["streams"]["events"]["lake"].update({"max_age": "1h", "codec": "none", "target_size": "1GiB"})
    return Daemon(root, config)


def fill(daemon, bodies=120):
    sender = Sender(daemon, [noise(i * 100, 100, 2000) for i in range(bodies)])
    sender.run()
    assert not sender.bad and sender.statuses == {200: bodies}
    return bodies * 100


def test_large_files_go_in_parts_through_faults(root):
    """Parts cut off in the middle, a lost reply to each step of the upload; no upload is left, the bytes are the file's."""
    s3, postgres = proxies()
    with s3, postgres:
        outside = Outside(root, s3)
        daemon = started(large(root, outside))
        count = fill(daemon)
        rules = [s3.rule("drop_reply", match=rb"POST [^ ]*uploads=", times=1),
                 s3.rule("reset", match=rb"PUT [^ ]*partNumber=2", times=1, after=MIB),
                 s3.rule("reset", match=rb"PUT [^ ]*partNumber=3", times=1, after=2 * MIB),
                 s3.rule("drop_reply", match=rb"PUT [^ ]*partNumber=1&", times=1),
                 s3.rule("drop_reply", match=rb"POST [^ ]*uploadId=", times=1)]
        flush_until(daemon)
        assert [r.hits for r in rules] == [1] * len(rules)
        sizes = [n for _, n in outside.store.list(outside.store.bucket, outside.store.prefix)]
        assert len(sizes) == 1 and sizes[0] > 20 * MIB, sizes
        assert outside.uploads() == []
        outside.check(daemon, count)
        stopped(daemon)


def test_uploads_that_a_kill_left_behind_are_aborted(root):
    s3, postgres = proxies()
    with s3, postgres:
        outside = Outside(root, s3)
        daemon = started(large(root, outside))
        count = fill(daemon)
        s3.set(bytes_per_s=8 * MIB)
        for _ in range(3):
            threading.Thread(target=lambda: ignore(daemon.request, "POST", "/v1/flush"), daemon=True).start()
            wait_for("an upload", outside.uploads)
            before = outside.uploads()
            time.sleep(0.3)
            daemon.kill()
            assert outside.uploads() == before and len(before) == 1, (before, outside.uploads())
            started(daemon)
            wait_for("another one in its place", lambda: (now := outside.uploads()) and now != before)
        s3.clear()
        flush_until(daemon)
        assert outside.uploads() == []
        outside.check(daemon, count)
        stopped(daemon)


def ignore(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        pass
    except Exception as e:  # http.client's own
        if "http.client" not in type(e).__module__:
            raise


def test_encryption_class_tags_and_checksums_go_along(root):
    """Signed as they are (the door checks), and as the server says afterwards where it knows them."""
    with Door() as door:
        door.without = ("x-amz-server-side-encryption", "x-amz-server-side-encryption-aws-kms-key-id",
                        "x-amz-server-side-encryption-bucket-key-enabled", "x-amz-storage-class")
        outside = Outside(root, endpoint=door.url)
        daemon = door.daemon(root, outside, "keys", s3={
            "sse": "aws:kms", "kms_key_id": "alias/sluice", "storage_class": "STANDARD_IA",
            "tags": {"team": "data / ops", "größe": "a+b=c"}}, workers=1)
        daemon.config["streams"]["events"]["lake"].update({"codec": "none", "max_age": "1h", "target_size": "1GiB"})
        started(daemon)
        first = fill(daemon, 1)
        daemon.flush()
        sender = Sender(daemon, [noise(first + i * 100, 100, 2000) for i in range(90)], name="t")
        sender.run()
        assert sender.statuses == {200: 90}
        daemon.flush()
        outside.check(daemon, first + 9000)
        puts = [h for m, t, h in door.seen if m == "PUT" and "partNumber" not in t]
        parts = [h for m, t, h in door.seen if m == "PUT" and "partNumber" in t]
        creates = [h for m, t, h in door.seen if m == "POST" and "uploads=" in t]
        completes = [h for m, t, h in door.seen if m == "POST" and "uploadId=" in t]
        assert len(puts) == 1 and len(creates) == 1 and len(completes) == 1 and len(parts) > 2, collections.Counter(
            m for m, _, _ in door.seen)
        for h in puts + creates:
            assert h["x-amz-server-side-encryption"] == "aws:kms", h
            assert h["x-amz-server-side-encryption-aws-kms-key-id"] == "alias/sluice", h
            assert h["x-amz-server-side-encryption-bucket-key-enabled"] == "true", h
            assert h["x-amz-storage-class"] == "STANDARD_IA", h
            assert h["x-amz-tagging"] == "gr%C3%B6%C3%9Fe=a%2Bb%3Dc&team=data%20%2F%20ops" or \
                h["x-amz-tagging"] == "team=data%20%2F%20ops&gr%C3%B6%C3%9Fe=a%2Bb%3Dc", h["x-amz-tagging"]
        assert all(h["if-none-match"] == "*" for h in puts + completes)
        assert all(len(h["x-amz-checksum-crc32c"]) == 8 for h in puts + parts)
        key = outside.store.keys()[0]
        answer, _ = outside.store.request("GET", outside.store.bucket, outside.store.prefix + key, query={"tagging": ""})
        assert b"data / ops" in answer and "größe".encode() in answer, answer
        stopped(daemon)


def test_bucket_in_the_hosts_name(root):
    """Virtual-host style, as AWS has it: the bucket is part of the name that is connected to and signed."""
    with Door() as door:
        store = Outside(root, endpoint=door.url).store
        port = door.url.rsplit(":", 1)[1]
        outside = Outside(root, endpoint=f"http://localhost:{port}")
        forward = door.forward

        def with_path(method, target, headers, body):
            assert headers["host"] == f"{store.bucket}.localhost:{port}", headers["host"]
            return forward(method, f"/{store.bucket}{target}", headers, body)

        door.forward = with_path
        daemon = door.daemon(root, outside, "keys", s3={"path_style": False}, workers=1)
        daemon.config["streams"]["events"]["lake"].update({"codec": "none", "max_age": "1h", "target_size": "1GiB", "partition_by": ["kind"]})
        started(daemon)
        sent = [dict(event(i, text="t"), kind=KINDS[i % len(KINDS)]) for i in range(100)]
        assert daemon.post(sent, "/v1/events/events")[1]["accepted"] == 100
        daemon.flush()
        sender = Sender(daemon, [b"\n".join(json.dumps(dict(json.loads(line), kind="one")).encode() for line in
                                            noise(100 + i * 100, 100, 2000).splitlines()) for i in range(90)])
        sender.run()
        assert sender.statuses == {200: 90}
        daemon.flush()
        assert any("partNumber" in t for m, t, _ in door.seen)
        outside.check(daemon, 9100)
        stopped(daemon)


def test_dead_letters_and_raw_records_come_again_from_the_bucket(root):
    """`sluice replay` reads both where they were brought."""
    outside = Outside(root)
    config = outside.configuration()
    stream = config["streams"]["events"]
    stream["raw"] = True
    stream["steps"] = [{"require": {"kind": 'kind != "k4"'}}]
    daemon = started(Daemon(root, config))
    for i in range(0, 200, 50):
        assert daemon.request("POST", "/v1/events/events", body(i, 50))[0] == 200
    daemon.flush()
    stopped(daemon)
    stream["steps"] = []
    started(daemon)

    def replay(*arguments):
        done = subprocess.run([BINARY, "replay", "-c", str(root / "sluice.yaml"), *arguments], capture_output=True, text=True,
                              env=daemon.environment)
        assert done.returncode == 0, done
        return done.stdout

    for before in (0, 40):
        told = json.loads(replay("--json"))["letters"]
        assert [(t["code"], t["letters"], t["taken"], t["before"]) for t in told] == [("require", 40, 40 - before, before)], told
        outside.check(daemon, 200)
    again = f"again_{outside.schema}"
    assert f"4 records into {again}" in replay("--into", again, "--stream", "events")
    table = pyarrow.dataset.dataset(f"{outside.store.bucket}/{again}", filesystem=file_system(), format="parquet").to_table(columns=["id"])
    assert sorted(table["id"].to_pylist()) == list(range(200))
    assert outside.query(f"SELECT count(*), count(DISTINCT id) FROM {again}") == [["200", "200"]]
    assert outside.query(f"SELECT sum(events) FROM {again}_per_minute") == [["200"]]
    stopped(daemon)


def test_every_record_is_in_the_raw_zone_as_it_came(root):
    """Good ones, refused ones, in the order of bytes they were sent in; by the hour of arrival, zstd, NDJSON."""
    outside = Outside(root)
    config = outside.configuration(workers=1)
    config["streams"]["events"]["lake"]["to"] = outside.store.url + "/events"
    config["streams"]["events"]["raw"] = True
    daemon = started(Daemon(root, config))
    lines = []
    for i in range(400):
        lines.append([b'{"id": %d,   "at":"2026-01-01T00:00:00Z" , "more": [1, 2.50]}' % i, b'{"id":"no number"}', b"no json %d" % i,
                      json.dumps(event(1000 + i)).encode()][i % 4])
    for at in range(0, 400, 50):
        status, _ = daemon.request("POST", "/v1/events/events", b"\n".join(lines[at:at + 50]))
        assert status == 200
    flush_until(daemon)
    code, text = daemon.audit()
    assert code == 0, text
    keys = outside.store.keys("_raw/events/")
    assert keys and all(len(k.split("/")) == 5 for k in keys), keys
    hours = {"/".join(k.split("/")[2:4]) for k in keys}
    now = {time.strftime("date=%Y-%m-%d/hour=%H", time.gmtime(time.time() - s)) for s in (0, 120)}
    assert hours <= now, (hours, now)
    found = []
    for key in sorted(keys):
        assert key.endswith(".ndjson.zst"), key
        with pa.input_stream(pa.BufferReader(outside.store.read(key)), compression="zstd") as f:
            found += f.read().splitlines()
    assert found == lines, f"{len(found)} of {len(lines)}"
    assert len(rows(outside.objects("events/") / "events")) == 200
    stopped(daemon)


def test_keys_that_expire_are_fetched_again(root):
    """Every half second all keys are declared expired (400 ExpiredToken), once nobody gives new ones for a while."""
    with Door() as door:
        outside = Outside(root, endpoint=door.url)
        daemon = started(door.daemon(root, outside, "instance"))
        for i in range(60):
            assert daemon.request("POST", "/v1/events/events", body(i * 100, 100))[0] == 200
            time.sleep(0.1)
            if i % 12 == 11:
                door.expire()
        flush_until(daemon)
        assert door.expired >= 3 and door.calls["instance"] >= 2 * door.expired, (door.calls, door.expired)
        outside.check(daemon, 6000)
        assert daemon.metric("sluice_table_stalled") == 0
        # Nobody has keys: the lake stalls, says why, and goes on when there are keys again.
        door.fail = {"instance": 503}
        door.expire()
        assert daemon.request("POST", "/v1/events/events", body(6000, 100))[0] == 200
        wait_for("the alarm", lambda: daemon.metric("sluice_table_stalled") == 1)
        wait_for("PostgreSQL all the same", lambda: outside.loaded() == 6100)
        assert "instance metadata" in daemon.said() and "503" in daemon.said(), daemon.said()[-1500:]
        door.fail = {}
        flush_until(daemon)
        outside.check(daemon, 6100)
        secrets = [k["secret"] for k in door.keys.values()] + [k["token"] for k in door.keys.values()]
        assert secrets and not [s for s in secrets if s in daemon.said()], "secrets are never told"
        stopped(daemon)


def test_a_role_that_is_assumed_for_minutes_lasts(root):
    """Keys that live for seconds: fetched again before they end, by an identity token that is read anew."""
    with Door() as door:
        door.lifetime_s = 4
        outside = Outside(root, endpoint=door.url)
        daemon = started(door.daemon(root, outside, "web"))
        for i in range(90):
            assert daemon.request("POST", "/v1/events/events", body(i * 50, 50))[0] == 200
            time.sleep(0.1)
        flush_until(daemon)
        assert door.calls["sts AssumeRoleWithWebIdentity"] >= 2, door.calls
        outside.check(daemon, 4500)
        stopped(daemon)


def test_a_bucket_that_is_missing_is_waited_for(root):
    outside = Outside(root)
    outside.store.bucket, outside.store.prefix = f"later-{random.randrange(10**9)}", "lake/"
    daemon = started(Daemon(root, outside.configuration()))
    assert daemon.request("POST", "/v1/events/events", body(0, 100))[0] == 200
    wait_for("the alarm", lambda: daemon.metric("sluice_table_stalled") == 1)
    assert "NoSuchBucket" in daemon.said() and outside.store.bucket in daemon.said()
    wait_for("PostgreSQL all the same", lambda: outside.loaded() == 100)
    outside.store.make_bucket(outside.store.bucket)
    flush_until(daemon)
    outside.check(daemon, 100)
    assert daemon.metric("sluice_table_stalled") == 0
    stopped(daemon)


def authority(directory, name):
    """A certificate for 127.0.0.1 that is its own authority: (certificate, key)."""
    directory.mkdir(parents=True, exist_ok=True)
    cert, key = directory / f"{name}.crt", directory / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "30", "-subj",
         f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    return cert, key


class Tls:
    """TLS before the rig's S3, as far as pipes go."""

    def __init__(self, cert, key):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "https://127.0.0.1:%d" % self.listener.getsockname()[1]
        self.upstream = os.environ["SLUICE_TEST_S3_ENDPOINT"].split("//")[1].split(":")
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            client = self.context.wrap_socket(client, server_side=True)
            server = socket.create_connection((self.upstream[0], int(self.upstream[1])))
            while True:
                ready = [client] if client.pending() else select.select([client, server], [], [])[0]
                for s in ready:
                    data = s.recv(65536)
                    if not data:
                        return
                    (server if s is client else client).sendall(data)
        except OSError:
            pass
        finally:
            client.close()

    def close(self):
        self.listener.close()


def test_wrong_names_and_certificates_stall_until_a_reload(root):
    """DNS, then another authority's certificate; HUP brings the right one. Nothing is dropped."""
    outside = Outside(root)
    daemon = Daemon(root, outside.configuration())
    cert, key = authority(root, "right")
    other, _ = authority(root, "wrong")
    door = Tls(cert, key)
    daemon.config["s3"] = {"endpoint": f"http://nobody.invalid:{free_port()}", "path_style": True}
    started(daemon)
    count = 0
    for section, words in ((None, "nobody.invalid"), ({"endpoint": door.url, "ca_file": str(other), "path_style": True}, "certificate"),
                           ({"endpoint": door.url, "ca_file": str(cert), "path_style": True}, None)):
        if section:
            daemon.config["s3"] = section
            (daemon.directory / "sluice.yaml").write_text(json.dumps(daemon.config))
            reloads = daemon.metric("sluice_config_reloads_total")
            daemon.process.send_signal(1)
            wait_for("reload", lambda: daemon.metric("sluice_config_reloads_total") > reloads)
        assert daemon.request("POST", "/v1/events/events", body(count, 100))[0] == 200
        count += 100
        if words:
            wait_for("the alarm", lambda: daemon.metric("sluice_table_stalled") == 1, 90)
            assert words in daemon.said(), daemon.said()[-2000:]
        wait_for("PostgreSQL all the same", lambda: outside.loaded() == count)
    flush_until(daemon)
    outside.check(daemon, 300)
    stopped(daemon)
    door.close()


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
