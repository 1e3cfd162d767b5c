#!/usr/bin/env python3
"""`sluice validate` asks the brokers of Kafka sources: what is good passes, what is wrong is named with its mend, in seconds."""

import json
import os
import socket
import subprocess
import sys
import time

from support import BINARY, run_tests
from rigs import Kafka, need

need("kafka")
KAFKA = Kafka()
RIG = os.environ
TLS = RIG["SLUICE_TEST_KAFKA_TLS_DIR"]
LOGIN = {"user": RIG["SLUICE_TEST_KAFKA_USER"], "password": RIG["SLUICE_TEST_KAFKA_PASSWORD"]}
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}


def validate(root, kafka, *options, environment=None):
    """(exit code, what it said) of a configuration with this source, whose line is 3."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "c.yaml"
    path.write_text(f"data_dir: {root}/data\nsources:\n  orders: {{ kafka: {json.dumps(kafka)} }}\n" if kafka else "{}\n")
    began = time.monotonic()
    done = subprocess.run([BINARY, "validate", str(path), *options], env={**CLEAN, **(environment or {})}, capture_output=True, text=True)
    assert time.monotonic() - began < 40, "it hangs"
    return done.returncode, (done.stdout + done.stderr).replace(str(path), "c.yaml")


def passes(root, kafka, *options, **more):
    code, text = validate(root, kafka, *options, **more)
    assert code == 0 and "ok: 0 streams" in text, text
    return text


def refused(root, kafka, *words):
    code, text = validate(root, kafka)
    assert code == 78 and all(w in text for w in words), (code, words, text)
    return text


def test_what_is_there_passes_by_each_way_in(root):
    topic, client = KAFKA.topic("orders", 2), {"ca": f"{TLS}/ca.pem"}
    for brokers, more in (("", {}), ("_SASL", {"sasl": LOGIN}), ("_SASL", {"sasl": {**LOGIN, "mechanism": "SCRAM-SHA-512"}}), ("_TLS", {"tls": client}),
                          ("_SASL_TLS", {"tls": client, "sasl": LOGIN}),
                          ("_MTLS", {"tls": {**client, "cert": f"{TLS}/client.pem", "key": f"{TLS}/client.key"}})):
        passes(root, {"brokers": RIG["SLUICE_TEST_KAFKA" + brokers], "topics": [topic, "^" + topic[:-2], "^there.will.be"],
                      "properties": {"session.timeout.ms": 10000}, **more})


def test_variables_alone_are_asked_too(root):
    topic = KAFKA.topic("orders", 1)
    password = root / "password"
    root.mkdir(parents=True)
    password.write_text(LOGIN["password"] + "\n")
    variables = {"SLUICE_KAFKA_BROKERS": RIG["SLUICE_TEST_KAFKA_SASL_TLS"], "SLUICE_KAFKA_TOPICS": topic, "SLUICE_KAFKA_TLS_CA": f"{TLS}/ca.pem",
                 "SLUICE_KAFKA_SASL_USER": LOGIN["user"], "SLUICE_KAFKA_SASL_PASSWORD_FILE": str(password)}
    passes(root, None, environment=variables)
    code, text = validate(root, None, environment={**variables, "SLUICE_KAFKA_TOPICS": topic + ",nowhere"})
    assert code == 78 and text.startswith("sluice: source kafka: topic nowhere: "), text


def test_the_section_for_all_is_asked_once(root):
    topic = KAFKA.topic("orders", 1)
    root.mkdir(parents=True)
    path = root / "c.yaml"

    def asked(section, sources):
        path.write_text(f"data_dir: {root}/data\nkafka: {json.dumps(section)}\nsources: {json.dumps(sources)}\n")
        done = subprocess.run([BINARY, "validate", str(path)], env=CLEAN, capture_output=True, text=True)
        return done.returncode, (done.stdout + done.stderr).replace(str(path), "c.yaml")

    section = {"brokers": RIG["SLUICE_TEST_KAFKA_SASL_TLS"], "tls": {"ca": f"{TLS}/ca.pem"}, "sasl": LOGIN}
    code, text = asked(section, {"one": {"kafka": {"topics": topic}}, "two": {"kafka": {"topics": "nowhere"}}})
    assert code == 78 and text.startswith("sluice: c.yaml:3: source two: topic nowhere: ") and "source one" not in text, text
    assert asked(section, {"one": {"kafka": {"topics": topic}}})[0] == 0
    code, text = asked({**section, "brokers": "127.0.0.1:1"}, {})
    assert code == 78 and "c.yaml:2: kafka: asked by SASL_SSL" in text and "nothing here is read from topics" in text, text


def test_topics_that_are_written_are_asked_for(root):
    topic = KAFKA.topic("out", 1)
    root.mkdir(parents=True)
    path = root / "c.yaml"

    def asked(stream):
        path.write_text(f"data_dir: {root}/data\nkafka: {{ brokers: \"{KAFKA.brokers}\" }}\nstreams: {{ s: {json.dumps(stream)} }}\n")
        done = subprocess.run([BINARY, "validate", str(path)], env=CLEAN, capture_output=True, text=True)
        return done.returncode, (done.stdout + done.stderr).replace(str(path), "c.yaml")

    assert asked({"topic": {"to": topic}, "dead_letters": {"topic": topic}})[0] == 0
    code, text = asked({"topic": {"to": topic}, "dead_letters": {"topic": "nowhere"}})
    assert code == 78 and text.startswith("sluice: c.yaml:2: kafka: topic nowhere: ") and topic not in text, text
    window = json.dumps({"w": {"of": "s", "every": "1m", "measures": {"n": "count()"}, "topic": {"to": "nowhere"}}})
    path.write_text(path.read_text().split("streams:")[0] + f"streams: {{ s: {{ lake: {{}} }} }}\nwindows: {window}\n")
    done = subprocess.run([BINARY, "validate", str(path)], env=CLEAN, capture_output=True, text=True)
    assert done.returncode == 78 and "kafka: topic nowhere: " in done.stdout + done.stderr, done


def test_every_topic_that_is_not_there_is_named(root):
    topic = KAFKA.topic("orders", 1)
    text = refused(root, {"brokers": KAFKA.brokers, "topics": ["not-there", topic, "nor-this"]},
                   "sluice: c.yaml:3: source orders: topic not-there: ", "\nc.yaml:3: source orders: topic nor-this: ", "create the topic")
    assert f"topic {topic}" not in text, text


def test_wrong_logins_and_certificates_are_told_apart(root):
    topics = {"topics": [KAFKA.topic("orders", 1)]}
    ca = {"ca": f"{TLS}/ca.pem"}
    refused(root, {"brokers": RIG["SLUICE_TEST_KAFKA_SASL"], "sasl": {**LOGIN, "password": "wrong"}, **topics}, "check sasl.user, sasl.password")
    refused(root, {"brokers": RIG["SLUICE_TEST_KAFKA_TLS"], "tls": True, **topics}, "certificate verify failed", "check tls.ca")
    refused(root, {"brokers": RIG["SLUICE_TEST_KAFKA_TLS"], "tls": {"ca": f"{TLS}/other-ca.pem"}, **topics}, "certificate verify failed", "check tls.ca")
    refused(root, {"brokers": RIG["SLUICE_TEST_KAFKA_TLS"], "tls": {"ca": "/nowhere/ca.pem"}, **topics},
            "source orders: tls.ca: cannot read '/nowhere/ca.pem': No such file or directory")
    text = refused(root, {"brokers": RIG["SLUICE_TEST_KAFKA_MTLS"], "tls": ca, **topics}, "asked by SSL, as `tls` is set")
    # The broker's words: Java 17.0.15 says the first, 17.0.21 what RFC 8446, 6.2 has for it.
    assert "alert bad certificate" in text or "alert certificate required" in text, text
    refused(root, {"brokers": RIG["SLUICE_TEST_KAFKA_MTLS"], "tls": {**ca, "cert": f"{TLS}/client.pem", "key": f"{TLS}/server.key"}, **topics},
            "key values mismatch")


def test_a_listener_of_another_protocol_is_told_with_what_it_was_asked(root):
    topics = {"topics": ["any"]}
    refused(root, {"brokers": RIG["SLUICE_TEST_KAFKA_SASL"], **topics}, "asked by PLAINTEXT, as neither `tls` nor `sasl` is set")
    refused(root, {"brokers": KAFKA.brokers, "tls": {"ca": f"{TLS}/ca.pem"}, **topics}, "asked by SSL, as `tls` is set and `sasl` isn't")


def test_brokers_that_do_not_answer_cost_seconds(root):
    refused(root, {"brokers": "127.0.0.1:1", "topics": ["any"]}, "Connection refused", "check brokers")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        text = refused(root, {"brokers": address, "topics": [f"t{i}" for i in range(20)]}, "source orders: asked by PLAINTEXT")
    assert text.count("source orders") == 1, text


def test_properties_are_checked_where_they_stand_and_without_brokers(root):
    for name, value, words in (("group.id", "x", "group.id has a key of its own: group"), ("sesion.timeout.ms", 1, "No such configuration property"),
                               ("session.timeout.ms", "soon", 'Invalid value for configuration property "session.timeout.ms"')):
        code, text = validate(root, {"brokers": "nowhere:1", "topics": ["any"], "properties": {name: value}}, "--no-environment")
        assert code == 78 and text.startswith("sluice: c.yaml:3:79: sources.NAME.kafka.properties: ") and words in text, text
    passes(root, {"brokers": "nowhere:1", "topics": ["any"], "properties": {"session.timeout.ms": 9000}}, "--no-environment")


def test_scram_is_warned_of_where_librdkafka_is_too_old(root):
    import ctypes

    version = ctypes.CDLL("librdkafka.so.1").rd_kafka_version()
    text = passes(root, {"brokers": RIG["SLUICE_TEST_KAFKA_SASL"], "topics": ["^any"], "sasl": {**LOGIN, "mechanism": "SCRAM-SHA-256"}})
    assert ("sluice: warning: source orders: librdkafka" in text) == (version < 0x02060100), text


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
