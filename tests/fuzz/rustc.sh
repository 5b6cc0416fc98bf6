#!/bin/sh
# Compiles the interpreter of the fake host without coverage: it is not what is fuzzed, and would be many times as
# slow. Cargo calls this in place of rustc, with rustc as the first argument.
set -eu
case " $* " in
*" --crate-name wasm"*)
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
