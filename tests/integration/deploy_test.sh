#!/usr/bin/env bash
# What the install target lays down is what systemd accepts, and the installed daemon runs on its
# installed configuration.
set -euo pipefail
: "${SLUICE_TOP:?}" "${SLUICE_BUILD:?}" "${SLUICE_TMP:?}"

root=$SLUICE_TMP/root
DESTDIR=$root cmake --install "$SLUICE_BUILD" --prefix /usr >/dev/null
[ -x "$root/usr/bin/sluice" ]
[ -s "$root/usr/lib/systemd/system/sluice.service" ]

# verify looks for the program at the path the unit names.
unit=$SLUICE_TMP/sluice.service
sed "s|/usr/bin/sluice|$root/usr/bin/sluice|" "$root/usr/lib/systemd/system/sluice.service" >"$unit"
said=$(systemd-analyze verify --man=no "$unit" 2>&1) || { echo "$said" && exit 1; }
if grep -F sluice.service <<<"$said"; then
    echo "systemd-analyze verify warns about the unit"
    exit 1
fi

# Nothing of the hardening may be left out by a slip of the pen: the exposure has a ceiling.
if score=$(systemd-analyze security --offline=true --threshold=30 "$unit" 2>&1); then
    tail -n 1 <<<"$score"
else
    tail -n 20 <<<"$score"
    exit 1
fi

configuration=$root/etc/sluice/sluice.yaml
SLUICE_DATA_DIR=$SLUICE_TMP/data "$root/usr/bin/sluice" validate "$configuration"
bash -n "$SLUICE_TOP/deploy/quickstart" "$SLUICE_TOP/deploy/setup"
