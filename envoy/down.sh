#!/usr/bin/env bash
# Stops the Envoy that up.sh has started, and no other process.
set -eu

here=$PWD/target/up
pid_file=$here/envoy.pid

# The process id may have gone to another program since, so the command line must name our configuration.
runs() {
    ps -p "$1" -o command= 2>/dev/null | grep -qF "$here/envoy.yaml"
}

pid=$(cat "$pid_file" 2>/dev/null || true)
if [ -z "$pid" ] || ! runs "$pid"; then
    rm -f "$pid_file"
    echo "Envoy does not run"
    exit 0
fi

kill "$pid"
tries=0
while runs "$pid"; do
    tries=$((tries + 1))
    [ "$tries" -ne 50 ] || kill -9 "$pid" 2>/dev/null || true
    sleep 0.1
done
rm -f "$pid_file"
echo "Envoy (process $pid) is stopped"
