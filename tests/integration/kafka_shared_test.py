#!/usr/bin/env python3
"""Several daemons of one group, one PostgreSQL: whoever is killed, stopped for too long or loses its data_dir, each event is in
the warehouse once, and each daemon's audit is clean."""

import os
import random
import shutil
import signal
import sys
import threading
import time
import uuid

import rigs
from kafka_topics import KAFKA, lake_ids, reader, taken, values
from rigs import Proxy
from support import event, flush_until, run_tests, started, stopped, wait_for

rigs.need("postgres")
PG = os.environ["SLUICE_TEST_PG"]
SECONDS = int(os.environ.get("SLUICE_LONG", "25"))  # Of kills: minutes where somebody has them.
QUICK = {"properties": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 1000, "reconnect.backoff.max.ms": 500}}


class Shared:
    """A schema of PostgreSQL's, and daemons of one group that load into it, each with a lake of its own."""

    def __init__(self, root, topic):
        self.root, self.topic, self.schema = root, topic, f"k{uuid.uuid4().hex[:12]}"
        rigs.psql(PG, f"CREATE SCHEMA {self.schema}")

    def options(self):
        return f"?options=-csearch_path%3D{self.schema}&sslmode=disable"

    def daemon(self, name, postgres=None, **more):
        url = PG.replace(PG.rsplit("@", 1)[1].split("/")[0], postgres) if postgres else PG
        return reader(self.root / name, self.topic, kafka=QUICK, warehouse={"postgres": {"url": url + self.options()}},
                      stream={"warehouse": {"table": "event_rows"}}, **more)

    def query(self, text):
        return rigs.psql(PG + self.options(), text)

    def there(self):
        known = self.query("SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'event_rows'")
        return int(self.query("SELECT count(*) FROM event_rows")[0][0]) if known else 0

    def proves(self, expected, daemons):
        """All are there, each once, in rows and windows. `expected`: ids, or how many from 0 on."""
        expected = set(range(expected) if isinstance(expected, int) else expected)

        def whole():
            for d in daemons:
                flush_until(d)
            return self.there() >= len(expected) and int(self.query("SELECT sum(events) FROM per_minute")[0][0]) >= len(expected)

        wait_for(f"{len(expected)} rows", whole, 120)
        ids = [int(row[0]) for row in self.query("SELECT id FROM event_rows")]
        assert len(ids) == len(set(ids)), f"{len(ids) - len(set(ids))} events twice"
        assert set(ids) == expected, f"{len(expected - set(ids))} are missing, {len(set(ids) - expected)} are strange"
        wanted = {}
        for e in map(event, expected):
            key = (e["at"][:16], e["kind"])
            wanted[key] = wanted.get(key, 0) + 1
        found = {(start.replace(" ", "T")[:16], kind): int(n) for start, kind, n in self.query(
            "SELECT (window_start AT TIME ZONE 'UTC')::text, kind, events FROM per_minute")}
        assert found == wanted, sorted(set(found.items()) ^ set(wanted.items()))[:5]
        for d in daemons:
            code, text = d.audit()
            assert code == 0, text


def test_a_member_that_was_stopped_past_its_session_is_refused(root):
    """It has taken messages and can't deliver them; stopped, it loses its partitions; another one reads and delivers them; then it
    goes on, delivers what it had, and is refused."""
    topic = KAFKA.topic("orders", 2)
    shared = Shared(root, topic)
    with Proxy(PG.rsplit("@", 1)[1].split("/")[0]) as line:
        a, b = shared.daemon("a", line.address), shared.daemon("b")
        started(a)
        KAFKA.produce(topic, values(0, 1000))
        taken(a, 1000)
        flush_until(a)
        line.set(refuse=True)
        line.close_all()
        KAFKA.produce(topic, values(1000, 3000))
        taken(a, 4000)
        wait_for("undelivered", lambda: a.metric("sluice_table_stalled") >= 2)
        a.process.send_signal(signal.SIGSTOP)
        started(b)
        wait_for("taken over", lambda: b.metric("sluice_kafka_partitions") == 2, 120)
        KAFKA.produce(topic, values(4000, 1000))
        wait_for("delivered", lambda: (flush_until(b), shared.there() == 5000)[1], 120)
        a.process.send_signal(signal.SIGCONT)
        line.clear()
        wait_for("refused", lambda: a.metric("sluice_refused_loads_total") >= 2, 120)  # Rows, and windows.
        assert "another reader has brought" in a.said()
        KAFKA.produce(topic, values(5000, 1000))
        shared.proves(6000, (a, b))
        # Both had taken them: plain files of two daemons may hold an event twice, and none is missing.
        assert set(lake_ids(a)) | set(lake_ids(b)) == set(range(6000))
        assert "elsewhere" in a.audit()[1], a.audit()[1]
        stopped(a)
        stopped(b)


def test_the_slower_of_two_is_refused_and_goes_on(root):
    """The other way round: who was stopped is quicker, and the owner leaves out what it brought."""
    topic = KAFKA.topic("orders", 1)
    shared = Shared(root, topic)
    with Proxy(PG.rsplit("@", 1)[1].split("/")[0]) as mine, Proxy(PG.rsplit("@", 1)[1].split("/")[0]) as others:
        a, b = shared.daemon("a", mine.address), shared.daemon("b", others.address)
        started(a)
        mine.set(refuse=True)
        others.set(refuse=True)
        KAFKA.produce(topic, values(0, 2000))
        taken(a, 2000)
        wait_for("undelivered", lambda: a.metric("sluice_table_stalled") >= 2)
        a.process.send_signal(signal.SIGSTOP)
        started(b)
        taken(b, 2000)
        KAFKA.produce(topic, values(2000, 1000))
        taken(b, 3000)
        wait_for("undelivered", lambda: b.metric("sluice_table_stalled") >= 2)
        a.process.send_signal(signal.SIGCONT)
        mine.clear()
        wait_for("what it had", lambda: shared.there() >= 2000, 120)
        others.clear()
        wait_for("refused", lambda: b.metric("sluice_refused_loads_total") >= 2, 120)
        shared.proves(3000, (a, b))
        stopped(a)
        stopped(b)


