#!/usr/bin/env python3
"""Disks that fill up and quotas that are reached: nothing acknowledged is lost, memory stays flat, and the daemon goes
on by itself when there is room."""

import os
import sys
import time

from support import (
    Daemon, Sender, SmallDisk, Watch, anonymous_bytes, body, check_once, configuration, flush_until, noise,
    run_tests, skip, started, stopped, wait_for, within,
)

MIB = 1 << 20
BATCH = 50


def bodies(first, count, make=body, **options):
    return [make(at, BATCH, **options) for at in range(first, first + count * BATCH, BATCH)]


def ids(first, taken):
    return {first + n * BATCH + k for n in taken for k in range(BATCH)}


def small_journal():
    return {"quota": "16MiB", "segment_size": "2MiB"}


def test_full_disk_answers_503_and_recovers(root):
    """data_dir on an ext4 of its own: full, then room again, twice."""
    disk = SmallDisk(root / "disk", 48, ext4=True)
    try:
        daemon = Daemon(root, configuration(root, journal=small_journal()))
        daemon.config["data_dir"] = str(disk.path / "data")
        daemon.warehouse = lambda: disk.path / "data" / "warehouse.db"
        started(daemon)
        taken, first = set(), 0
        for turn in range(2):
            sender = Sender(daemon, bodies(first, 20), name=f"before{turn}")
            sender.run()
            taken |= ids(first, sender.taken)
            assert sender.statuses == {200: 20}, sender.statuses
            first += 20 * BATCH
            disk.fill()
            # What segments are there still take events; at last every request is refused.
            full = Sender(daemon, bodies(first, 900, make=noise, size=1000), insist=False, name=f"full{turn}", pause=0)
            full.start()
            wait_for("503", lambda: full.statuses.get(503, 0) >= 20 or not full.is_alive(), 60)
            full.stop = True
            full.join()
            assert full.statuses.get(503, 0) >= 20, full.statuses
            assert not full.bad, full.bad[:3]
            assert full.retry_after and None not in full.retry_after, full.retry_after
            taken |= ids(first, full.taken)
            first += 900 * BATCH
            assert daemon.get("/livez")[0] == 200 and daemon.get("/metrics")[0] == 200
            disk.clear()
            after = Sender(daemon, bodies(first, 5), name=f"after{turn}")
            after.start()
            after.join(30)
            assert after.statuses.get(200) == 5, f"no recovery: {after.statuses}"
            taken |= ids(first, after.taken)
            first += 5 * BATCH
        flush_until(daemon)
        maybe = set(range(first)) - taken
        n = check_once(daemon, taken, root / "lake", possible=maybe)
        assert n == len(taken), f"{n - len(taken)} events were refused and are there: nobody may tell, but see why"
        stopped(daemon)
    finally:
        disk.close()


def test_disk_that_is_full_at_the_start_is_said_plainly(root):
    disk = SmallDisk(root / "disk", 8)
    try:
        disk.fill()
        daemon = Daemon(root, configuration(root, journal=small_journal()))
        daemon.config["data_dir"] = str(disk.path / "data")
        code = daemon.start()
        assert code == 1, code
        text = daemon.said()
        assert "space" in text or "full" in text, text
        disk.clear()
        started(daemon)
        assert daemon.post([{"id": 1}], "/v1/events/events")[0] == 200
        stopped(daemon)
    finally:
        disk.close()


def test_kill_on_a_full_disk_loses_nothing(root):
    disk = SmallDisk(root / "disk", 40, ext4=True)
    try:
        daemon = Daemon(root, configuration(root, journal=small_journal()))
        daemon.config["data_dir"] = str(disk.path / "data")
        daemon.warehouse = lambda: disk.path / "data" / "warehouse.db"
        started(daemon)
        disk.fill()
        sender = Sender(daemon, bodies(0, 300, make=noise, size=1000), insist=False, pause=0)
        sender.run()
        daemon.kill()
        disk.clear()
        started(daemon)
        flush_until(daemon)
        taken = ids(0, sender.taken)
        check_once(daemon, taken, root / "lake", possible=set(range(300 * BATCH)) - taken)
        stopped(daemon)
    finally:
        disk.close()


def test_stalled_lake_holds_nobody_up(root):
    """The lake's own disk is full: intake goes on, windows go on, flush says stalled, later all is there."""
    disk = SmallDisk(root / "disk", 4)
    try:
        lake = disk.path / "lake"
        daemon = started(Daemon(root, configuration(root, lake=lake)))
        disk.fill()
        sender = Sender(daemon, bodies(0, 40, make=noise, size=2000), insist=False, pause=0)
        sender.run()
        assert sender.statuses == {200: 40}, sender.statuses
        wait_for("sluice_table_stalled", lambda: daemon.metric("sluice_table_stalled") == 1, 30)
        status, reply = daemon.request("POST", "/v1/flush", timeout=60)
        assert status == 503 and b"stalled" in reply and b"events/lake" in reply, (status, reply)
        # The warehouse isn't concerned.
        wait_for("windows", lambda: sum(r["events"] for r in daemon.windows("per_minute")) == 40 * BATCH, 10)
        more = Sender(daemon, bodies(40 * BATCH, 10), insist=False, name="more", pause=0)
        more.run()
        assert more.statuses == {200: 10}, more.statuses
        # A restart meanwhile changes nothing.
        stopped(daemon)
        started(daemon)
        wait_for("stalled again", lambda: daemon.metric("sluice_table_stalled") == 1, 30)
        os.system(f"mount -o remount,size=64m {disk.path}")
        disk.clear()
        flush_until(daemon)
        assert daemon.metric("sluice_table_stalled") == 0
        check_once(daemon, range(50 * BATCH), lake)
        assert not list(lake.rglob("*.tmp")), "left over copies"
        assert not list((daemon.directory / "data" / "spool").iterdir()), "left over spool files"
        stopped(daemon)
    finally:
        disk.close()


