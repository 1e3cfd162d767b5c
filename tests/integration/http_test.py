#!/usr/bin/env python3
"""Producers that are slow, many, broken or hostile; TLS and tokens; the statuses that docs/http-api.md promises."""

import http.client
import json
import os
import pty
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib

from support import (
    BINARY, Daemon, Sender, anonymous_bytes, body, check_once, configuration, event, flush_until, free_port, rows,
    run_tests, started, stopped, wait_for, within,
)

HEAD = b"POST /v1/events/events HTTP/1.1\r\nHost: x\r\n"


def connect(daemon):
    return socket.create_connection(("127.0.0.1", daemon.port), timeout=30)


def talk(daemon, data, end=False):
    """Send bytes as they are; everything that comes back until the peer closes or half a second is silent."""
    s = connect(daemon)
    out = b""
    try:
        s.sendall(data)
        if end:
            s.shutdown(socket.SHUT_WR)
        s.settimeout(0.5)
        while True:
            got = s.recv(65536)
            if not got:
                return out, True
            out += got
    except TimeoutError:
        return out, False
    except ConnectionError:
        return out, True
    finally:
        s.close()


def quick(daemon, i):
    """A good request and how long it took."""
    at = time.monotonic()
    status, reply = daemon.post([event(i)], "/v1/events/events")
    assert status == 200, (status, reply)
    return time.monotonic() - at


def test_slow_and_silent_clients_hold_nobody_up(root):
    """200 that send their head byte by byte, 200 that send no body, 200 that say nothing, 100 that are gone without
    a word: all are closed in time, and good requests are answered meanwhile."""
    config = configuration(root, http={"max_body": "512KiB", "max_event": "256KiB", "header_timeout": "1s", "idle_timeout": "2s"})
    daemon = started(Daemon(root, config))
    slow_heads = [connect(daemon) for _ in range(200)]
    slow_bodies = [connect(daemon) for _ in range(200)]
    silent = [connect(daemon) for _ in range(200)]
    for s in slow_bodies:
        s.sendall(HEAD + b"Content-Length: 100000\r\n\r\n{")
    for k in range(100):  # Half-open: reset in the middle, or only one side closed.
        s = connect(daemon)
        s.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
        if k % 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        else:
            s.shutdown(socket.SHUT_WR)
        s.close()
    times, at, n = [], time.monotonic(), 0
    dripping = list(slow_heads)
    while time.monotonic() - at < 4:
        for s in list(dripping):
            try:
                s.send(HEAD[n % len(HEAD) : n % len(HEAD) + 1])
            except OSError:
                dripping.remove(s)
        times.append(quick(daemon, n))
        n += 1
        time.sleep(0.05)
    assert not dripping, f"{len(dripping)} slow heads are still let in"
    said = 0
    for s in slow_heads + slow_bodies:
        s.settimeout(5)
        try:
            reply = s.recv(1000)
        except ConnectionError:
            reply = b""
        said += reply.startswith(b"HTTP/1.1 408 ")
        s.close()
    for s in silent:
        s.settimeout(5)
        assert s.recv(10) == b"", "an idle connection is closed without a word"
        s.close()
    print(f"  {said} of 400 were told 408; good requests took at most {max(times) * 1000:.0f} ms")
    assert said >= 200
    flush_until(daemon)
    check_once(daemon, range(n), root / "lake")
    stopped(daemon)


