#!/bin/sh
# Makes the images of the module and of the command, and pushes them where PUSH says: make image.
# The command's goes beside the module's, into the repository of the same name with -cli behind it.
set -eu

out=${CARGO_TARGET_DIR:-target}
"$CARGO" build --locked --quiet --package tidegate-release --bin image --bin push
echo "The module's image is in $out/oci: $("$out/debug/image" "$out/tidegate.wasm" "$out/oci")"
[ -z "${PUSH:-}" ] || "$out/debug/push" "$out/oci" "$PUSH"

. envoy/static.sh
case $target in
*-linux-*) ;;
*)
    echo "The command's image is made on Linux only: a program of this system does not run in a container" >&2
    exit 0
    ;;
esac
echo "Building the command for $target"
RUSTFLAGS="${REMAP:-}" "$CARGO" build --locked --release --target "$target" --package tidegate --features tidegate/fleet
echo "The command's image is in $out/oci-cli: $("$out/debug/image" "$out/$target/release/tidegate" "$out/oci-cli")"
[ -z "${PUSH:-}" ] || "$out/debug/push" "$out/oci-cli" "$PUSH" -cli
