"""A daemon under test: start, send, flush, kill, and what it left behind."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import time
from pathlib import Path

BINARY = os.environ.get("SLUICE_BIN", "build/dev/src/app/sluice")


def free_port():
    """Below the range that outgoing connections take theirs from: nobody has it while a daemon is restarted."""
    while True:
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Daemon:
    def __init__(self, directory, config=None, arguments=(), environment=None):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.config = {
            "data_dir": str(self.directory / "data"),
            **(config or {}),
        }
        self.config["http"] = {"listen": f"127.0.0.1:{self.port}", **self.config.get("http", {})}
        self.arguments = list(arguments)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
        self.environment = {**inherited, **(environment or {})}
        self.process = None

    def start(self, *more, wait=True):
        path = self.directory / "sluice.yaml"
        path.write_text(json.dumps(self.config, indent=1))
        self.log = open(self.directory / "daemon.log", "ab")
        self.process = subprocess.Popen(
            [BINARY, "run", "-c", str(path), *self.arguments, *more],
            stdout=self.log,
            stderr=self.log,
            env=self.environment,
        )
        while wait:
            if self.process.poll() is not None:
                return self.process.returncode
            try:
                if self.get("/readyz", timeout=5)[0] == 200:
                    break
            except OSError:
                pass
            time.sleep(0.01)
        return None

    def request(self, method, path, body=b"", headers=None, timeout=60):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def get(self, path, timeout=60):
        return self.request("GET", path, timeout=timeout)

    def post(self, events, path="/v1/events", **headers):
        """Events (a list of objects) as NDJSON, or bytes as they are."""
        if not isinstance(events, bytes):
            events = b"\n".join(json.dumps(e).encode() for e in events)
        status, reply = self.request("POST", path, events, {k.replace("_", "-"): v for k, v in headers.items()})
        return status, json.loads(reply)

    def flush(self):
        status, reply = self.request("POST", "/v1/flush", timeout=300)
        assert status == 200, reply

    def windows(self, name):
        status, reply = self.get(f"/v1/windows/{name}?limit=100000")
        assert status == 200, reply
        return json.loads(reply)["rows"]

    def metric(self, name):
        """Sum over the series of a metric."""
        _, text = self.get("/metrics")
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in text.decode().splitlines()
            if line.split("{")[0].split(" ")[0] == name
        )

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=60):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def audit(self):
        """(exit code, text) of `sluice audit`."""
        done = subprocess.run(
            [BINARY, "audit", "-c", str(self.directory / "sluice.yaml")], capture_output=True, text=True
        )
        return done.returncode, done.stdout + done.stderr

    def lake(self, stream):
        return self.directory / "data" / "lake" / stream

    def warehouse(self):
        return self.directory / "data" / "warehouse.db"

    def said(self):
        return (self.directory / "daemon.log").read_text(errors="replace")