def test_more_connections_than_allowed_are_told_so(root):
    config = configuration(root, http={"max_body": "512KiB", "max_event": "256KiB", "max_connections": 20})
    daemon = started(Daemon(root, config))
    kept = []
    for k in range(20):
        c = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
        c.request("GET", "/livez")
        assert c.getresponse().read() == b"ok\n"
        kept.append(c)
    for _ in range(5):
        reply, closed = talk(daemon, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 503 ") and b"Retry-After:" in reply and closed, reply
    for k, c in enumerate(kept):  # Those that are in are served.
        c.request("POST", "/v1/events/events", body(k, 1))
        assert c.getresponse().read() == b'{"accepted":1,"rejected":0,"errors":[]}\n'
    for c in kept:
        c.close()
    wait_for("room", lambda: talk(daemon, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")[0].startswith(b"HTTP/1.1 200 "), 10)
    flush_until(daemon)
    check_once(daemon, range(20), root / "lake")
    stopped(daemon)


def hostile(n):
    """(bytes of a whole connection, whether it must be refused)"""
    one = body(0, 1)
    deep = b"[" * 100_000
    heads = [
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        HEAD + b"Content-Length: -5\r\n\r\nhello",
        HEAD + b"Content-Length: 99999999999999999999\r\n\r\nhello",
        HEAD + b"Content-Length: 104857600\r\n\r\nhello",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nx",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\n\r\n",
        b"POST /v1/events HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        bytes(random.Random(n).randbytes(3000)),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(one) + one,
        HEAD + b"Content-Encoding: br\r\nContent-Length: %d\r\n\r\n" % len(one) + one,
        HEAD + b"Expect: 200-maybe\r\nContent-Length: %d\r\n\r\n" % len(one) + one,
        HEAD + b"Idempotency-Key: \r\nContent-Length: %d\r\n\r\n" % len(one) + one,
        HEAD + b"Idempotency-Key: " + b"k" * 257 + b"\r\nContent-Length: %d\r\n\r\n" % len(one) + one,
        HEAD + b"Content-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(one) + one,
    ]
    for content in (
        deep, deep + b"]" * 100_000, b'{"a":' * 50_000, b'{"id":' + b"9" * 100_000 + b"}", b'"' + b"\\u0000" * 10_000 + b'"',
        b"\xff\xfe{\0}\0", b'{"id":1,"text":"\xed\xa0\x80"}', b'{"id":1,"text":"\\ud800"}', b"nul", b"", b"   \n\n  ",
        b"[[]]", b"[1,2,3]", b'{"id":}', b'{"id":"' + b"x" * 300_000 + b'"}', b"{" * 200_000, b"\0" * 5000,
        b'{"id":1e400}', b'{"id":1.0000000001}', b"[" + b"{}," * 50_000 + b"]",
    ):
        heads.append(HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content)
    bomb = zlib.compress(b" " * (20 << 20), 9)
    heads.append(HEAD + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
    return heads


def test_hostile_requests_between_good_ones(root):
    """Each is refused with a status, none reaches a neighbour, the daemon stays as large as it was."""
    daemon = started(Daemon(root, configuration(root, memory="64MiB")))
    good = [Sender(daemon, [body(k * 10_000 + at, 10) for at in range(0, 3000, 10)], name=f"good{k}", pause=0.01) for k in range(2)]
    for s in good:
        s.start()
    statuses = {}
    for n in range(2):
        for data in hostile(n):
            reply, closed = talk(daemon, data, end=True)
            assert closed, (data[:100], reply)
            status = reply.split(b" ")[1] if reply.startswith(b"HTTP/1.1 ") else b"none"
            assert status in (b"400", b"404", b"408", b"411", b"413", b"415", b"417", b"431", b"501", b"505", b"none"), (
                data[:100], reply[:300])
            statuses[status.decode()] = statuses.get(status.decode(), 0) + 1
    for s in good:
        s.join(60)
        assert s.statuses.get(200) == 300 and not s.bad, (s.statuses, s.bad)
    print(f"  {statuses}, {anonymous_bytes(daemon) >> 20} MiB")
    assert statuses.get("none", 0) <= 8, "a request that can be answered is answered"
    flush_until(daemon)
    check_once(daemon, [k * 10_000 + i for k in range(2) for i in range(3000)], root / "lake", window=None)
    letters = daemon.metric("sluice_dead_letters_total")
    assert letters > 100_000, letters
    within(anonymous_bytes(daemon), 64)
    stopped(daemon)


def test_a_bad_event_between_good_ones_is_named(root):
    daemon = started(Daemon(root, configuration(root)))
    content = b"\n".join([body(0, 1), b'{"id":"x"}', body(1, 1), b"{broken", body(2, 1), b'{"id":3,"at":"never"}', body(4, 1)])
    status, reply = daemon.post(content, "/v1/events/events")
    assert status == 200 and reply["accepted"] == 4 and reply["rejected"] == 3, reply
    assert [(e["index"], e["code"], e["path"]) for e in reply["errors"]] == [
        (1, "type", "/id"), (3, "syntax", ""), (5, "format", "/at")], reply
    flush_until(daemon)
    check_once(daemon, [0, 1, 2, 4], root / "lake")
    # As an array, and all bad.
    status, reply = daemon.post(b"[%s,3,%s]" % (body(5, 1), body(6, 1)), "/v1/events/events")
    assert status == 200 and reply["errors"][0]["index"] == 1 and reply["errors"][0]["code"] == "not_an_object", reply
    status, reply = daemon.post(b'[{"id":true},{"id":null}]', "/v1/events/events")
    assert status == 400 and [e["code"] for e in reply["errors"]] == ["type", "null"], reply
    flush_until(daemon)
    check_once(daemon, [0, 1, 2, 4, 5, 6], root / "lake")
    stopped(daemon)


def certificate(root, name):
    key, cert = root / f"{name}.key", root / f"{name}.pem"
    root.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "30",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )
    return key, cert


def test_tls(root):
    """Python and curl with the certificate checked; what isn't TLS, or too old, is let in nowhere; SIGHUP takes a
    new certificate."""
    key, cert = certificate(root, "first")
    config = configuration(root, http={"max_body": "512KiB", "max_event": "256KiB", "tls": {"cert": str(cert), "key": str(key)}},
                           admin={"listen": f"127.0.0.1:{free_port()}"})
    daemon = Daemon(root, config)
    intake, daemon.port = daemon.port, int(config["admin"]["listen"].split(":")[1])
    started(daemon)
    trust = ssl.create_default_context(cafile=str(cert))

    def send(context, content, **options):
        c = http.client.HTTPSConnection("localhost", intake, context=context, timeout=20)
        c.request("POST", "/v1/events/events", content)
        response = c.getresponse()
        reply = response.read()
        c.close()
        return response.status, reply

    assert send(trust, body(0, 10)) == (200, b'{"accepted":10,"rejected":0,"errors":[]}\n')
    assert send(trust, body(10, 800))[0] == 200  # More than one record of TLS, in and out.
    kept = http.client.HTTPSConnection("localhost", intake, context=trust, timeout=20)
    for i in range(50):
        kept.request("POST", "/v1/events/events", body(1000 + i, 1))
        assert kept.getresponse().read() == b'{"accepted":1,"rejected":0,"errors":[]}\n'
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--cacert", cert, "--data-binary", "@-", f"https://localhost:{intake}/v1/events/events"],
        input=body(2000, 100), capture_output=True, timeout=20)
    assert done.stdout == b'{"accepted":100,"rejected":0,"errors":[]}\n', done
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    for context, why in ((ssl.create_default_context(), "certificate verify failed"), (old, "")):
        try:
            send(context, body(9000, 1))
            raise AssertionError("let in")
        except ssl.SSLError as e:
            assert why in str(e), e
    plain = socket.create_connection(("127.0.0.1", intake), timeout=20)
    plain.sendall(HEAD + b"Content-Length: 8\r\n\r\n{\"id\":1}")
    plain.settimeout(10)
    try:
        reply = plain.recv(1000)
    except ConnectionError:
        reply = b""
    assert not reply.startswith(b"HTTP/1.1 200"), reply
    plain.close()
    # Handshakes that never end don't count for anything.
    stuck = [socket.create_connection(("127.0.0.1", intake)) for _ in range(50)]
    assert send(trust, body(3000, 1))[0] == 200
    for s in stuck:
        s.close()
    # A new certificate under the same name.
    new_key, new_cert = certificate(root, "second")
    key.write_bytes(new_key.read_bytes())
    cert.write_bytes(new_cert.read_bytes())
    daemon.process.send_signal(signal.SIGHUP)
    fresh = ssl.create_default_context(cafile=str(cert))

    def renewed():
        try:
            return send(fresh, body(3001, 1))[0] == 200
        except ssl.SSLError:
            return False

    wait_for("the new certificate", renewed, 20)
    kept.request("POST", "/v1/events/events", body(3002, 1))
    assert kept.getresponse().read() == b'{"accepted":1,"rejected":0,"errors":[]}\n', "connections live on"
    flush_until(daemon)
    check_once(daemon, [*range(810), *range(1000, 1050), *range(2000, 2100), 3000, 3001, 3002], root / "lake")
    stopped(daemon)


def test_unusable_certificates_are_configuration_errors(root):
    """validate and run name key and mend and exit 78. On a terminal nothing asks for a passphrase, neither then nor
    at a reload, where the daemon would stand still."""
    key, cert = certificate(root, "good")
    good = key.read_bytes()
    subprocess.run(["openssl", "pkey", "-in", key, "-aes128", "-passout", "pass:x", "-out", root / "encrypted.pem"], check=True)
    encrypted = (root / "encrypted.pem").read_bytes()
    daemon = Daemon(root, {"http": {"tls": {"cert": str(cert), "key": str(key)}}})
    daemon.config["http"]["listen"], daemon.config["admin"] = f"127.0.0.1:{free_port()}", {"listen": f"127.0.0.1:{daemon.port}"}
    file = root / "sluice.yaml"
    file.write_text(json.dumps(daemon.config))

    def ready():
        try:
            return daemon.get("/readyz", timeout=5)[0] == 200
        except OSError:
            return False

    for content, why in ((b"", "isn't the private key"), (None, "No such file"), (encrypted, "is encrypted")):
        key.unlink(missing_ok=True)
        if content is not None:
            key.write_bytes(content)
        for arguments in (["validate", file], ["run", "-c", file]):
            done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=20)
            assert done.returncode == 78 and "http.tls.key: " in done.stderr and why in done.stderr, (arguments, done)
    key.write_bytes(good)
    child, terminal = pty.fork()
    if child == 0:
        os.execv(BINARY, [BINARY, "run", "-c", str(file)])
    try:
        wait_for("the daemon", ready)
        key.write_bytes(encrypted)
        os.kill(child, signal.SIGHUP)
        wait_for("the reload", lambda: ready() and daemon.metric("sluice_config_reloads_total") == 1)
        os.kill(child, signal.SIGTERM)
        said = b""
        try:
            while got := os.read(terminal, 65536):
                said += got
        except OSError:  # The terminal's end.
            pass
        assert b"is encrypted" in said and b"pass phrase" not in said, said
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def test_tokens(root):
    """Any of the tokens lets in; nothing else does, and nothing of it is kept."""
    (root).mkdir(parents=True, exist_ok=True)
    (root / "tokens").write_text("from-a-file\nand-one-more\n")
    config = configuration(root, http={"max_body": "512KiB", "max_event": "256KiB",
                                       "auth": {"tokens": ["in-the-config"], "tokens_file": str(root / "tokens")}})
    daemon = started(Daemon(root, config, environment={"SLUICE_TOKEN": "from-the-environment"}))
    n = 0
    for token in ("in-the-config", "from-a-file", "and-one-more", "from-the-environment"):
        status, reply = daemon.post([event(n)], "/v1/events/events", Authorization=f"Bearer {token}")
        assert status == 200, (token, status, reply)
        n += 1
    for value in (None, "", "Bearer", "Bearer ", "Bearer in-the-confi", "Bearer in-the-config2", "Basic in-the-config",
                  "in-the-config", "Bearer from-a-file\tx", "Bearer from-a-file and-one-more"):
        headers = {} if value is None else {"Authorization": value}
        status, reply = daemon.request("POST", "/v1/events/events", body(100, 1), headers)
        assert status == 401 and json.loads(reply)["error"]["code"] == "unauthorized", (value, status, reply)
    # The refusal comes before the body: 100-continue isn't given.
    reply, _ = talk(daemon, HEAD + b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 401 "), reply
    reply, _ = talk(daemon, HEAD + b"Authorization: Bearer in-the-config\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 100 "), reply
    flush_until(daemon)
    check_once(daemon, range(n), root / "lake")
    stopped(daemon)
    for secret in ("in-the-config", "from-a-file", "and-one-more", "from-the-environment"):
        assert secret not in daemon.said(), f"{secret} is in the log"


def test_statuses_and_methods(root):
    daemon = started(Daemon(root, configuration(root)))
    for method, path, status, code in (
        ("GET", "/v1/events", 405, "method_not_allowed"),
        ("PUT", "/v1/events/events", 405, "method_not_allowed"),
        ("POST", "/v1/events/9", 400, "stream_name"),
        ("POST", "/v1/events/a/b", 400, "stream_name"),
        ("POST", "/v1/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/metrics", 405, None),
        ("GET", "/v1/flush", 405, None),
        ("DELETE", "/", 405, None),
        ("GET", "/v1/windows/nothing", 404, "no_window"),
    ):
        got, reply = daemon.request(method, path, b"{}" if method == "POST" else b"")
        error = json.loads(reply)["error"]
        assert got == status and error["message"] and (code is None or error["code"] == code), (method, path, got, reply)
    reply, _ = talk(daemon, b"PUT /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 405 ") and b"\r\nAllow: GET" in reply, reply
    reply, _ = talk(daemon, b"GET /v1/flush HTTP/1.1\r\nHost: x\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 405 ") and b"\r\nAllow: POST" in reply, reply
    # What no stream takes.
    status, reply = daemon.post([event(1)], "/v1/events/unknown")
    assert status in (400, 404), (status, reply)
    stopped(daemon)


def test_pipelined_requests_keep_their_order(root):
    daemon = started(Daemon(root, configuration(root)))
    data, expected = b"", []
    for k in range(300):
        if k % 3 == 2:
            data += b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
            expected.append(b"ok")
        else:
            content = body(k * 10, k % 7 + 1)
            data += HEAD + b"Content-Length: %d\r\n\r\n" % len(content) + content
            expected.append(b'{"accepted":%d,"rejected":0,"errors":[]}' % (k % 7 + 1))
    s = connect(daemon)
    threading.Thread(target=s.sendall, args=(data,)).start()
    stream, got = s.makefile("rb"), []
    for _ in expected:
        assert stream.readline().startswith(b"HTTP/1.1 200 ")
        length = 0
        while (line := stream.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        got.append(stream.read(length).strip())
    assert got == expected
    s.close()
    flush_until(daemon)
    check_once(daemon, [k * 10 + i for k in range(300) if k % 3 != 2 for i in range(k % 7 + 1)], root / "lake")
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
