# Sourced by rig: Debian's PostgreSQL 15 with a cluster of its own. Over TCP every user needs a password
# (SCRAM, TLS where asked for); `admin` is the superuser, by the socket in its directory only.

# The server's programs are not on Debian's PATH.
postgres_programs() {
    local d
    for d in $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
        [ -x "$d/postgres" ] && [ -x "$d/initdb" ] && echo "$d" && return
    done
    d=$(command -v initdb) && d=$(dirname "$(readlink -f "$d")") && [ -x "$d/postgres" ] && echo "$d"
}

postgres_install() {
    postgres_programs >/dev/null && return
    . "$top/deploy/packages.sh"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || missing "no PostgreSQL server here, and only root can install one"
    # No cluster of Debian's own on port 5432.
    as_root mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
    install_packages postgresql-15 >&2 || missing "postgresql-15 could not be installed"
}

postgres_state() { [ -f "$RIG_DIR/postgres/state" ] && . "$RIG_DIR/postgres/state"; }
postgres_ctl() { as "$(owner postgres)" "$(postgres_programs)/pg_ctl" -D "$RIG_DIR/postgres/data" "$@"; }

# The signed certificate of a server, and of whom to trust: NAME/tls/{ca.crt,server.crt,server.key}.
certificate() {
    local d=$RIG_DIR/$1/tls
    [ ! -s "$d/server.crt" ] || return 0
    mkdir -p "$d" && chmod 755 "$d"
    {
        openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj "/CN=sluice rig $1" -keyout "$d/ca.key" -out "$d/ca.crt"
        openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout "$d/server.key" -out "$d/server.csr"
        openssl x509 -req -in "$d/server.csr" -CA "$d/ca.crt" -CAkey "$d/ca.key" -CAcreateserial -days 3650 \
            -extfile <(printf 'subjectAltName=DNS:localhost,IP:127.0.0.1') -out "$d/server.crt"
    } 2>/dev/null
    chmod 600 "$d/server.key" "$d/ca.key"
}

postgres_up() {
    local home=$RIG_DIR/postgres user
    postgres_install
    user=$(owner postgres)
    certificate postgres
    if [ "$(id -u)" = 0 ]; then
        chown "$user" "$home" "$home/tls" "$home/tls/server.key"
        reachable "$user" "$home" || die "$user cannot reach $home: choose another RIG_DIR"
    fi
    if [ ! -s "$home/data/PG_VERSION" ]; then
        port=$(free_port "${SLUICE_RIG_POSTGRES_PORT:-0}")
        as "$user" "$(postgres_programs)/initdb" -D "$home/data" -U admin -E UTF8 --locale=C --auth-local=trust \
            --auth-host=scram-sha-256 >"$home/initdb.log" 2>&1 || { cat "$home/initdb.log" >&2 && die "initdb failed"; }
        as "$user" tee -a "$home/data/postgresql.conf" >/dev/null <<C
listen_addresses = '127.0.0.1'
port = $port
unix_socket_directories = '$home'
ssl = on
ssl_cert_file = '$home/tls/server.crt'
ssl_key_file = '$home/tls/server.key'
fsync = on
synchronous_commit = on
max_connections = 100
shared_buffers = 128MB
timezone = 'UTC'
log_min_messages = warning
log_line_prefix = '%m [%p] %q%u@%d '
C
        echo "port=$port" >"$home/state"
    fi
    postgres_state
    if ! postgres_ctl status >/dev/null 2>&1; then
        postgres_ctl -l "$home/log" -w -t 60 start >/dev/null 9>&- ||
            { tail -n 20 "$home/log" >&2 && die "PostgreSQL did not start"; }
    fi
    as "$user" "$(postgres_programs)/psql" -h "$home" -p "$port" -U admin -d postgres -qAtX -v ON_ERROR_STOP=1 >/dev/null <<'S'
SELECT 'CREATE ROLE sluice LOGIN CREATEDB PASSWORD ''sluice''' WHERE NOT EXISTS
  (SELECT 1 FROM pg_roles WHERE rolname = 'sluice') \gexec
SELECT 'CREATE DATABASE sluice OWNER sluice' WHERE NOT EXISTS
  (SELECT 1 FROM pg_database WHERE datname = 'sluice') \gexec
S
}

postgres_env() {
    postgres_state || die "postgres is not up"
    echo "export SLUICE_TEST_PG=postgresql://sluice:sluice@127.0.0.1:$port/sluice"
    echo "export SLUICE_TEST_PG_CA=$RIG_DIR/postgres/tls/ca.crt"
}

postgres_stop() { ! postgres_state || ! postgres_ctl status >/dev/null 2>&1 || postgres_ctl -m immediate -w stop >/dev/null; }
postgres_down() {
    ! postgres_state || ! postgres_ctl status >/dev/null 2>&1 || postgres_ctl -m fast -w -t 60 stop >/dev/null
    rm -rf "$RIG_DIR/postgres"
}
