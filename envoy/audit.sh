#!/bin/sh
# Checks every crate's licence, source and known advisories, and writes the list of those in the module.
set -eu
cd "$(dirname "$0")/.."
need() {
  command -v "$1" >/dev/null 2>&1 || { echo "$1 is not installed: cargo install --locked $1"; exit 1; }
}
need cargo-deny
need cargo-cyclonedx
cargo deny --all-features check "$@"
cargo cyclonedx --manifest-path src/filter/Cargo.toml --format json --target wasm32-unknown-unknown --override-filename tidegate.sbom
mkdir -p target
mv src/filter/tidegate.sbom.json target/tidegate.sbom.json
find src envoy tests -name tidegate.sbom.json -delete
echo "the crates of the module are listed in target/tidegate.sbom.json"