def test_a_data_dir_that_is_lost(root):
    """A node is gone for good; its successor with an empty disk, and the other one, share what is left."""
    topic = KAFKA.topic("orders", 4)
    shared = Shared(root, topic)
    a, b = started(shared.daemon("a")), started(shared.daemon("b"))
    wait_for("two each", lambda: a.metric("sluice_kafka_partitions") == 2 and b.metric("sluice_kafka_partitions") == 2, 120)
    KAFKA.produce(topic, values(0, 4000))
    wait_for("some", lambda: shared.there() >= 500)
    KAFKA.produce(topic, values(4000, 4000))
    wait_for("taken", lambda: a.metric("sluice_kafka_messages_total") + b.metric("sluice_kafka_messages_total") >= 8000)
    a.kill()
    shutil.rmtree(root / "a" / "data")
    started(a)
    KAFKA.produce(topic, values(8000, 1000))
    shared.proves(9000, (a, b))
    # PostgreSQL may have had all of them when the one that is gone had brought some to no file yet.
    wait_for("all partitions", lambda: a.metric("sluice_kafka_partitions") + b.metric("sluice_kafka_partitions") == 4, 120)
    wait_for("read again", lambda: sum(o for o, _ in KAFKA.committed(topic, topic).values()) == 9000 or [flush_until(d) for d in (a, b)] is None)
    missing = set(range(9000)) - set(lake_ids(a)) - set(lake_ids(b))
    assert not missing, f"{len(missing)} are in no file, such as {sorted(missing)[:3]}"
    stopped(a)
    stopped(b)


def test_duplicates_are_found_by_the_next_reader_too(root):
    """Each id twice, one of them hours before the partition's owner was lost. In another partition an id is another event's."""
    topic = KAFKA.topic("orders", 2)
    shared = Shared(root, topic)
    deduped = {"warehouse": {"table": "event_rows"}, "id": "id", "dedupe": "12h"}
    a, b = shared.daemon("a"), shared.daemon("b")
    for d in (a, b):
        d.config["streams"]["events"].update(deduped)
    started(a)
    now = int(time.time() * 1000)
    broken = b'{"id": "none"}'
    KAFKA.produce(topic, [*values(0, 1000), broken], partition=0, timestamp=now - 6 * 3600000)
    KAFKA.produce(topic, values(2000, 1000), partition=1, timestamp=now - 6 * 3600000)
    taken(a, 2001)
    flush_until(a)
    wait_for("committed", lambda: {p: o for p, (o, _) in KAFKA.committed(topic, topic).items()} == {0: 1001, 1: 1000})
    a.kill()
    shutil.rmtree(root / "a" / "data")
    started(b)
    wait_for("both", lambda: b.metric("sluice_kafka_partitions") == 2, 120)
    KAFKA.produce(topic, [*values(0, 1000), *values(1000, 500), *values(1000, 500)], partition=0)
    KAFKA.produce(topic, [*values(2000, 1000), *values(0, 10)], partition=1)
    taken(b, 2001 + 2000 + 1010)
    flush_until(b)
    assert "what another reader has brought is read again" in b.said()
    assert shared.query("SELECT count(*), count(DISTINCT id) FROM event_rows") == [["2500", "2500"]]  # The table goes by id, too.
    assert shared.query("SELECT sum(events) FROM per_minute") == [["2510"]]
    assert lake_ids(b) == sorted([*range(1000, 1500), *range(10)])
    code, text = b.audit()
    assert code == 0 and "received 3010 = 510 rows + 0 dead + 0 late + 2500 duplicates" in text, text
    stopped(b)


def test_one_of_three_is_killed_every_few_seconds(root):
    """Under load: sometimes it is back before its session ends, sometimes others have its partitions by then, once its disk is gone."""
    topic = KAFKA.topic("orders", 6)
    shared = Shared(root, topic)
    daemons = [started(shared.daemon(name)) for name in "abc"]
    sent, over, draw = [0], threading.Event(), random.Random(11)

    def load():
        while not over.is_set():
            KAFKA.produce(topic, values(sent[0], 200))
            sent[0] += 200
            time.sleep(0.1)

    producer = threading.Thread(target=load)
    producer.start()
    try:
        until, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < until:
            time.sleep(draw.uniform(0.5, 3))
            victim = draw.choice(daemons)
            victim.kill()
            kills += 1
            if kills == 3:
                shutil.rmtree(victim.directory / "data")
            time.sleep(draw.choice((0, 0, 8)))
            started(victim)
    finally:
        over.set()
        producer.join()
    shared.proves(sent[0], daemons)
    refused = sum(d.metric("sluice_refused_loads_total") for d in daemons)
    print(f"{sent[0]} events, {kills} kills, {refused:.0f} loads refused since the last starts")
    for d in daemons:
        stopped(d)


if __name__ == "__main__":
    run_tests(sys.modules[__name__])
