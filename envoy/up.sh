#!/usr/bin/env bash
# Starts the scene of envoy.yaml with the Envoy of version $1, waits until it answers, and leaves it running.
# DOOR=native has Tidegate as a dynamic module. Works in target/up/, on copies; refuses when it already runs or a port is taken. down.sh stops it.
set -eu

here=$PWD/target/up
pid_file=$here/envoy.pid
envoy=${TIDEGATE_ENVOY:-$PWD/target/envoy/$1/envoy}
module=${CARGO_TARGET_DIR:-target}/tidegate.wasm

fail() {
    echo "make: $1" >&2
    exit 1
}

# Whether the Envoy that this script has started is running: its command line holds the path of its configuration.
runs() {
    [ -s "$pid_file" ] && ps -p "$(cat "$pid_file")" -o command= 2>/dev/null | grep -qF "$here/envoy.yaml"
}

runs && fail "Envoy already runs (process $(cat "$pid_file")): stop it with make down"
for port in 10000 10001 10002 10003 9901; do
    if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        fail "port $port is taken by another program: stop that one, then run make up again"
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
nohup "$envoy" --config-path "$here/envoy.yaml" --disable-hot-restart --concurrency 2 --log-level warning \
    --component-log-level wasm:info,dynamic_modules:info >envoy.log 2>&1 </dev/null &
pid=$!
echo "$pid" >"$pid_file"

tries=0
until curl --silent --fail --max-time 2 --output /dev/null http://127.0.0.1:9901/ready &&
    curl --silent --max-time 2 --output /dev/null http://127.0.0.1:10000/; do
    tries=$((tries + 1))
    if ! kill -0 "$pid" 2>/dev/null || [ "$tries" -ge 300 ]; then
        kill "$pid" 2>/dev/null || true
        rm -f "$pid_file"
        fail "Envoy did not start: $(grep -E 'critical|error' envoy.log | tail -1) (all of it in target/up/envoy.log)"
    fi
    sleep 0.1
done

cat <<END
Envoy runs (process $pid): the proxy on http://localhost:10000, its admin pages on http://localhost:9901,
and what it knows of its rollouts on http://localhost:10003/.tidegate

The service answers with the headers that it got. Try:
  curl localhost:10000 -H 'x-user-id: ana'                          # the hash puts ana into the 5 % on v2
  curl localhost:10000 -H 'x-user-id: tom'                          # and tom not: v1, today and tomorrow
  curl localhost:10000 -H 'x-user-id: tom' -H 'x-employee: true'    # a rule sends employees to v2
  curl localhost:10000 -H 'x-user-id: tom' -H 'x-flag-checkout: v2' # forged: does not reach the service
  curl -sD- -o/dev/null localhost:10000 -H 'x-user-id: ana' -H 'x-tidegate-inspect: 1'   # what was decided, and why

Push 25 % (kim is on v1 before, on v2 after):
  sed 's/"percent": 5,/"percent": 25,/' target/up/configs/filter.yaml >target/up/next
  mv target/up/next target/up/configs/filter.yaml
  curl localhost:10000 -H 'x-user-id: kim'

Let half of what v2 answers fail, send some users, and see its guard take it back:
  curl -X POST 'localhost:9901/runtime_modify?fail.v2=50'
  for n in \$(seq 600); do curl -s -o/dev/null localhost:10000 -H "x-user-id: user-\$n"; done
  curl -s localhost:9901/stats/prometheus | grep guard_standing     # 3: rolled back; target/up/envoy.log says why

Stop it with: make down
END
