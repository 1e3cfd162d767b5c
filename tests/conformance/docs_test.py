#!/usr/bin/env python3
"""What the documents name exists: verbs and options of the manual page, metrics, keys, files, headings, and the tests that
prove a guarantee. And what they show works: configurations are valid, policies are JSON and name what S3 is asked for."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
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
    helps = "".join(said(verb, "--help") for verb in ("generate", "replay", "tap", "top"))
    options = set(OPTION.findall(usage + helps)) - COMMON
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


def configuration_page_has_every_key():
    keys = set(re.findall(r"^  ([\w.]+)  \(", said("help").split("Configuration keys:")[1], re.M))
    page = (TOP / "docs/configuration.md").read_text().split("## Further variables")[0]
    rows = [re.split(r" (?<!\\)\| ", row) for row in re.findall(r"^\| (`.*) \|$", page, re.M)]
    named = {row[0].strip("`") for row in rows}
    assert len(keys) > 50 and named == keys, f"docs/configuration.md: page {sorted(named - keys)}, help {sorted(keys - named)}"
    empty = [row[0] for row in rows if len(row) != 4 or not all(cell.strip() for cell in row)]
    assert not empty, f"docs/configuration.md: without type, default or meaning: {empty}"


def refused(configuration, directory, environment):
    """What `sluice validate` has against it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    if "kafka:" in configuration:  # Its brokers aren't here to be asked.
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=directory) as file:
            file.write(configuration)
            file.flush()
            done = subprocess.run([BINARY, "validate", file.name, "--no-environment"], capture_output=True, text=True, env=clean)
        return done.stderr.strip() if done.returncode else ""
    done = subprocess.run([BINARY, "validate"], cwd=directory, capture_output=True, text=True,
                          env={**clean, **environment, "SLUICE_CONFIG_YAML": configuration})
    return done.stderr.strip() if done.returncode else ""


def configurations_are_valid():
    wrong = []
    files = sorted((TOP / "config").rglob("*.yaml"))
    for file in files:
        text = file.read_text()
        variables = {}
        for line in re.findall(r"^# +export (.*)$", text, re.M):
            variables.update(word.split("=", 1) for word in shlex.split(line))
        wrong.append((file.relative_to(TOP), refused(text, file.parent, variables)))
    with tempfile.NamedTemporaryFile("w") as secret:
        secret.write("secret\n")
        secret.flush()
        blocks = 0
        for document in (TOP / "README.md", TOP / "docs/operations.md", TOP / "docs/kafka.md"):
            for block in re.findall(r"^```yaml\n(.*?)^```$", document.read_text(), re.M | re.S):
                blocks += 1
                block = re.sub(r"/run/secrets/\w+", secret.name, block)
                wrong.append((f"{document.name}: {block.splitlines()[0]}", refused(block, TOP, {})))
    assert len(files) > 3 and blocks > 3, "no configurations are found"
    wrong = [f"{name}: {text}" for name, text in wrong if text]
    assert not wrong, "refused:\n  " + "\n  ".join(wrong)


def every_test_is_run():
    """tests/run takes what is executable; the rest ctest must name."""
    named = "".join(f.read_text() for f in [*TOP.glob("tests/**/CMakeLists.txt"), *TOP.glob("src/**/CMakeLists.txt")])
    tests = [*TOP.glob("tests/*/*_test.py"), *TOP.glob("tests/*/*_test.sh")]
    assert len(tests) > 30
    left = [str(t.relative_to(TOP)) for t in tests if not os.access(t, os.X_OK) and t.name not in named]
    assert not left, f"nobody runs {', '.join(left)}: make them executable"


def policies_name_what_is_asked_of_s3():
    blocks = re.findall(r"^```json\n(.*?)^```$", (TOP / "docs/operations.md").read_text(), re.M | re.S)
    policies = [p for p in map(json.loads, blocks) if "Statement" in p]
    allowed = set()
    for statement in policies[0]["Statement"]:
        actions = statement["Action"]
        allowed.update(actions if isinstance(actions, list) else [actions])
    source = "".join((TOP / "src/sinks/lake" / name).read_text() for name in ("s3.c", "s3_put.c"))
    asked = set(re.findall(r"s3:[A-Z]\w+", "".join(re.findall(r'"[^"\n]*"', source))))
    assert len(asked) > 4 and allowed == asked, f"policy {sorted(allowed - asked)}, code {sorted(asked - allowed)}"


