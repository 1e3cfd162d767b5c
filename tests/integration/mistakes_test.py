#!/usr/bin/env python3
"""Typical mistakes at the command line and on the machine: one line names the place and the mend, nothing is made or read in silence."""

import json
import subprocess
import sys

from support import BINARY, Daemon, body, configuration, run_tests, started, stopped


def sluice(*words, **environment):
    return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={"PATH": "/usr/bin:/bin", **environment}, timeout=30)


def test_wrong_words_are_named_in_one_line(root):
    for words, said in (
        (("runn",), "there is no verb 'runn' (did you mean 'run'?)"),
        (("run", "--drian"), "sluice run: there is no option '--drian' (did you mean '--drain'?)"),
        (("--hlep",), "there is no option '--hlep'"),
        (("run", "-c"), "-c needs a value"),
        (("run", "shop.yaml"), "what is 'shop.yaml'? A configuration is named by -c FILE"),
        (("audit", "shop.yaml"), "what is 'shop.yaml'? A configuration is named by -c FILE"),
        (("audit", "--drain"), "sluice audit: there is no option '--drain'"),
        (("validate", "--whole"), "sluice validate: there is no option '--whole'"),
        (("validate", "a", "b"), "'b' is one word too many"),
        (("ddl",), "needs redshift, postgres or athena"),
        (("inspect",), "needs FILE.parquet"),
        (("test",), "needs FILE"),
        (("generate", "clicks"), "sluice generate: "),
        (("generate", "orders", "--rat", "5"), "--rat"),
        (("generate", "orders", "--count", "many"), "--count"),
        (("replay", "--code", "reqire"), "--code reqire: no event is refused with that code (did you mean 'require'?)"),
    ):
        done = sluice(*words)
        assert done.returncode == 64 and said in done.stderr.splitlines()[0] and not done.stdout, (words, done)
        assert done.stderr.count("\n") == 1, done.stderr


def test_every_verb_has_help(root):
    for verb in ("run", "validate", "test", "generate", "audit", "replay", "ddl", "tap", "top", "inspect"):
        done = sluice(verb, "--help")
        assert done.returncode == 0 and done.stdout.lower().startswith("usage: sluice") and not done.stderr, done


def test_replay_makes_no_data_dir(root):
    done = sluice("replay", SLUICE_DATA_DIR=str(root / "none"), SLUICE_HTTP_LISTEN="127.0.0.1:1")
    assert done.returncode == 1 and f"{root}/none/ledger.db: No such file or directory" in done.stderr, done
    assert not (root / "none").exists() and not done.stdout, done


def test_replay_knows_its_streams(root):
    daemon = started(Daemon(root, configuration(root)))
    daemon.post(body(0, 10), "/v1/events/events")
    daemon.flush()
    for name, code in (("evnets", 1), ("events", 0), ("_unrouted", 0)):
        done = sluice("replay", "-c", root / "sluice.yaml", "--stream", name)
        assert done.returncode == code and ("knows no stream 'evnets'" in done.stderr) == bool(code), done
    stopped(daemon)


def test_validate_knows_files_from_directories(root):
    root.mkdir(parents=True)
    (root / "file").write_text("x")
    file = str(root / "file")
    for config, said in (
        ({"data_dir": file}, "data_dir: '"),
        ({"lake": {"to": file}}, "lake.to: '"),
        ({"streams": {"clicks": {"lake": {"to": file}}}}, "stream clicks: lake.to: '"),
    ):
        (root / "places.yaml").write_text(json.dumps(config))
        done = sluice("validate", root / "places.yaml")
        assert done.returncode == 78 and f"sluice: {said}{file}' is a file: a directory is needed" in done.stderr, done


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
