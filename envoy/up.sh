#!/usr/bin/env bash
# Starts the scene of envoy.yaml with the Envoy of version $1, waits until it answers, and leaves it running.
# DOOR=native has Tidegate as a dynamic module. PORT is that of the proxy: 10000, with its services and its page on the
# three ports behind it, and the admin pages on 9901; of another PORT, on the fourth behind it. Works in target/up/, on
# copies; refuses when it already runs or a port is taken. down.sh stops it.
set -eu

here=$PWD/target/up
pid_file=$here/envoy.pid
envoy=${TIDEGATE_ENVOY:-$PWD/target/envoy/$1/envoy}
module=${CARGO_TARGET_DIR:-target}/tidegate.wasm
port=${PORT:-10000}

fail() {
    echo "make: $1" >&2
    exit 1
}

# Whether the Envoy that this script has started is running: its command line holds the path of its configuration.
runs() {
    [ -s "$pid_file" ] && ps -p "$(cat "$pid_file")" -o command= 2>/dev/null | grep -qF "$here/envoy.yaml"
}

runs && fail "Envoy already runs (process $(cat "$pid_file")): stop it with make down"
case $port in
*[!0-9]* | "") fail "PORT=$port is no port: say a number from 1024 to 65531" ;;
esac
[ "$port" -ge 1024 ] && [ "$port" -le 65531 ] || fail "PORT=$port is no port: say a number from 1024 to 65531"
page=$((port + 3))
admin=9901
[ "$port" -eq 10000 ] || admin=$((port + 4))
for taken in "$port" $((port + 1)) $((port + 2)) "$page" "$admin"; do
    if (: <"/dev/tcp/127.0.0.1/$taken") 2>/dev/null; then
        fail "port $taken is taken by another program: stop that one, or say another: make up PORT=20000"
    fi
done

command -v curl >/dev/null 2>&1 || fail "curl is missing: install it, then run make up again"

mkdir -p "$here/configs"
cp envoy/envoy.yaml envoy/upstream.lua "$here/"
cp envoy/configs/filter.yaml "$here/configs/"
if [ "${DOOR:-wasm}" = native ]; then
    cp "${CARGO_TARGET_DIR:-target}/libtidegate.so" "$here/"
    sh envoy/native/scene.sh "$here"
else
    cp "$module" "$here/tidegate.wasm"
fi

cd "$here"
if [ "$port" -ne 10000 ]; then
    for offset in 0 1 2 3; do
        sed "s/port_value: 1000$offset}/port_value: $((port + offset))}/" envoy.yaml >next && mv next envoy.yaml
    done
    sed "s/port_value: 9901}/port_value: $admin}/" envoy.yaml >next && mv next envoy.yaml
fi
# What this shell has open, such as make's pipes, is not for an Envoy that goes on without it.
for open in /dev/fd/*; do
    open=${open##*/}
    [ "$open" -le 2 ] 2>/dev/null || eval "exec $open>&-" 2>/dev/null || true
done
nohup "$envoy" --config-path "$here/envoy.yaml" --disable-hot-restart --concurrency 2 --log-level warning \
    --component-log-level wasm:info,dynamic_modules:info >envoy.log 2>&1 </dev/null &
pid=$!
echo "$pid" >"$pid_file"

tries=0
until curl --silent --fail --max-time 2 --output /dev/null "http://127.0.0.1:$admin/ready" &&
    curl --silent --max-time 2 --output /dev/null "http://127.0.0.1:$port/"; do
    tries=$((tries + 1))
    if ! kill -0 "$pid" 2>/dev/null || [ "$tries" -ge 300 ]; then
        kill "$pid" 2>/dev/null || true
        rm -f "$pid_file"
        fail "Envoy did not start: $(grep -E 'critical|error' envoy.log | tail -1) (all of it in target/up/envoy.log)"
    fi
    sleep 0.1
done

cat <<END
Envoy runs (process $pid): the proxy on http://localhost:$port, its admin pages on http://localhost:$admin,
and what it knows of its rollouts on http://localhost:$page/.tidegate

The service answers with the headers that it got. Try:
  curl localhost:$port -H 'x-user-id: ana'                          # the hash puts ana into the 5 % on v2
  curl localhost:$port -H 'x-user-id: tom'                          # and tom not: v1, today and tomorrow
  curl localhost:$port -H 'x-user-id: tom' -H 'x-employee: true'    # a rule sends employees to v2
  curl localhost:$port -H 'x-user-id: tom' -H 'x-flag-checkout: v2' # forged: does not reach the service
  curl -sD- -o/dev/null localhost:$port -H 'x-user-id: ana' -H 'x-tidegate-inspect: 1'   # what was decided, and why

Push 25 % (kim is on v1 before, on v2 after):
  sed 's/"percent": 5,/"percent": 25,/' target/up/configs/filter.yaml >target/up/next
  mv target/up/next target/up/configs/filter.yaml
  curl localhost:$port -H 'x-user-id: kim'

Let half of what v2 answers fail, send some users, and see its guard take it back:
  curl -X POST 'localhost:$admin/runtime_modify?fail.v2=50'
  for n in \$(seq 600); do curl -s -o/dev/null localhost:$port -H "x-user-id: user-\$n"; done
  curl -s localhost:$admin/stats/prometheus | grep guard_standing     # 3: rolled back; target/up/envoy.log says why

Stop it with: make down
END
