"""Real servers for tests: S3, PostgreSQL and the Redshift double (tests/rigs), and a proxy with faults before them.

    import rigs
    rigs.need("s3", "postgres")     started when they are not up; where one can't be installed the test is skipped
    rigs.S3()                       a client of the rig's bucket, signing by itself
    rigs.own("postgres")            servers of this test alone, which it may stop, break and start again
    rigs.Proxy(address)             a proxy with faults, see tests/rigs/proxy.py
"""

import atexit
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
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
