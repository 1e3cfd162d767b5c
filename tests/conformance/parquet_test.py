#!/usr/bin/env python3
"""Reads the files of parquet_write with pyarrow, DuckDB and (where installed) Spark; compares every cell,
the statistics and the page checksums.

    parquet_test.py WRITER
    SLUICE_LONG=1: also a file of ten million rows; SLUICE_SEED=n: other random cases
"""
import datetime
import decimal
import importlib
import json
import os
import struct
import subprocess
import sys
import tempfile

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)
EPOCH_DAY = datetime.date(1970, 1, 1)
failures = []
os.environ["TZ"] = "UTC"


def need(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def fail(text):
    failures.append(text)
    print("FAIL", text)
    if len(failures) > 20:
        sys.exit("too many failures")


def canonical(value):
    """A reader's cell as parquet_write prints it."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, float):
        bits = struct.pack(">d", value).hex()
        return "7ff8000000000000" if value != value else bits
    if isinstance(value, decimal.Decimal):
        return int(value.scaleb(-value.as_tuple().exponent, decimal.Context(prec=40)))
    if isinstance(value, datetime.datetime):
        value = value if value.tzinfo else value.replace(tzinfo=UTC)
        return (value - EPOCH) // datetime.timedelta(microseconds=1)
    if isinstance(value, datetime.date):
        return (value - EPOCH_DAY).days
    return value


def flatten(row, path="", out=None):
    """{"a": {"b": 1}} as {"a": {}, "a.b": 1}; what is below a null isn't there."""
    out = {} if out is None else out
    for key, value in row.items():
        if isinstance(value, dict):
            out[path + key] = {}
            flatten(value, path + key + ".", out)
        else:
            out[path + key] = canonical(value)
    return out


def expected_rows(path):
    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    for row in rows:
        for key, value in row.items():  # Every NaN is one.
            if isinstance(value, str) and value.endswith("7ff8000000000000"):
                row[key] = "7ff8000000000000"
    return rows


def compare(name, reader, expected, rows):
    if len(rows) != len(expected):
        return fail(f"{name}: {reader} read {len(rows)} rows, not {len(expected)}")
    for number, (want, row) in enumerate(zip(expected, rows)):
        have = flatten(row)
        for key, value in want.items():
            cell = have.get(key)
            if cell != value or isinstance(cell, bool) != isinstance(value, bool):
                return fail(f"{name}: {reader}: row {number} {key}: {cell!r:.200}, not {value!r:.200}")
        unknown = set(have) - set(want)
        if unknown:
            return fail(f"{name}: {reader}: row {number} also has {unknown}")
    return None


def ordered(value, physical, logical):
    """Expected and stored values in the form that the format compares by."""
    if logical == "bytes":
        return bytes.fromhex(value) if isinstance(value, str) else bytes(value)
    if isinstance(value, str) and physical == "DOUBLE":
        return struct.unpack(">d", bytes.fromhex(value))[0]
    if isinstance(value, str):
        return value.encode()
    return value


def check_statistics(name, pq, path, expected):
    metadata = pq.ParquetFile(path).metadata
    begin = 0
    for g in range(metadata.num_row_groups):
        group = metadata.row_group(g)
        part = expected[begin : begin + group.num_rows]
        begin += group.num_rows
        for c in range(group.num_columns):
            column = group.column(c)
            key = column.path_in_schema
            where = f"{name}: row group {g} {key}"
            values = [row[key] for row in part if row[key] is not None]
            statistics = column.statistics
            if column.num_values != len(part) or statistics is None:
                fail(f"{where}: no statistics or a wrong count")
                continue
            if statistics.null_count != len(part) - len(values):
                fail(f"{where}: {statistics.null_count} nulls, not {len(part) - len(values)}")
            logical = "bytes" if key == "bytes" else ""
            values = [ordered(v, column.physical_type, logical) for v in values]
            values = [v for v in values if v == v]
            if statistics.has_min_max != bool(values):
                if not (values and column.physical_type == "BYTE_ARRAY"):
                    fail(f"{where}: has_min_max is {statistics.has_min_max}")
                continue
            if not values:
                continue
            low, high = statistics.min, statistics.max
            if isinstance(low, str):
                low, high = low.encode(), high.encode()
            else:
                low, high = canonical(low), canonical(high)
                if logical or column.physical_type == "DOUBLE":
                    low, high = (ordered(v, column.physical_type, logical) for v in (low, high))
            least, most = min(values), max(values)
            if not (low <= least and most <= high):
                fail(f"{where}: {low!r}..{high!r} does not hold {least!r}..{most!r}")
            short = not isinstance(least, bytes) or len(least) <= 64
            if short and low != least:
                fail(f"{where}: minimum {low!r}, not {least!r}")
            short = not isinstance(most, bytes) or len(most) <= 64
            if short and high != most:
                fail(f"{where}: maximum {high!r}, not {most!r}")
    if begin != len(expected):
        fail(f"{name}: row groups hold {begin} rows")


def check_shape(name, pq, path):
    """What the profile promises about codecs and encodings."""
    metadata = pq.ParquetFile(path).metadata
    codecs, encodings = set(), set()
    for g in range(metadata.num_row_groups):
        for c in range(metadata.num_columns):
            column = metadata.row_group(g).column(c)
            codecs.add(column.compression)
            encodings |= set(column.encodings)
    allowed = {"PLAIN", "RLE", "RLE_DICTIONARY"}
    if "compatible" not in name and name != "clicks_snappy":
        allowed.add("DELTA_BINARY_PACKED")
    if encodings - allowed:
        fail(f"{name}: encodings {encodings}")
    wanted = {"lake_none": "UNCOMPRESSED", "compatible_none": "UNCOMPRESSED", "lake_snappy": "SNAPPY",
              "compatible_default": "SNAPPY", "lake_default": "ZSTD", "lake_zstd": "ZSTD"}
    if name in wanted and codecs != {wanted[name]}:
        fail(f"{name}: codecs {codecs}")
    if name == "lake_default" and encodings != allowed:
        fail(f"{name}: encodings {encodings}, not all of {allowed}")
    if name.startswith("many_row_groups") and metadata.num_row_groups < 5:
        fail(f"{name}: {metadata.num_row_groups} row groups")
    if metadata.created_by != "sluice version 0.1.0" or metadata.metadata[b"sluice.table"] != b"conformance":
        fail(f"{name}: created by {metadata.created_by}, metadata {metadata.metadata}")


def check_damage(pq, path):
    """A reader that verifies checksums must refuse a file with one bit changed in a page's body."""
    whole = pq.ParquetFile(path).metadata
    column = whole.row_group(0).column(0)
    data = bytearray(open(path, "rb").read())
    end = (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size
    data[end - 1] ^= 1
    with open(path + ".damaged", "wb") as out:
        out.write(data)
    try:
        pq.read_table(path + ".damaged", page_checksum_verification=True)
    except OSError as error:
        if "CRC" not in str(error):
            fail(f"damage was not found by the checksum: {error}")
        return
    fail("a damaged page was read without a complaint")


def read_duckdb(duckdb, path):
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    result = connection.execute(f"select * from read_parquet('{path}')")
    names = [column[0] for column in result.description]
    return [dict(zip(names, row)) for row in result.fetchall()]


def spark_session():
    if not need("pyspark"):
        print("skipped: pyspark is not installed")
        return None
    from pyspark.sql import SparkSession

    return (SparkSession.builder.master("local[1]").config("spark.sql.session.timeZone", "UTC")
            .config("spark.driver.memory", "2g").config("spark.ui.enabled", "false")
            .config("spark.ui.showConsoleProgress", "false")
            .config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
            .config("spark.sql.datetime.java8API.enabled", "true")
            .config("spark.sql.parquet.datetimeRebaseModeInRead", "CORRECTED").getOrCreate())


def read_spark(spark, path):
    return [row.asDict(recursive=True) for row in spark.read.parquet(path).collect()]


def test_cases(command, directory, pq, duckdb, spark):
    names = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    for name in names:
        path = os.path.join(directory, name + ".parquet")
        expected = expected_rows(os.path.join(directory, name + ".ndjson"))
        table = pq.read_table(path, page_checksum_verification=True)
        compare(name, "pyarrow", expected, table.to_pylist())
        check_shape(name, pq, path)
        check_statistics(name, pq, path, expected)
        if duckdb:
            compare(name, "DuckDB", expected, read_duckdb(duckdb, path))
        if spark:
            compare(name, "Spark", expected, read_spark(spark, path))
    return len(names)


def test_long(writer, directory, pq, duckdb, spark, rows=10_000_000):
    subprocess.run([writer, directory, "long", str(rows)], check=True)
    path = os.path.join(directory, "long.parquet")
    want = json.load(open(os.path.join(directory, "long.json"), encoding="utf-8"))
    query = ("select count(*), sum(quantity), sum(cast(round(amount * 100) as bigint)), "
             "sum(cast(substr(user_id, 6) as bigint)), {times} from {source}")
    for batch in pq.ParquetFile(path, page_checksum_verification=True).iter_batches(1 << 20):
        del batch
    if duckdb:
        times = "sum(epoch_us(timestamp) - 1767225600000000)"
        have = duckdb.connect().execute(query.format(times=times, source=f"'{path}'")).fetchone()
        if [int(v) for v in have] != list(want.values()):
            fail(f"long: DuckDB has {have}, not {want}")
    if spark:
        times = "sum(unix_micros(timestamp) - 1767225600000000)"
        spark.read.parquet(path).createOrReplaceTempView("long")
        have = spark.sql(query.format(times=times, source="long")).collect()[0]
        if [int(v) for v in have] != list(want.values()):
            fail(f"long: Spark has {have}, not {want}")
    print(f"long: {rows} rows, {os.path.getsize(path)} bytes")


def main():
    writer = sys.argv[1]
    if not need("pyarrow"):
        print("skipped: pyarrow is not installed")
        sys.exit(77)
    pq = importlib.import_module("pyarrow.parquet")
    duckdb = need("duckdb") if need("pytz") else None
    if not duckdb:
        print("skipped: duckdb or pytz is not installed")
    spark = spark_session()
    with tempfile.TemporaryDirectory() as directory:
        count = test_cases([writer, directory], directory, pq, duckdb, spark)
        check_damage(pq, os.path.join(directory, "lake_default.parquet"))
        seed = os.environ.get("SLUICE_SEED", "1")
        print(f"SLUICE_SEED={seed}")
        count += test_cases([writer, directory, "random", seed], directory, pq, duckdb, None)
        if os.environ.get("SLUICE_LONG") == "1":
            test_long(writer, directory, pq, duckdb, spark)
    if failures:
        sys.exit(f"{len(failures)} failures")
    readers = ["pyarrow"] + ["DuckDB"] * bool(duckdb) + ["Spark"] * bool(spark)
    print(f"{count} files read alike by {', '.join(readers)}")


if __name__ == "__main__":
    main()