def test_quotas_refuse_in_time(root):
    """Lake stalled: the spool fills to its quota, then the journal to its own, then 503; memory stays flat, the disk
    within the quotas; then there is room, and everything goes out once."""
    disk = SmallDisk(root / "disk", 1)
    try:
        lake = disk.path / "lake"
        config = configuration(
            root, lake=lake, memory="128MiB", journal={"quota": "32MiB", "segment_size": "4MiB"}, spool={"quota": "8MiB"}
        )
        config["streams"]["events"]["lake"]["target_size"] = "1MiB"
        daemon = started(Daemon(root, config))
        disk.fill()
        sender = Sender(daemon, bodies(0, 3000, make=noise, size=1000), insist=False, pause=0)
        watch = Watch(daemon)
        watch.start()
        sender.start()
        wait_for("refusals", lambda: sum(sender.statuses.get(s, 0) for s in (429, 503)) >= 50 or not sender.is_alive(), 120)
        middle = anonymous_bytes(daemon)
        refused = sum(sender.statuses.get(s, 0) for s in (429, 503))
        wait_for("more refusals", lambda: sum(sender.statuses.get(s, 0) for s in (429, 503)) >= refused + 200
                 or not sender.is_alive(), 60)
        sender.stop = True
        sender.join()
        assert sender.retry_after and None not in sender.retry_after
        assert not sender.bad, sender.bad[:3]
        most = watch.end()
        within(most, 128)
        within(anonymous_bytes(daemon), (middle >> 20) + 8)
        data = daemon.directory / "data"
        journal = sum(f.stat().st_size for f in (data / "journal").iterdir())
        spool = sum(f.stat().st_size for f in (data / "spool").iterdir())
        assert journal <= 32 * MIB, f"journal {journal / MIB:.1f} MiB"
        assert spool <= 24 * MIB, f"spool {spool / MIB:.1f} MiB: quota, one file per worker and the cut in hand"
        print(f"  {sender.statuses}, memory {most / MIB:.0f} MiB,"
              f" journal {journal / MIB:.1f} MiB, spool {spool / MIB:.1f} MiB")
        os.system(f"mount -o remount,size=256m {disk.path}")
        disk.clear()
        flush_until(daemon)
        after = Sender(daemon, bodies(3000 * BATCH, 5), name="after")
        after.start()
        after.join(30)
        assert after.statuses.get(200) == 5, after.statuses
        flush_until(daemon)
        taken = ids(0, sender.taken) | ids(3000 * BATCH, after.taken)
        check_once(daemon, taken, lake)
        stopped(daemon)
    finally:
        disk.close()


def test_small_requests_go_on_behind_a_full_spool(root):
    """While the spool is full, requests are taken into the journal as long as that has room, however small."""
    disk = SmallDisk(root / "disk", 1)
    try:
        lake = disk.path / "lake"
        config = configuration(
            root, lake=lake, memory="64MiB", journal={"quota": "64MiB", "segment_size": "4MiB"}, spool={"quota": "4MiB"}
        )
        daemon = started(Daemon(root, config))
        disk.fill()
        fill = Sender(daemon, bodies(0, 300, make=noise, size=1000), insist=False, name="fill", pause=0)
        fill.run()
        wait_for("a full spool", lambda: daemon.metric("sluice_buffer_byte_size") > 0 and
                 daemon.metric("sluice_table_stalled") == 1, 30)
        small = Sender(daemon, [body(20_000 + i, 1) for i in range(1000)], insist=False, name="small", pause=0)
        small.run()
        assert small.statuses == {200: 1000}, small.statuses
        status, reply = daemon.request("POST", "/v1/flush", timeout=30)
        assert status == 503, (status, reply)
        os.system(f"mount -o remount,size=256m {disk.path}")
        disk.clear()
        flush_until(daemon)
        check_once(daemon, ids(0, fill.taken) | set(range(20_000, 21_000)), lake)
        stopped(daemon)
    finally:
        disk.close()


def test_full_quotas_survive_kill(root):
    """The same with a kill -9 while everything is full."""
    disk = SmallDisk(root / "disk", 1)
    try:
        lake = disk.path / "lake"
        config = configuration(
            root, lake=lake, memory="64MiB", journal={"quota": "16MiB", "segment_size": "2MiB"}, spool={"quota": "4MiB"}
        )
        daemon = started(Daemon(root, config))
        disk.fill()
        sender = Sender(daemon, bodies(0, 2000, make=noise, size=1000), insist=False, pause=0)
        sender.start()
        wait_for("refusals", lambda: sum(sender.statuses.get(s, 0) for s in (429, 503)) >= 20 or not sender.is_alive(), 120)
        daemon.kill()
        sender.stop = True
        sender.join()
        started(daemon)
        time.sleep(1)
        os.system(f"mount -o remount,size=256m {disk.path}")
        disk.clear()
        flush_until(daemon)
        taken = ids(0, sender.taken)
        check_once(daemon, taken, lake, possible=set(range(2000 * BATCH)) - taken)
        stopped(daemon)
    finally:
        disk.close()


if __name__ == "__main__":
    if os.geteuid() != 0:
        skip("full disks need mount, so this test needs root")
    run_tests(sys.modules[__name__])
