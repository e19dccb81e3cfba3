// SPDX-License-Identifier: Apache-2.0
#pragma once
// How to reach an API server and as whom: from inside a pod, or from a kubeconfig as kubectl reads it. No secret is
// ever part of an error.
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace sluice::kube {

// A program that prints a credential (client.authentication.k8s.io): aws, gke-gcloud-auth-plugin, kubelogin ..
struct ExecPlugin {
  std::string api_version;  // v1 or v1beta1, in full
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;  // beside ours
  std::string install_hint;
  bool gives_cluster_info = false;
};

struct Access {
  std::string server;    // "https://host:port"
  std::string prefix;    // of every path, where the server lies behind a proxy: "/k8s/clusters/c-1"; or empty
  std::string ca_pem;    // empty: the system's bundle
  std::string tls_name;  // what its certificate must name, where that is not the host
  std::string space;     // the namespace to work in
  // As whom; each may be absent.
  std::string cert_pem;
  std::string key_pem;
  std::string token;
  std::string token_file;  // read again for every connection: it is rotated
  std::string user;        // with a password: Basic
  std::string password;
  std::optional<ExecPlugin> exec;
  std::string origin;  // "the context kind-dev of /h/me/.kube/config", "the pod's service account": for messages
};

// Reads an environment variable; empty optional: not set.
using Variable = std::function<std::optional<std::string>(const std::string& name)>;
// Reads a file. Errors name it.
using ReadFile = std::function<Result<std::string>(const std::string& path)>;

struct Wanted {
  std::string kubeconfig;  // --kubeconfig; empty: KUBECONFIG, then ~/.kube/config
  std::string context;     // --context; empty: the current one
  std::string space;       // --namespace; empty: the context's, or "default"
};

// Of a pod: KUBERNETES_SERVICE_HOST and _PORT, and what is mounted for its service account. Code::gone: this is no pod.
[[nodiscard]] Result<Access> access_in_cluster(const Variable& variable, const ReadFile& read);
// Of a kubeconfig, or of several joined as kubectl joins them (KUBECONFIG, separated by colons: the first to say
// something wins). Code::gone when there is none; invalid with the file and the field for what cannot be used; a
// context that is not there is answered with those that are.
[[nodiscard]] Result<Access> access_of_kubeconfig(const Wanted& wanted, const Variable& variable, const ReadFile& read);
// The first where something is said of a kubeconfig or a context, or where it is no pod; else of the pod.
[[nodiscard]] Result<Access> find_access(const Wanted& wanted, const Variable& variable, const ReadFile& read);

}  // namespace sluice::kube
