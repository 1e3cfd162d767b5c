#!/usr/bin/env python3
"""AWS's signature test suite (sigv4_vectors.sh installs it): canonical request and signature of every case, header form.

The suite's requests are written as a client would be given them; what is signed are their meanings, so paths and queries
are decoded first. Paths encoded twice are the unit tests' matter: the suite has none. $SLUICE_SIGV4_VECTORS names another
copy of the suite, such as the one in awslabs/aws-c-auth."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

TOP = Path(os.environ.get("SLUICE_TOP") or Path(__file__).resolve().parents[2])
BUILD = Path(os.environ.get("SLUICE_BUILD") or TOP / "build/dev")
SUITE = Path(os.environ.get("SLUICE_SIGV4_VECTORS") or TOP / "build/aws-sigv4/v4")
NORMALISE, PAYLOAD_FIELD, TOKEN_UNSIGNED = 1, 4, 8  # aws.h


def parse(text):
    head, _, body = text.partition("\n\n")
    first, *lines = head.split("\n")
    method, target = re.fullmatch(r"(\S+) (.*) HTTP/1\.1", first).groups()
    path, _, query = target.partition("?")
    fields = []
    for line in lines:
        if line[:1] in (" ", "\t"):
            fields[-1][1] += " " + line.strip()
        elif line:
            fields.append(list(line.split(":", 1)))
    pairs = [list(p.partition("=")[::2]) for p in query.split("&") if p]
    return method, path, [[unquote(n), unquote(v)] for n, v in pairs], fields, body


def run(case):
    context = json.loads((case / "context.json").read_text())
    method, path, query, fields, body = parse((case / "request.txt").read_text())
    credentials = context["credentials"]
    flags = NORMALISE if context.get("normalize", True) else 0
    if context.get("omit_session_token"):
        flags |= TOKEN_UNSIGNED
    if context.get("sign_body"):
        flags |= PAYLOAD_FIELD
    (host,) = [v.strip() for n, v in fields if n.lower() == "host"]
    own = ("host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256")
    request = {
        "service": context["service"], "region": context["region"], "time": context["timestamp"], "flags": flags,
        "key": credentials["access_key_id"], "secret": credentials["secret_access_key"],
        "method": method, "host": host, "path": unquote(path), "query": query,
        "fields": [f for f in fields if f[0].lower() not in own],
        "payload_hash": hashlib.sha256(body.encode()).hexdigest(),
    }
    if "token" in credentials:
        request["token"] = credentials["token"]
    signer = subprocess.run([BUILD / "tests/sigv4_sign"], input=json.dumps(request), capture_output=True, text=True)
    if signer.returncode != 0:
        return [f"sigv4_sign: {signer.stderr}"]
    reply, problems = json.loads(signer.stdout), []
    expected = (case / "header-canonical-request.txt").read_text()
    if reply["canonical"] != expected:
        problems.append(f"canonical request\n{reply['canonical']}\ninstead of\n{expected}")
    expected = (case / "header-signature.txt").read_text().strip()
    if not reply["fields"]["authorization"].endswith(", Signature=" + expected):
        problems.append(f"{reply['fields']['authorization']} instead of signature {expected}")
    return problems


def main():
    cases = sorted(p.parent for p in SUITE.glob("*/context.json"))
    if not cases:
        print(f"AWS's signature test suite isn't in {SUITE}: tests/setup installs it")
        return 77
    failed = 0
    for case in cases:
        for problem in run(case):
            failed += 1
            print(f"{case.name}: {problem}")
    print(f"{len(cases)} cases, {failed} failed")
    return 1 if failed or len(cases) < 38 else 0


if __name__ == "__main__":
    sys.exit(main())
