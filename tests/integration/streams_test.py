#!/usr/bin/env python3
"""An access log, counters of a web server, coffee, a room's sensor and Arroyo's window cases: each stream's rows
and windows against answers that others computed."""

import csv
import io
import re
from decimal import Decimal

from checks import *

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
TIME = {"type": "string", "format": "date-time"}
LINE = re.compile(
    r'^(\S+) (\S+) (\S+) \[([^\]]+)\] "(\S+) ([^"]*?)(?: (HTTP/[\d.]+))?" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"$'
)
need_shared("streams", "apache_access_logs", "apache_logs.zst")


def truth(name):
    return json.loads((SHARED / "expected" / f"{name}.json").read_text())


def streams(*names):
    return SHARED.joinpath("streams", *names)


def access_log():
    """(events, lines that aren't whole) of the combined format; times keep their offset."""
    events, broken = [], []
    for line in read_bytes(streams("apache_access_logs", "apache_logs.zst")).decode().splitlines():
        whole = LINE.match(line)
        if whole is None:
            broken.append(line)
            short = re.match(r'^(\S+) \S+ \S+ \[([^\]]+)\] "(\S+) (\S+) (\S+)" (\d{3}) (\d+|-)', line)
            ip, when, method, path, protocol, status, size = short.groups()
            referrer = agent = None
        else:
            ip, _, _, when, method, path, protocol, status, size, referrer, agent = whole.groups()
        t = datetime.strptime(when, "%d/%b/%Y:%H:%M:%S %z").isoformat()
        event = {"ip": ip, "at": t, "method": method, "path": path, "protocol": protocol, "status": int(status)}
        event |= {"bytes": None if size == "-" else int(size), "referrer": referrer, "agent": agent}
        events.append(event)
    return events, broken


def cars():
    return [json.loads(l) for l in read_bytes(streams("arroyo_windows", "inputs", "cars.jsonl")).splitlines() if l.strip()]


def impulse():
    return [json.loads(l) for l in read_bytes(streams("arroyo_windows", "inputs", "impulse.jsonl")).splitlines() if l.strip()]


def golden(name):
    return [json.loads(l) for l in read_bytes(streams("arroyo_windows", "golden", name + ".jsonl")).splitlines() if l.strip()]


def occupancy(part):
    text = read_bytes(streams("uci_occupancy", part + ".txt.zst")).decode()
    rows = list(csv.reader(io.StringIO(text)))
    names = ["row", *rows[0]]
    out = []
    for r in rows[1:]:
        e = dict(zip(names, r))
        # Numbers travel as they are written; a decimal column has to keep each digit.
        out.append(
            '{"row":%s,"date":"%sZ","Temperature":%s,"Humidity":%s,"Light":%s,"CO2":%s,"HumidityRatio":%s,"Occupancy":%s}'
            % (e["row"], e["date"].replace(" ", "T"), *(e[k] for k in names[2:]))
        )
    return [line.encode() for line in out]


def schema(**properties):
    return {"type": "object", "properties": properties}


def maybe(kind, **more):
    return {"type": [kind, "null"], **more}


