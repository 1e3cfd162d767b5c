#!/usr/bin/env python3
"""Typical mistakes at the command line and on the machine: one line names the place and the mend, nothing is made or read in silence."""

import http.client
import json
import ssl
import subprocess
import sys
import time

from support import BINARY, Daemon, body, configuration, run_tests, started, stopped, wait_for


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
        (("replay", "--code", "schema", "--code", "require"), "--code require: it is there twice, and a replay is of one"),
        (("replay", "--since", "yesterday"), "--since yesterday: a time, once: 2026-01-31, "),
        (("replay", "--since", "2026-01-02", "--until", "2026-01-01"), "--since is not before --until"),
        (("replay", "--streem", "a"), "--streem: no such option"),
        (("replay", "--code", "reqire"), "--code reqire: no event is refused with that code (did you mean 'require'?)"),
    ):
        done = sluice(*words)
        assert done.returncode == 64 and said in done.stderr.splitlines()[0] and not done.stdout, (words, done)
        assert done.stderr.count("\n") == 1, done.stderr


def test_every_verb_has_help(root):
    for verb in ("run", "validate", "test", "generate", "audit", "replay", "ddl", "tap", "top", "inspect"):
        done = sluice(verb, "--help")
        assert done.returncode == 0 and done.stdout.lower().startswith("usage: sluice") and not done.stderr, done


def test_output_that_finds_no_room_is_a_failure(root):
    root.mkdir(parents=True)
    for words in (("help",), ("version",), ("ddl", "postgres"), ("validate",)):
        with open("/dev/full", "w") as full:
            done = subprocess.run([BINARY, *words], stdout=full, stderr=subprocess.PIPE, text=True, cwd=root)
        assert done.returncode == 1 and "standard output: No space left on device" in done.stderr, (words, done)


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


def test_commands_reach_a_daemon_whose_one_port_has_tls(root):
    """The certificate is another name's, and nobody's authority knows it: it is the one in the configuration."""
    root.mkdir(parents=True)
    key, cert = root / "key.pem", root / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    daemon = Daemon(root, configuration(root, http={"max_body": "512KiB", "max_event": "256KiB", "tls": {"cert": str(cert), "key": str(key)}}))
    daemon.start(wait=False)
    file = root / "sluice.yaml"
    try:
        wait_for("the daemon", lambda: sluice("top", "-c", file, "--once").returncode == 0)
        done = sluice("top", "-c", file, "--once")
        assert done.returncode == 0 and f"sluice https://127.0.0.1:{daemon.port}" in done.stdout, done
        done = sluice("replay", "-c", file, "--dry-run")
        assert done.returncode == 0 and not done.stderr, done
        tap = subprocess.Popen([BINARY, "tap", "-c", file, "--stage", "dead", "--limit", "1"], stdout=subprocess.PIPE, text=True)
        context = ssl.create_default_context(cafile=cert)
        context.check_hostname = False
        for _ in range(200):  # Until the tap is there.
            c = http.client.HTTPSConnection("127.0.0.1", daemon.port, context=context, timeout=20)
            c.request("POST", "/v1/events/events", b'{"id":"no number"}')
            assert c.getresponse().status == 400
            c.close()
            if tap.poll() is not None:
                break
            time.sleep(0.05)
        assert '"stage":"dead"' in tap.communicate(timeout=20)[0] and tap.returncode == 0
    finally:
        stopped(daemon)


def test_log_lines_go_into_no_file_when_standard_descriptors_are_closed(root):
    for name, closed in (("in", "<&-"), ("out", ">&-"), ("error", "2>&-"), ("all", "<&- >&- 2>&-")):
        directory = root / name
        daemon = Daemon(directory, configuration(directory))
        (directory / "sluice.yaml").write_text(json.dumps(daemon.config))
        daemon.process = subprocess.Popen(["/bin/sh", "-c", f'exec "$@" {closed}', "sh", BINARY, "run", "-c", directory / "sluice.yaml"],
                                          stderr=subprocess.DEVNULL, env=daemon.environment)
        wait_for("the daemon", lambda: sluice("top", "-c", directory / "sluice.yaml", "--once").returncode == 0)
        daemon.post(body(0, 10), "/v1/events/events")
        daemon.flush()
        stopped(daemon)
        for file in (directory / "data").rglob("*"):
            assert not file.is_file() or b'event="listening"' not in file.read_bytes(), (closed, file)
        assert daemon.audit()[0] == 0


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
