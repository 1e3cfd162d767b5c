#!/usr/bin/env python3
"""Who may know whom: every #include line under src/ and include/ against the rules of docs/architecture.md.

  - core knows the C library alone; event knows core.
  - A stage knows core, event and its own contract, never another stage. What goes beyond that stands in KNOWS with its reason.
  - app knows everything.
  - Libraries that do I/O, and the system's own calls, belong to io (LIBRARIES, SYSTEM). Libraries that only compute
    belong to the folders that use them. jansson reads stored schemas and replies of services, never events.
  - A private header stays in its folder.

Tests and benchmarks beside the code may use what they compare with; private headers hold for them too. A permission that
nobody uses any more fails as well, so the lists stay true."""

import os
import re
import sys
from pathlib import Path

TOP = Path(os.environ.get("SLUICE_TOP") or Path(__file__).resolve().parents[2])

# The folder whose contract a public header is.
OWNERS = {
    "core": "buffer csv files hash memory message metrics power ring status text_cache time utf8",
    "event": "batch enrich messages schema value",
    "intake/aws": "aws_intake firehose_intake",
    "intake/http": "http http_intake",
    "intake/file": "tail",
    "log/journal": "journal",
    "decode": "decode",
    "steps/contract": "contract",
    "steps/dedupe": "dedupe",
    "steps/expression": "expression",
    "steps/geoip": "geoip",
    "steps/lookup": "lookup",
    "steps/pipeline": "steps",
    "steps/user_agent": "user_agent",
    "window": "window",
    "encode/ndjson": "ndjson",
    "encode/parquet": "parquet",
    "encode/rows": "rows",
    "checkpoint": "checkpoint",
    "sinks/lake": "lake object_store",
    "sinks/topic": "topic",
    "sinks/warehouse/sqlite": "warehouse",
    "sinks/warehouse/sql": "warehouse_sql",
    "sinks/warehouse/postgres": "postgres_target",
    "sinks/warehouse/redshift": "redshift",
    "io": "http_client http_server io_files loop postgres sql timer",
    "io/aws": "aws",
    "io/kafka": "kafka",
    "admin": "admin",
    "app": "audit audit_remote daemon replay config data engine generate intake kafka_intake kafka_log target trial watch",
}
OWNER = {name + ".h": folder for folder, names in OWNERS.items() for name in names.split()}

