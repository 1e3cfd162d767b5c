"""Benchmarks of the daemon on one machine, sender included, with DuckDB on the same file as yardstick.

W1          5,000,000 clickstream events of about 350 bytes in NDJSON bodies of 1,000 over 8 connections
            -> fsynced journal -> zstd Parquet, and one-minute windows with count, sum, unique by type
W2          one event a request over 64 connections; beside it the floor: a server that does nothing but answer
ack         latency of the acknowledgement at an offered 100,000 events/s in bodies of 1,000
visibility  from POST to the event's row in /v1/windows/NAME
partitions  W1 with 500 lake partitions open
x4          W1 with four times the events: 20,000,000 different ones of four hours, made while they are sent
x4_late     W1's file four times: what comes again is late
steady      five minutes of 120,000 events/s whose time is the present: memory, minute by minute
backlog     start with 10 GB in the journal (--backlog GB)
w3          W1 with the lake on S3 and the windows in PostgreSQL (tests/rigs), in turn with W1 on the embedded
            store: the ratio counts
drain       S3 refuses connections while as many files are cut as in two hours (one a minute); then it is back
w4          W1's events wait in a topic of 4 partitions -> Parquet and windows; beside it a consumer that drops them
            (kafka_drop.c), in turn
steps       what contract, set, require, lookup (100,000 users), user_agent, geoip and dedupe add to W1's CPU, alone and
            together

CPU is the daemon's user+sys by /proc/PID/stat from before the first byte until the flush has been
answered, so everything that came in is in Parquet files and in the warehouse. Memory is resident less
file-backed pages, sampled every 20 ms. Results also go to build/bench/results.json.
"""

import argparse
import atexit
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

TOP = pathlib.Path(__file__).resolve().parents[2]
PARTS = ["w1", "w2", "ack", "visibility", "partitions", "x4", "x4_late", "steady", "backlog", "w3", "drain", "steps", "kinesis", "w4"]
TICKS = os.sysconf("SC_CLK_TCK")

SCHEMA = {
    "type": "object",
    "properties": {
        "event_id": {"type": "string"},
        "event_type": {"type": "string"},
        "timestamp": {"type": "string", "format": "date-time"},
        "user_id": {"type": "string"},
        "data": {
            "type": "object",
            "properties": {
                "session_id": {"type": "string"},
                "page_url": {"type": "string"},
                "product_id": {"type": "string"},
                "category": {"type": "string"},
                "amount": {"type": "number"},
                "quantity": {"type": "integer"},
                "location": {
                    "type": "object",
                    "properties": {"country": {"type": "string"}, "city": {"type": "string"}},
                },
            },
        },
    },
    "required": ["event_id", "event_type", "timestamp", "user_id"],
}
# The same columns and types for DuckDB, so that both write the same thing.
DUCKDB_COLUMNS = (
    "{event_id: 'VARCHAR', event_type: 'VARCHAR', timestamp: 'TIMESTAMPTZ', user_id: 'VARCHAR', "
    "data: 'STRUCT(session_id VARCHAR, page_url VARCHAR, product_id VARCHAR, category VARCHAR, "
    "amount DOUBLE, quantity BIGINT, location STRUCT(country VARCHAR, city VARCHAR))'}"
)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def http(url, method="GET", body=None, timeout=120):
    request = urllib.request.Request(url, data=body, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=timeout) as reply:
        return reply.read()


