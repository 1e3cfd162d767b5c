#!/usr/bin/env python3
"""The admin pages: health, metrics, state, configuration without secrets, windows, dashboard, and which port has them."""

import html.parser
import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

from support import (
    BINARY, Daemon, Sender, body, check_once, configuration, event, flush_until, free_port, run_tests, started, stopped,
    wait_for,
)

# As docs/operations.md has them.
METRICS = {
    "sluice_requests_total", "sluice_accepted_events_total", "sluice_rejected_events_total",
    "sluice_received_events_total", "sluice_received_bytes_total", "sluice_dead_letters_total",
    "sluice_late_events_total", "sluice_schema_drift_total", "sluice_sent_events_total", "sluice_sent_bytes_total",
    "sluice_oldest_uncommitted_seconds", "sluice_table_stalled", "sluice_buffer_byte_size",
    "sluice_memory_used_bytes", "sluice_journal_sync_failures", "sluice_quarantined_bytes_total",
    "sluice_refused_events_total", "sluice_memory_limit_bytes", "sluice_cpu_seconds_total", "sluice_workers",
    "sluice_http_replies_total", "sluice_rewinds_total", "sluice_refused_loads_total", "sluice_redecoded_groups_total", "sluice_config_reloads_total",
}


def exposition(text):
    """Prometheus text 0.0.4, strictly: {name: (type, {labels: value})}."""
    metrics, name = {}, None
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ")[2]
            assert name not in metrics, f"{name} comes twice"
            metrics[name] = [None, {}]
        elif line.startswith("# TYPE "):
            _, _, of, kind = line.split(" ")
            assert of == name and kind in ("counter", "gauge", "histogram"), line
            metrics[name][0] = kind
        else:
            m = re.fullmatch(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (-?[0-9.e+]+|NaN)', line)
            assert m and m[1] == name, line
            assert m[2] not in metrics[name][1], f"{line} comes twice"
            metrics[name][1][m[2]] = float(m[3])
    return {k: tuple(v) for k, v in metrics.items()}


def test_metrics_are_prometheus_text_and_add_up(root):
    daemon = started(Daemon(root, configuration(root)))
    daemon.post(body(0, 100) + b'\n{"id":"x"}\nbroken', "/v1/events/events")
    flush_until(daemon)
    status, text = daemon.get("/metrics")
    metrics = exposition(text.decode())
    assert status == 200
    missing, unknown = METRICS - set(metrics), set(metrics) - METRICS
    assert not missing and not unknown, f"missing {missing}, not documented {unknown}"
    for name, (kind, series) in metrics.items():
        assert (kind == "counter") == name.endswith("_total"), (name, kind)
        assert series, name
    value = lambda name, labels=None: metrics[name][1][labels]
    assert value("sluice_accepted_events_total") == 100 and value("sluice_rejected_events_total") == 2
    assert value("sluice_dead_letters_total", 'code="type"') == 1 and value("sluice_dead_letters_total", 'code="syntax"') == 1
    assert value("sluice_requests_total") == 1
    assert value("sluice_received_events_total", 'stream="events"') == 102
    assert value("sluice_sent_events_total", 'table="events/lake"') == 100
    assert value("sluice_table_stalled", 'table="events/lake"') == 0
    assert value("sluice_buffer_byte_size", 'buffer="journal"') > 0 == value("sluice_buffer_byte_size", 'buffer="spool"')
    c = http.client.HTTPConnection("127.0.0.1", daemon.port)
    c.request("GET", "/metrics")
    response = c.getresponse()
    assert response.getheader("Content-Type").startswith("text/plain; version=0.0.4")
    response.read()
    stopped(daemon)


def test_state_is_shown_by_page_and_signal(root):
    daemon = started(Daemon(root, configuration(root)))
    daemon.post(body(0, 100), "/v1/events/events")
    flush_until(daemon)
    state = json.loads(daemon.get("/v1/state")[1])
    stream = next(s for s in state["streams"] if s["name"] == "events")
    tables = {t["name"]: t for t in stream["tables"]}
    assert stream["received"] == 100 and tables["events/lake"]["sent"] == 100, state
    assert {t["kind"] for t in tables.values()} >= {"lake", "window"}, tables
    assert state["ready"] is True and state["position"] == state["journal"]["end"]
    daemon.process.send_signal(signal.SIGUSR2)
    wait_for("the state on stderr", lambda: '{"journal":' in daemon.said(), 10)
    dumped = json.loads(next(line for line in daemon.said().splitlines() if line.startswith('{"journal":')))
    assert dumped["streams"] == state["streams"], (dumped, state)
    stopped(daemon)


def test_small_pages(root):
    daemon = started(Daemon(root, configuration(root)))
    for path, content in (("/livez", b"ok\n"), ("/readyz", b"ready\n")):
        assert daemon.get(path) == (200, content)
    version = subprocess.run([BINARY, "version"], capture_output=True, text=True).stdout.split()[-1]
    assert json.loads(daemon.get("/version")[1])["version"] == version
    for path in ("/livez", "/readyz", "/metrics", "/version", "/config", "/v1/state", "/", "/v1/windows/per_minute"):
        c = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=10)
        c.request("HEAD", path)
        response = c.getresponse()
        assert response.status == 200 and int(response.getheader("Content-Length")) > 0 and response.read() == b"", path
        c.request("GET", path)  # The connection is still in step.
        response = c.getresponse()
        assert response.status == 200 and len(response.read()) == int(response.getheader("Content-Length")), path
        c.close()
    stopped(daemon)


