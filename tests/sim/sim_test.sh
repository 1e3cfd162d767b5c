#!/usr/bin/env bash
# The same seed leaves the same bytes (README.md). The seeds themselves are in ctest, under the label sim.
#
#   SLUICE_BUILD  the dev build   SLUICE_TOP  the checkout   SLUICE_SEEDS  more seeds, from 100001 on
set -uo pipefail
top=${SLUICE_TOP:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
sim=${SLUICE_BUILD:-$top/build/dev}/tests/sim
[ -x "$sim" ] || { echo "$sim isn't built" && exit 77; }
failed=0

echo "== the same seed leaves the same bytes, in one process and in another"
for how in "" --allocations; do
    "$sim" --seeds 20 --twice $how | tee "${SLUICE_TMP:-/tmp}/first" || failed=1
    "$sim" --seeds 20 $how >"${SLUICE_TMP:-/tmp}/second" || failed=1
    cmp "${SLUICE_TMP:-/tmp}/first" "${SLUICE_TMP:-/tmp}/second" || failed=1
done

if [ -n "${SLUICE_SEEDS:-}" ]; then
    echo "== $SLUICE_SEEDS seeds"
    "$sim" --from 100001 --seeds "$SLUICE_SEEDS" || failed=1
fi
exit $failed
