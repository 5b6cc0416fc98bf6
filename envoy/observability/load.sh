#!/usr/bin/env bash
# Sends requests of many users to the proxy at $1:$2, about so many a second: $3. Some come without a name, some with a
# header that is the filter's own. Ends when it is stopped, or when nothing listens any more for a minute.
set -u
trap '' PIPE # a proxy that has gone is met again

host=$1 port=$2 rate=${3:-50}
pause=$(printf '0.%03d' $((1000 / rate % 1000)))
missed=0

while [ "$missed" -lt 60 ]; do
    if ! exec 3<>"/dev/tcp/$host/$port"; then
        missed=$((missed + 1))
        sleep 1
        continue
    fi
    missed=0
    # What comes back is not looked at, but has to go somewhere.
    cat <&3 >/dev/null &
    reader=$!
    while kill -0 "$reader"; do
        who="x-user-id: user-$((RANDOM % 5000))"
        case $((RANDOM % 20)) in
            0) who='x-nobody: 1' ;;
            1) who="$who"$'\r\n''x-flag-checkout: v2' ;;
        esac
        printf 'GET / HTTP/1.1\r\nhost: shop.example\r\n%s\r\n\r\n' "$who" >&3 || break
        sleep "$pause"
    done
    exec 3>&-
done 2>/dev/null
