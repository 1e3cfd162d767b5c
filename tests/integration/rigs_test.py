#!/usr/bin/env python3
"""The rigs themselves: what tests of deliveries rest on."""

import http.client
import os
import sys
import time
import urllib.parse

import rigs

rigs.need("s3", "postgres", "redshift")
s3 = rigs.S3()


def get(proxy, path="/", timeout=5):
    connection = http.client.HTTPConnection(proxy.address, timeout=timeout)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read()
    finally:
        connection.close()


def fails(call, *arguments):
    try:
        call(*arguments)
    except (OSError, http.client.HTTPException) as e:
        return e
    raise AssertionError("it went through")


def put(proxy, key, body, **headers):
    through = rigs.S3(endpoint=f"http://{proxy.address}", prefix=s3.prefix)
    through.timeout = 5
    return through.put(s3.bucket, s3.prefix + key, body, **headers)


def test_objects_are_written_once():
    s3.put(s3.bucket, s3.prefix + "a b=ü+", b"one", if_none_match="*")
    try:
        s3.put(s3.bucket, s3.prefix + "a b=ü+", b"two", if_none_match="*")
        raise AssertionError("written twice")
    except rigs.S3Error as e:
        assert e.status == 412, e
    assert s3.read("a b=ü+") == b"one" and s3.keys() == ["a b=ü+"]


def test_a_wrong_signature_is_refused():
    for key, secret in ((s3.key, "wrong"), (os.environ["SLUICE_TEST_S3_DENIED_ACCESS_KEY_ID"],
                                            os.environ["SLUICE_TEST_S3_DENIED_SECRET_ACCESS_KEY"])):
        other = rigs.S3()
        other.key, other.secret = key, secret
        try:
            other.put(s3.bucket, s3.prefix + "x", b"")
            raise AssertionError("taken")
        except rigs.S3Error as e:
            assert e.status == 403, e


def test_sql_answers():
    assert rigs.psql(os.environ["SLUICE_TEST_PG"], "SELECT 1, NULL") == [["1", None]]
    assert "Redshift" in rigs.psql(os.environ["SLUICE_TEST_REDSHIFT"], "SELECT version()")[0][0]


def test_tls_is_verified():
    for name in ("SLUICE_TEST_PG", "SLUICE_TEST_REDSHIFT"):
        url = os.environ[name].replace("127.0.0.1", "localhost") + "?sslmode=verify-full&sslrootcert="
        assert rigs.psql(url + os.environ[name + "_CA"], "SELECT 1") == [["1"]], name
    wrong = url + os.environ["SLUICE_TEST_PG_CA"]
    try:
        rigs.psql(wrong, "SELECT 1")
        raise AssertionError("another authority's certificate was taken")
    except RuntimeError as e:
        assert "certificate verify failed" in str(e), e


def test_a_lost_reply_was_acted_on():
    with rigs.Proxy(s3.host) as proxy:
        rule = proxy.rule("drop_reply", match=rb"^PUT ")
        fails(put, proxy, "lost", b"body")
        assert rule.hits == 1 and s3.read("lost") == b"body"
        put(proxy, "lost", b"again")
        assert s3.read("lost") == b"again"


def test_a_reset_within_the_body_leaves_nothing():
    with rigs.Proxy(s3.host) as proxy:
        proxy.rule("reset", match=rb"^PUT ", after=300_000)
        fails(put, proxy, "torn", b"x" * 1_000_000)
        assert "torn" not in s3.keys()


