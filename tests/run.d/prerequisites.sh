# Checks every tool that the build and the services need, names what is missing with its Debian
# package, and installs it where it may. Sourced by tests/run.

# What is needed: description | check | Debian package.
prerequisites=(
    "a C compiler|command -v cc|gcc libc6-dev"
    "a C++ compiler (librdkafka's build)|command -v c++|g++"
    "make|command -v make|make"
    "pkg-config|command -v pkg-config|pkg-config"
    "OpenSSL headers|pkg-config --exists openssl|libssl-dev"
    "zlib headers|pkg-config --exists zlib|zlib1g-dev"
    "a JDK 17 to 23 (Kafka, OpenSearch 2)|java_between 17 23|openjdk-17-jdk-headless"
    "Maven (fetches the services)|command -v mvn|maven"
    "setpriv|command -v setpriv|util-linux"
    "unshare|command -v unshare|util-linux"
    "taskset|command -v taskset|util-linux"
    "curl (examples)|command -v curl|curl"
    "jq (examples)|command -v jq|jq"
    "kcat|command -v kcat|kcat"
    "rsyslog|command -v rsyslogd|rsyslog"
    "rsyslog's Kafka output|rsyslog_has omkafka|rsyslog-kafka"
    "Prometheus|command -v prometheus|prometheus"
    "Chromium (the page)|command -v chromium|chromium"
    "promtool|command -v promtool|prometheus"
    "Valgrind (counts instructions)|command -v valgrind|valgrind"
)

check_prerequisites() {
    local missing=() packages=() line name check package
    if ! command -v cargo >/dev/null; then
        echo "Missing: cargo. Install rustup; rust-toolchain.toml then picks the version." >&2
        return 1
    fi
    for line in "${prerequisites[@]}"; do
        IFS='|' read -r name check package <<<"$line"
        if $check >/dev/null 2>&1; then
            echo "found    $name"
        else
            echo "missing  $name (Debian: $package)"
            missing+=("$line")
            read -ra wanted <<<"$package"
            packages+=("${wanted[@]}")
        fi
    done
    if ((${#packages[@]} > 0)); then
        install_packages "${packages[@]}" || return
        for line in "${missing[@]}"; do
            IFS='|' read -r name check package <<<"$line"
            hash -r
            if ! $check >/dev/null 2>&1; then
                echo "Still missing after the installation: $name (Debian: $package)" >&2
                return 1
            fi
        done
    fi
    # Debian 12 has no package of it, so it can only be asked for.
    if ! java_between 21 99; then
        echo "Missing: a JDK 21 or newer (Elasticsearch 9, OpenSearch 3). Install one under /usr/lib/jvm," >&2
        echo "for example Temurin 21 or 25, or set JAVA_HOME to it." >&2
        return 1
    fi
    echo "found    a JDK 21 or newer (Elasticsearch 9, OpenSearch 3)"
}

# The tests look for JDKs in the same places: testkit::services::jdk.
java_between() {
    local home version
    for home in "${JAVA_HOME:-}" /usr/lib/jvm/*; do
        [[ -x $home/bin/java ]] || continue
        version=$("$home/bin/java" -version 2>&1 | sed -nE '1,3s/.*version "([0-9]+).*/\1/p' | head -n 1)
        if [[ -n $version ]] && ((version >= $1 && version <= $2)); then
            return 0
        fi
    done
    return 1
}

rsyslog_has() { compgen -G "/usr/lib/*/rsyslog/$1.so" || compgen -G "/usr/lib/rsyslog/$1.so"; }

install_packages() {
    if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
        echo "Install what is missing, then run this again. On Debian, as root:" >&2
        echo "    apt-get install $*" >&2
        return 1
    fi
    echo "Installing: $*"
    (
        # The packages of rsyslog and Prometheus start daemons when they are installed; the tests
        # start their own. Whatever policy was there before comes back.
        policy=/usr/sbin/policy-rc.d
        restore() {
            rm -f "$policy"
            if [[ -e $policy.before-tests ]]; then mv "$policy.before-tests" "$policy"; fi
        }
        if [[ -x $policy ]] && { "$policy" rsyslog start >/dev/null 2>&1; (($? == 101)); }; then
            : # it already says no
        else
            trap restore EXIT
            trap 'exit 130' INT TERM
            if [[ -e $policy ]]; then mv "$policy" "$policy.before-tests"; fi
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
        fi
        export DEBIAN_FRONTEND=noninteractive
        log=$(mktemp)
        for attempt in 1 2 3; do
            if apt-get update -q >"$log" 2>&1 </dev/null &&
                apt-get install -q -y --no-install-recommends "$@" >>"$log" 2>&1 </dev/null; then
                rm -f "$log"
                exit 0
            fi
            echo "apt-get failed (attempt $attempt of 3)" >&2
        done
        tail -n 40 "$log" >&2
        exit 1
    )
}
