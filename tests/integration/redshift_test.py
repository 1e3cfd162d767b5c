#!/usr/bin/env python3
"""The Redshift target against its double and a real S3 server: every fault and crash leaves each row once.

The tests are C (src/sinks/warehouse/redshift/redshift_live_test.c); here they get servers of their own, as they
inject faults that others would meet."""

import os
import subprocess
import sys
from pathlib import Path

import rigs

BUILD = Path(os.environ.get("SLUICE_BUILD", "build/dev"))
program = BUILD / "src/sinks/warehouse/redshift/redshift_live_test"

servers = rigs.own("s3", "postgres", "redshift")
done = subprocess.run([str(program)], env={**os.environ, **servers.variables})
sys.exit(done.returncode)
