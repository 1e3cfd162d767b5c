#!/usr/bin/env python3
"""Credentials from each place, as a process finds them by its environment (tests/rigs/aws_double.py), and the signatures made
with them, which the double checks with code of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

TOP = Path(os.environ.get("SLUICE_TOP") or Path(__file__).resolve().parents[2])
BUILD = Path(os.environ.get("SLUICE_BUILD") or TOP / "build/dev")
sys.path.insert(0, str(TOP / "tests/rigs"))
from aws_double import ROLE, AwsDouble  # noqa: E402


def identity(environment, *arguments, ok=True):
    """What aws_identity prints, or its complaint."""
    done = subprocess.run([BUILD / "tests/aws_identity", *arguments], env={"PATH": os.environ["PATH"], **environment},
                          capture_output=True, text=True, timeout=60)
    assert (done.returncode == 0) == ok, done
    return [json.loads(line) for line in done.stdout.splitlines()] if ok else done.stderr + done.stdout


def test_every_place_gives_keys_that_pass():
    double = AwsDouble()
    expected = {"keys": "environment", "instance": "instance metadata, role sluice-instance", "container": "container",
                "web": f"web identity, role {ROLE}", "role": f"profile base, role {ROLE}"}
    for place, source in expected.items():
        (line,) = identity(double.variables(place))
        assert line["source"] == source and line["region"] == double.region and line["code"] == 200, line
        assert line["arn"] == line["access_key_id"], line
        assert (line["left_s"] > 3500) == (place != "keys"), line
    double.close()


def test_keys_are_asked_for_again_when_they_have_expired():
    double = AwsDouble()
    double.lifetime_s = 3
    first, second, third = identity(double.variables("instance"), "--times", "3", "--expire")
    assert len({line["access_key_id"] for line in (first, second, third)}) == 3
    assert {line["code"] for line in (first, second, third)} == {200}
    double.close()


def test_a_place_that_is_configured_and_fails_is_named():
    double = AwsDouble()
    double.fail = {"sts": 503}
    assert f"web identity: role {ROLE}: STS answered 503" in identity(double.variables("web"), ok=False)
    double.fail = {"container": 500}
    assert "container: answered 500" in identity(double.variables("container"), ok=False)
    double.fail = {"instance": 0}
    assert "instance metadata: 127.0.0.1" in identity(double.variables("instance"), ok=False)
    double.fail = {}
    double.write("token", "another")
    assert "InvalidIdentityToken" in identity(double.variables("web"), ok=False)
    wrong = {**double.variables("keys"), "AWS_SECRET_ACCESS_KEY": "wrong"}
    assert '"code": 403' in identity(wrong, ok=False)
    double.close()


def test_the_double_refuses_what_aws_refuses():
    from s3_client import S3, S3Error
    key = ("AKID", "secret")
    double = AwsDouble(s3="http://127.0.0.1:1", key=key)
    name, secret, token, _ = double.mint()

    def refused(**more):
        try:
            S3(endpoint=double.url, **{"key": name, "secret": secret, "token": token, "region": "us-east-1", **more}).get("b", "k=1")
        except S3Error as e:
            return e.status, e.code
        except (OSError, Exception) as e:  # Nobody is behind the door.
            return type(e).__name__

    assert isinstance(refused(), str), refused()
    assert refused(secret="x") == (403, "SignatureDoesNotMatch")
    assert refused(token="x") == (403, "InvalidToken")
    assert refused(region="eu-west-1") == (400, "AuthorizationHeaderMalformed")
    assert refused(key="nobody") == (403, "InvalidAccessKeyId")
    double.expire()
    assert refused() == (400, "ExpiredToken")
    double.close()


for name_, function in list(vars().items()):
    if name_.startswith("test_") and name_[5:] in (os.environ.get("SLUICE_ONLY") or name_[5:]).split():
        function()
        print("ok", name_[5:], flush=True)
