#!/bin/sh
# Builds the module from the committed sources in two folders of different names, and compares what comes out.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT INT TERM
for folder in one a-second-one; do
  mkdir -p "$scratch/$folder"
  git archive HEAD | tar -x -C "$scratch/$folder"
  echo "building in $folder"
  (cd "$scratch/$folder" && env -u CARGO_TARGET_DIR "${MAKE:-make}" --no-print-directory wasm >build.log 2>&1) ||
    { cat "$scratch/$folder/build.log"; echo "the build failed"; exit 1; }
  cp "$scratch/$folder/target/tidegate.wasm" "$scratch/$folder.wasm"
  rm -rf "$scratch/$folder"
done
if cmp "$scratch/one.wasm" "$scratch/a-second-one.wasm"; then
  python3 -c 'import hashlib,sys; print("both are", hashlib.sha256(open(sys.argv[1],"rb").read()).hexdigest())' "$scratch/one.wasm"
else
  echo "the two differ"
  exit 1
fi
