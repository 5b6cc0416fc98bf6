#!/bin/sh
# Builds all that a release has, and puts it into target/release-assets: make release.
# The command and the demo are static where the system is Linux: they run on any of it. BUILDER is a URL for provenance.
set -eu

out=${CARGO_TARGET_DIR:-target}
. envoy/static.sh
echo "Building the command and the demo for $target"
RUSTFLAGS="${REMAP:-}" "$CARGO" build --locked --release --target "$target" --package tidegate --package tidegate-demo --features tidegate/fleet
"$CARGO" build --locked --package tidegate-release --bin release

library=$out/libtidegate.so
[ -f "$library" ] || library=$out/libtidegate.dylib
"$out/debug/release" --root . --out "$out/release-assets" --wasm "$out/tidegate.wasm" --library "$library" \
    --command "$out/$target/release/tidegate" --demo "$out/$target/release/demo" --target "$target" \
    --builder "${BUILDER:-local}"
