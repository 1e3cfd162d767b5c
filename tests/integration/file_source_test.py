#!/usr/bin/env python3
"""Files as sources: each line is in the lake once, whatever writers, rotations, kills, reloads and full quotas do; audit agrees."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

from support import BINARY, Daemon, event, rows, run_tests, started, stopped, wait_for
from support import configuration as plain

LOG = "app.log"


def configuration(root, stream=None, **file):
    config = plain(root)
    (root / "logs").mkdir(parents=True, exist_ok=True)
    config["sources"] = {"app": {"file": {"path": str(root / "logs/app.log*"), **file}}}
    config["streams"]["events"].update({"from": ["app", "http"], "add": ["source"], **(stream or {})})
    return config


def line(i):
    return json.dumps(event(i, text="x" * (i % 50))).encode() + b"\n"


def csv_line(i):
    return b'%d,"k%d","te""xt\n%d",2026-01-01T00:00:00Z\r\n' % (i, i % 5, i)


class Writer(threading.Thread):
    """Appends numbered lines, now and then half of one; can be held while a file is rotated. Reopens its file as it is told."""

    def __init__(self, path, of=line, header=b"", pause=0.0005):
        super().__init__(daemon=True)
        self.path, self.of, self.header, self.pause = path, of, header, pause
        self.count, self.over, self.lock, self.file = 0, False, threading.Lock(), None

    def reopen(self):
        if self.file is not None:
            self.file.close()
        self.file = open(self.path, "ab", buffering=0)
        if self.file.tell() == 0:
            self.file.write(self.header)

    def run(self):
        with self.lock:
            self.reopen()
        while not self.over:
            with self.lock:
                text = b"".join(self.of(self.count + i) for i in range(20))
                half = len(text) // 3
                self.file.write(text[:half])
                time.sleep(self.pause)
                self.file.write(text[half:])
                self.count += 20
            time.sleep(self.pause)

    def end(self):
        self.over = True
        self.join()
        return self.count


def taken(daemon):
    return int(daemon.metric("sluice_file_lines_total"))


def check(daemon, root, count, lake=None):
    def arrived():
        return len(ids()) >= count or None

    def ids():
        daemon.flush()
        return [r[0] for r in rows(lake or root / "lake")]

    wait_for(f"{count} rows", arrived, 30)
    found = sorted(ids())
    assert found == list(range(count)), (len(found), len(set(found)), count)
    code, text = daemon.audit()
    assert code == 0, text
    assert rows(root / "data/dead_letters", "message") == []


def test_lines_are_rows_with_their_source_and_a_stop_loses_nothing(root):
    config = configuration(root)
    daemon = started(Daemon(root, config))
    writer = Writer(root / "logs" / LOG)
    writer.start()
    for _ in range(3):
        time.sleep(0.3)
        stopped(daemon)
        started(daemon)
    (root / "logs/app.log.old.gz").write_bytes(b"no lines")
    daemon.request("POST", "/v1/flush")
    count = writer.end()
    with open(root / "logs" / LOG, "ab") as f:
        f.write(line(count).rstrip(b"\n"))  # Waits for its end.
    check(daemon, root, count)
    assert {r[0] for r in rows(root / "lake", "source")} == {"app"}
    assert daemon.metric("sluice_files_open") == 1
    assert daemon.metric("sluice_file_lag_bytes") == len(line(count)) - 1
    with open(root / "logs" / LOG, "ab") as f:
        f.write(b"\n")
    check(daemon, root, count + 1)
    wait_for("no lag", lambda: daemon.metric("sluice_file_lag_bytes") == 0)
    stopped(daemon)


def rotate(writer, directory, n, copy):
    """As logrotate does it: nothing is written meanwhile, or copytruncate would lose it."""
    path, other = directory / LOG, directory / f"{LOG}.{n}"
    with writer.lock:
        if copy:
            shutil.copyfile(path, other)
            os.truncate(path, 0)
            if writer.header:
                writer.file.write(writer.header)
        else:
            path.rename(other)
            if n % 2:
                writer.file.write(b"".join(writer.of(writer.count + i) for i in range(3)))  # It has the old one open still.
                writer.count += 3
            writer.reopen()


def rotations(root, copy, of=line, header=b"", **more):
    daemon = started(Daemon(root, configuration(root, **more)))
    writer = Writer(root / "logs" / LOG, of, header)
    writer.start()
    for n in range(1, 7):
        time.sleep(0.25)
        rotate(writer, root / "logs", n, copy)
        if n % 3 == 0:
            daemon.kill()
            time.sleep(0.1)
            started(daemon)
        if n == 5:
            subprocess.run(["gzip", str(root / f"logs/{LOG}.1")], check=True)
    count = writer.end()
    check(daemon, root, count)
    stopped(daemon)


def test_files_are_renamed_while_they_are_written(root):
    rotations(root, False)


def test_files_are_copied_and_truncated_while_they_are_written(root):
    rotations(root, True)


def test_csv_with_a_header_in_each_file(root):
    rotations(root, False, csv_line, b"id,kind,text,at\r\n", format="csv")


def test_csv_is_copied_and_truncated(root):
    rotations(root, True, csv_line, b"id,kind,text,at\r\n", stream={"format": "csv"})


def test_a_file_whose_lines_end_in_cr_alone_is_told_of(root):
    daemon = started(Daemon(root, configuration(root, format="csv")))
    (root / "logs/app.log.old").write_bytes(b"id,kind\r0,a\r1,b\r")
    (root / "logs" / LOG).write_bytes(b"id,kind\r\n0,a\r\n")
    wait_for("the other's line", lambda: taken(daemon) == 1)
    wait_for("a warning", lambda: 'app.log.old reason="the line of names has a CR within and no end yet: lines end in LF or CRLF"' in daemon.said())
    time.sleep(0.5)
    assert daemon.said().count("no end yet") == 1 and daemon.metric("sluice_file_lag_bytes") > 0, daemon.said()
    check(daemon, root, 1)
    stopped(daemon)


def test_killed_again_and_again_while_a_writer_appends(root):
    daemon = started(Daemon(root, configuration(root)))
    writer = Writer(root / "logs" / LOG)
    writer.start()
    for n in range(12):
        time.sleep(0.02 + 0.06 * (n % 4))
        daemon.kill()
        started(daemon)
    count = writer.end()
    check(daemon, root, count)
    # What the writers do while it is away, it finds.
    daemon.kill()
    with open(root / "logs" / LOG, "ab") as f:
        f.write(b"".join(line(count + i) for i in range(1000)))
    (root / "logs" / LOG).rename(root / "logs/app.log.1")
    (root / "logs" / LOG).write_bytes(b"".join(line(count + 1000 + i) for i in range(1000)))
    started(daemon)
    check(daemon, root, count + 2000)
    stopped(daemon)


def test_a_full_journal_makes_files_wait(root):
    config = configuration(root)
    config["journal"] = {"quota": "4MiB", "segment_size": "2MiB"}
    config["http"]["max_body"] = "512KiB"
    count = 100000
    (root / "logs" / LOG).write_bytes(b"".join(line(i) for i in range(count)))
    daemon = started(Daemon(root, config))
    check(daemon, root, count)
    stopped(daemon)


def test_a_reload_goes_on_where_the_files_are(root):
    config = configuration(root)
    daemon = started(Daemon(root, config))
    writer = Writer(root / "logs" / LOG)
    writer.start()
    for n in range(3):
        time.sleep(0.3)
        config["streams"]["events"]["lake"]["max_age"] = f"{2 + n}s"
        (root / "sluice.yaml").write_text(json.dumps({**daemon.config, "streams": config["streams"]}))
        daemon.process.send_signal(signal.SIGHUP)
        wait_for("reload", lambda: daemon.metric("sluice_config_reloads_total") > n)
    count = writer.end()
    check(daemon, root, count)
    stopped(daemon)


def test_bad_lines_are_dead_letters_and_odd_paths_are_told_once(root):
    os.makedirs(root / "logs/app.log.d")
    os.mkfifo(root / "logs/app.log.fifo")
    daemon = started(Daemon(root, configuration(root)))
    (root / "logs" / LOG).write_bytes(line(0) + b"broken\n" + line(1))
    wait_for("lines", lambda: taken(daemon) == 3)
    daemon.flush()
    assert sorted(r[0] for r in rows(root / "lake")) == [0, 1]
    assert rows(root / "data/dead_letters", "raw, source") == [(b"broken", "app")]
    time.sleep(1)
    for name, words in (("app.log.d", "a directory"), ("app.log.fifo", "no regular file")):
        assert daemon.said().count(f"{name} reason=\"{words}\"") == 1, daemon.said()
    code, text = daemon.audit()
    assert code == 0, text
    stopped(daemon)


def test_validate_names_what_cannot_be(root):
    def refused(change, words):
        config = Daemon(root, configuration(root)).config
        change(config)
        (root / "sluice.yaml").write_text(json.dumps(config))
        done = subprocess.run([BINARY, "validate", "-c", str(root / "sluice.yaml")], capture_output=True, text=True)
        assert done.returncode == 78 and words in done.stderr, done.stderr

    refused(lambda c: c["sources"]["app"]["file"].update(path=""), "source app: needs file")
    refused(lambda c: c["sources"]["app"]["file"].update(format="xml"), "sources.NAME.file.format")
    refused(lambda c: c["streams"]["events"].update({"from": ["http"]}), "source app: no stream takes its lines")
    refused(lambda c: c["streams"]["events"].update({"from": ["apt"]}), "did you mean 'app'?")
    refused(lambda c: (c.update(sources={"http": c["sources"]["app"]}), c["streams"]["events"].update({"from": ["http"]})),
            "source 'http'")


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