# (folder, header of another folder) -> why it may.
KNOWS = {
    ("steps/pipeline", "geoip.h"): "a step asks it",
    ("steps/pipeline", "lookup.h"): "a step asks it",
    ("steps/pipeline", "user_agent.h"): "a step asks it",
    ("steps/lookup", "decode.h"): "a line of NDJSON is JSON by the rules that events obey",
    ("steps/pipeline", "expression.h"): "conditions and values are expressions",
    ("window", "expression.h"): "conditions and arguments of measures are expressions, used as a library",
    ("intake/http", "intake.h"): "the port through which requests reach the engine",
    ("intake/http", "decode.h"): "a CloudEvent's data is JSON by the rules that events obey",
    ("intake/aws", "intake.h"): "the port through which requests reach the engine",
    ("intake/aws", "http.h"): "its requests come by HTTP",
    ("intake/aws", "aws.h"): "signatures are checked as they are made",
    ("intake/file", "io_files.h"): "who a file of others is, and which there are",
    ("io", "http.h"): "the server moves bytes for the connection's state machine",
    ("io", "value.h"): "SQL cells are values",
    ("io/aws", "io_files.h"): "reads ~/.aws and token files",
    ("io/aws", "http_client.h"): "asks the services that hand out credentials",
    ("admin", "http.h"): "its pages are replies",
    ("checkpoint", "sql.h"): "the port of the database that the ledger is",
    ("sinks/lake", "checkpoint.h"): "delivers files of outbox entries",
    ("sinks/lake", "target.h"): "S3's is one",
    ("sinks/lake", "http_client.h"): "the port to S3",
    ("sinks/lake", "aws.h"): "signs what it asks of S3",
    ("sinks/lake", "timer.h"): "pauses between tries",
    ("sinks/topic", "kafka.h"): "the port to the brokers",
    ("sinks/topic", "rows.h"): "messages reach it as row files",
    ("sinks/topic", "target.h"): "is one",
    ("sinks/warehouse/sqlite", "checkpoint.h"): "delivers outbox entries, through the SQL port that it brings along",
    ("sinks/warehouse/sqlite", "window.h"): "merges stored states with deltas, under the load's lock",
    ("sinks/warehouse/sql", "checkpoint.h"): "which parts of other logs' partitions a load may bring",
    ("sinks/warehouse/sql", "window.h"): "tables of windows, and merging their stored states",
    ("sinks/warehouse/sql", "rows.h"): "tables of row files' columns",
    ("sinks/warehouse/postgres", "warehouse_sql.h"): "what SQL warehouses share",
    ("sinks/warehouse/postgres", "warehouse.h"): "audit's facts are the embedded warehouse's",
    ("sinks/warehouse/postgres", "postgres.h"): "the port of the server",
    ("sinks/warehouse/postgres", "target.h"): "is one",
    ("sinks/warehouse/postgres", "rows.h"): "entries reach a warehouse as row files",
    ("sinks/warehouse/redshift", "warehouse_sql.h"): "what SQL warehouses share",
    ("sinks/warehouse/redshift", "warehouse.h"): "audit's facts are the embedded warehouse's",
    ("sinks/warehouse/redshift", "object_store.h"): "rows are staged in S3",
    ("sinks/warehouse/redshift", "parquet.h"): "as Parquet",
    ("sinks/warehouse/redshift", "target.h"): "is one",
    ("sinks/warehouse/redshift", "timer.h"): "slices and pauses",
    ("sinks/warehouse/redshift", "postgres.h"): "the port of the server, which speaks PostgreSQL's protocol",
    ("sinks/warehouse/sqlite", "rows.h"): "entries reach a warehouse as row files",
}

# Third-party header -> folders, and why there.
LIBRARIES = {
    "uv.h": (["io"], "I/O"),
    "openssl/": (["io", "steps/pipeline/digest.c", "intake/aws/kpl.c"], "I/O; a hash of personal data; the checksum of aggregated records"),
    "sqlite3.h": (["io"], "I/O"),
    "curl/": (["io"], "I/O"),
    "libpq-fe.h": (["io"], "I/O"),
    "librdkafka/": (["io"], "I/O"),
    "jansson.h": (["event/schema_stored.c", "app/generate_kinesis.c", "app/replay/replay.c", "io/aws/replies.c", "io/kafka/statistics.c", "sinks/warehouse/redshift/iam.c", "app/watch"],
                  "reads stored schemas and replies of services, or of a daemon; never events"),
    "yaml.h": (["app/configuration", "steps/user_agent/read.c"], "reads the configuration; regexes.yaml"),
    "pcre2.h": (["steps/contract/regex.c", "steps/expression", "steps/user_agent"], "computes: regular expressions"),
    "llhttp.h": (["intake/http"], "computes: bytes to parts of a request"),
    "zlib.h": (["intake/http", "encode/parquet"], "computes: body codings, page checksums"),
    "zstd.h": (["intake/http", "encode/parquet", "encode/ndjson"], "computes: body codings, page codec, records as they came"),
    "zstd_errors.h": (["intake/http"], "computes"),
    "snappy-c.h": (["encode/parquet"], "computes: page codec"),
    "xxhash.h": (["core", "event/value.c", "window", "encode/parquet"], "computes: hashes that must be inlined into the loops"),
}

