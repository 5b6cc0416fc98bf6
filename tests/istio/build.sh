#!/bin/sh
# Builds the commands of Kubernetes, Istio and Prometheus that `make test-istio` runs, from the versions in go.mod, into the folder $1.
# Go keeps what it has built: a second run takes seconds, the first one some ten minutes and 6 GB.
set -eu
out=$1
if ! command -v go >/dev/null; then
    echo "make test-istio builds an API server and Istio, and needs Go 1.26 or later for that: https://go.dev/dl" >&2
    exit 1
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")"
echo "Building etcd, kube-apiserver, kubectl, pilot-discovery, pilot-agent and a registry ..."
version=k8s.io/component-base/version
go build -ldflags "-s -w -X $version.gitVersion=v1.36.1 -X $version.gitMajor=1 -X $version.gitMinor=36" -o "$out/" tool
mv "$out/server" "$out/etcd"
# With versions of its own of what both use.
echo "Building Prometheus ..."
(cd prometheus && go build -ldflags "-s -w" -o "$out/" tool)
# Their definitions and the bootstrap of the agent's Envoy come with their sources.
go list -m -f '{{.Dir}}' istio.io/istio >"$out/istio.path"
go list -m -f '{{.Dir}}' sigs.k8s.io/gateway-api >"$out/gateway-api.path"
go mod download -json github.com/envoyproxy/gateway@v1.8.0 | sed -n 's/.*"Dir": "\(.*\)".*/\1/p' >"$out/envoy-gateway.path"
