#!/usr/bin/env python3
"""Every configuration of config/examples is valid, also on S3 with PostgreSQL and with Redshift by variables alone, and
passes the tests that stand in it."""

import os
import re
import shlex
import subprocess
import sys

from example import BINARY, EXAMPLES, TOP, Example, run_tests, started, stopped

FILES = sorted(EXAMPLES.glob("*/sluice.yaml"))
SCENARIOS = {"clickstream", "web_analytics", "payments_iot", "operations", "food_delivery"}
ELSEWHERE = (
    {"LAKE": "s3://shop/lake", "WAREHOUSE": "postgres://sluice@db.example.com/shop", "PGPASSWORD": "secret"},
    {"LAKE": "s3://shop/lake", "WAREHOUSE": "redshift://sluice@shop.abc123.eu-central-1.redshift.amazonaws.com/shop",
     "STAGE": "s3://shop/stage", "COPY_ROLE": "arn:aws:iam::123456789012:role/copy", "PGPASSWORD": "secret"},
)


def told(file):
    """What the file's head tells a reader to set."""
    variables = {}
    for line in re.findall(r"^# +export (.*)$", file.read_text(), re.M):
        variables.update(word.split("=", 1) for word in shlex.split(line))
    return variables


def sluice(verb, file, variables):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "AWS_", "PG"))}
    return subprocess.run([BINARY, verb, str(file)], env={**clean, **variables}, capture_output=True, text=True)


def test_every_scenario_has_its_example(root):
    assert SCENARIOS <= {f.parent.name for f in FILES}, FILES


def test_every_example_is_valid_with_what_it_tells_to_set(root):
    for file in FILES:
        done = sluice("validate", file, told(file))
        assert done.returncode == 0, f"{file}: {done.stderr}"


def test_only_variables_bring_a_scenario_elsewhere(root):
    for name in SCENARIOS:
        file = EXAMPLES / name / "sluice.yaml"
        for variables in ELSEWHERE:
            done = sluice("validate", file, variables)
            assert done.returncode == 0, f"{name} with {variables}: {done.stderr}"
    done = sluice("validate", EXAMPLES / "food_delivery/sluice.yaml", {**ELSEWHERE[0], "DATAMART": "food_delivery_datamart."})
    assert done.returncode == 0, done.stderr


def test_every_example_passes_its_own_tests(root):
    for file in FILES:
        done = sluice("test", file, told(file))
        assert done.returncode == 0, f"{file}:\n{done.stdout}{done.stderr}"
        count = int(re.search(r"^(\d+) passed, 0 failed$", done.stdout, re.M)[1])
        assert count >= (2 if file.parent.name in SCENARIOS else 1), f"{file}: {count} tests"


# What `aws configure` would have asked for; nobody checks it where no keys are configured.
AWS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": "us-east-1"}


def commands(file):
    """What the file's head tells to try, behind `sluice run`."""
    head = file.read_text().split("\ndata_dir:")[0]
    block = re.search(r"^#   sluice run -c .*\n((?:#   .*\n)+)", head, re.M)[1]
    return re.sub(r"^#   ", "", block, flags=re.M)


def test_what_the_heads_tell_to_try_works(root):
    """Word for word, but for the port and the place of the data, and with fewer events."""
    programs = root / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "sluice").unlink(missing_ok=True)
    (programs / "sluice").symlink_to(BINARY)
    for name in sorted(SCENARIOS):
        d = started(Example(root / name, name))
        text = commands(EXAMPLES / name / "sluice.yaml").replace("localhost:8080", f"127.0.0.1:{d.port}")
        text = text.replace("sluice-data/", f"{d.directory}/data/").replace("--count 100000", "--count 2000")
        text = text.replace("--rate 1000 --duration 300s", "--rate 1000 --duration 2s")
        assert "sluice generate" in text and "sqlite3" in text and "flush" in text, text
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=TOP, capture_output=True, text=True,
                              env={**d.environment, **AWS, "PATH": f"{programs}:{os.environ['PATH']}"})
        assert done.returncode == 0, f"{name}:\n{text}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert len(done.stdout.splitlines()) > 2, f"{name} shows nothing:\n{done.stdout}"
        assert not re.search(r'"rejected":[1-9]', done.stdout), f"{name}:\n{done.stdout}"
        stopped(d)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