SENSOR = schema(
    row=NUMBER,
    date=TIME,
    Temperature={"type": "number", "x-decimal": [18, 13]},
    Humidity={"type": "number"},
    Light={"type": "number"},
    CO2={"type": "number"},
    HumidityRatio={"type": "number"},
    Occupancy=NUMBER,
)
CONFIG = {
    "workers": 2,
    "cut": {"every": "100ms"},
    "streams": {
        "access": {
            "schema": schema(
                ip=TEXT, at=TIME, method=TEXT, path=TEXT, protocol=maybe("string"), status=NUMBER,
                bytes=maybe("integer"), referrer=maybe("string"), agent=maybe("string"),
            ),
            "event_time": "at",
            "lake": {"partition_by": ["date", "status"]},
        },
        "nginx": {
            "schema": schema(
                at=TIME, timestamp=NUMBER, pid=NUMBER,
                requests={"type": "object", "properties": {"total": NUMBER, "current": NUMBER}},
                server_zones={"type": "object"}, upstreams={"type": "object"},
            ),
            "event_time": "at",
        },
        "coffee": {"event_time": "@timestamp"},
        "sensor": {"schema": SENSOR, "event_time": "date"},
        "cars": {"schema": schema(timestamp=TIME, driver_id=NUMBER, event_type=TEXT, location=TEXT), "event_time": "timestamp"},
        "impulse": {"schema": schema(timestamp=TIME, counter=NUMBER, subtask_index=NUMBER), "event_time": "timestamp"},
    },
    "windows": {
        "access_hours": {"of": "access", "every": "1h", "measures": {"n": "count()", "sent": "sum(bytes)", "ips": "unique(ip)"}},
        "access_all": {"of": "access", "every": "366d", "by": ["status", "method"], "measures": {"n": "count()", "sent": "sum(bytes)"}},
        "nginx_minutes": {"of": "nginx", "every": "1m", "measures": {"n": "count()", "last_total": "max(requests.total)"}},
        "coffee_days": {"of": "coffee", "every": "1d", "measures": {"n": "count()", "cups": "sum(quantity)"}},
        "coffee_drinks": {"of": "coffee", "every": "366d", "by": ["beverage"], "measures": {"n": "count()"}},
        "sensor_hours": {
            "of": "sensor",
            "every": "1h",
            "measures": {"n": "count()", "co2": "max(CO2)", "sum": "sum(Temperature)", "mean": "avg(Temperature)", "occupied": "sum(Occupancy)"},
        },
        "cars_hours": {"of": "cars", "every": "1h", "by": ["event_type"], "measures": {"n": "count()", "drivers": "unique(driver_id)"}},
        "cars_month": {"of": "cars", "every": "30d", "lateness": "1h", "measures": {"n": "count()"}},
        "impulse_2s": {
            "of": "impulse",
            "every": "2s",
            "measures": {"n": "count()", "low": "min(counter)", "high": "max(counter)", "total": "sum(counter)", "mean": "avg(counter)"},
        },
    },
}


def check_access(d, db, events, broken):
    want = truth("apache_access_logs")
    expect("access: rows, lines that aren't whole", (len(events), len(broken)), (want["rows"], want["lines_without_whole_combined_format"]))
    read = lake_sql(d, "access", hive_partitioning="true", hive_types_autocast="false")
    expect("access: rows in the lake", db.execute(f"SELECT count(*) FROM {read}").fetchone()[0], want["rows"])
    expect("access: distinct addresses, bytes", db.execute(f"SELECT count(DISTINCT ip), sum(bytes)::BIGINT FROM {read}").fetchone(), (want["distinct_ip"], want["bytes_sum"]))
    expect("access: by status, from the directories' names", dict(db.execute(f"SELECT status::VARCHAR, count(*) FROM {read} GROUP BY 1").fetchall()), want["by_status"])
    expect("access: by method", dict(db.execute(f"SELECT method, count(*) FROM {read} GROUP BY 1").fetchall()), want["by_method"])
    expect("access: rows outside their date's directory", db.execute(f"SELECT count(*) FROM {read} WHERE strftime(\"at\"::TIMESTAMP, '%Y-%m-%d') <> date").fetchone()[0], 0)
    # Each line again, from the lake.
    got = Counter(
        db.execute(f"SELECT ip, epoch(\"at\")::BIGINT, method, path, protocol, status::INTEGER, bytes, referrer, agent FROM {read}").fetchall()
    )
    sent = Counter(
        (e["ip"], int(datetime.fromisoformat(e["at"]).timestamp()), *(e[k] for k in ("method", "path", "protocol", "status", "bytes", "referrer", "agent")))
        for e in events
    )
    expect("access: lines that differ from what was sent", sum(((got - sent) + (sent - got)).values()), 0)
    hours = keyed(table(d, "access_hours"), "window_start")
    expect("access: per hour", {k: r["n"] for k, r in hours.items()}, {w["window_start"]: w["n"] for w in want["windows_1hour"]})
    ips = {}
    for e in events:
        ips.setdefault(stamp(floor(at(e["at"]), timedelta(hours=1))), set()).add(e["ip"])
    expect("access: distinct addresses per hour", {k: r["ips"] for k, r in hours.items()}, {k: len(v) for k, v in ips.items()})
    expect("access: bytes of all windows", sum(r["sent"] for r in hours.values()), want["bytes_sum"])
    by = Counter()
    for r in table(d, "access_all"):
        by[str(r["status"])] += r["n"]
    expect("access: by status, windows", dict(by), want["by_status"])


