# Says for which target programs are static on this system, as `target`, and what its C compiler is: `. envoy/static.sh`.
# On Linux they then run on any of it, and in an image that holds nothing else. Elsewhere it is the system's own target.

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
