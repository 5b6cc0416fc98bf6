#!/bin/sh
# Turns the scene in the folder $1, as up.sh has copied it, into one with the native door.
set -eu

scene=$1
native=$(dirname "$0")

# The head of the filter is another; its configuration is the same.
{
    cat "$native/filter.yaml"
    sed '1,/^        configuration:/d' "$scene/configs/filter.yaml"
} >"$scene/next" && mv "$scene/next" "$scene/configs/filter.yaml"

# In front of Tidegate stands what tells it what it cannot ask for; its names need no pattern, and no prefix.
awk -v told="$native/told.yaml" '
    # The page has the filter as well, in one line.
    sub(/\[\*tidegate, /, "[*told, *tidegate, ") { }
    /- &tidegate/ {
        indent = $0
        sub(/-.*/, "", indent)
        while ((getline line <told) > 0) {
            sub(/^- name/, "- \\&told\n" indent "  name", line)
            print indent line
        }
    }
    { print }
' "$scene/envoy.yaml" |
    sed -e 's/filters\.http\.wasm\.v3\.Wasm/filters.http.dynamic_modules.v3.DynamicModuleFilter/' \
        -e 's/{layers: \[/{layers: [{name: names, static_layer: {envoy.reloadable_features.dynamic_modules_strip_custom_stat_prefix: true}}, /' \
        >"$scene/next" && mv "$scene/next" "$scene/envoy.yaml"