def slug(heading):
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def headings_that_are_linked_exist():
    missing = []
    for document in [*(TOP / "docs").glob("*.md"), TOP / "README.md"]:
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", document.read_text()):
            if "://" in target:
                continue
            text = (document.parent / target if target else document).read_text()
            if anchor not in map(slug, re.findall(r"^#+ (.*)$", text, re.M)):
                missing.append(f"{document.relative_to(TOP)}: {target}#{anchor}")
    assert not missing, "no such heading:\n  " + "\n  ".join(missing)


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


def tables_have_heads():
    """A blank line ends a table: what stands behind it is text with bars."""
    wrong = []
    for document in [TOP / "README.md", *(p for top in ("docs", "config", "src", "tests") for p in (TOP / top).rglob("*.md"))]:
        lines = re.sub(r"^```.*?^```$", lambda m: re.sub(r"[^\n]", "", m[0]), document.read_text(), flags=re.M | re.S).splitlines()
        for n, line in enumerate(lines):
            first = line.startswith("|") and (n == 0 or not lines[n - 1].startswith("|"))
            if first and not re.fullmatch(r"\|( ?:?-+:? ?\|)+", lines[n + 1] if n + 1 < len(lines) else ""):
                wrong.append(f"{document.relative_to(TOP)}:{n + 1}")
    assert not wrong, f"no head: {', '.join(wrong)}"


def architecture_names_every_folder():
    text = (TOP / "docs/architecture.md").read_text()
    listed = re.search(r"^src/core/ .*?(?=^```)", text, re.M | re.S)[0]
    named, top = set(), ""
    for line in listed.splitlines():
        if line[0] != " ":
            top, line = line.split(maxsplit=1)
            named.add(top.rstrip("/"))
        named.update(top + folder for folder in re.findall(r"(?<![\w/])([a-z_]+)/", line))
    # A warehouse's folder is listed beside `warehouse/`.
    named = {"/".join((n.split("/")[0], n.split("/")[1], n.split("/")[-1])) for n in named}
    folders = {p.relative_to(TOP) for p in (TOP / "src").rglob("*") if p.is_dir() and any(p.glob("*.c"))}
    missing = sorted(str(f) for f in folders if "/".join((f.parts[0], f.parts[1], f.parts[-1])) not in named)
    gone = sorted(n for n in named if not any((TOP / "src").rglob(n.split("/")[-1])))
    assert len(folders) > 20 and not missing and not gone, f"docs/architecture.md: not named {missing}, not there {gone}"


def functions_that_are_named_exist():
    source = "".join(p.read_text() for top in ("include", "src", "tests") for p in (TOP / top).rglob("*.[ch]"))
    missing = []
    for document in [*(TOP / "docs").glob("*.md"), *(TOP / "src").rglob("README.md"), *(TOP / "tests").rglob("README.md")]:
        text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.M | re.S)
        for name in set(re.findall(r"`(\w+)\(\)`", text) + re.findall(r"`(sl_\w+)", text)):
            if not re.search(rf"\b{name}\b", source):
                missing.append(f"{document.relative_to(TOP)}: {name}")
    assert not missing, "named but not there:\n  " + "\n  ".join(sorted(missing))


def main():
    failed = 0
    for check in (manual_names_the_verbs_and_options_of_the_usage, manual_is_clean, operations_name_every_metric,
                  configuration_page_has_every_key, configurations_are_valid, every_test_is_run, policies_name_what_is_asked_of_s3,
                  headings_that_are_linked_exist, files_and_tests_that_are_named_exist, tables_have_heads, architecture_names_every_folder,
                  functions_that_are_named_exist):
        try:
            check()
            print(f"passed: {check.__name__}")
        except AssertionError as e:
            failed += 1
            print(f"failed: {check.__name__}: {e}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
