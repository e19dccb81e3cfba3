# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the demo's scripts share: which cluster, in which namespace, and that nothing is done before both are named.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
charts=$here/deploy/charts
verb=$(basename "$0")
context=${SLUICE_CONTEXT:-}
namespace=${SLUICE_NAMESPACE:-sluice-demo}
agreed=""
release=demo  # of the chart demo; the controller's is called sluice

common_options="\
  --context NAME       the cluster, as kubectl config get-contexts calls it (or SLUICE_CONTEXT); without it the current
                       one is named and asked about
  --namespace NAME     (or SLUICE_NAMESPACE; default: sluice-demo)
  --yes                do not ask
  --help               this text"

fail() {
  echo "$verb: $*" >&2
  exit 1
}

misused() {
  echo "$verb: $*; $verb --help lists what is accepted" >&2
  exit 2
}

# common_option "$@": takes one option that every script has; "taken" says how many words. 0: not one of them.
common_option() {
  taken=2
  case $1 in
    --context) context=${2:-} ;;
    --namespace) namespace=${2:-} ;;
    --yes) agreed=1 taken=1 ;;
    --help | -h)
      usage
      exit 0
      ;;
    *) taken=0 ;;
  esac
  [ "$taken" != 2 ] || [ -n "${2:-}" ] || misused "$1 wants a value"
}

need() {
  local program=$1 why=$2
  command -v "$program" >/dev/null || fail "there is no $program in PATH, which $why"
}

kubectl_() {
  kubectl --context "$context" --namespace "$namespace" "$@"
}

helm_() {
  helm --kube-context "$context" --namespace "$namespace" "$@"
}

# choose_cluster QUESTION: names the cluster and asks whether it is the one meant, unless --context or --yes said so.
choose_cluster() {
  local named=$context server answer
  need kubectl "talks to the cluster (kubernetes.io/docs/tasks/tools)"
  if [ -z "$context" ]; then
    context=$(kubectl config current-context 2>/dev/null) ||
      fail "kubectl has no current context: kubectl config get-contexts lists those it knows, --context names one"
  fi
  local path='jsonpath={.clusters[0].cluster.server}'
  server=$(kubectl config view --minify --context "$context" --output "$path" 2>/dev/null) || true
  [ -n "$server" ] || fail "kubectl knows no context \"$context\": kubectl config get-contexts lists them"
  typed="kubectl --context $context --namespace $namespace"  # for whoever goes on by hand
  echo "cluster    context $context, $server"
  echo "namespace  $namespace"
  if [ -z "$named$agreed" ]; then
    [ -t 0 ] || fail "nobody is there to ask whether this is the cluster meant: say --context $context, or --yes"
    read -r -p "$1 [y/N] " answer
    case $answer in
      y | Y | yes) ;;
      *) fail "nothing was done" ;;
    esac
  fi
  kubectl --context "$context" --request-timeout 20s get --raw /readyz >/dev/null ||
    fail "the cluster does not answer; kubectl's own words are above"
}
