#!/bin/sh
# Makes sure that Rust can build for TARGET: says nothing when it can, adds the target through rustup when it cannot.
# Never installs Rust itself.
set -eu

if ! command -v "$CARGO" >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1; then
    echo "make: Rust is missing: install it from https://rustup.rs, open a new shell, and run make again" >&2
    exit 1
fi

if libdir=$(rustc --print target-libdir --target "$TARGET" 2>/dev/null) && [ -d "$libdir" ]; then
    exit 0
fi

if ! command -v rustup >/dev/null 2>&1; then
    echo "make: this Rust has no target $TARGET: add the package for it that belongs to your Rust (often named after" \
        "wasm32), or install Rust from https://rustup.rs" >&2
    exit 1
fi

echo "Adding the Rust target $TARGET"
if ! rustup --quiet target add "$TARGET"; then
    echo "make: rustup could not add $TARGET (see above): check the network, then run make again" >&2
    exit 1
fi
