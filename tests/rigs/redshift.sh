# Sourced by rig: the Redshift double over the rig's PostgreSQL; its COPY reads from the rig's S3.

redshift_state() { [ -f "$RIG_DIR/redshift/state" ] && . "$RIG_DIR/redshift/state"; }
redshift_alive() { redshift_state && alive "$RIG_DIR/redshift/pid" redshift_double; }
redshift_install() { python >/dev/null; }

redshift_up() {
    ! redshift_alive || return 0
    local home=$RIG_DIR/redshift with
    with=$(python)
    redshift_state || port=$(free_port "${SLUICE_RIG_REDSHIFT_PORT:-0}")
    certificate redshift
    echo "port=$port" >"$home/state"
    : >"$home/log"
    RSD_PG=${RSD_PG:-$SLUICE_TEST_PG} RSD_PORT=$port RSD_TLS_CERT=$home/tls/server.crt RSD_TLS_KEY=$home/tls/server.key \
        start redshift "$(id -un)" "$with" "$here/redshift_double.py"
    wait_until redshift redshift_double grep -q 'listening on' "$home/log"
}

redshift_env() {
    redshift_state || die "redshift is not up"
    echo "export SLUICE_TEST_REDSHIFT=postgresql://sluice:sluice@127.0.0.1:$port/dev"
    echo "export SLUICE_TEST_REDSHIFT_CA=$RIG_DIR/redshift/tls/ca.crt"
}

redshift_stop() { ! redshift_state || end redshift redshift_double KILL; }
redshift_down() { ! redshift_state || end redshift redshift_double TERM; rm -rf "$RIG_DIR/redshift"; }
