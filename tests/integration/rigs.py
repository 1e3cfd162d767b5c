"""Real servers for tests: S3, PostgreSQL, the Redshift double and Kafka (tests/rigs), and a proxy with faults before them.

    import rigs
    rigs.need("s3", "postgres")     started when they are not up; where one can't be installed the test is skipped
    rigs.S3()                       a client of the rig's bucket, signing by itself
    rigs.own("postgres")            servers of this test alone, which it may stop, break and start again
    rigs.Kafka()                    topics, messages and offsets of the rig's broker; pause() and resume() it
    rigs.Proxy(address)             a proxy with faults, see tests/rigs/proxy.py
"""

import atexit
import os
import re
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

RIGS = Path(__file__).resolve().parents[1] / "rigs"
sys.path.insert(0, str(RIGS))
from proxy import Proxy  # noqa: E402, F401
from s3_client import S3 as Client  # noqa: E402
from s3_client import S3Error  # noqa: E402, F401


def run(verb, names, directory=None):
    """The rig's variables, by their names."""
    environment = {**os.environ, "SLUICE_PYTHON": sys.executable}
    if directory:
        environment["RIG_DIR"] = str(directory)
    done = subprocess.run([str(RIGS / "rig"), verb, *names], env=environment, capture_output=True, text=True)
    if done.returncode == 3:
        print((done.stderr.strip().splitlines() or ["rig: not installable here"])[-1])
        sys.exit(77)
    if done.returncode != 0:
        raise RuntimeError(f"rig {verb} {' '.join(names)}: exit {done.returncode}\n{done.stderr}")
    found = (re.match(r"export (\w+)=(.*)", line) for line in done.stdout.splitlines())
    return {m[1]: "".join(shlex.split(m[2])) for m in found if m}


def need(*names):
    """Rigs that all tests share; their variables are put into the environment."""
    os.environ.update(run("up", names))


class Own:
    """Servers of one test alone. `variables` tells where they are; they end with the test's process."""

    def __init__(self, *names):
        self.names = names
        # Not below SLUICE_TMP: servers that are not root have to get there.
        self.directory = Path(tempfile.mkdtemp(prefix="sluice-rig-"))
        self.directory.chmod(0o755)
        atexit.register(self.down)
        self.variables = run("up", names, self.directory)

    def __getitem__(self, name):
        return self.variables[name]

    def stop(self, *names):
        """As a machine that goes down."""
        run("stop", names or self.names, self.directory)

    def start(self, *names):
        """Again, with the same data and ports."""
        run("up", names or self.names, self.directory)

    def down(self):
        if self.directory.exists():
            run("down", self.names, self.directory)
            shutil.rmtree(self.directory, ignore_errors=True)


def own(*names):
    return Own(*names)


class S3(Client):
    """The rig's bucket, below a prefix that no other test has."""

    def __init__(self, variables=os.environ, endpoint=None, prefix=None):
        super().__init__(endpoint or variables["SLUICE_TEST_S3_ENDPOINT"], variables["AWS_ACCESS_KEY_ID"],
                         variables["AWS_SECRET_ACCESS_KEY"], variables["AWS_REGION"])
        self.bucket = variables["SLUICE_TEST_S3_BUCKET"]
        self.prefix = prefix if prefix is not None else f"t{uuid.uuid4().hex[:12]}/"

    @property
    def url(self):
        return f"s3://{self.bucket}/{self.prefix.rstrip('/')}"

    def keys(self, below=""):
        """Of the objects below the prefix, without it."""
        return [k[len(self.prefix):] for k, _ in self.list(self.bucket, self.prefix + below)]

    def read(self, key):
        return self.get(self.bucket, self.prefix + key)


