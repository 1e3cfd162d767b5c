#!/usr/bin/env python3
"""Watching a daemon that runs: `sluice tap` shows what passes at each stage, and never holds it up; `sluice top` shows rates and state."""

import fcntl
import http.client
import json
import os
import pty
import random
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time

from support import BINARY, Daemon, body, configuration, event, flush_until, run_tests, started, stopped, wait_for

STAGES = ("received", "decoded", "enriched", "dead", "late", "duplicate", "filtered")


def watched(root, **more):
    config = configuration(root, **more)
    config["streams"]["events"].update(
        id="id", dedupe="1h", late_limit="30m",
        steps=[{"where": 'kind != "k3"'}, {"require": {"id": "id != 12"}}, {"redact": ["text"]}, {"set": {"double": "id * 2"}}])
    return config


class Tap:
    """`sluice tap`, open when this returns: the daemon has said so."""

    def __init__(self, daemon, *arguments):
        self.process = subprocess.Popen(
            [BINARY, "tap", "-c", str(daemon.directory / "sluice.yaml"), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=daemon.environment)

    def end(self, number=None, seconds=30):
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


class Stream:
    """The admin port's reply as it comes."""

    def __init__(self, daemon, query):
        self.connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        self.connection.request("GET", f"/v1/tap?{query}")
        self.reply = self.connection.getresponse()
        assert self.reply.status == 200, self.reply.read()

    def lines(self, count):
        got = []
        while len(got) < count:
            line = json.loads(self.reply.readline())
            if "stage" in line:
                got.append(line)
        return got

    def close(self):
        self.reply.close()
        self.connection.close()

    def rest(self):
        return [json.loads(line) for line in self.reply.read().splitlines() if line]


def all_places_are_free(daemon):
    """Eight taps there may be."""
    streams = []
    try:
        for _ in range(8):
            streams.append(Stream(daemon, "stage=dead"))
        return refusal(daemon, "stage=dead")[0] == 429
    except AssertionError:
        return False
    finally:
        for stream in streams:
            stream.close()


def refusal(daemon, query):
    status, text = daemon.get(f"/v1/tap?{query}")
    return status, json.loads(text)["error"]["message"]


def test_each_stage_shows_its_events(root):
    daemon = started(Daemon(root, watched(root)))
    streams = {stage: Stream(daemon, f"stage={stage}") for stage in STAGES}
    events = [event(i, text="t") for i in range(10)] + [event(1, text="t"), event(12, text="t")]
    events.append({**event(20, text="t"), "at": "2025-12-31T20:00:00Z"})
    sent = b"\n".join(json.dumps(e).encode() for e in events) + b'\n{"id":"x"}\n'
    status, reply = daemon.post(sent, "/v1/events/events")
    assert status == 200 and reply["rejected"] == 1, reply
    ids = lambda stage, count: [line["event"]["id"] for line in streams[stage].lines(count)]
    (record,) = streams["received"].lines(1)
    assert record["text"].encode() == sent and record["stream"] == "events" and record["source"] == "http", record
    decoded = streams["decoded"].lines(13)
    assert [line["event"] for line in decoded] == events, decoded
    assert record["position"] is None and decoded[0]["position"] is None, "the log still wrote them"
    for line in decoded:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", line["arrived"])
    passed = [i for i in range(10) if i % 5 != 3]
    enriched = streams["enriched"].lines(len(passed))
    assert [line["event"] for line in enriched] == [{**event(i, text="t"), "text": "***", "double": 2 * i} for i in passed], enriched
    first = enriched[0]["position"]
    for line in enriched:
        at = line["position"] - first
        assert json.loads(sent[at:sent.index(b"\n", at)])["id"] == line["event"]["id"], "the position is the event's own"
    assert ids("filtered", 2) == [3, 8] and ids("duplicate", 1) == [1] and ids("late", 1) == [20]
    dead = {line["code"]: line for line in streams["dead"].lines(2)}
    assert dead["type"]["text"] == '{"id":"x"}' and dead["type"]["path"] == "/id" and dead["type"]["message"]
    assert json.loads(dead["require"]["text"])["id"] == 12 and dead["require"]["message"] == "requires id != 12"
    daemon.process.send_signal(signal.SIGTERM)
    for stage, stream in streams.items():
        (last,) = stream.rest()
        assert last["end"] == "the daemon stops" and last["skipped"] == 0, (stage, last)
    assert daemon.process.wait(30) == 0


def test_a_condition_and_a_limit_choose(root):
    daemon = started(Daemon(root, watched(root)))
    tap = Tap(daemon, "--where", 'double >= 60 && kind == "k0"', "--limit", "3", "--rate", "0")
    pretty = Tap(daemon, "--stage", "decoded", "--stream", "events", "--limit", "1", "--format", "pretty", "--where", "id % 100 == 40")
    sent = 0
    while tap.process.poll() is None or pretty.process.poll() is None:  # Until both have begun, and seen enough.
        daemon.post(body(sent, 100), "/v1/events/events")
        sent += 100
        assert sent < 1000000
    code, lines, said = tap.end()
    assert code == 0 and said.startswith("sluice tap: limit: 3 events"), said
    assert len(lines) == 3 and all(e["event"]["double"] >= 60 and e["event"]["kind"] == "k0" for e in lines), lines
    out, _ = pretty.process.communicate()
    assert pretty.process.returncode == 0 and json.loads(out)["event"]["id"] % 100 == 40 and out.count(b"\n") > 8, out
    stopped(daemon)


def test_what_cant_be_shown_is_refused_with_the_place(root):
    daemon = started(Daemon(root, watched(root)))
    assert refusal(daemon, "stage=later")[0] == 400
    assert refusal(daemon, "limit=few") == (
        400, "limit=few: the query may have stage, stream, where, limit (a number) and rate (events a second)")
    assert refusal(daemon, "where=%zz")[0] == 400 and refusal(daemon, "rate=-1")[0] == 400
    assert refusal(daemon, "stream=nobody") == (404, "there is no stream nobody")
    status, text = refusal(daemon, "where=id%20%3E%20%27x%27")
    assert status == 400 and text.startswith("where: column 4:") and text.rstrip().endswith("^"), text
    assert refusal(daemon, "where=id") == (400, "where: it is int64, not a condition")
    assert "no columns" in refusal(daemon, "stage=dead&where=true")[1]
    assert daemon.request("POST", "/v1/tap")[0] == 405 and daemon.request("HEAD", "/v1/tap")[0] == 200
    code, lines, said = Tap(daemon, "--where", "nothing > 1").end()
    assert code == 1 and not lines and "nothing" in said and "^" in said, said
    code, _, said = Tap(daemon, "--limit").end()
    assert code == 64 and "what value?" in said, said
    stopped(daemon)
    code, _, said = Tap(daemon).end()
    assert code == 1 and "refused" in said, said


def test_beyond_loopback_events_are_shown_only_when_asked_for(root):
    other = Daemon(root, watched(root, admin={"listen": "0.0.0.0:0"}, http={"auth": {"tokens": ["t"]}}))
    for tap, status in (("loopback", 403), ("always", 200)):
        daemon = Daemon(root / tap, watched(root / tap))
        daemon.config["admin"] = {"listen": f"0.0.0.0:{other.port}", "tap": tap}
        daemon.config["http"]["auth"] = {"tokens": ["secret"]}
        daemon.start()
        daemon.port, intake = other.port, daemon.port
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
        connection.request("GET", "/v1/tap")
        reply = connection.getresponse()
        assert reply.status == status, reply.status
        if status == 403:
            code, _, said = Tap(daemon).end()
            assert code == 1 and "admin: { tap: always }" in said, said
        connection.close()
        stopped(daemon)


def test_the_rate_holds_and_the_rest_is_counted(root):
    daemon = started(Daemon(root, watched(root)))
    stream = Stream(daemon, "stage=decoded&rate=5/s")
    began = time.monotonic()
    sent = 0
    while time.monotonic() - began < 2:
        _, reply = daemon.post(body(sent, 50), "/v1/events/events")
        sent += reply.get("accepted", 0)
    took = time.monotonic() - began
    daemon.process.send_signal(signal.SIGTERM)
    lines = stream.rest()
    shown = [line for line in lines if "stage" in line]
    assert 5 <= len(shown) <= 5 * (took + 1) + 1, (len(shown), took)
    assert lines[-1]["events"] == len(shown) and len(shown) + lines[-1]["skipped"] == sent, (lines[-1], sent)
    daemon.process.wait(30)


def test_a_reader_that_takes_nothing_is_cut_off_and_holds_nobody_up(root):
    config = watched(root)
    del config["streams"]["events"]["dedupe"]
    daemon = started(Daemon(root, config))
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", daemon.port))
        slow.sendall(b"GET /v1/tap?stage=received&rate=0 HTTP/1.1\r\nHost: h\r\n\r\n")
        quick = Stream(daemon, "stage=enriched&rate=1")
        sent = 0

        def send():
            nonlocal sent
            status, _ = daemon.post(body(sent, 200, text="x" * 200), "/v1/events/events")
            assert status in (200, 429), status
            sent += 200
            return "cut off" in daemon.said()

        wait_for("the slow reader to be cut off", send, 60)
        assert quick.lines(2)
        quick.close()
        wait_for("the places", lambda: all_places_are_free(daemon), 20)
    flush_until(daemon)
    stopped(daemon)
    code, text = daemon.audit()
    assert code == 0, text


def test_an_interrupted_tap_says_what_it_showed(root):
    daemon = started(Daemon(root, watched(root)))
    tap = Tap(daemon, "--stage", "decoded")
    daemon.post(body(0, 10), "/v1/events/events")
    sent = 10
    while not select.select([tap.process.stdout], [], [], 0.05)[0]:
        daemon.post(body(sent, 10), "/v1/events/events")
        sent += 10
    code, lines, said = tap.end(signal.SIGINT)
    assert code == 0 and lines and said == f"sluice tap: interrupted: {len(lines)} events, 0 skipped\n", said
    wait_for("its place", lambda: all_places_are_free(daemon), 20)
    stopped(daemon)


def test_a_reload_ends_taps_and_says_so(root):
    daemon = started(Daemon(root, watched(root)))
    tap = Tap(daemon, "--stage", "decoded")
    stream = Stream(daemon, "stage=decoded&rate=0")
    sent = 0
    while not select.select([tap.process.stdout], [], [], 0.05)[0]:
        daemon.post(body(sent, 10), "/v1/events/events")
        sent += 10
    stream.lines(sent)
    daemon.process.send_signal(signal.SIGHUP)
    assert stream.rest()[-1]["end"] == "the configuration was reloaded"
    code, _, said = tap.end()
    assert code == 1 and "the configuration was reloaded" in said, said
    wait_for("the next engine", lambda: "requests are taken again" in daemon.said())
    again = Stream(daemon, "stage=decoded&limit=1")
    daemon.post(body(10, 1), "/v1/events/events")
    assert again.rest()[-1]["end"] == "limit"
    stopped(daemon)


def test_taps_come_and_go_under_load(root):
    daemon = started(Daemon(root, watched(root)))
    stop, shown, failures = threading.Event(), [0], []

    def come_and_go(seed):
        pick = random.Random(seed)
        try:
            while not stop.is_set():
                stage = pick.choice(STAGES)
                query = f"stage={stage}&rate={pick.choice((0, 1000))}"
                if stage not in ("received", "dead") and pick.random() < 0.5:
                    query += "&where=id%20%25%203%20==%200"
                if pick.random() < 0.3:
                    query += "&limit=5"
                stream = Stream(daemon, query)
                for _ in range(pick.randrange(20)):
                    line = stream.reply.readline()
                    shown[0] += b'"stage"' in line
                    if b'"end"' in line:
                        break
                stream.close()
        except Exception as e:  # noqa: BLE001
            failures.append(e)

    threads = [threading.Thread(target=come_and_go, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    began, sent = time.monotonic(), 0
    while time.monotonic() - began < 3 or any(thread.is_alive() for thread in threads):
        lines = body(sent, 200) + b'\n{"id":"x"}\n' + body(sent, 2) + b"\n" + json.dumps(
            {**event(sent), "id": -1 - sent, "at": "2025-01-01T00:00:00Z"}).encode()
        daemon.post(lines, "/v1/events/events")  # So that each stage has some, and nobody waits in vain.
        sent += 200
        if time.monotonic() - began > 3:
            stop.set()
    assert not failures, failures
    assert shown[0] > 50, shown
    wait_for("the places", lambda: all_places_are_free(daemon), 20)
    flush_until(daemon)
    stopped(daemon)
    code, text = daemon.audit()
    assert code == 0, text


def top(daemon, *arguments):
    done = subprocess.run([BINARY, "top", "-c", str(daemon.directory / "sluice.yaml"), *arguments], capture_output=True, text=True,
                          env=daemon.environment, stdin=subprocess.DEVNULL, timeout=60)
    return done.returncode, done.stdout, done.stderr


def scaled(text):
    """1.2k -> 1200"""
    return float(text.rstrip("kM")) * {"k": 1e3, "M": 1e6}.get(text[-1], 1)


def page_rows(page, first):
    """{name: cells} of the part of a page whose head begins with a word; runs of two blanks part cells."""
    lines = page[page.index(first):].split("\n\n")[0].splitlines()
    return {line.split()[0]: re.split(r" {2,}|(?<=\d) (?=\d)", line.strip())[1:] for line in lines[1:]}


def test_top_prints_the_rates_of_an_interval(root):
    daemon = started(Daemon(root, watched(root)))
    stop, sent = threading.Event(), [0]

    def send():
        while not stop.is_set():
            daemon.post(body(sent[0], 100) + b'\n{"id":"x"}', "/v1/events/events")
            sent[0] += 100

    sender = threading.Thread(target=send)
    sender.start()
    before = sent[0]
    code, page, said = top(daemon, "--once", "--interval", "3s")
    most = (sent[0] - before) / 3 * 1.05
    stop.set()
    sender.join()
    assert code == 0 and not said, said
    events = scaled(page_rows(page, "STREAM")["events"][0])
    dead = scaled(page_rows(page, "STREAM")["events"][2])
    assert 0 < events <= most * 1.02 + 1, (events, most)
    assert abs(dead * 50 - events) < events * 0.6, "one of 101 is broken, one of 500 isn't let through"
    assert re.search(r"cpu +\d+\.\d\d cores, 2 workers   memory [\d.]+ [KM]iB of [\d.]+ [MG]iB", page), page
    assert re.search(r"replies +[1-9][\d.k]* 2xx/s +[\d.k]+ 4xx/s +0 5xx/s", page), page  # 429: memory is asked for faster than given.
    assert set(page_rows(page, "TABLE")) == {"events/lake", "events/dead_letters", "events/late", "per_minute"}, page
    stopped(daemon)
    code, page, _ = top(daemon, "--once")
    assert code == 1 and "away: connect to" in page, page
    code, _, said = top(daemon)
    assert code == 64 and "--once" in said, said


class Screen:
    """`sluice top` in a terminal of 100 by 20."""

    def __init__(self, daemon):
        self.master, slave = pty.openpty()
        self.size(100, 20)
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen([BINARY, "top", "-c", str(daemon.directory / "sluice.yaml"), "--interval", "200ms"],
                                        stdin=slave, stdout=slave, stderr=slave, env=daemon.environment)
        self.slave, self.text = slave, ""

    def size(self, columns, lines):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def key(self, key):
        os.write(self.master, key)

    def page(self):
        """The newest whole page."""
        while select.select([self.master], [], [], 0)[0]:
            self.text = (self.text + os.read(self.master, 65536).decode())[-100000:]
        pages = self.text.split("\x1b[H")
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", pages[-2]) if len(pages) > 2 else ""

    def wait(self, text):
        wait_for(text, lambda: text in self.page(), 30)


def test_top_in_a_terminal_goes_on_when_the_daemon_is_back(root):
    daemon = started(Daemon(root, watched(root)))
    screen = Screen(daemon)
    screen.wait("q quit")
    assert max(map(len, screen.page().splitlines())) <= 100 and len(screen.page().splitlines()) <= 20
    screen.size(50, 8)
    wait_for("a small page", lambda: max(map(len, screen.page().splitlines() or ["x" * 51])) <= 50, 30)
    assert len(screen.page().splitlines()) <= 8
    screen.size(100, 20)
    screen.key(b"s")
    screen.wait("s sort by backlog")
    daemon.post(body(0, 100), "/v1/events/events")
    daemon.kill()
    screen.wait("away: connect to")
    assert "requests/s" in screen.page(), "the last figures stay"
    daemon.start()
    wait_for("the daemon to be back", lambda: "away" not in screen.page() and "events/lake" in screen.page(), 30)
    screen.key(b" ")
    screen.key(b"q")
    assert screen.process.wait(30) == 0
    assert termios.tcgetattr(screen.slave) == screen.before, "the terminal is as it was"
    screen.page()
    assert screen.text.endswith("\x1b[?25h\x1b[?1049l"), screen.text[-40:]
    os.close(screen.master)
    os.close(screen.slave)
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
