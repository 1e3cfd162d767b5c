#!/usr/bin/env python3
"""What the documents name exists: verbs and options of the manual page, metrics, files, and the tests that prove a guarantee."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

TOP = Path(os.environ.get("SLUICE_TOP") or Path(__file__).resolve().parents[2])
BINARY = os.environ.get("SLUICE_BIN", str(TOP / "build/dev/src/app/sluice"))
# Everywhere in main.c, too well known to be in the usage text.
COMMON = {"--help", "--version", "--config"}
OPTION = re.compile(r"--[a-z][a-z-]*[a-z]")


def said(*arguments):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, check=True).stdout


def manual_names_the_verbs_and_options_of_the_usage():
    usage = said("help").split("Configuration keys:")[0]
    page = (TOP / "docs/sluice.1").read_text().replace("\\-", "-")
    verbs = set()
    for line in re.findall(r"^(?:usage:| {6,}) ?sluice (.*)$", usage, re.M):
        verbs.update(re.match(r"\[?([a-z]+)\]?(?: \| ([a-z]+))?", line).groups())
    verbs.discard(None)
    commands = page.split(".SH COMMANDS")[1].split("\n.SH ")[0]
    named = set(re.findall(r"^\.SS ([a-z]+)$", commands, re.M))
    assert len(verbs) > 5 and named == verbs, f"verbs: page {sorted(named)}, usage {sorted(verbs)}"
    options = set(OPTION.findall(usage + said("generate", "--help"))) - COMMON
    named = set(OPTION.findall(page)) - COMMON
    assert named == options, f"options: page {sorted(named - options)}, usage {sorted(options - named)}"


def manual_is_clean():
    if shutil.which("man") is None:
        print("skipped: there is no man")
        return
    done = subprocess.run(["man", "--warnings", "-l", str(TOP / "docs/sluice.1")], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def operations_name_every_metric():
    source = "".join(p.read_text() for p in (TOP / "src").rglob("*.c") if not p.name.endswith("_test.c"))
    registered = set(re.findall(r'(?:SL_METRIC_(?:COUNTER|GAUGE),\s*|\bname\[\] = )"(sluice_[a-z0-9_]+)"', source))
    # `sluice_ledger_TABLE` and its kin aren't metrics.
    named = set(re.findall(r"`(sluice_[a-z0-9_]+)[`{ ]", (TOP / "docs/operations.md").read_text()))
    assert len(registered) > 10 and named == registered, (
        f"docs/operations.md: not registered {sorted(named - registered)}, not named {sorted(registered - named)}")


def files_and_tests_that_are_named_exist():
    missing = []
    documents = [*(TOP / "docs").glob("*.md"), *(TOP / "src").rglob("README.md"), TOP / "README.md"]
    for document in documents:
        text = document.read_text()
        for path in re.findall(r"`((?:src|tests|docs|include|config|deploy)/[\w./-]+)`", text):
            if not (TOP / path).exists():
                missing.append(f"{document.relative_to(TOP)}: {path}")
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" not in target and not (document.parent / target).exists():
                missing.append(f"{document.relative_to(TOP)}: {target}")
    # "- `file`: `test`, `test`: …"; the tests are functions of that file.
    for line in (TOP / "docs/guarantees.md").read_text().splitlines():
        found = re.match(r"- `((?:src|tests)/[\w./-]+)`: ((?:`\w+`(?:, )?)+)", line)
        if found and (TOP / found[1]).is_file():
            source = (TOP / found[1]).read_text()
            missing += [f"{found[1]}: {t}" for t in re.findall(r"`(\w+)`", found[2])
                        if not re.search(rf"\b{t}\(", source)]
    assert not missing, "named but not there:\n  " + "\n  ".join(missing)


def main():
    failed = 0
    for check in (manual_names_the_verbs_and_options_of_the_usage, manual_is_clean, operations_name_every_metric,
                  files_and_tests_that_are_named_exist):
        try:
            check()
            print(f"passed: {check.__name__}")
        except AssertionError as e:
            failed += 1
            print(f"failed: {check.__name__}: {e}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