def cpu_of(pid):
    """User and system, s."""
    with open(f"/proc/{pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Daemon:
    """`sluice run` on a directory of its own, and what it uses."""

    def __init__(self, options, name, *, partition_by=(), lake=None, more=None, keep_data=False, outside=None, stream=None):
        self.options = options
        self.environment = {**os.environ, **(outside.variables if outside else {})}
        self.directory = options.work / name
        if not keep_data:
            shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lake = pathlib.Path(lake or self.directory / "lake")
        config = {
            "data_dir": str(self.directory / "data"),
            "memory": options.memory,
            "http": {"listen": f"127.0.0.1:{self.port}"},
            "streams": {
                "clicks": {
                    "schema": SCHEMA,
                    "event_time": "timestamp",
                    "lake": {"to": str(self.lake), **({"partition_by": list(partition_by)} if partition_by else {})},
                }
            },
            "windows": {
                "per_minute": {
                    "of": "clicks",
                    "every": "1m",
                    "by": ["event_type"],
                    "lateness": "10m",
                    "measures": {"events": "count()", "revenue": "sum(data.amount)", "users": "unique(user_id)"},
                }
            },
        }
        config["streams"]["clicks"].update(stream or {})
        if options.workers:
            config["workers"] = options.workers
        config.update(more or {})
        config["http"]["listen"] = f"127.0.0.1:{self.port}"
        if outside:
            config.update(outside.configuration())
            del config["streams"]["clicks"]["lake"]["to"]
        self.config = self.directory / "sluice.yaml"
        self.config.write_text(json.dumps(config, indent=1))
        self.start()

    def start(self):
        self.log = open(self.directory / "daemon.log", "ab")
        began = time.monotonic()
        self.process = subprocess.Popen(
            [self.options.sluice, "run", "-c", str(self.config)], stdout=self.log, stderr=self.log, env=self.environment
        )
        atexit.register(self.process.kill)  # Does nothing to one that has ended.
        self.peak = 0
        self.sampling = True
        self.sampler = threading.Thread(target=self.sample, daemon=True)
        self.sampler.start()
        while True:
            try:
                http(self.url + "/readyz", timeout=5)
                break
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None or time.monotonic() - began > 120:
                    self.fail("is not ready")
                time.sleep(0.005)
        self.ready_s = time.monotonic() - began
        self.ready_memory = self.memory()

    def fail(self, what):
        tail = (self.directory / "daemon.log").read_text(errors="replace")[-2000:]
        sys.exit(f"bench: the daemon {what}:\n{tail}")

    def memory(self):
        """Resident less file-backed, bytes."""
        total = 0
        try:
            with open(f"/proc/{self.process.pid}/status") as f:
                for line in f:
                    if line.startswith(("RssAnon:", "RssShmem:")):
                        total += int(line.split()[1]) * 1024
        except OSError:
            pass
        return total

    def sample(self):
        while self.sampling:
            self.peak = max(self.peak, self.memory())
            time.sleep(0.02)

    def cpu_s(self):
        return cpu_of(self.process.pid)

    def metric(self, name):
        """The sum of a metric's values; `name` may end in labels."""
        text = http(self.url + "/metrics").decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if line.startswith(name) and line[len(name)] in "{ ")

    def audit(self):
        """`sluice audit` on what is out there, after all is delivered."""
        done = subprocess.run([self.options.sluice, "audit", "-c", str(self.config)], env=self.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(f"bench: audit has findings:\n{done.stdout[-2000:]}")

    def flush(self):
        http(self.url + "/v1/flush", "POST", b"", timeout=600)

    def stop(self):
        self.sampling = False
        self.sampler.join()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.fail("did not stop within 60 s")
        if code != 0:
            self.fail(f"ended with {code}")

    def remove(self):
        if not self.options.keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def parquet(self):
        return [p for p in self.lake.rglob("*.parquet") if p.is_file()]


def generate(options, daemon, events, batch, connections, rate=0, file=None, kinesis=False, hours=0):
    """Sends events of the prepared file, or makes them, of so many hours; the sender's own figures."""
    summary = daemon.directory / "sent.json"
    source = ["clickstream", "--seed", "1", "--event-hours", str(hours)] if hours else ["--file", str(file or options.file)]
    command = [options.sluice, "generate", *source, "--count", str(events)]
    path = f"kinesis://127.0.0.1:{daemon.port}/clicks" if kinesis else daemon.url + "/v1/events/clicks"
    command += ["--to", path, "--batch", str(batch)]
    command += ["--connections", str(connections), "--no-progress", "--summary", str(summary)]
    if rate:
        command += ["--rate", str(rate)]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if result.returncode != 0:
        sys.exit(f"bench: {' '.join(command)} failed:\n{result.stderr}")
    return json.loads(summary.read_text())


def rows_in(options, files):
    """Rows by the files' footers, read by another reader."""
    if not files:
        return 0
    import pyarrow.parquet

    return sum(pyarrow.parquet.ParquetFile(f).metadata.num_rows for f in files)


class Outside:
    """A prefix of the S3 rig's bucket and a schema in the PostgreSQL rig, both of one run alone."""

    servers = None
    runs = 0

    def __init__(self, proxied=False):
        sys.path.insert(0, str(TOP / "tests" / "integration"))
        import rigs

        self.rigs = rigs
        if Outside.servers is None:
            Outside.servers = rigs.own("s3", "postgres")
        self.variables = Outside.servers.variables
        Outside.runs += 1
        self.name = f"run{Outside.runs}"
        self.url = self.variables["SLUICE_TEST_PG"]
        rigs.psql(self.url, f"CREATE SCHEMA {self.name}")
        self.s3 = rigs.S3(self.variables, prefix=f"{self.name}/")
        self.proxy = rigs.Proxy(self.s3.host) if proxied else None
        self.options = f"?options=-csearch_path%3D{self.name}&sslmode=disable"

    def configuration(self):
        return {
            "lake": {"to": self.s3.url, **({"max_age": "500ms"} if self.proxy else {})},
            "s3": {"endpoint": f"http://{self.proxy.address if self.proxy else self.s3.host}", "path_style": True},
            "warehouse": {"postgres": {"url": self.url + self.options}},
        }

    def objects(self):
        """(key, bytes) of the lake's objects."""
        return [(k, n) for k, n in self.s3.list(self.s3.bucket, self.s3.prefix) if k.endswith(".parquet")]

    def rows(self, objects):
        """Rows of the lake by another reader, and events in the windows."""
        import io

        import pyarrow.parquet

        lake = sum(pyarrow.parquet.ParquetFile(io.BytesIO(self.s3.get(self.s3.bucket, k))).metadata.num_rows
                   for k, _ in objects)
        return lake, int(self.rigs.psql(self.url + self.options, "SELECT sum(events) FROM per_minute")[0][0])

    def remove(self):
        if self.proxy:
            self.proxy.close()
        for key, _ in self.s3.list(self.s3.bucket, self.s3.prefix):
            self.s3.delete(self.s3.bucket, key)


class Profile:
    """perf record around a run, where asked for."""

    def __init__(self, options, daemon, name):
        self.process = None
        self.data = options.work / f"{name}.perf"
        if options.profile:
            self.process = subprocess.Popen(
                ["perf", "record", "-q", "-F", "499", "-g", "-p", str(daemon.process.pid), "-o", str(self.data)]
            )
            time.sleep(0.5)

    def end(self):
        if not self.process:
            return
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        text = subprocess.run(
            ["perf", "report", "-i", str(self.data), "--no-children", "-g", "none", "--stdio", "--percent-limit", "0.7"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ).stdout
        print("\n".join(line for line in text.splitlines() if line and not line.startswith("#"))[:6000])


def throughput(options, name, events, batch, connections, *, files=None, file_of=None, outside=None, kinesis=False, hours=0, **daemon_options):
    """Start, send, flush, stop: one line of figures."""
    daemon = Daemon(options, name, outside=outside, **daemon_options)
    cpu = daemon.cpu_s()
    profile = Profile(options, daemon, name)
    began = time.monotonic()
    sent = 0
    total = {"cpu_s": 0.0, "wall_s": 0.0}
    figures = {}
    for file, count in files or [(file_of or options.file, events)]:
        figures = generate(options, daemon, count, batch, connections, file=file, kinesis=kinesis, hours=hours)
        sent += figures["sent"]
        total["cpu_s"] += figures["cpu_s"]
        total["wall_s"] += figures["wall_s"]
    daemon.flush()
    wall = time.monotonic() - began
    used = daemon.cpu_s() - cpu
    profile.end()
    daemon.stop()
    if outside:
        objects = outside.objects()
        rows, counted = outside.rows(objects)
        sizes = [n for _, n in objects]
        daemon.audit()
        outside.remove()
    else:
        parquet = daemon.parquet()
        rows, counted = rows_in(options, parquet), sent
        sizes = [p.stat().st_size for p in parquet]
    if rows != sent or counted != sent:
        sys.exit(f"bench: {sent} events were sent, {rows} rows are in the lake, {counted} events in the windows")
    result = {
        "events": sent,
        "events_per_s": sent / total["wall_s"],
        "events_per_s_with_flush": sent / wall,
        "cpu_s_per_million": used / sent * 1e6,
        "sender_cpu_s_per_million": total["cpu_s"] / sent * 1e6,
        "peak_memory_mib": daemon.peak / 2**20,
        "p50_ms": figures["p50_ms"],
        "p99_ms": figures["p99_ms"],
        "p999_ms": figures["p999_ms"],
        "output_bytes": sum(sizes),
        "output_files": len(sizes),
    }
    daemon.remove()
    return result


def duckdb_copy(options):
    """DuckDB's COPY of the same file in a process of its own; CPU by wait4."""
    target = options.work / "duckdb.parquet"
    code = (
        "import duckdb, sys\n"
        "c = duckdb.connect()\n"
        "c.execute('SET threads = 2; SET enable_progress_bar = false')\n"
        f"c.execute(\"\"\"COPY (SELECT * FROM read_json('{options.file}', format = 'newline_delimited', "
        f"columns = {DUCKDB_COLUMNS})) TO '{target}' (FORMAT parquet, COMPRESSION zstd)\"\"\")\n"
    )
    began = time.monotonic()
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", code], dict(os.environ))
    _, status, usage = os.wait4(pid, 0)
    if status != 0:
        sys.exit("bench: DuckDB failed")
    result = {
        "cpu_s_per_million": (usage.ru_utime + usage.ru_stime) / options.events * 1e6,
        "wall_s": time.monotonic() - began,
        "peak_memory_mib": usage.ru_maxrss / 1024,
        "output_bytes": target.stat().st_size,
    }
    target.unlink()
    return result


def run_floor(options):
    """W2's requests to a server that does nothing but answer (responder.c): what this machine's sockets cost."""
    program = options.work / "responder"
    subprocess.run(["cc", "-O2", "-o", str(program), str(TOP / "tests/bench/responder.c")], check=True)
    with subprocess.Popen([program], stdout=subprocess.PIPE, text=True) as server:
        daemon = argparse.Namespace(url=f"http://127.0.0.1:{server.stdout.readline().split()[1]}", directory=options.work)
        figures = generate(options, daemon, min(options.requests, options.events), 1, 64)
        cpu = cpu_of(server.pid)
        server.kill()
    return {"events_per_s": figures["events_per_s"], "cpu_s_per_million": cpu / figures["sent"] * 1e6,
            "p50_ms": figures["p50_ms"], "p99_ms": figures["p99_ms"]}


def run_ack(options):
    daemon = Daemon(options, "ack")
    figures = generate(options, daemon, min(options.events, 1000000), 1000, 8, rate=100000)
    daemon.stop()
    daemon.remove()
    return {k: figures[k] for k in ("events_per_s", "p50_ms", "p99_ms", "p999_ms", "max_ms")}


def run_steady(options):
    daemon = Daemon(options, "steady")
    peaks = {}
    for minute in range(1, 6):
        daemon.peak = 0
        command = [options.sluice, "generate", "clickstream", "--now", "--rate", "120000", "--duration", "60s", "--to", daemon.url + "/v1/events/clicks"]
        subprocess.run(command + ["--connections", "8", "--batch", "1000", "--no-progress"], check=True, stderr=subprocess.DEVNULL)
        peaks[f"peak_memory_mib_minute_{minute}"] = daemon.peak / 2**20
    daemon.stop()
    daemon.remove()
    return peaks


def run_visibility(options):
    """A new group each time, so that its first appearance is the event's."""
    daemon = Daemon(options, "visibility")
    waits = []
    for i in range(options.probes):
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        event = {"event_id": f"p{i}", "event_type": f"probe-{i:05d}", "timestamp": now, "user_id": "u"}
        began = time.monotonic()
        http(daemon.url + "/v1/events/clicks", "POST", json.dumps(event).encode())
        wanted = f"probe-{i:05d}".encode()
        while wanted not in http(daemon.url + "/v1/windows/per_minute"):
            if time.monotonic() - began > 30:
                sys.exit("bench: an event isn't in /v1/windows/per_minute after 30 s")
            time.sleep(0.002)
        waits.append((time.monotonic() - began) * 1000)
    daemon.stop()
    daemon.remove()
    waits.sort()
    return {"p50_ms": waits[len(waits) // 2], "p99_ms": waits[int(len(waits) * 0.99)], "max_ms": waits[-1]}


def run_backlog(options):
    """A lake that can't be reached and a small spool: the pipeline stops, the journal grows."""
    empty = Daemon(options, "empty")
    empty_ready, empty_memory = empty.ready_s, empty.ready_memory
    empty.stop()
    empty.remove()
    blocked = options.work / "not-a-directory"
    blocked.write_text("")
    daemon = Daemon(
        options, "backlog", lake=blocked / "lake",
        more={"spool": {"quota": "8MiB"}, "journal": {"quota": f"{options.backlog + 5}GiB"}},
    )
    sent, size, journal = 0, 0, daemon.directory / "data" / "journal"
    limit = options.backlog * 10**9
    while size < limit:
        # Up to 1 GiB is cut before the spool is full, and leaves the journal again.
        if sent * 300 > limit + 4 * 2**30:
            sys.exit(f"bench: the journal doesn't grow ({size} bytes after {sent} events)")
        generate(options, daemon, options.events, 1000, 8)
        sent += options.events
        size = sum(p.stat().st_blocks * 512 for p in journal.rglob("*") if p.is_file())
    daemon.sampling = False
    daemon.process.kill()
    daemon.process.wait()
    daemon.start()
    result = {
        "journal_gb": size / 1e9,
        "ready_s": daemon.ready_s,
        "ready_s_empty": empty_ready,
        "memory_mib": daemon.ready_memory / 2**20,
        "memory_mib_empty": empty_memory / 2**20,
    }
    daemon.sampling = False
    daemon.process.kill()
    daemon.process.wait()
    daemon.remove()
    return result


def run_w3(options, median):
    """In turn with the embedded store, so that both have the same neighbours; each counts with its median."""
    embedded, outside = [], []
    for _ in range(options.runs):
        embedded.append(throughput(options, "w3-embedded", options.events, 1000, 8))
        outside.append(throughput(options, "w3", options.events, 1000, 8, outside=Outside()))
    result, beside = median(outside), median(embedded)
    for name in ("cpu_s_per_million", "peak_memory_mib", "events_per_s_with_flush"):
        result[name + "_embedded"] = beside[name]
    result["cpu_ratio"] = result["cpu_s_per_million"] / beside["cpu_s_per_million"]
    result["cpu_ratio_of_each_pair"] = ", ".join(
        f"{o['cpu_s_per_million'] / e['cpu_s_per_million']:.3f}" for o, e in zip(outside, embedded))
    return result


def agents():
    """User agents as they come: few often, many seldom."""
    systems = ["Windows NT 10.0; Win64; x64", "X11; Linux x86_64", "Macintosh; Intel Mac OS X 10_15_7", "Linux; Android 13; Pixel 7",
               "iPhone; CPU iPhone OS 16_5 like Mac OS X"]
    chrome = [f"Mozilla/5.0 ({s}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{v}.0.{v * 37}.{v % 90} Safari/537.36"
              for v in range(80, 120) for s in systems]
    return chrome + [f"Mozilla/5.0 ({s}; rv:{v}.0) Gecko/20100101 Firefox/{v}.0" for v in range(80, 120) for s in systems[:3]]


def steps_events(options, count):
    """W1's events, each with an address and a user agent."""
    path = options.work / f"steps-{count}.ndjson"
    if path.exists():
        return path
    names, state = agents(), 1
    with open(options.file, "rb") as source, open(path, "wb") as out:
        for i, line in enumerate(source):
            if i == count:
                break
            state = state * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
            address = f"{2 + (state >> 40) % 200}.{(state >> 48) % 16}.{(state >> 52) % 8}.{(state >> 56) % 16}"
            agent = names[min((state >> 33) % 320, (state >> 24) % 320)]
            out.write(line.rstrip()[:-1] + f',"ip":"{address}","agent":"{agent}"}}\n'.encode())
    return path


def run_steps(options):
    """What each step adds to W1's CPU, and all together, on one file; the database of addresses is the reference's test file,
    where it lies beside the checkout."""
    count = min(options.events, 1000000)
    file = steps_events(options, count)
    users = options.work / "users.csv"
    users.write_text("user_id,name,age,plan,since\n" + "".join(
        f"user{i:06},Name {i},{18 + i % 60},{('free', 'plus', 'pro')[i % 3]},2024-01-{1 + i % 28:02}\n" for i in range(100000)))
    plain = {**SCHEMA, "properties": {**SCHEMA["properties"], "ip": {"type": "string"}, "agent": {"type": "string"}}}
    strict = json.loads(json.dumps(plain))
    strict["properties"]["event_type"]["minLength"] = 3
    strict["properties"]["user_id"]["pattern"] = "^user[0-9]{6}$"
    strict["properties"]["data"]["properties"]["amount"]["minimum"] = 0
    strict["properties"]["data"]["properties"]["quantity"].update({"minimum": 0, "maximum": 1000})
    database = pathlib.Path(os.environ.get("SLUICE_SHARED_DATA", TOP.parent / "shared" / "data")) / "geoip" / "GeoIP2-City-Test.mmdb"
    parts = {
        "set": [{"set": {"large": "data.amount > 500.0"}}],
        "require": [{"require": {"user_id": 'user_id != ""'}}],
        "lookup": [{"lookup": {"table": "users", "on": "user_id", "into": "user"}}],
        "user_agent": [{"user_agent": {"from": "agent", "into": "device"}}],
    }
    if database.exists():
        parts["geoip"] = [{"geoip": {"ip": "ip", "database": str(database), "into": "geo"}}]
    more = {"lookups": {"users": {"csv": str(users), "key": "user_id"}}}

    def cpu(name, **stream):
        runs = [throughput(options, "steps-" + name, count, 1000, 8, file_of=file, more=more, stream={"schema": plain, **stream})
                for _ in range(options.runs)]
        return min(r["cpu_s_per_million"] for r in runs)

    base = cpu("none")
    result = {"cpu_s_per_million_without": base, "cpu_s_per_million_contract": cpu("contract", schema=strict)}
    for name, steps in parts.items():
        result[f"cpu_s_per_million_{name}"] = cpu(name, steps=steps)
    result["cpu_s_per_million_all"] = cpu("all", schema=strict, steps=sum(parts.values(), []))
    result["ratio_all"] = result["cpu_s_per_million_all"] / base
    result["cpu_s_per_million_dedupe"] = cpu("dedupe", id="event_id", dedupe="24h")
    result["dedupe_ns_per_event"] = (result["cpu_s_per_million_dedupe"] - base) * 1000
    return result


def topic_of(options):
    """A broker of its own with W1's events in 4 partitions."""
    sys.path.insert(0, str(TOP / "tests" / "integration"))
    import rigs

    os.environ.setdefault("SLUICE_RIG_KAFKA_JVM", "-XX:+UseG1GC")
    rig = rigs.own("kafka")
    kafka = rigs.Kafka(rig.variables)
    topic = kafka.topic("w4", 4)
    with open(options.file, "rb") as source:
        feed = subprocess.Popen(["head", "-n", str(options.events)], stdin=source, stdout=subprocess.PIPE)
        subprocess.run(["kcat", "-P", "-b", kafka.brokers, "-t", topic, "-X", "linger.ms=20", "-X", "sticky.partitioning.linger.ms=0"],
                       stdin=feed.stdout, check=True)
    return rig, kafka.brokers, topic


def drain_topic(options, brokers, topic):
    """The daemon's figures from its first message to the answered flush, its rate to the last message."""
    source = {"kafka": {"brokers": brokers, "topics": [topic], "group": f"w4-{time.time():.0f}"}}
    daemon = Daemon(options, "w4", more={"sources": {"topic": source}}, stream={"from": ["topic"]})
    cpu, began = daemon.cpu_s(), 0
    profile = Profile(options, daemon, "w4")
    while (count := daemon.metric("sluice_kafka_messages_total")) < options.events:
        began = began or (time.monotonic() if count else 0)
        time.sleep(0.05 if began else 0.005)
    wall = time.monotonic() - began
    daemon.flush()
    used = daemon.cpu_s() - cpu
    profile.end()
    daemon.audit()
    daemon.stop()
    rows = rows_in(options, daemon.parquet())
    if rows != options.events:
        sys.exit(f"bench: {options.events} events were in the topic, {rows} rows are in the lake")
    result = {"events_per_s": options.events / wall, "cpu_s_per_million": used / options.events * 1e6,
              "peak_memory_mib": daemon.peak / 2**20}
    daemon.remove()
    return result


def run_w4(options, median):
    """In turn with the bare consumer, so that both have the same neighbours; each counts with its median."""
    program = options.work / "kafka_drop"
    subprocess.run(["cc", "-O2", "-o", str(program), str(TOP / "tests/bench/kafka_drop.c"), "-lrdkafka"], check=True)
    rig, brokers, topic = topic_of(options)
    bare, ours = [], []
    for _ in range(options.runs):
        done = subprocess.run([str(program), brokers, topic, str(options.events)], stdout=subprocess.PIPE, check=True)
        bare.append(json.loads(done.stdout))
        ours.append(drain_topic(options, brokers, topic))
    rig.down()
    result, beside = median(ours), median(bare)
    for name in ("cpu_s_per_million", "events_per_s"):
        result[name + "_bare"] = beside[name]
    result["rate_ratio"] = result["events_per_s"] / beside["events_per_s"]
    return result


def run_drain(options):
    """A file each 500 ms for 70 s: at least as many as two hours make by the default of one a minute."""
    outside = Outside(proxied=True)
    outside.proxy.set(refuse=True)
    daemon = Daemon(options, "drain", outside=outside)
    sent = generate(options, daemon, options.events, 1000, 8, rate=options.events / 70)["sent"]
    time.sleep(2)  # The last file is cut.
    delivered = 'sluice_sent_events_total{table="clicks/lake"}'
    if daemon.metric(delivered) != 0:
        sys.exit("bench: something was delivered while S3 was away")
    spool = daemon.metric('sluice_buffer_byte_size{buffer="spool"}')
    files = sum(1 for p in (daemon.directory / "data" / "spool").rglob("*") if p.is_file())
    oldest = daemon.metric('sluice_oldest_uncommitted_seconds')
    away, cpu = daemon.peak, daemon.cpu_s()
    daemon.peak = 0
    outside.proxy.clear()
    began = time.monotonic()
    first = None
    while (now := daemon.metric(delivered)) < sent:
        if now > 0 and first is None:
            first = time.monotonic()
        if time.monotonic() - began > 300:
            sys.exit(f"bench: {now:,.0f} of {sent} events are delivered after 300 s")
        time.sleep(0.02)
    end = time.monotonic()
    drained, used = daemon.peak, daemon.cpu_s() - cpu
    daemon.flush()
    daemon.stop()
    objects = outside.objects()
    rows, counted = outside.rows(objects)
    if rows != sent or counted != sent:
        sys.exit(f"bench: {sent} events were sent, {rows} rows are in the lake, {counted} events in the windows")
    daemon.audit()
    outside.remove()
    result = {
        "events": sent,
        "files_waiting": files,
        "spool_bytes": spool,
        "oldest_s": oldest,
        "peak_memory_away_mib": away / 2**20,
        "peak_memory_drain_mib": drained / 2**20,
        "wait_s": (first or end) - began,
        "drain_s": end - (first or end),
        "drain_cpu_s": used,
        "output_files": len(objects),
    }
    daemon.remove()
    return result


def with_500_partitions(options):
    """The same events without those of all but 25 countries: by 20 types, 500 partitions."""
    path = options.work / f"clickstream-{options.events}-500.ndjson"
    counted = path.with_suffix(".count")
    if not counted.exists():
        kept, count = set(), 0
        country = re.compile(rb'"country":"(..)"')
        with open(options.file, "rb") as read, open(path, "wb") as write:
            for line in read:
                name = country.search(line)[1]
                if name in kept or len(kept) < 25:
                    kept.add(name)
                    count += 1
                    write.write(line)
        counted.write_text(str(count))
    return path, int(counted.read_text())


def run_partitions(options):
    result = throughput(options, "partitions", 0, 1000, 8, files=[with_500_partitions(options)],
                        partition_by=["event_type", "data.location.country"])
    return result


def run_kinesis(options, median):
    """W1's events by the Kinesis API: PutRecords of 500 records in Base64, without signatures, and with them."""
    keys = {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

    def one(name, **more):
        return throughput(options, name, options.events, 500, 8, kinesis=True, **more)

    before = {name: os.environ.pop(name, None) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    result = median([one("kinesis") for _ in range(options.runs)])
    os.environ.update(AWS_ACCESS_KEY_ID=keys["access_key_id"], AWS_SECRET_ACCESS_KEY=keys["secret_access_key"])
    more = {"http": {"auth": {"tokens": ["bench"], "aws_keys": [keys]}}}
    result["cpu_s_per_million_signed"] = median([one("kinesis", more=more) for _ in range(options.runs)])["cpu_s_per_million"]
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value
    return result


def prepare(options):
    """The event file, made once."""
    options.work.mkdir(parents=True, exist_ok=True)
    options.file = options.work / f"clickstream-{options.events}.ndjson"
    if not options.file.exists():
        part = options.file.with_suffix(".part")
        command = [options.sluice, "generate", "clickstream", "--seed", "1", "--count", str(options.events)]
        subprocess.run(command + ["--to", str(part)], check=True)
        part.rename(options.file)
    # Into the page cache, so that no run pays for the disk.
    with open(options.file, "rb", buffering=0) as f:
        while f.read(1 << 22):
            pass


def show(name, result):
    print(f"\n{name}")
    for key, value in result.items():
        text = f"{value:,.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
        print(f"  {key:<28} {text}")
    sys.stdout.flush()


def targets(r):
    """(figure, value, limit, unit, smaller is better)"""
    rows = []

    def add(name, value, limit, smaller=True):
        rows.append((name, value, limit, smaller))

    if "w1" in r:
        w1 = r["w1"]
        add("W1 CPU, s per million events", w1["cpu_s_per_million"], 1.0)
        add("W1 rate, events/s", w1["events_per_s"], 1e6, False)
        add("W1 peak memory, MiB", w1["peak_memory_mib"], 256)
        if "duckdb" in r:
            add("W1 CPU / DuckDB's", w1["cpu_s_per_million"] / r["duckdb"]["cpu_s_per_million"], 0.4)
            add("W1 output / DuckDB's", w1["output_bytes"] / r["duckdb"]["output_bytes"], 1.03)
    if "w1" in r and "x4" in r:
        add("x4: MiB more than W1", r["x4"]["peak_memory_mib"] - r["w1"]["peak_memory_mib"], 16)
    for name in ("x4", "x4_late", "partitions"):
        if name in r:
            add(f"{name}: peak memory, MiB", r[name]["peak_memory_mib"], 256)
    if "w2" in r:
        add("W2 CPU, s per million requests", r["w2"]["cpu_s_per_million"], 11)
        add("W2 rate, requests/s", r["w2"]["events_per_s"], 60000, False)
    if "ack" in r:
        add("ack p99 at 100,000 events/s, ms", r["ack"]["p99_ms"], 10)
    if "visibility" in r:
        add("POST to /v1/windows, p99, ms", r["visibility"]["p99_ms"], 1000)
    if "w3" in r:
        add("W3 CPU / W1's in the same run", r["w3"]["cpu_ratio"], 1.15)
        add("W3 peak memory, MiB", r["w3"]["peak_memory_mib"], 256)
    if "w4" in r:
        add("W4 CPU, s per million messages", r["w4"]["cpu_s_per_million"], 1.2)
        add("W4 rate / the bare consumer's", r["w4"]["rate_ratio"], 0.6, False)
        add("W4 peak memory, MiB", r["w4"]["peak_memory_mib"], 256)
    if "drain" in r:
        add("drain: peak memory, MiB", r["drain"]["peak_memory_drain_mib"], 256)
        add("drain: MiB more than while S3 is away",
            r["drain"]["peak_memory_drain_mib"] - r["drain"]["peak_memory_away_mib"], 16)
    if "steps" in r:
        add("W1 with contract and all steps / without", r["steps"]["ratio_all"], 2)
        add("dedupe, ns per event", r["steps"]["dedupe_ns_per_event"], 150)
    if "kinesis" in r:
        add("PutRecords of 500, CPU, s per million", r["kinesis"]["cpu_s_per_million"], 2.0)
    if "backlog" in r:
        add("start with a backlog, s", r["backlog"]["ready_s"], 2)
        add("memory then, MiB more than without", r["backlog"]["memory_mib"] - r["backlog"]["memory_mib_empty"], 16)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=PARTS, help="run this part (again for more); default: w1 w2 ack visibility")
    parser.add_argument("--all", action="store_true", help="every part")
    parser.add_argument("--events", type=int, default=5000000, help="events of W1 (%(default)s)")
    parser.add_argument("--requests", type=int, default=500000, help="requests of W2 (%(default)s)")
    parser.add_argument("--probes", type=int, default=200, help="events of visibility (%(default)s)")
    parser.add_argument("--backlog", type=int, default=10, help="GB in the journal (%(default)s)")
    parser.add_argument("--runs", type=int, default=1, help="runs of w1, w2, w3 and kinesis; the one with the median CPU counts")
    parser.add_argument("--workers", type=int, help="the daemon's workers")
    parser.add_argument("--memory", default="256MiB", help="the daemon's budget (%(default)s)")
    parser.add_argument("--no-duckdb", action="store_true")
    parser.add_argument("--profile", action="store_true", help="perf record of w1 and w2 (its cost is in the figures)")
    parser.add_argument("--keep", action="store_true", help="keep the daemons' directories")
    parser.add_argument("--work", type=pathlib.Path, default=TOP / "build" / "bench")
    options = parser.parse_args()
    options.work = options.work.resolve()
    options.sluice = os.environ.get("SLUICE_BIN", str(TOP / "build/release/src/app/sluice"))
    parts = PARTS if options.all else options.only or ["w1", "w2", "ack", "visibility"]
    prepare(options)

    def median(results):
        return sorted(results, key=lambda r: r["cpu_s_per_million"])[len(results) // 2]

    def repeated(*arguments):
        return median([throughput(options, *arguments) for _ in range(options.runs)])

    makers = {
        "w1": lambda: repeated("w1", options.events, 1000, 8),
        "w2": lambda: repeated("w2", min(options.requests, options.events), 1, 64),
        "ack": lambda: run_ack(options),
        "visibility": lambda: run_visibility(options),
        "partitions": lambda: run_partitions(options),
        "x4": lambda: throughput(options, "x4", 4 * options.events, 1000, 8, hours=4),
        "x4_late": lambda: throughput(options, "x4_late", 0, 1000, 8, files=[(options.file, options.events)] * 4),
        "steady": lambda: run_steady(options),
        "backlog": lambda: run_backlog(options),
        "w3": lambda: run_w3(options, median),
        "drain": lambda: run_drain(options),
        "steps": lambda: run_steps(options),
        "kinesis": lambda: run_kinesis(options, median),
        "w4": lambda: run_w4(options, median),
    }
    results = {"load_average_before": os.getloadavg()[0], "processors": os.cpu_count()}
    print(f"{options.events:,} events in {options.file.name}, {options.file.stat().st_size / 1e9:.2f} GB; "
          f"load average before: {results['load_average_before']:.1f} on {results['processors']} processors")
    for name in parts:
        results[name] = makers[name]()
        show(name, results[name])
    if "w2" in parts:
        results["floor"] = run_floor(options)
        show("floor", results["floor"])
    if "w1" in parts and not options.no_duckdb:
        results["duckdb"] = duckdb_copy(options)
        show("duckdb", results["duckdb"])

    table = targets(results)
    print(f"\n{'figure':<38} {'measured':>14} {'target':>14}")
    missed = 0
    for name, value, limit, smaller in table:
        good = value <= limit if smaller else value >= limit
        missed += not good
        sign = "<=" if smaller else ">="
        print(f"{name:<38} {value:>14,.2f} {sign + f' {limit:,.4g}' if limit < 1e4 else sign + f' {limit:,.0f}':>14}  {'met' if good else 'MISSED'}")
    results["targets"] = [
        {"figure": n, "value": v, "limit": l, "met": (v <= l) == s or v == l} for n, v, l, s in table
    ]
    path = options.work / "results.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"\n{len(table) - missed} of {len(table)} targets met; figures in {path}")


if __name__ == "__main__":
    main()
