#!/usr/bin/env python3
"""A TCP proxy that does to bytes what networks do to them, and servers in trouble.

    with Proxy("127.0.0.1:9000") as p:      p.address is "127.0.0.1:PORT"
        p.set(latency_ms=200)               settings: latency_ms, bytes_per_s (each way, all connections), refuse
                                            (connections are reset), hang (connections open, nothing moves)
        p.rule("drop_reply", match=rb"POST .*uploadId=", times=1)
        p.close_all()                       reset every connection there is
        p.clear()                           no rules, no settings

A rule waits for `match`, a regular expression on what clients send (None: any first bytes of a connection), `skip`
times in vain, then acts `times` times (None: always):

    reset         the connection is reset, both ways; with after=N, N more bytes of the client's pass first
    drop_reply    what was sent goes through and is answered, but the client sees a reset in place of the reply
    hang          nothing more moves, either way, until the client gives up; nothing of the match is passed on
    delay         the match waits for `seconds`
    answer        the client gets `reply` (bytes) in place of the server's; an HTTP request's body is read first
    cut_reply     the server's reply stops after `after` bytes and the connection is reset

    proxy.py UPSTREAM [LISTEN [CONTROL]]    the same by HTTP, for tests that are not in Python: POST /set, /rule (JSON;
                                            reply as text), /close_all, /clear; GET / tells addresses and counters
"""

import asyncio
import json
import re
import socket
import struct
import sys
import threading
import time

CHUNK = 65536
TAIL = 4096  # a match may straddle two reads


def address(text):
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


class Rule:
    ACTIONS = ("reset", "drop_reply", "hang", "delay", "answer", "cut_reply")

    def __init__(self, action, match=None, times=1, skip=0, after=0, seconds=0.0, reply=b""):
        if action not in self.ACTIONS:
            raise ValueError(f"action {action}: want one of {', '.join(self.ACTIONS)}")
        match = match.encode("latin-1") if isinstance(match, str) else match
        self.action, self.match = action, re.compile(match, re.S) if match else None
        self.left, self.skip, self.after, self.seconds = times, skip, after, seconds
        self.reply = reply.encode("latin-1") if isinstance(reply, str) else reply
        self.hits = 0

    def takes(self, seen, new, first):
        """Does it act now? `seen` ends with `new` bytes that came just now."""
        if self.left == 0:
            return False
        if self.match is None:
            if not first:
                return False
        elif not any(m.end() > len(seen) - new for m in self.match.finditer(seen)):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.left = None if self.left is None else self.left - 1
        self.hits += 1
        return True


class Connection:
    def __init__(self, proxy, reader, writer):
        self.proxy, self.reader, self.writer = proxy, reader, writer
        self.server = None
        self.dropping = False     # the server's next bytes are the reply that is lost
        self.reply_left = None    # bytes of replies that still pass
        self.hung = False

    def reset(self):
        """As a peer that crashed: RST, not FIN."""
        for w in (self.writer, self.server):
            s = w.get_extra_info("socket") if w else None
            if s is not None:
                try:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except OSError:
                    pass
            if w is not None:
                w.transport.abort()

    async def run(self):
        settings = self.proxy.settings
        if settings["refuse"]:
            return self.reset()
        try:
            if settings["hang"]:
                self.hung = True
                await self.drain_client()
            from_server, self.server = await asyncio.open_connection(*self.proxy.upstream)
            tasks = [asyncio.ensure_future(self.client_bytes()), asyncio.ensure_future(self.server_bytes(from_server))]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                for t in tasks:
                    t.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        except OSError:
            pass
        self.reset()

    async def pace(self, count):
        """Latency per read, and a share of the bandwidth that all connections have together."""
        settings = self.proxy.settings
        if settings["latency_ms"]:
            await asyncio.sleep(settings["latency_ms"] / 1000)
        rate = settings["bytes_per_s"]
        if rate:
            now = time.monotonic()
            self.proxy.busy_until = max(self.proxy.busy_until, now) + count / rate
            await asyncio.sleep(self.proxy.busy_until - now)

    def size(self):
        rate = self.proxy.settings["bytes_per_s"]
        return min(CHUNK, max(1, int(rate / 20))) if rate else CHUNK

    async def drain_client(self):
        while await self.reader.read(CHUNK):
            pass
        raise ConnectionResetError

    async def client_bytes(self):
        tail, first, cut = b"", True, None
        while True:
            data = await self.reader.read(self.size())
            if not data:
                break
            await self.pace(len(data))
            self.proxy.counters["bytes_up"] += len(data)
            seen = tail + data
            for rule in list(self.proxy.rules):
                if not rule.takes(seen, len(data), first):
                    continue
                if rule.action == "reset":
                    cut = rule.after
                elif rule.action == "drop_reply":
                    self.dropping = True
                elif rule.action == "cut_reply":
                    self.reply_left = rule.after
                elif rule.action == "delay":
                    await asyncio.sleep(rule.seconds)
                elif rule.action == "hang":
                    self.hung = True
                    await self.drain_client()
                elif rule.action == "answer":
                    await self.answer(seen, rule.reply)
                seen = b""
                break
            if self.proxy.settings["hang"]:
                self.hung = True
                await self.drain_client()
            tail, first = seen[-TAIL:], False
            if cut is not None:
                self.server.write(data[:cut])
                cut -= len(data)
                await self.server.drain()
                if cut <= 0:
                    await asyncio.sleep(0.05)  # what passed shall arrive before the reset
                    raise ConnectionResetError
                continue
            self.server.write(data)
            await self.server.drain()
        self.server.write_eof()
        await asyncio.sleep(60)  # the server may still be speaking

    async def answer(self, seen, reply):
        head, end, body = seen.rpartition(b"\r\n\r\n")
        length = re.search(rb"\r\nContent-Length: *(\d+)", head, re.I)
        # Who waits for a 100 sends no body after a refusal.
        if end and length and not re.search(rb"\r\nExpect:", head, re.I):
            missing = int(length[1]) - len(body)
            while missing > 0:
                more = await self.reader.read(CHUNK)
                if not more:
                    break
                missing -= len(more)
        self.writer.write(reply)
        await self.writer.drain()
        self.writer.close()
        await self.writer.wait_closed()
        raise ConnectionResetError

    async def server_bytes(self, reader):
        while True:
            data = await reader.read(self.size())
            if self.hung:
                await asyncio.sleep(3600)
            if data and self.dropping:
                await asyncio.sleep(0.05)  # the rest of the reply; the server is done by then
                raise ConnectionResetError
            if not data:
                break
            await self.pace(len(data))
            if self.reply_left is not None:
                data = data[: self.reply_left]
                self.reply_left -= len(data)
            self.proxy.counters["bytes_down"] += len(data)
            self.writer.write(data)
            await self.writer.drain()
            if self.reply_left == 0:
                await asyncio.sleep(0.05)
                raise ConnectionResetError
        self.writer.close()
        await self.writer.wait_closed()
        raise ConnectionResetError  # ends the other direction