def check_nginx(d, db, events):
    want = truth("nginxplus_status")
    read = lake_sql(d, "nginx")
    expect("nginx: rows, least and greatest time", db.execute(f"SELECT count(*), min(epoch_ms(\"at\")), max(epoch_ms(\"at\")) FROM {read}").fetchone(), (want["rows"], want["min"], want["max"]))
    got = {int(at(r["window_start"]).timestamp() * 1000): (r["n"], r["last_total"]) for r in table(d, "nginx_minutes")}
    expect("nginx: minutes", got, {w["window_start_ms"]: (w["n"], w["last_requests_total"]) for w in want["windows_1min"]})
    # Free-form objects are JSON text and hold the same.
    rows = {r[0]: r[1:] for r in db.execute(f"SELECT timestamp, server_zones, upstreams, _rest FROM {read}").fetchall()}
    wrong = 0
    for e in events:
        zones, upstreams, rest = (json.loads(x) for x in rows[e["timestamp"]])
        known = {"at", "timestamp", "pid", "requests", "server_zones", "upstreams"}
        wrong += zones != e["server_zones"] or upstreams != e["upstreams"] or rest != {k: v for k, v in e.items() if k not in known}
    expect("nginx: events whose objects or _rest differ", wrong, 0)


def check_coffee(d, db):
    want = truth("elasticoffee_iot")
    read = lake_sql(d, "coffee")
    expect("coffee: rows, quantity", db.execute(f"SELECT count(*), sum(quantity)::BIGINT FROM {read}").fetchone(), (want["rows"], want["sum_quantity"]))
    expect("coffee: type of @timestamp, inferred", db.execute(f'SELECT DISTINCT typeof("@timestamp") FROM {read}').fetchall(), [("TIMESTAMP WITH TIME ZONE",)])
    expect("coffee: days", {r["window_start"][:10]: r["n"] for r in table(d, "coffee_days")}, {w["window_start"]: w["n"] for w in want["windows_1day"]})
    drinks = Counter()
    for r in table(d, "coffee_drinks"):
        drinks[r["beverage"]] += r["n"]
    expect("coffee: drinks", dict(drinks), want["by_beverage"])


def check_sensor(d, db):
    parts = [truth("occupancy_datatest"), truth("occupancy_datatraining")]
    read = lake_sql(d, "sensor")
    expect("sensor: rows, occupied", db.execute(f"SELECT count(*), sum(Occupancy)::BIGINT FROM {read}").fetchone(),
           (sum(p["rows"] for p in parts), sum(p["occupied_rows"] for p in parts)))
    want = {w["window_start"].replace(" ", "T") + "Z": w for p in parts for w in p["windows_1hour"]}
    got = keyed(table(d, "sensor_hours"), "window_start")
    expect("sensor: per hour", {k: r["n"] for k, r in got.items()}, {k: w["n"] for k, w in want.items()})
    expect("sensor: greatest CO2 per hour", {k: r["co2"] for k, r in got.items()}, {k: float(w["co2_max"]) for k, w in want.items()})
    # The expected sum is over decimals of the source's own digits, then cut to 13 places; a warehouse shows doubles.
    far = [k for k in want if abs(Decimal(repr(got[k]["sum"])) - Decimal(want[k]["temperature_sum_exact"])) > Decimal("1e-9")]
    hold("sensor: sum of temperatures per hour", not far, far[:3] or "")
    far = [k for k in want if abs(got[k]["mean"] - want[k]["temperature_mean"]) > 1e-11]
    hold("sensor: mean temperature per hour", not far, far[:3] or "")


