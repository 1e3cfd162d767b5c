#!/usr/bin/env bash
# A thousand seeds of the simulated daemon (README.md), some of them twice, and a hundred with the sanitizers.
#
#   SLUICE_BUILD  the dev build   SLUICE_TOP  the checkout   SLUICE_SEEDS  how many, 1000 otherwise
set -uo pipefail
top=${SLUICE_TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
sim=${SLUICE_BUILD:-$top/build/dev}/tests/sim
[ -x "$sim" ] || { echo "$sim isn't built" && exit 77; }
failed=0

echo "== the same seed leaves the same bytes, in one process and in another"
"$sim" --seeds 30 --twice | tee "${SLUICE_TMP:-/tmp}/first" || failed=1
"$sim" --seeds 30 >"${SLUICE_TMP:-/tmp}/second" || failed=1
cmp "${SLUICE_TMP:-/tmp}/first" "${SLUICE_TMP:-/tmp}/second" || failed=1

echo "== ${SLUICE_SEEDS:-1000} seeds"
"$sim" --seeds "${SLUICE_SEEDS:-1000}" || failed=1

asan=$top/build/asan/tests/sim
if [ -x "$asan" ]; then
    echo "== 100 seeds with AddressSanitizer and UndefinedBehaviorSanitizer"
    # What a daemon that died had in memory is not given back.
    ASAN_OPTIONS=detect_leaks=0 "$asan" --from 5000 --seeds 100 --limit 240 || failed=1
else
    echo "skipped with sanitizers: $asan isn't built"
fi
exit $failed
