#!/usr/bin/env bash
# AWS's own signature test suite (Apache-2.0), as the crate aws-sigv4 carries it, into build/aws-sigv4.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
version=1.6.4
sum=f385da9b7757ed4c8214797ad663ff534fb622006143530aa80e21f8e06ff85c
into=$top/build/aws-sigv4
[ "$(cat "$into/.version" 2>/dev/null)" != $version ] || exit 0
part=$(mktemp -d)
trap 'rm -rf "$part"' EXIT
curl -fsSL --retry 3 --max-time 120 -o "$part/crate" \
    "https://static.crates.io/crates/aws-sigv4/aws-sigv4-$version.crate"
echo "$sum  $part/crate" | sha256sum --check --quiet
rm -rf "$into"
mkdir -p "$into"
tar -C "$into" --strip-components 2 -xzf "$part/crate" "aws-sigv4-$version/aws-signing-test-suite"
echo $version >"$into/.version"
