#!/usr/bin/env python3
"""`sluice generate --to kinesis://…`: the events of the seed arrive by PutRecords, unsigned, and signed where keys are checked; the lake
is the one that the same events give over HTTP."""

import os
import subprocess
import sys

from support import BINARY, Daemon, configuration, rows, run_tests, started, stopped

KEYS = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
UNSIGNED = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
SIGNED = {**UNSIGNED, "AWS_ACCESS_KEY_ID": KEYS["access_key_id"], "AWS_SECRET_ACCESS_KEY": KEYS["secret_access_key"], "AWS_REGION": "eu-central-1"}


def generate(to, *arguments, environment=UNSIGNED):
    done = subprocess.run([BINARY, "generate", "clickstream", "--count", "3210", "--seed", "9", "--no-progress", "--to", to, *arguments],
                          capture_output=True, text=True, timeout=60, env=environment)
    return done.returncode, done.stderr


def clicks(root):
    config = configuration(root)
    config["streams"] = {name: {"lake": {"to": str(root / name), "max_age": "1s"}} for name in ("clicks", "other")}
    del config["windows"]
    return config


def table(lake):
    return sorted(rows(lake, "epoch_us(timestamp), user_id, event_type, data"), key=str)


def test_the_same_events_give_the_same_lake(root):
    daemon = started(Daemon(root, clicks(root)))
    code, said = generate(f"kinesis://127.0.0.1:{daemon.port}/clicks", "--connections", "3")
    assert code == 0 and "3210 accepted, 0 rejected" in said and "requests  7," in said, said
    code, said = generate(f"http://127.0.0.1:{daemon.port}/v1/events/other")
    assert code == 0, said
    daemon.flush()
    got = table(root / "clicks")
    assert len(got) == 3210 and got == table(root / "other")
    code, said = generate(f"kinesis://127.0.0.1:{daemon.port}/nobody")
    assert code == 1 and "ResourceNotFoundException" in said, said
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_requests_are_signed_where_there_are_keys(root):
    config = clicks(root)
    config["http"]["auth"] = {"aws_keys": [KEYS]}
    daemon = started(Daemon(root, config))
    to = f"kinesis://127.0.0.1:{daemon.port}/clicks"
    code, said = generate(to, "--batch", "100")
    assert code == 1 and "MissingAuthenticationTokenException" in said, said
    code, said = generate(to, environment={**SIGNED, "AWS_SECRET_ACCESS_KEY": "another"})
    assert code == 1 and "InvalidSignatureException" in said, said
    code, said = generate(to, "--batch", "100", environment={**SIGNED, "AWS_SESSION_TOKEN": "t" * 1000})
    assert code == 0 and "3210 accepted" in said, said
    daemon.flush()
    assert len(rows(root / "clicks", "user_id")) == 3210
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
