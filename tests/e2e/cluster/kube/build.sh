#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# tests/e2e/cluster/kube/build.sh [DIR]: builds what the test cluster runs into DIR (default build/e2e/bin).
#
# kube (etcd and the components of Kubernetes, by links with their names), kwok, helm, and cluster-tools (ours). All
# from this folder's go.mod and go.sum, through the ordinary go client. Builds only what is missing or older than its
# sources: cold that takes 8 minutes on two cores, and 100 MB of modules. What go says is in DIR/build.log.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "${1:-$here/../../../../build/e2e/bin}"
out=$(cd "${1:-$here/../../../../build/e2e/bin}" && pwd)
cd "$here"
components="etcd kube-apiserver kube-controller-manager kube-proxy kube-scheduler kubectl kubelet"

# stale BINARY SOURCE...
stale() {
  local binary=$out/$1 source
  shift
  [ -x "$binary" ] || return 0
  for source in "$@"; do
    [ ! "$source" -nt "$binary" ] || return 0
  done
  return 1
}

exec 9>"$out/build.lock"  # two that come at once: the second finds all built
flock 9

packages=()
for binary in kube helm kwok; do
  if stale "$binary" go.mod go.sum main.go; then
    # All three, since one go build of several shares the machine better than one after the other.
    packages=(. helm.sh/helm/v4/cmd/helm sigs.k8s.io/kwok/cmd/kwok)
  fi
done
! stale cluster-tools go.mod go.sum cluster-tools/*.go || packages+=(./cluster-tools)
[ ${#packages[@]} -gt 0 ] || exit 0

if ! version=$(go env GOVERSION 2>/dev/null); then
  echo "the test cluster is built from source by Go 1.26 or newer, and there is no go command: put one in PATH" >&2
  exit 1
fi
if [ "$(printf 'go1.26\n%s\n' "$version" | sort -V | head -n 1)" != go1.26 ]; then
  echo "the test cluster is built from source by Go 1.26 or newer, and this one is $version: put a newer in PATH" >&2
  exit 1
fi

echo "building for the test cluster, by $version: ${packages[*]} (log: ${out#"$PWD"/}/build.log)"
begin=$SECONDS
# What is handed to the linker is what a release of each would have: without it the server calls itself v0.0.0-master.
kubernetes=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${kubernetes#v}"
values=""
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  values+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=$major -X $package.gitMinor=$minor"
  values+=" -X $package.gitTreeState=clean -X $package.gitCommit=module -X $package.buildDate=1970-01-01T00:00:00Z"
done
values+=" -X helm.sh/helm/v4/internal/version.version=$(go list -m -f '{{.Version}}' helm.sh/helm/v4)"
# Without -trimpath and the smaller debug information Go's build cache would take 3.1 GB instead of 2.6.
if ! CGO_ENABLED=0 nice -n 5 go build -trimpath -gcflags=all=-dwarf=false -ldflags "-s -w$values" -o "$out/" \
    "${packages[@]}" >"$out/build.log" 2>&1; then
  tail -n 40 "$out/build.log" >&2
  echo "go build failed after $((SECONDS - begin)) s; the lines above say why" >&2
  exit 1
fi
for binary in kube helm kwok cluster-tools; do
  touch -c "$out/$binary"  # go leaves a binary alone that would be the same
done
for component in $components; do
  ln -sf kube "$out/$component"
done
echo "built in $((SECONDS - begin)) s"