class Proxy:
    DEFAULTS = {"latency_ms": 0, "bytes_per_s": 0, "refuse": False, "hang": False}

    def __init__(self, upstream, listen="127.0.0.1:0"):
        self.upstream = address(upstream.split("://")[-1].rstrip("/"))
        self.settings, self.rules = dict(self.DEFAULTS), []
        self.counters = {"connections": 0, "bytes_up": 0, "bytes_down": 0}
        self.busy_until = 0.0
        self.open = set()
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.failure = None

        async def begin():
            try:
                self.server = await asyncio.start_server(self.serve, *address(listen))
                self.address = "%s:%d" % self.server.sockets[0].getsockname()[:2]
            except OSError as e:
                self.failure = e
            started.set()

        self.loop.create_task(begin())
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        started.wait()
        if self.failure is not None:
            raise self.failure

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    async def serve(self, reader, writer):
        self.counters["connections"] += 1
        connection = Connection(self, reader, writer)
        self.open.add(connection)
        try:
            await connection.run()
        except asyncio.CancelledError:
            connection.reset()
        finally:
            self.open.discard(connection)

    def call(self, function):
        """In the loop's thread, and wait for it."""
        async def run():
            return function()
        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(10)

    def set(self, **settings):
        unknown = set(settings) - set(self.DEFAULTS)
        if unknown:
            raise ValueError(f"settings are {', '.join(self.DEFAULTS)}, not {', '.join(unknown)}")
        self.call(lambda: self.settings.update(settings))

    def rule(self, action, **more):
        rule = Rule(action, **more)
        self.call(lambda: self.rules.append(rule))
        return rule

    def clear(self):
        def forget():
            self.rules.clear()
            self.settings.update(self.DEFAULTS)
        self.call(forget)

    def close_all(self):
        self.call(lambda: [c.reset() for c in list(self.open)])

    def state(self):
        return self.call(lambda: {"address": self.address, "open": len(self.open), **self.counters, **self.settings,
                                  "hits": [r.hits for r in self.rules]})

    def close(self):
        def end():
            self.server.close()
            for c in list(self.open):
                c.reset()
            self.loop.call_later(0.05, self.loop.stop)
        self.call(end)
        self.thread.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main(upstream, listen="127.0.0.1:0", control="127.0.0.1:0"):
    from http.server import BaseHTTPRequestHandler, HTTPServer

    proxy = Proxy(upstream, listen)

    class Control(BaseHTTPRequestHandler):
        def do_GET(self):
            self.reply(200, proxy.state())

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            try:
                given = json.loads(body) if body else {}
                if self.path == "/set":
                    proxy.set(**given)
                elif self.path == "/rule":
                    proxy.rule(**given)
                elif self.path in ("/clear", "/close_all"):
                    getattr(proxy, self.path[1:])()
                else:
                    return self.reply(404, {"error": "POST /set, /rule, /clear or /close_all"})
                self.reply(200, proxy.state())
            except (ValueError, TypeError, re.error) as e:
                self.reply(400, {"error": str(e)})

        def reply(self, status, value):
            text = json.dumps(value).encode() + b"\n"
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    server = HTTPServer(address(control), Control)
    print("proxy %s control %s:%d" % (proxy.address, *server.server_address[:2]), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
