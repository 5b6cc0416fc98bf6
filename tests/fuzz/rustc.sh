#!/bin/sh
# Compiles what runs the module in the fake host without coverage: it is not what is fuzzed, and would be many times
# as slow. Cargo calls this in place of rustc, with rustc as the first argument.
set -eu
case " $* " in
*" --crate-name wasm"* | *" --crate-name cranelift"* | *" --crate-name regalloc2 "*)
    for argument do
        shift
        case $argument in
        -Cpasses=sancov* | -Cllvm-args=-sanitizer-coverage*) ;;
        *) set -- "$@" "$argument" ;;
        esac
    done
    ;;
esac
exec "$@"