def psql(url, sql):
    """Rows as lists of text, by Debian's psql; NULL is None."""
    done = subprocess.run(["psql", "-XqAt", "-F", "\x1f", "-R", "\x1e", "-P", "null=\x1d", "-v", "ON_ERROR_STOP=1", url,
                           "-c", sql], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    text = done.stdout.rstrip("\n")
    return [[None if v == "\x1d" else v for v in row.split("\x1f")] for row in text.split("\x1e")] if text else []


class Kafka:
    """The rig's broker, by another client than ours. Topics get names that no other test has."""

    def __init__(self, variables=os.environ):
        from confluent_kafka.admin import AdminClient

        self.variables = variables
        self.brokers = variables["SLUICE_TEST_KAFKA"]
        self.admin = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0, "reconnect.backoff.max.ms": 500})
        self.own = None  # The producer of produce(): a new one takes half a second until it has an id.

    def name(self, word="t"):
        return f"{word}-{uuid.uuid4().hex[:10]}"

    def topic(self, word="t", partitions=1, name=None, **config):
        """Made and there; `retention_ms=1` is retention.ms."""
        from confluent_kafka.admin import NewTopic

        name = name or self.name(word)
        config = {k.replace("_", "."): str(v) for k, v in config.items()}
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(30)
        return name

    def delete(self, *names):
        self.own = None  # It numbers its messages; a topic made anew knows nothing of them.
        for future in self.admin.delete_topics(list(names)).values():
            future.result(30)

    def producer(self, **config):
        from confluent_kafka import Producer

        return Producer({"bootstrap.servers": self.brokers, "linger.ms": 2, "enable.idempotence": True, "log_level": 0,
                         "reconnect.backoff.max.ms": 500, **{k.replace("_", "."): v for k, v in config.items()}})

    def produce(self, topic, values, partition=-1, key=None, headers=None, timestamp=0):
        """Each value, acknowledged. `key` may be a function of the value. None is a tombstone."""
        self.own = producer = self.own or self.producer()
        failed = []
        for value in values:
            while True:
                try:
                    producer.produce(topic, value, key=key(value) if callable(key) else key, partition=partition, headers=headers,
                                     timestamp=timestamp, on_delivery=lambda e, _: failed.append(e) if e else None)
                    break
                except BufferError:
                    producer.poll(0.1)
        assert producer.flush(60) == 0 and not failed, failed[:3]

    def read(self, topic, isolation="read_committed"):
        """All messages that are there now, by partition."""
        from confluent_kafka import Consumer, TopicPartition

        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": self.name("read"), "enable.auto.commit": False,
                             "enable.partition.eof": True, "isolation.level": isolation, "log_level": 0})
        places = [TopicPartition(topic, p, 0) for p in consumer.list_topics(topic, 10).topics[topic].partitions]
        found, open_ = {p.partition: [] for p in places}, len(places)
        consumer.assign([TopicPartition(topic, p.partition, consumer.get_watermark_offsets(p, 10)[0]) for p in places])
        while open_:
            for message in consumer.consume(1000, 0.1):  # It waits that long for the last of a thousand.
                if message.error():
                    assert message.error().code() == -191, message.error()  # _PARTITION_EOF
                    open_ -= 1
                else:
                    found[message.partition()].append(message)
        consumer.close()
        return found

    def committed(self, group, topic):
        """{partition: (offset, metadata)} of what the group has committed. Asked by hand (OffsetFetch, version 2, all of the
        group): confluent_kafka takes metadata to end with a NUL, which it doesn't, and brings what lies behind it."""
        text = lambda s: struct.pack(">h", len(s.encode())) + s.encode()
        request = struct.pack(">hhi", 9, 2, 1) + text("test") + text(group) + struct.pack(">i", -1)
        until = time.monotonic() + 30
        while True:
            host, port = self.brokers.rsplit(":", 1)
            with socket.create_connection((host, int(port)), timeout=30) as s, s.makefile("rb") as reply:
                s.sendall(struct.pack(">i", len(request)) + request)
                take = lambda form: struct.unpack(">" + form, reply.read(struct.calcsize(">" + form)))
                word = lambda: reply.read(max(take("h")[0], 0)).decode()
                take("ii")
                found = {}
                for _ in range(take("i")[0]):
                    name = word()
                    for _ in range(take("i")[0]):
                        partition, offset = take("iq")
                        found[name, partition] = (offset, word(), take("h")[0])
                error = take("h")[0]
            if error not in (14, 15, 16) or time.monotonic() > until:  # The coordinator isn't there yet.
                break
            time.sleep(0.1)
        assert error == 0 and all(e == 0 for _, _, e in found.values()), (error, found)
        return {p: (offset, metadata) for (name, p), (offset, metadata, _) in found.items() if name == topic}

    def end(self, topic):
        """{partition: next offset}"""
        return {p: m[-1].offset() + 1 if m else 0 for p, m in self.read(topic, "read_uncommitted").items()}

    def pid(self):
        return int(Path(self.variables["SLUICE_TEST_KAFKA_PID"]).read_text())

    def pause(self):
        os.kill(self.pid(), signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid(), signal.SIGCONT)
