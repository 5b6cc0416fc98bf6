#!/bin/sh
# What pre-commit calls out of a clone of this repository. Runs the tidegate of this version that is installed, or builds
# it once, below the clone: pre-commit itself builds only what has its package at the root of a repository.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
if [ "$(tidegate --version 2>/dev/null || true)" = "tidegate $version" ]; then
    exec tidegate "$@"
fi
built=$root/target/hook/bin/tidegate
if [ ! -x "$built" ]; then
    command -v cargo >/dev/null 2>&1 || {
        echo "tidegate: cargo is missing, which builds the hook: install Rust from https://rustup.rs, or tidegate itself" >&2
        exit 1
    }
    echo "building tidegate $version, once" >&2
    cargo install --quiet --locked --path "$root/src/cli" --root "$root/target/hook" >&2
fi
exec "$built" "$@"
