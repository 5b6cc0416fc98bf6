#!/bin/sh
# Runs fuzz targets with libFuzzer, one after the other: run.sh RUNS [TARGET...], all of them if none is named.
# What is new goes to target/fuzz/corpus, what breaks a law to target/fuzz/found: a file there is a seed to keep.
# Never installs Rust itself; cargo-fuzz comes to target/fuzz, if there is none.
set -eu
cd "$(dirname "$0")/../.."

runs=$1
shift
[ $# -gt 0 ] || set -- config identity token condition differential

if ! rustup run nightly cargo --version >/dev/null 2>&1; then
    echo "make: fuzzing needs a nightly Rust beside yours: run 'rustup toolchain install nightly', then make again" >&2
    exit 1
fi
out=$PWD/target/fuzz
PATH=$PATH:$out/bin
if ! command -v cargo-fuzz >/dev/null 2>&1; then
    echo "Getting cargo-fuzz"
    cargo install --quiet --locked --root "$out" --version 0.13.2 cargo-fuzz
fi

# Safe Rust has nothing for a sanitizer to find; overflows are what is looked for, and are checked.
RUSTC_WRAPPER=$PWD/tests/fuzz/rustc.sh cargo +nightly fuzz build --fuzz-dir tests/fuzz --target-dir "$out" \
    --sanitizer none --release --debug-assertions
built=$out/$(rustc -vV | sed -n 's/^host: //p')/release

for target do
    mkdir -p "$out/corpus/$target" "$out/found"
    echo "Fuzzing $target: $runs runs"
    if ! "$built/$target" -runs="$runs" -max_len=2600 -timeout=10 -dict=tests/fuzz/config.dict -print_final_stats=1 \
        -artifact_prefix="$out/found/$target-" "$out/corpus/$target" "tests/fuzz/seeds/$target" \
        >"$out/$target.log" 2>&1; then
        grep -A 1 panicked "$out/$target.log" >&2 || tail -n 20 "$out/$target.log" >&2
        echo "make: $target broke; its input is in target/fuzz/found, all it said in target/fuzz/$target.log" >&2
        exit 1
    fi
    sed -n 's/^Done/  Done/p' "$out/$target.log"
done
