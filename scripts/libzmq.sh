# Sourced by scripts/deps. Its digest names the prefix it builds: every edit here makes a new build.
# shellcheck shell=bash
#
# Both functions run where errexit has no effect, so every step is chained.
#
# The static libzmq of the release binary, from Debian's source package. Debian's own libzmq.a drags in gssapi, pgm,
# norm, bsd and sodium; none of them is needed to talk to a kernel in the same container.

LIBZMQ_VERSION=4.3.4-6
LIBZMQ_FLAGS=(
    -DCMAKE_BUILD_TYPE=Release
    "-DCMAKE_C_FLAGS_RELEASE=-O2 -DNDEBUG -fPIE -ffunction-sections -fdata-sections"
    "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG -fPIE -ffunction-sections -fdata-sections"
    -DCMAKE_INSTALL_LIBDIR=lib
    -DCMAKE_POSITION_INDEPENDENT_CODE=OFF
    -DBUILD_SHARED=OFF -DBUILD_STATIC=ON -DBUILD_TESTS=OFF -DWITH_PERF_TOOL=OFF -DENABLE_CPACK=OFF
    -DENABLE_CURVE=OFF -DWITH_LIBSODIUM=OFF -DWITH_LIBBSD=OFF -DWITH_OPENPGM=OFF -DWITH_NORM=OFF -DWITH_VMCI=OFF
    -DWITH_DOCS=OFF -DENABLE_WS=OFF -DENABLE_DRAFTS=OFF
)

# Source packages are seldom enabled. A private apt state, with the machine's own mirrors as deb-src, leaves the
# machine's configuration alone and needs no root.
libzmq_fetch() { # <work directory>
    local work=$1 apt
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" || return
    apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT) $(ORIGIN)' 'Created-By: Packages' |
        awk '$4 == "Debian" && $3 == "main" { print "deb-src", $1, $2, $3 }' | sort -u >"$work/apt/sources.list"
    [ -s "$work/apt/sources.list" ] || { echo "no Debian mirror among this machine's apt sources"; return 1; }
    apt=(apt-get -q
        -o "Dir::Etc::sourcelist=$work/apt/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root
        -o Acquire::Languages=none -o Acquire::Retries=3)
    "${apt[@]}" update &&
        (cd "$work" && "${apt[@]}" source "zeromq3=$LIBZMQ_VERSION")
}

libzmq_build() { # <work directory> <prefix>
    local source
    source=$(find "$1" -maxdepth 1 -type d -name 'zeromq3-*')
    # Its error messages name source files: the directory, which is another one each time, is left out.
    cmake -S "$source" -B "$1/build" -G Ninja "-DCMAKE_INSTALL_PREFIX=$2" "${LIBZMQ_FLAGS[@]}" \
        "-DCMAKE_C_FLAGS=-ffile-prefix-map=$source=zeromq" "-DCMAKE_CXX_FLAGS=-ffile-prefix-map=$source=zeromq" &&
        ninja -C "$1/build" -j "$JOBS" libzmq-static &&
        install -D -m 644 "$1/build/lib/libzmq.a" "$2/lib/libzmq.a" &&
        install -D -m 644 "$source/include/zmq.h" "$2/include/zmq.h" &&
        install -D -m 644 "$source/COPYING.LESSER" "$2/share/doc/libzmq/COPYING.LESSER"
}
