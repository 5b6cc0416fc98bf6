#!/bin/sh
# Builds all that a release has, and puts it into target/release-assets: make release.
# The command and the demo are static where the system is Linux: they run on any of it. BUILDER is a URL for provenance.
set -eu

out=${CARGO_TARGET_DIR:-target}
host=$(rustc -vV | sed -n 's/^host: //p')
case $host in
*-linux-*) target=${host%%-*}-unknown-linux-musl ;;
*) target=$host ;;
esac
TARGET=$target sh envoy/toolchain.sh

# One crate of the command has C in it, which needs no library of C: any compiler of this machine will do.
name=$(echo "$target" | tr - _)
if [ "$target" != "$host" ] && ! command -v musl-gcc >/dev/null 2>&1; then
    command -v "${CC:-cc}" >/dev/null 2>&1 || {
        echo "make: a C compiler is missing: install it (Debian, Ubuntu: apt install gcc), then run make again" >&2
        exit 1
    }
    export "CC_$name=${CC:-cc}"
fi
echo "Building the command and the demo for $target"
RUSTFLAGS="${REMAP:-}" "$CARGO" build --locked --release --target "$target" --package tidegate --package tidegate-demo --features tidegate/fleet
"$CARGO" build --locked --package tidegate-release --bin release

library=$out/libtidegate.so
[ -f "$library" ] || library=$out/libtidegate.dylib
"$out/debug/release" --root . --out "$out/release-assets" --wasm "$out/tidegate.wasm" --library "$library" \
    --command "$out/$target/release/tidegate" --demo "$out/$target/release/demo" --target "$target" \
    --builder "${BUILDER:-local}"