C_LIBRARY = set(
    "assert ctype errno float inttypes limits locale math setjmp signal stdalign stdarg stdatomic stdbool stddef"
    " stdint stdio stdlib stdnoreturn string strings threads time pthread sched".split()
)
INTRINSICS = {"immintrin.h", "emmintrin.h", "nmmintrin.h", "cpuid.h"}
# The system's files, sockets and clocks: io's and app's; elsewhere by name.
SYSTEM = {
    ("core", "unistd.h"): "one write() of a log line to stderr",
}

TEST = re.compile(r"(_test|_bench|_testing|_test_help)\.[ch]$|^http_peer\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')


def folder_of(path):
    relative = path.relative_to(TOP / "src").parent.as_posix()
    return "app" if relative.split("/")[0] == "app" else relative


def lines():
    """(file, folder whose rules hold, is it a test, quoted, angled)"""
    for path in sorted((TOP / "src").rglob("*.[ch]")):
        yield path, folder_of(path), bool(TEST.search(path.name))
    for path in sorted((TOP / "include" / "sluice").glob("*.h")):
        yield path, OWNER.get(path.name), False


def main():
    problems, used = [], set()

    def problem(path, number, text):
        problems.append(f"{path.relative_to(TOP)}:{number}: {text}")

    def contract(path, number, folder, test, name):
        if name not in OWNER or not (TOP / "include" / "sluice" / name).exists():
            return problem(path, number, f"sluice/{name} is no contract")
        owner = OWNER[name]
        if folder == "app" or test or owner in (folder, "core") or (owner == "event" and folder not in ("core", "io")):
            return
        if (folder, name) in KNOWS:
            used.add((folder, name))
        else:
            problem(path, number, f"{folder} may not know sluice/{name}, the contract of {owner}")

    def library(path, number, folder, name):
        for header, (places, _) in LIBRARIES.items():
            if name == header or (header.endswith("/") and name.startswith(header)):
                here = path.relative_to(TOP / "src").as_posix() if path.is_relative_to(TOP / "src") else "include"
                place = next((p for p in places if here == p or here.startswith(p + "/")), None)
                if place is None:
                    problem(path, number, f"<{name}> belongs to {', '.join(places)}")
                used.add((header, place))
                return True
        return False

    for path, folder, test in lines():
        if folder is None:
            problem(path, 1, "OWNERS doesn't say whose contract this is")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            found = INCLUDE.match(line)
            if not found:
                continue
            quoted, angled = found.groups()
            if quoted and quoted.startswith("sluice/"):
                contract(path, number, folder, test, quoted[len("sluice/"):])
            elif quoted:
                helps = test and any((TOP / "tests" / folder / quoted).is_file() for folder in ("sim", "help"))
                if not (path.parent / quoted).is_file() and not helps:
                    problem(path, number, f"{quoted} isn't in this folder")
                elif "/" in quoted:
                    problem(path, number, f"{quoted} is the private header of another folder")
            elif test or (angled[:-2] in C_LIBRARY and angled.endswith(".h")) or angled in INTRINSICS:
                pass
            elif library(path, number, folder, angled):
                pass
            elif folder in ("io", "io/kafka", "app"):
                pass
            elif (folder, angled) in SYSTEM:
                used.add((folder, angled))
            else:
                problem(path, number, f"<{angled}>: the system's calls belong to io")

    for key in KNOWS.keys() | SYSTEM.keys():
        if key not in used:
            problems.append(f"nobody uses the permission {key}: take it out")
    for header, (places, _) in LIBRARIES.items():
        for place in places:
            if (header, place) not in used:
                problems.append(f"{place} doesn't use <{header}> any more: take it out")
    for owner in OWNERS:
        if not (TOP / "src" / owner).is_dir():
            problems.append(f"there is no src/{owner}")
    for name in OWNER:
        if not (TOP / "include" / "sluice" / name).exists():
            problems.append(f"there is no include/sluice/{name}")
    print("\n".join(problems) or "every #include is allowed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
