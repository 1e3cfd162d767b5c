#!/usr/bin/env python3
"""The S3 lake alone, against a real server behind a network that fails: every file is there once, and nothing else."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rigs

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", TOP / "build" / "dev"))
FILES = BUILD / "src" / "sinks" / "lake" / "s3_files"
MIB = 1 << 20

rigs.need("s3")
s3 = rigs.S3()
spool = tempfile.TemporaryDirectory()
numbers = random.Random(4)


def write(name, size):
    content = numbers.randbytes(size)
    (Path(spool.name) / name).write_bytes(content)
    return content


class Session:
    """A process that delivers what it is told."""

    def __init__(self, endpoint=None, options="", **environment):
        self.process = subprocess.Popen(
            [str(FILES), endpoint or os.environ["SLUICE_TEST_S3_ENDPOINT"], s3.bucket, spool.name],
            env={**os.environ, "SLUICE_S3_OPTIONS": options, **environment},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def say(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()

    def ask(self, *words):
        self.say(*words)
        line = self.process.stdout.readline()
        assert line, f"the session ended: {self.process.wait()}"
        status, _, text = line.rstrip("\n").partition(" ")
        return status, text

    def deliver(self, *files):
        """Pairs of file and key (below the test's prefix)."""
        return self.ask("deliver", *(w for file, key in files for w in (file, hexed(key))))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.stdin.close()
            assert self.process.wait(30) == 0
        self.process.stdout.close()


def hexed(key):
    return (s3.prefix + key).encode().hex()


def alone():
    """Nothing of uploads is left."""
    assert s3.uploads(s3.bucket, s3.prefix) == [], s3.uploads(s3.bucket, s3.prefix)


def through(proxy):
    return f"http://{proxy.address}"


def proxy():
    return rigs.Proxy(os.environ["SLUICE_TEST_S3_ENDPOINT"].partition("://")[2])


def test_keys_of_any_kind():
    keys = ["plain.parquet", "event_type=page view/date=2026-11-21/a.parquet", "a+b=c&d/e;f,g:h@i!$'()*~.parquet",
            "größe=日本語/\N{GRINNING FACE}.parquet", "percent%2Fpercent%/x", "x" * 150 + "/" + "y" * 150]
    with Session() as session:
        contents = [write(f"f{i}", 1000 + i) for i in range(len(keys))]
        assert session.deliver(*((f"f{i}", k) for i, k in enumerate(keys))) == ("ok", "")
        for i, k in enumerate(keys):
            assert s3.read(k) == contents[i], k
            assert session.ask("verify", f"f{i}", hexed(k)) == ("ok", "")
            assert session.ask("read", f"f{i}", hexed(k)) == ("ok", "")
        status, _ = session.ask("verify", "f0", hexed(keys[1]))
        assert status == "ecorrupt"
    found = s3.keys()
    assert sorted(found) == sorted(keys), found


def test_lists_name_every_key():
    with Session() as session:
        session.say("list", s3.prefix.encode().hex())
        words = session.process.stdout.readline().split()
    assert words.pop() == "ok"
    listed = {bytes.fromhex(k).decode()[len(s3.prefix):]: int(n) for k, n in zip(words[0::2], words[1::2])}
    assert sorted(listed) == sorted(s3.keys()) and len(listed) == 6, listed


def test_an_object_is_written_once():
    write("once", 5000)
    write("other", 5000)
    with Session() as session:
        for _ in range(2):
            assert session.deliver(("once", "once")) == ("ok", "")
        status, text = session.deliver(("other", "once"))
        assert status == "econflict" and "other content" in text, text
        assert session.ask("delete", hexed("once")) == ("ok", "")
        assert session.deliver(("other", "once")) == ("ok", "")


def test_large_files_go_in_parts():
    content = write("large", 64 * MIB + 12345)
    with Session() as session:
        began = time.monotonic()
        assert session.deliver(("large", "large")) == ("ok", "")
        print(f"64 MiB in {time.monotonic() - began:.2f} s")
        assert session.ask("read", "large", hexed("large")) == ("ok", "")
        assert session.deliver(("large", "large")) == ("ok", "")
        write("large2", 17 * MIB)
        status, text = session.deliver(("large2", "large"))
        assert status == "econflict", text
    assert s3.read("large") == content
    alone()


def test_lost_replies_are_looked_up():
    with proxy() as p, Session(through(p)) as session:
        for i, match in enumerate([rb"PUT [^ ]*small", rb"POST [^ ]*uploads=", rb"PUT [^ ]*partNumber=2",
                                   rb"POST [^ ]*uploadId="]):
            small, large = write(f"small{i}", 3000), write(f"large{i}", 20 * MIB)
            rule = p.rule("drop_reply", match=match, times=2)
            assert session.deliver((f"small{i}", f"small{i}"), (f"large{i}", f"large{i}")) == ("ok", ""), match
            assert rule.hits > 0, match
            assert s3.read(f"small{i}") == small and s3.read(f"large{i}") == large
            p.clear()
            alone()


def test_reset_in_the_middle_of_a_part():
    content = write("reset", 24 * MIB)
    with proxy() as p, Session(through(p)) as session:
        rule = p.rule("reset", match=rb"PUT [^ ]*partNumber=", times=3, after=3 * MIB)
        assert session.deliver(("reset", "reset")) == ("ok", "")
        assert rule.hits == 3
    assert s3.read("reset") == content
    alone()


def test_storm_of_slow_downs():
    body = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    reply = f"HTTP/1.1 503 Slow Down\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    files = [(f"storm{i}", f"storm{i}") for i in range(20)]
    contents = [write(name, 2000) for name, _ in files]
    with proxy() as p, Session(through(p), options="tries=16") as session:
        rule = p.rule("answer", match=rb"PUT ", times=14, reply=reply)
        assert session.deliver(*files) == ("ok", "")
        assert rule.hits == 14
    assert [s3.read(key) for _, key in files] == contents


def test_silent_server_and_slow_network():
    content = write("slow", 18 * MIB)
    with proxy() as p, Session(through(p), options="stall=2000") as session:
        p.rule("hang", match=rb"PUT [^ ]*partNumber=1&", times=1)
        assert session.deliver(("slow", "slow")) == ("ok", "")
        assert s3.read("slow") == content
        p.clear()
        p.set(bytes_per_s=4 * MIB)  # Slow is not silent.
        write("slower", 20 * MIB)
        assert session.deliver(("slower", "slower")) == ("ok", "")
    alone()


def test_outage_is_a_status_and_then_passes():
    write("out", 4000)
    with proxy() as p, Session(through(p), options="tries=2") as session:
        p.set(refuse=True)
        status, text = session.deliver(("out", "out"))
        assert status == "eio" and "s3://" in text, (status, text)
        p.set(refuse=False)
        assert session.deliver(("out", "out")) == ("ok", "")
    alone()


def test_denied_keys_are_told():
    denied = os.environ.get("SLUICE_TEST_S3_DENIED_ACCESS_KEY_ID")
    if not denied:
        print("the rig has no keys that are denied: skipped")
        return
    write("denied", 100)
    with Session(AWS_ACCESS_KEY_ID=denied,
                 AWS_SECRET_ACCESS_KEY=os.environ["SLUICE_TEST_S3_DENIED_SECRET_ACCESS_KEY"]) as session:
        status, text = session.deliver(("denied", "denied"))
        assert status == "edenied" and "s3:PutObject on arn:aws:s3:::" in text, text
    with Session(AWS_SECRET_ACCESS_KEY="wrong") as session:
        status, text = session.deliver(("denied", "denied"))
        assert status == "edenied" and "SignatureDoesNotMatch" in text, text
    assert "denied" not in s3.keys()


def test_killed_at_any_moment():
    """kill -9 while parts are sent; the next process cleans up and delivers."""
    content = write("killed", 40 * MIB)
    left = 0
    with proxy() as p:
        for i in range(8):
            key = f"killed{i}"
            p.set(bytes_per_s=(20 + 10 * i) * MIB)
            session = Session(through(p))
            session.say("start", "killed", hexed(key))
            time.sleep(0.05 + 0.1 * i)
            session.process.send_signal(signal.SIGKILL)
            session.process.wait()
            session.process.stdin.close()
            session.__exit__()
            left += len(s3.uploads(s3.bucket, s3.prefix))
            with Session() as again:
                assert again.deliver(("killed", key)) == ("ok", "")
                assert again.ask("read", "killed", hexed(key)) == ("ok", "")
            alone()
        assert s3.read("killed3") == content
    print(f"8 kills left {left} uploads, all aborted since")
    assert left > 0


def test_encryption_class_and_tags_are_asked_for():
    write("dressed", 1000)
    with Session(options="sse=AES256 class=STANDARD tag=team:data") as session:
        status, text = session.deliver(("dressed", "dressed"))
        assert status == "ok" or "NotImplemented" in text, text


if __name__ == "__main__":
    chosen = sys.argv[1:]
    for name, test in list(globals().items()):
        if name.startswith("test_") and (not chosen or name in chosen):
            began = time.monotonic()
            test()
            print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)
