# Sourced by deploy/setup and tests/setup: install Debian packages, as root or through sudo, and
# ask apt only for those that are not there yet, so that a second call costs nothing.

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "setup: needs root or sudo for: $*" >&2
        return 1
    fi
}

install_packages() {
    local name missing=()
    for name in "$@"; do
        # Any architecture's "installed" state counts; virtual packages don't occur here.
        dpkg-query -W -f '${Status}\n' "$name" 2>/dev/null | grep -q '^install ok installed' ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "setup: installing ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update >/dev/null ||
        echo "setup: apt-get update failed; going on with the lists there are" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
        "${missing[@]}"
}

# What the build needs, and the programs that the quickstart uses to look at the result.
build_packages=(gcc libc6-dev cmake ninja-build pkg-config node-llhttp libuv1-dev libjansson-dev
    libyaml-dev libzstd-dev libsnappy-dev zlib1g-dev libssl-dev libcurl4-openssl-dev libpq-dev
    libsqlite3-dev libxxhash-dev libpcre2-dev librdkafka-dev)
run_packages=(curl ca-certificates sqlite3 tzdata uap-core)