def test_an_answer_takes_the_servers_place():
    with rigs.Proxy(s3.host) as proxy:
        proxy.rule("answer", match=rb"^PUT ", times=2, skip=1,
                   reply=b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        put(proxy, "s1", b"x")
        for _ in range(2):
            try:
                put(proxy, "s2", b"x" * 200_000)
                raise AssertionError("no 503")
            except rigs.S3Error as e:
                assert e.status == 503
        assert "s2" not in s3.keys()
        put(proxy, "s2", b"x")


def test_silence_refusal_and_cut_replies_show_as_such():
    with rigs.Proxy(s3.host) as proxy:
        proxy.set(hang=True)
        assert isinstance(fails(get, proxy, "/", 0.3), TimeoutError)
        proxy.set(hang=False, refuse=True)
        assert isinstance(fails(get, proxy), ConnectionError)
        proxy.clear()
        assert get(proxy)[0] == 403
        proxy.rule("cut_reply", match=rb"^GET /", after=20)
        fails(get, proxy)
        assert proxy.state()["connections"] == 4


def test_slowness_is_what_was_asked_for():
    with rigs.Proxy(s3.host) as proxy:
        proxy.set(bytes_per_s=1_000_000)
        began = time.monotonic()
        put(proxy, "slow", b"x" * 500_000)
        assert time.monotonic() - began > 0.45
        proxy.set(bytes_per_s=0, latency_ms=150)
        began = time.monotonic()
        put(proxy, "late", b"x")
        assert time.monotonic() - began > 0.3


def test_a_stopped_server_comes_back_as_it_was():
    mine = rigs.own("s3", "postgres")
    client = rigs.S3(mine.variables)
    client.put(client.bucket, client.prefix + "kept", b"yes")
    rigs.psql(mine["SLUICE_TEST_PG"], "CREATE TABLE kept AS SELECT 1 AS x")
    mine.stop()
    fails(client.read, "kept")
    mine.start()
    assert client.read("kept") == b"yes"
    assert rigs.psql(mine["SLUICE_TEST_PG"], "SELECT x FROM kept") == [["1"]]
    port = urllib.parse.urlsplit(mine["SLUICE_TEST_S3_ENDPOINT"]).port
    mine.down()
    assert not mine.directory.exists()
    fails(http.client.HTTPConnection("127.0.0.1", port, timeout=2).request, "GET", "/")


def test_a_killed_broker_has_what_it_acknowledged():
    mine = rigs.own("kafka")
    kafka = rigs.Kafka(mine.variables)
    topic = kafka.topic(partitions=2)
    kafka.produce(topic, [b"%d" % i for i in range(1000)])
    mine.stop()
    mine.start()
    kafka = rigs.Kafka(mine.variables)
    kafka.produce(topic, [b"more"])
    values = sorted(m.value() for found in kafka.read(topic).values() for m in found)
    assert values == sorted([b"%d" % i for i in range(1000)] + [b"more"])
    kafka.pause()
    kafka.resume()
    assert sum(kafka.end(topic).values()) == 1001


def test_kafka_asks_for_password_and_certificate():
    from confluent_kafka.admin import AdminClient

    rigs.need("kafka")
    at = {n: os.environ["SLUICE_TEST_KAFKA" + n] for n in ("_SASL", "_TLS", "_SASL_TLS", "_MTLS", "_USER", "_PASSWORD", "_TLS_DIR")}
    ca = {"ssl.ca.location": at["_TLS_DIR"] + "/ca.pem"}
    certificate = {"ssl.certificate.location": at["_TLS_DIR"] + "/client.pem", "ssl.key.location": at["_TLS_DIR"] + "/client.key"}

    def login(mechanism, password=at["_PASSWORD"]):
        return {"sasl.mechanism": mechanism, "sasl.username": at["_USER"], "sasl.password": password}

    def reaches(address, protocol, timeout=20, **settings):
        admin = AdminClient({"bootstrap.servers": address, "security.protocol": protocol, "log_level": 0, **settings})
        try:
            return bool(admin.list_topics(timeout=timeout).brokers)
        except Exception as e:
            assert "_TRANSPORT" in str(e) or "_TIMED_OUT" in str(e), e
            return False

    assert reaches(at["_SASL"], "SASL_PLAINTEXT", **login("PLAIN"))
    assert reaches(at["_SASL"], "SASL_PLAINTEXT", **login("SCRAM-SHA-256"))
    assert reaches(at["_SASL_TLS"], "SASL_SSL", **ca, **login("SCRAM-SHA-512"))
    assert reaches(at["_TLS"], "SSL", **ca)
    assert reaches(at["_MTLS"], "SSL", **ca, **certificate)
    assert not reaches(at["_MTLS"], "SSL", timeout=3, **ca)  # which it takes


for name, function in list(vars().items()):
    if name.startswith("test_") and name[5:] in (os.environ.get("SLUICE_ONLY") or name[5:]).split():
        function()
        print("ok", name[5:], flush=True)
sys.exit(0)
