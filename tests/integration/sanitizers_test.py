#!/usr/bin/env python3
"""Other integration tests again, with daemons that look after their memory (asan) and their threads (tsan). They are taken
as tests/run has built them; where they are missing or older than a source they prove nothing, and are passed over."""

import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
ROOT = Path(os.environ.get("SLUICE_TMP") or tempfile.mkdtemp(prefix="sluice-sanitizers-"))
STEPS = ("contract_test", "steps_test", "csv_test", "cloudevents_test", "firehose_endpoint_test", "file_source_test", "route_test", "enrich_test", "lookup_refresh_test", "dedupe_test", "replay_test", "kinesis_intake_test")
TESTS = {"asan": ("kafka_shared_test", "kafka_log_test", "kafka_sink_test", "kafka_final_test", "kafka_source_test", "delivery_test", "watch_test", "trial_test", *STEPS),
         "tsan": ("delivery_test", "stop_test", "watch_test", *STEPS)}
REPORTS = ("AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "runtime error:")


def newest_source():
    return max(p.stat().st_mtime for d in ("src", "include") for p in (TOP / d).rglob("*.[ch]") if "_test" not in p.name)


def without_randomisation():
    """ThreadSanitizer of this age can't place its shadow otherwise."""
    how = ["setarch", platform.machine(), "-R"]
    return how if subprocess.run([*how, "true"], capture_output=True).returncode == 0 else []


def run(preset, binary, name):
    """@return whether it passed; the sanitizer's word counts, also of daemons that were killed later."""
    directory = ROOT / f"{preset}-{name}"
    directory.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    command = [*(without_randomisation() if preset == "tsan" else []), sys.executable, TOP / f"tests/integration/{name}.py"]
    done = subprocess.run(command, env={**os.environ, "SLUICE_BIN": str(binary), "SLUICE_TMP": str(directory)},
                          capture_output=True, text=True)
    if done.returncode == 77:
        print(f"{preset} {name}: skipped: {(done.stdout.strip().splitlines() or ['?'])[-1]}", flush=True)
        return True
    found = [log for log in directory.rglob("daemon.log") if any(r in log.read_text(errors="replace") for r in REPORTS)]
    if done.returncode == 0 and not found:
        print(f"{preset} {name}: {time.monotonic() - began:.0f} s", flush=True)
        return True
    print(f"{preset} {name}: exit {done.returncode}, reports in {', '.join(map(str, found)) or 'no log'}")
    print((done.stdout + done.stderr)[-5000:], flush=True)
    for log in found[:1]:
        text = log.read_text(errors="replace")
        at = min(text.find(r) for r in REPORTS if r in text)
        print(text[max(0, at - 200):at + 4000], flush=True)
    return False


def main():
    at, binaries = newest_source(), {}
    for preset in TESTS:
        binary = TOP / "build" / preset / "src/app/sluice"
        if binary.exists() and binary.stat().st_mtime >= at:
            binaries[preset] = binary
        else:
            print(f"{preset}: build/{preset} has no daemon of these sources", flush=True)
    tests = [(preset, binaries[preset], name) for preset in binaries for name in TESTS[preset]]
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 2)) as pool:
        results = list(pool.map(lambda test: run(*test), tests))
    sys.exit(77 if not results else 0 if all(results) else 1)


main()
