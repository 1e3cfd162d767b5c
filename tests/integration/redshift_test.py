#!/usr/bin/env python3
"""The Redshift target against its double and a real S3 server: every fault and crash leaves each row once.

The tests are C (src/sinks/warehouse/redshift/redshift_live_test.c and redshift_tables_test.c); here they get servers of
their own, as they inject faults that others would meet. SLUICE_ONLY names some, with '*'."""

import os
import subprocess
import sys
from pathlib import Path

import rigs

BUILD = Path(os.environ.get("SLUICE_BUILD", "build/dev"))
servers = rigs.own("s3", "postgres", "redshift")
codes = [
    subprocess.run([str(BUILD / "src/sinks/warehouse/redshift" / name)], env={**os.environ, **servers.variables}).returncode
    for name in ("redshift_live_test", "redshift_tables_test")
]
sys.exit(max(codes, key=abs))