def test_configuration_is_shown_without_secrets(root):
    root.mkdir(parents=True, exist_ok=True)
    (root / "tokens").write_text("secret-file\n")
    config = configuration(root, http={
        "max_body": "512KiB", "max_event": "256KiB",
        "auth": {"tokens": ["secret-config", "${FROM_OUTSIDE}"], "tokens_file": str(root / "tokens")}})
    daemon = started(Daemon(root, config, environment={"FROM_OUTSIDE": "secret-variable", "SLUICE_TOKEN": "secret-environment"}))
    status, text = daemon.get("/config")
    assert status == 200 and b"per_minute" in text and b"256KiB" in text or b"262144" in text, text
    everything = text + daemon.get("/v1/state")[1] + daemon.get("/metrics")[1] + daemon.said().encode()
    for secret in ("secret-config", "secret-variable", "secret-environment", "secret-file"):
        assert secret.encode() not in everything, secret
    assert daemon.post([event(1)], "/v1/events/events", Authorization="Bearer secret-variable")[0] == 200
    stopped(daemon)


def test_windows_are_limited_to_the_newest(root):
    config = configuration(root)
    config["cut"] = {"every": "1h"}
    daemon = started(Daemon(root, config))
    daemon.post(body(0, 1200), "/v1/events/events")
    rows = lambda query: json.loads(daemon.get(f"/v1/windows/per_minute{query}")[1])["rows"]
    wait_for("live rows", lambda: sum(r["events"] for r in rows("")) == 1200, 10)
    everything = rows("?limit=100000")
    assert len(everything) == 20 * 5 and {r["window_start"] for r in rows("?limit=5")} == {"2026-01-01T00:19:00Z"}
    starts = [r["window_start"] for r in everything]
    assert starts == sorted(starts), "oldest first"
    assert len(rows("?limit=7")) == 7 and len(rows("?a=b&limit=3")) == 3 and len(rows("?xlimit=3")) == 100
    for bad in ("0", "-1", "x", "100001", "99999999999999999999", "5x", ""):
        status, reply = daemon.get(f"/v1/windows/per_minute?limit={bad}")
        assert status == 400 and json.loads(reply)["error"]["code"] == "limit", (bad, status, reply)
    for name in ("", "nothing", "per_minute/x", "..", "%00", "per_minute%2f"):
        status, reply = daemon.get(f"/v1/windows/{name}")
        assert status in (400, 404) and json.loads(reply)["error"]["message"], (name, status, reply)
    # The same after a cut, and after a restart.
    flush_until(daemon)
    key = lambda r: (r["window_start"], r["kind"])
    assert sorted(rows("?limit=100000"), key=key) == sorted(everything, key=key)
    daemon.kill()
    started(daemon)
    assert sorted(rows("?limit=100000"), key=key) == sorted(everything, key=key)
    stopped(daemon)


def test_beyond_loopback_the_intake_has_only_health(root):
    admin = free_port()
    config = configuration(root, http={"max_body": "512KiB", "max_event": "256KiB", "auth": {"tokens": ["t"]}})
    daemon = Daemon(root, config)
    daemon.config["http"]["listen"] = f"0.0.0.0:{daemon.port}"
    daemon.config["admin"] = {"listen": f"127.0.0.1:{admin}"}
    started(daemon)
    intake = daemon.port
    for path in ("/livez", "/readyz"):
        assert daemon.get(path)[0] == 200
    for path in ("/metrics", "/config", "/version", "/", "/v1/state", "/v1/windows/per_minute"):
        status, reply = daemon.get(path)
        assert status == 404 and json.loads(reply)["error"]["code"] == "not_found", (path, status, reply)
    assert daemon.request("POST", "/v1/flush")[0] == 404
    assert daemon.post([event(1)], "/v1/events/events", Authorization="Bearer t")[0] == 200
    assert daemon.post([event(1)], "/v1/events/events")[0] == 401
    daemon.port = admin
    for path in ("/livez", "/readyz", "/metrics", "/config", "/version", "/", "/v1/state", "/v1/windows/per_minute"):
        assert daemon.get(path)[0] == 200, path
    assert daemon.post([event(2)], "/v1/events/events", Authorization="Bearer t")[0] == 404, "no events on the admin port"
    flush_until(daemon)
    check_once(daemon, [1], root / "lake")
    daemon.port = intake
    stopped(daemon)


