#!/usr/bin/env python3
"""Redshift without a password: the daemon, and `sluice audit`, ask AWS for a database user whenever they connect."""

import os
import sys

import rigs
from redshift_outside import IAM_PASSWORD, URL, Outside
from support import Daemon, body, flush_until, run_tests, started, stopped, wait_for

sys.path.insert(0, str(rigs.RIGS))
from aws_double import CLUSTER, WORKGROUP, AwsDouble  # noqa: E402

ADDRESS = URL.split("@")[1]
CALL = {"cluster": "redshift GetClusterCredentials", "workgroup": "redshift GetCredentials"}


def double():
    made = AwsDouble(s3=os.environ["SLUICE_TEST_S3_ENDPOINT"],
                     key=(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]))
    made.database_password = IAM_PASSWORD
    return made


def daemon_of(root, outside, aws, kind, name, place="keys"):
    """Signs with what `place` gives; by the double's door, S3 takes temporary keys."""
    config = outside.configuration()
    if place != "keys":
        config["s3"]["endpoint"] = aws.url
    user = "loader@" if kind == "cluster" else ""
    config["warehouse"]["redshift"] = {
        "url": f"postgresql://{user}{ADDRESS}", "stage": outside.stage.url, "iam_role": "arn:aws:iam::123456789012:role/loads", kind: name}
    service = {"cluster": "REDSHIFT", "workgroup": "REDSHIFT_SERVERLESS"}[kind]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SLUICE_"))}
    daemon = Daemon(root, config, environment=clean)
    daemon.environment = {**clean, **aws.variables(place), f"AWS_ENDPOINT_URL_{service}": aws.url}
    return daemon


def audited(daemon):
    """By a process with the daemon's environment."""
    kept = dict(os.environ)
    os.environ.clear()
    os.environ.update(daemon.environment)
    try:
        code, text = daemon.audit()
    finally:
        os.environ.clear()
        os.environ.update(kept)
    assert code == 0, text


def loads(root, kind, name):
    outside, aws = Outside(root), double()
    daemon = started(daemon_of(root, outside, aws, kind, name))
    assert daemon.request("POST", "/v1/events/events", body(0, 500))[0] == 200
    daemon.flush()
    asked = aws.calls[CALL[kind]]
    assert 1 <= asked <= 4, aws.calls  # Once a session.
    outside.inject("drop_after", "^commit")
    assert daemon.request("POST", "/v1/events/events", body(500, 500))[0] == 200
    flush_until(daemon)
    assert aws.calls[CALL[kind]] > asked, aws.calls
    assert outside.loaded() == 1000
    audited(daemon)
    stopped(daemon)
    assert IAM_PASSWORD not in daemon.said()
    aws.close()


def test_a_cluster_is_loaded_as_a_temporary_user(root):
    loads(root, "cluster", CLUSTER)


def test_a_workgroup_is_loaded_as_a_temporary_user(root):
    loads(root, "workgroup", WORKGROUP)


def test_what_aws_says_is_told_and_tried_again(root):
    for kind, reason in (("cluster", "ClusterNotFound: Cluster nowhere not found."),
                         ("workgroup", "ResourceNotFoundException: workgroup nowhere not found")):
        outside, aws = Outside(root / kind), double()
        daemon = started(daemon_of(root / kind, outside, aws, kind, "nowhere"))
        assert daemon.request("POST", "/v1/events/events", body(0, 10))[0] == 200
        wait_for("the reason", lambda: reason in daemon.said())
        aws.fail = {"redshift": 503}
        wait_for("another", lambda: "credentials for Redshift: status 503" in daemon.said())
        daemon.kill()
        aws.close()


def test_keys_that_expired_are_replaced(root):
    outside, aws = Outside(root), double()
    daemon = started(daemon_of(root, outside, aws, "cluster", CLUSTER, "container"))
    assert daemon.request("POST", "/v1/events/events", body(0, 500))[0] == 200
    daemon.flush()
    keys = aws.calls["container"]
    aws.expire()
    outside.inject("drop", "^lock", 2)
    assert daemon.request("POST", "/v1/events/events", body(500, 500))[0] == 200
    flush_until(daemon)
    assert aws.calls["container"] > keys and outside.loaded() == 1000, aws.calls
    stopped(daemon)
    aws.close()


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