def check_arroyo(d, db):
    hours = keyed(table(d, "cars_hours"), "window_start", "event_type")
    expect("arroyo: hourly_by_event_type", {k: r["n"] for k, r in hours.items()},
           {(g["hour"] + "Z", g["event_type"]): g["count"] for g in golden("hourly_by_event_type")})
    joined = {}
    for (hour, kind), r in hours.items():
        if kind in ("dropoff", "pickup"):
            joined.setdefault(hour, {})["drivers" if kind == "dropoff" else "pickups"] = r["drivers"]
    expect("arroyo: windowed_inner_join's drivers and pickups", {k: v for k, v in joined.items() if len(v) == 2},
           {g["hour"] + "Z": {"drivers": g["drivers"], "pickups": g["pickups"]} for g in golden("windowed_inner_join")})
    expect("arroyo: month_loose_watermark", {r["window_start"]: r["n"] for r in table(d, "cars_month")},
           {g["month"] + "Z": g["count"] for g in golden("month_loose_watermark")})
    panes = {at(r["window_start"]): r for r in table(d, "impulse_2s")}
    hops = {}
    for g in golden("sliding_window_end"):
        inside = [r for t, r in panes.items() if at(g["start"]) <= t < at(g["end"])]
        hops[g["end"]] = (sum(r["n"] for r in inside), min(r["low"] for r in inside), max(r["high"] for r in inside))
    expect("arroyo: sliding_window_end, five windows of 2 s each", hops, {g["end"]: (g["count"], g["min"], g["max"]) for g in golden("sliding_window_end")})
    after = golden("aggregates")[-1]["after"]
    n, total = sum(r["n"] for r in panes.values()), sum(r["total"] for r in panes.values())
    expect("arroyo: aggregates", (n, total, total / n, min(r["low"] for r in panes.values()), max(r["high"] for r in panes.values())),
           (after["count"], after["sum"], after["avg"], after["min"], after["max"]))
    expect("arroyo: rows of cars in the lake", db.execute(f"SELECT count(*), count(DISTINCT driver_id) FROM {lake_sql(d, 'cars')}").fetchone(),
           (len(cars()), len({c["driver_id"] for c in cars()})))


def main():
    d = daemon("streams", CONFIG)
    events, broken = access_log()
    nginx = [json.loads(l) for l in read_bytes(streams("nginxplus_status", "nginxplus_json_logs.jsonl.zst")).splitlines()]
    for e in nginx:
        t = datetime.fromtimestamp(e["timestamp"] // 1000, UTC)
        e["at"] = t.strftime("%Y-%m-%dT%H:%M:%S") + f".{e['timestamp'] % 1000:03}Z"
    coffee = read_bytes(streams("elasticoffee_iot", "elasticoffee.jsonl")).splitlines()
    for name, lines in (
        ("access", lines_of(events)),
        ("nginx", lines_of(nginx)),
        ("coffee", coffee),
        ("sensor", occupancy("datatest") + occupancy("datatraining")),
        ("cars", lines_of(cars())),
        ("impulse", lines_of(impulse())),
    ):
        total = send(d, lines, name, 333)
        expect(f"{name}: accepted, rejected", (total["accepted"], total["rejected"]), (len(lines), 0))
    d.flush()
    db = connect()
    check_access(d, db, events, broken)
    check_nginx(d, db, nginx)
    check_coffee(d, db)
    check_sensor(d, db)
    check_arroyo(d, db)
    audit_clean(d)
    stop(d)
    finish()


if __name__ == "__main__":
    main()