def test_beyond_loopback_without_tokens_is_refused(root):
    for listen in ("0.0.0.0:0", "[::]:0", ":0"):
        config = configuration(root)
        config["data_dir"] = str(root / "data")
        config["http"] = {"listen": listen}
        root.mkdir(parents=True, exist_ok=True)
        (root / "open.yaml").write_text(json.dumps(config))
        done = subprocess.run([BINARY, "run", "-c", str(root / "open.yaml")], capture_output=True, text=True, timeout=20)
        assert done.returncode == 78 and "tokens" in done.stderr and "none" in done.stderr, (listen, done)


class Page(html.parser.HTMLParser):
    VOID = {"meta", "link", "br", "input", "img", "path"}

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.script, self.outside = [], set(), "", []

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        self.ids.add(named.get("id"))
        self.outside += [v for k, v in attributes if k in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.script += data


SHIM = """
const made = {};
class Element {
  constructor(tag) { this.tag = tag; this.children = []; this.textContent = ''; this.options = []; this.attributes = {}; }
  append(...c) { this.children.push(...c); }
  replaceChildren(...c) { this.children = c; }
  setAttribute(k, v) { this.attributes[k] = v; }
  addEventListener() {}
  add(o) { this.options.push(o); if (!this.value) this.value = o.value; }
  get text() { return this.textContent + this.children.map(c => ' ' + c.text).join(''); }
}
globalThis.document = { getElementById: id => { if (!IDS.includes(id)) throw new Error('no element ' + id);
  return made[id] ||= new Element(id); }, createElement: t => new Element(t) };
globalThis.Option = class { constructor(t, v) { this.value = v; } };
const real = fetch;
globalThis.fetch = path => real(BASE + path);
const later = setTimeout;
globalThis.setTimeout = (f, ...more) => { if (f.name !== "turn") return later(f, ...more); const out = {}; for (const id in made) out[id] = made[id].text; console.log(JSON.stringify(out)); process.exit(0); };
"""


def test_dashboard_stands_alone_and_shows_what_is_there(root):
    """It parses, takes nothing from elsewhere, what it asks for answers; where there is a JavaScript to run it, it
    shows the numbers."""
    daemon = started(Daemon(root, configuration(root)))
    daemon.post(body(0, 1000) + b"\nbroken", "/v1/events/events")
    flush_until(daemon)
    c = http.client.HTTPConnection("127.0.0.1", daemon.port)
    c.request("GET", "/")
    response = c.getresponse()
    assert response.getheader("Content-Type") == "text/html; charset=utf-8"
    policy = response.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy, policy
    text = response.read().decode()
    page = Page()
    page.feed(text)
    assert not page.open, f"not closed: {page.open}"
    assert not page.outside and "http://" not in text and "https://" not in text, page.outside
    asked = set(re.findall(r'fetch\("([^"]+)"', page.script))
    assert asked == {"/v1/state", "/metrics", "/version", "/v1/windows/"}, asked
    for path in asked:
        assert daemon.get(path + ("per_minute" if path.endswith("/") else ""))[0] == 200, path
    names = set(re.findall(r'\bat\("([^"]+)"\)', page.script))
    assert names <= page.ids, names - page.ids
    for metric in re.findall(r'"(sluice_\w+)"', page.script):
        assert metric in METRICS, metric
    node = shutil.which("node")
    if node:
        script = root / "page.js"
        script.write_text(f"const IDS = {json.dumps([i for i in page.ids if i])}, BASE = 'http://127.0.0.1:{daemon.port}';"
                          + SHIM + page.script.replace('"use strict";', ""))
        done = subprocess.run([node, str(script)], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        shown = json.loads(done.stdout)
        assert "ready" in shown["health"], shown
        assert "1,001" in shown["cards"] and "events/lake" in shown["tables"] and "syntax" in shown["letters"], shown
        assert "k1" in shown["window"] and "2026-01-01T00:16:00" in shown["window"], shown
    else:
        print("  no node here: the page's script was not run")
    stopped(daemon)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
