#!/bin/sh
# Takes the module and a program of a release from $1, a folder or a URL, into target/released, and checks them against
# its SHA256SUMS. No Rust is needed. Prints nothing but what it fetches.
set -eu

from=${1%/}
dir=target/released

fail() {
    echo "make: $1" >&2
    exit 1
}

case $(uname -s) in
Linux) target=$(uname -m)-unknown-linux-musl ;;
Darwin) target=$(uname -m | sed s/arm64/aarch64/)-apple-darwin ;;
*) fail "no release is made for $(uname -s): build it with make demo" ;;
esac

get() {
    case $from in
    http://* | https://*)
        command -v curl >/dev/null 2>&1 || fail "curl is missing: install it, or give a folder: RELEASE=/path/to/assets"
        curl --fail --silent --show-error --location --output "$dir/$1" "$from/$1" ||
            fail "$from/$1 could not be fetched: check the address and the network"
        ;;
    *) cp "$from/$1" "$dir/$1" 2>/dev/null || fail "there is no $from/$1: RELEASE is a folder or a URL of a release" ;;
    esac
}

mkdir -p "$dir"
echo "Taking the release at $from"
rm -f "$dir/SHA256SUMS"
get SHA256SUMS
for name in tidegate.wasm "tidegate-demo-$target"; do
    get "$name"
    due=$(sed -n "s/^\([0-9a-f]*\)  $name\$/\1/p" "$dir/SHA256SUMS")
    [ -n "$due" ] || fail "SHA256SUMS of $from does not name $name"
    is=$( (sha256sum "$dir/$name" 2>/dev/null || shasum -a 256 "$dir/$name") | cut -d' ' -f1)
    [ "$due" = "$is" ] || fail "$name from $from is not what its SHA256SUMS says: take another copy"
done
chmod +x "$dir/tidegate-demo-$target"
ln -sf "tidegate-demo-$target" "$dir/demo"
