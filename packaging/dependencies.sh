# packaging/dependencies.sh: the Debian packages that Holdfast needs, and their
# installation. To be sourced by sh or bash:
#
#     . packaging/dependencies.sh
#     dependencies_install $dependencies_build $dependencies_test
#
# Written for Debian 12. The database server comes as mariadb-server-core, the programs
# without a service: nothing is started, no account or /var/lib/mysql is made.

# To build and run the engine, the library and the benchmark.
dependencies_build="
    gcc libc6-dev cmake ninja-build pkg-config git
    liblmdb-dev libxxhash-dev libmariadb-dev libmicrohttpd-dev libyajl-dev
    libcyaml-dev libyaml-dev zlib1g-dev libcurl4-gnutls-dev libgnutls28-dev
"

# A private database server, for the tests and the benchmark.
dependencies_database="mariadb-server-core mariadb-client-core"

# To make the Debian package.
dependencies_package="dpkg-dev file"

# To test and lint. Alerts go to a real mail server (aiosmtpd), over TLS (openssl makes the
# certificate); a Galera node stands alone (galera-4); spin checks the protocol's model; the
# dashboard is looked at with a real browser. The package is installed into a Debian of its
# own (debootstrap); its unit is held against systemd's own analysis and a trace of the
# engine, its manual against mandoc.
dependencies_test="
    $dependencies_database $dependencies_package libcriterion-dev clang-format clang-tidy
    python3-aiosmtpd openssl galera-4 spin python3 chromium chromium-driver
    chromium-sandbox debootstrap lintian mandoc strace systemd
"

# For the fault suite (tests/faults/run.sh): libFuzzer comes with clang, mariadb-dump with
# mariadb-client; ip and nft make networks; openssl makes certificates, binutils look at the
# binary; the power of an ext4 on a loop device is cut.
# shellcheck disable=SC2034 # for who sources this
dependencies_faults="
    $dependencies_database clang-14 libclang-rt-14-dev mariadb-client iproute2 nftables
    openssl binutils e2fsprogs mount
"

# For its layer cluster, which says that it can't run where they are missing. Installed by
# hand, since mariadb-server makes an account and starts a service.
# shellcheck disable=SC2034 # for who sources this
dependencies_cluster="galera-4 mariadb-server rsync"

# For tests/coverage.sh.
# shellcheck disable=SC2034 # for who sources this
dependencies_coverage="gcovr"

# For the tests too, but unpacked by dependencies_unpack: installed, it would make an
# account and start a service.
# shellcheck disable=SC2034 # for who sources this
dependencies_unpacked="prometheus"

# What the benchmark also compares with and draws with, where it is there; librsvg2-bin is
# to look at a chart as PNG.
# shellcheck disable=SC2034 # for who sources this
dependencies_bench="
    $dependencies_database python3-pymysql rsyslog rsyslog-mysql gnuplot-nox
    librsvg2-bin
"

# Prints those of the packages named that are not installed. Any libcurl flavour will do.
dependencies_missing() {
    for dependencies_name in "$@"; do
        dependencies_status=$(dpkg-query -W -f '${Status}' "$dependencies_name" 2>/dev/null) ||
            dependencies_status=""
        case $dependencies_status in
        *" installed") continue ;;
        esac
        case $dependencies_name in
        libcurl4-*-dev)
            dpkg-query -W -f '${Status}\n' 'libcurl4-*-dev' 2>/dev/null |
                grep -q ' installed$' && continue
            ;;
        esac
        printf '%s\n' "$dependencies_name"
    done
}

# apt-get as root, without questions.
dependencies_apt() {
    if [ "$(id -u)" -eq 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get "$@"
    elif command -v sudo >/dev/null; then
        sudo DEBIAN_FRONTEND=noninteractive apt-get "$@"
    else
        echo "not root, and no sudo: have these installed by hand: apt-get $*" >&2
        return 1
    fi
}

# Installs those of the packages named that are missing; does nothing, and needs neither
# root nor a network, where none is.
dependencies_install() {
    if ! command -v dpkg-query >/dev/null; then
        echo "no dpkg here, so the following must be there by other means: $*" >&2
        return 0
    fi
    dependencies_wanted=$(dependencies_missing "$@")
    if [ -z "$dependencies_wanted" ]; then
        return 0
    fi
    # One a line, and no name holds a blank: split on purpose.
    # shellcheck disable=SC2086
    set -- $dependencies_wanted
    echo "installing: $*"
    dependencies_apt update -q && dependencies_apt install -q -y --no-install-recommends "$@"
}

# dependencies_unpack <directory> <package>...: what the packages hold, without installing
# them: programs come to lie in <directory>/usr/bin. Does nothing for those that it has
# unpacked there before; needs no root, but a network and apt's lists.
dependencies_unpack() {
    dependencies_dir=$1
    shift
    mkdir -p "$dependencies_dir"
    for dependencies_name in "$@"; do
        if [ -e "$dependencies_dir/.$dependencies_name" ]; then
            continue
        fi
        echo "unpacking: $dependencies_name"
        rm -f "$dependencies_dir/${dependencies_name}"_*.deb
        (cd "$dependencies_dir" && apt-get download -q "$dependencies_name") ||
            { dependencies_apt update -q &&
                (cd "$dependencies_dir" && apt-get download -q "$dependencies_name"); } ||
            return 1
        dpkg-deb -x "$dependencies_dir/${dependencies_name}"_*.deb "$dependencies_dir" ||
            return 1
        rm -f "$dependencies_dir/${dependencies_name}"_*.deb
        : >"$dependencies_dir/.$dependencies_name"
    done
}
