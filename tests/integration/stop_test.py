#!/usr/bin/env python3
"""Stop and start: TERM under load, --drain, two daemons on one directory, keys across kill -9."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time

from support import (
    BINARY, Daemon, Sender, SmallDisk, body, check_once, configuration, event, flush_until, noise, rows, run_tests,
    started, stopped, wait_for,
)

BATCH = 50


def load(daemon, first, name, batches=400, pause=0.01):
    return [
        Sender(daemon, [body(at, BATCH) for at in range(first + k * batches * BATCH, first + (k + 1) * batches * BATCH, BATCH)],
               name=f"{name}{k}", pause=pause)
        for k in range(4)
    ]


def test_term_under_load_loses_nothing(root):
    """Three times TERM while four clients send; each goes on with the next daemon where it has no reply."""
    daemon = started(Daemon(root, configuration(root)))
    senders = load(daemon, 0, "load")
    for s in senders:
        s.start()
    stops = []
    for _ in range(3):
        time.sleep(0.4)
        at = time.monotonic()
        stopped(daemon, 15)
        stops.append(time.monotonic() - at)
        started(daemon)
    for s in senders:
        s.join(120)
        assert not s.is_alive() and not s.bad, s.bad[:3]
        assert len(s.taken) == len(s.bodies)
    flush_until(daemon)
    check_once(daemon, range(4 * 400 * BATCH), root / "lake")
    print("  stops took " + ", ".join(f"{s:.2f} s" for s in stops))
    stopped(daemon)
    assert "torn" not in daemon.said(), "a stop in order leaves no torn tail"


def test_requests_under_way_are_answered_at_a_stop(root):
    """A body that has begun to come is still taken, with Connection: close; what comes later is not."""
    daemon = started(Daemon(root, configuration(root)))
    idle = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    idle.request("GET", "/livez")
    idle.getresponse().read()
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    content = body(0, 100)
    connection.putrequest("POST", "/v1/events/events")
    connection.putheader("Content-Length", str(len(content)))
    connection.endheaders()
    connection.send(content[:5000])
    time.sleep(0.2)
    daemon.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    connection.send(content[5000:])
    response = connection.getresponse()
    assert response.status == 200 and response.getheader("Connection") == "close", response.status
    assert response.read() == b'{"accepted":100,"rejected":0,"errors":[]}\n'
    assert idle.sock.recv(10) == b"", "idle connections are closed"
    assert daemon.process.wait(20) == 0, daemon.said()[-2000:]
    started(daemon)
    flush_until(daemon)
    check_once(daemon, range(100), root / "lake")
    stopped(daemon)


def test_a_client_that_never_ends_its_request_delays_no_stop(root):
    daemon = started(Daemon(root, configuration(root)))
    stuck = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    stuck.putrequest("POST", "/v1/events/events")
    stuck.putheader("Content-Length", "1000")
    stuck.endheaders()
    time.sleep(0.2)
    at = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(20) == 0, daemon.said()[-2000:]
    assert time.monotonic() - at < 15
    stuck.close()


def test_a_second_signal_ends_connections_at_once(root):
    """The first TERM waits for a request that doesn't end and for readers that don't read; the second one doesn't.
    What was acknowledged is there at the next start."""
    config = configuration(root)
    config["streams"]["events"]["lake"]["max_age"] = "1h"
    config["cut"] = {"every": "1h"}
    daemon = started(Daemon(root, config))
    senders = load(daemon, 0, "load", batches=100, pause=0.01)
    for s in senders:
        s.start()
    stuck = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
    stuck.putrequest("POST", "/v1/events/events")
    stuck.putheader("Content-Length", "1000")
    stuck.endheaders(b"{")
    time.sleep(0.3)
    daemon.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    at = time.monotonic()
    assert daemon.process.poll() is None, "it waits for the request"
    daemon.process.send_signal(signal.SIGINT)
    try:
        assert stuck.sock.recv(10) == b""
    except ConnectionResetError:
        pass
    assert daemon.process.wait(20) == 0, daemon.said()[-2000:]
    took = time.monotonic() - at
    print(f"  the second signal took {took:.2f} s")
    assert "stopping at once" in daemon.said() and took < 1.5, "the first one alone waits two seconds"
    started(daemon)
    for s in senders:
        s.join(120)
        assert not s.bad and len(s.taken) == 100, (s.statuses, s.bad[:3])
    flush_until(daemon)
    check_once(daemon, range(4 * 100 * BATCH), root / "lake")
    stopped(daemon)


def test_stop_while_the_lake_is_stalled_is_quick_and_drain_waits(root):
    """What isn't delivered stays: a stop doesn't wait for it, --drain delivers when it can."""
    if os.geteuid() != 0:
        print("  without root: no small file system to stall")
        return
    disk = SmallDisk(root / "disk", 1)
    try:
        lake = disk.path / "lake"
        daemon = started(Daemon(root, configuration(root, lake=lake)))
        disk.fill()
        sender = Sender(daemon, [noise(k * BATCH, BATCH, 2000) for k in range(20)], insist=False, pause=0)
        sender.run()
        assert sender.statuses == {200: 20}
        wait_for("stalled", lambda: daemon.metric("sluice_table_stalled") == 1, 30)
        at = time.monotonic()
        stopped(daemon, 15)
        assert not rows(lake), "it can't be there"
        print(f"  the stop took {time.monotonic() - at:.2f} s")
        os.system(f"mount -o remount,size=64m {disk.path}")
        disk.clear()
        # --drain: a stop that waits until all is delivered.
        config = daemon.config["streams"]["events"]["lake"]
        config["max_age"] = "1h"
        started(daemon, "--drain")
        more = Sender(daemon, [body((20 + k) * BATCH, BATCH) for k in range(20)], name="more", pause=0)
        more.run()
        stopped(daemon, 30)
        check_once(daemon, range(40 * BATCH), lake)
    finally:
        disk.close()


def test_stop_without_drain_keeps_what_is_open(root):
    """Files that are open at a stop are committed, and delivered by this daemon or the next one."""
    config = configuration(root)
    config["streams"]["events"]["lake"]["max_age"] = "1h"
    config["cut"] = {"every": "1h"}
    daemon = started(Daemon(root, config))
    for k in range(3):
        Sender(daemon, [body(k * BATCH, BATCH)], name=f"turn{k}").run()
        stopped(daemon, 15)
        started(daemon)
    flush_until(daemon)
    check_once(daemon, range(3 * BATCH), root / "lake")
    stopped(daemon)


def test_two_daemons_on_one_directory_are_refused(root):
    daemon = started(Daemon(root, configuration(root)))
    second = Daemon(root / "second", configuration(root))
    second.config["data_dir"] = daemon.config["data_dir"]
    code = second.start()
    assert code == 1, code
    assert "another" in second.said() or "lock" in second.said(), second.said()
    assert daemon.post([event(1)], "/v1/events/events")[0] == 200
    flush_until(daemon)
    daemon.kill()
    # A killed daemon's lock is gone with it.
    started(second)
    stopped(second)
    started(daemon)
    check_once(daemon, [1], root / "lake")
    stopped(daemon)


def test_a_port_in_use_is_said_plainly(root):
    daemon = started(Daemon(root, configuration(root)))
    second = Daemon(root / "second", configuration(root / "second"))
    second.port = daemon.port
    second.config["http"]["listen"] = f"127.0.0.1:{daemon.port}"
    code = subprocess.run([BINARY, "run", "-c", str(write(second))], capture_output=True, text=True, timeout=20)
    assert code.returncode == 1 and str(daemon.port) in code.stderr, code
    stopped(daemon)


def write(daemon):
    path = daemon.directory / "sluice.yaml"
    path.write_text(json.dumps(daemon.config))
    return path


def repeat(daemon, key, content, path="/v1/events/events"):
    return daemon.request("POST", path, content, {"Idempotency-Key": key}, timeout=30)


def test_a_key_repeats_its_reply_within_and_across_restarts(root):
    """The same bytes in reply, rejected events included; kill -9 at once, after a cut, and after a stop."""
    daemon = started(Daemon(root, configuration(root)))
    mixed = body(0, 3) + b'\n{"id":"no number"}\n{"kind":"no id"}\nnot json\n' + body(3, 2)
    bad = b'{"id":1.5}'
    first, first_bad = repeat(daemon, "mixed", mixed), repeat(daemon, "bad", bad)
    assert first[0] == 200 and json.loads(first[1])["accepted"] == 5 and json.loads(first[1])["rejected"] == 3, first
    assert first_bad[0] == 400, first_bad
    for what in ("at once", "killed at once", "killed after a flush", "stopped", "killed again"):
        if what.startswith("killed"):
            if what == "killed after a flush":
                flush_until(daemon)
            daemon.kill()
            started(daemon)
        elif what == "stopped":
            stopped(daemon)
            started(daemon)
        assert repeat(daemon, "mixed", mixed) == first, what
        assert repeat(daemon, "bad", bad) == first_bad, what
        status, reply = repeat(daemon, "mixed", mixed + b" ")
        assert status == 422 and json.loads(reply)["error"]["code"] == "idempotency_key_reused", (what, status, reply)
        assert repeat(daemon, "mixed", mixed, "/v1/events")[0] == 422, f"{what}: another path is another request"
    flush_until(daemon)
    check_once(daemon, range(5), root / "lake")
    stopped(daemon)


def test_concurrent_repeats_wait_and_get_one_reply(root):
    daemon = started(Daemon(root, configuration(root)))
    for turn in range(20):
        content, replies = body(turn * 200, 200), []
        threads = [
            threading.Thread(target=lambda: replies.append(repeat(daemon, f"turn{turn}", content))) for _ in range(8)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(replies) == 8 and set(replies) == {(200, b'{"accepted":200,"rejected":0,"errors":[]}\n')}, set(replies)
        # Another body at the same moment: exactly one of the two wins.
        replies.clear()
        both = [body(10_000 + turn * 2, 1), body(10_001 + turn * 2, 1)]
        threads = [
            threading.Thread(target=lambda b=b: replies.append(repeat(daemon, f"race{turn}", b)[0])) for b in both
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert sorted(replies) == [200, 422], replies
    flush_until(daemon)
    seen = {r[0] for r in rows(root / "lake")}
    for turn in range(20):
        assert len({10_000 + turn * 2, 10_001 + turn * 2} & seen) == 1
    check_once(daemon, range(4000), root / "lake", possible=range(10_000, 10_040))
    stopped(daemon)


def test_many_keys_survive_kill(root):
    """Ten thousand keys, most of them in the ledger, some only in the journal when the daemon dies."""
    daemon = started(Daemon(root, configuration(root)))
    bodies = [body(i, 1, text="") for i in range(10_000)]
    senders = [Sender(daemon, bodies[k::8], name=f"key{k}", pause=0) for k in range(8)]
    for s in senders:
        s.start()
    for s in senders:
        s.join(120)
        assert len(s.taken) == 1250, s.statuses
    daemon.kill()
    started(daemon)
    senders = [Sender(daemon, bodies[k::8], name=f"key{k}", pause=0) for k in range(8)]
    for s in senders:
        s.start()
    for s in senders:
        s.join(120)
        assert s.statuses == {200: 1250}, s.statuses
    flush_until(daemon)
    check_once(daemon, range(10_000), root / "lake")
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
