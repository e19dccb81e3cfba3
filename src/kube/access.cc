// SPDX-License-Identifier: Apache-2.0
#include "kube/access.h"

#include <fmt/core.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <initializer_list>
#include <map>

#include "aio/base64.h"
#include "aio/url.h"
#include "base/text.h"

namespace sluice::kube {
namespace {

constexpr const char* account = "/var/run/secrets/kubernetes.io/serviceaccount/";

Error wrong(const std::string& file, const std::string& what) {
  return Error{Code::invalid, file + ": " + what};
}

// A map of a kubeconfig and the file that it is from: paths in it are relative to that one.
struct Entry {
  YAML::Node node;
  std::string file;
};

struct Joined {
  std::string current;
  std::map<std::string, Entry, std::less<>> clusters;
  std::map<std::string, Entry, std::less<>> users;
  std::map<std::string, Entry, std::less<>> contexts;
  std::vector<std::string> files;  // those that are there
};

// A scalar; empty when absent.
Result<std::string> text(const Entry& entry, const char* key) {
  const YAML::Node value = entry.node[key];
  if (!value || value.IsNull()) {
    return std::string();
  }
  if (!value.IsScalar()) {
    return wrong(entry.file, fmt::format("{} is not a string", key));
  }
  return value.Scalar();
}

// The first of them that is none.
using Texts = std::initializer_list<const Result<std::string>*>;
std::optional<Error> first_error(Texts all) {
  const auto* const found = std::ranges::find_if(all, [](const Result<std::string>* each) { return !*each; });
  return found != all.end() ? std::optional((*found)->error()) : std::nullopt;
}

// A path of a file is relative to that file.
std::string beside(const std::string& file, const std::string& path) {
  const std::size_t slash = file.rfind('/');
  return path.starts_with('/') || slash == std::string::npos ? path : file.substr(0, slash + 1) + path;
}

// clusters, users and contexts are lists of {name, cluster: {..}}.
Result<void> join_list(const YAML::Node& root, const std::string& file, const char* list, const char* inner,
                       std::map<std::string, Entry, std::less<>>& into) {
  const YAML::Node all = root[list];
  if (!all || all.IsNull()) {
    return {};
  }
  if (!all.IsSequence()) {
    return wrong(file, fmt::format("{} is not a list", list));
  }
  for (const YAML::Node& one : all) {
    const YAML::Node name = one.IsMap() ? one["name"] : YAML::Node();
    const YAML::Node about = one.IsMap() ? one[inner] : YAML::Node();
    if (!name || !name.IsScalar() || (about && !about.IsMap() && !about.IsNull())) {
      return wrong(file, fmt::format("an item of {} is not {{name: .., {}: {{..}}}}", list, inner));
    }
    into.try_emplace(name.Scalar(), Entry{about && about.IsMap() ? about : YAML::Node(YAML::NodeType::Map), file});
  }
  return {};
}

Result<void> join(const std::string& file, const std::string& content, Joined& into) {
  YAML::Node root;
  try {
    root = YAML::Load(content);
  } catch (const YAML::Exception& e) {
    return wrong(file, fmt::format("line {}: {}", e.mark.line + 1, e.msg));
  }
  into.files.push_back(file);
  if (root.IsNull()) {
    return {};
  }
  if (!root.IsMap()) {
    return wrong(file, "not a kubeconfig: it is no map");
  }
  const Result<std::string> current = text({root, file}, "current-context");
  if (!current) {
    return current.error();
  }
  if (into.current.empty()) {
    into.current = *current;
  }
  for (const auto& [list, inner, all] : {std::tuple{"clusters", "cluster", &into.clusters},
                                         {"users", "user", &into.users},
                                         {"contexts", "context", &into.contexts}}) {
    if (Result<void> joined = join_list(root, file, list, inner, *all); !joined) {
      return joined;
    }
  }
  return {};
}

// PEM that is there as text, or in a file of its own.
Result<std::string> pem(const Entry& entry, const std::string& key, const ReadFile& read) {
  const Result<std::string> data = text(entry, (key + "-data").c_str());
  if (!data || !data->empty()) {
    Result<std::string> decoded = data ? aio::from_base64(*data) : data;
    return decoded || !data ? decoded : wrong(entry.file, key + "-data is not base64");
  }
  Result<std::string> path = text(entry, key.c_str());
  if (!path || path->empty()) {
    return path;
  }
  Result<std::string> content = read(beside(entry.file, *path));
  return content ? content : content.error().in(fmt::format("{}: {}", entry.file, key));
}

Result<void> read_server(const Entry& cluster, const ReadFile& read, Access& out) {
  const Result<std::string> server = text(cluster, "server");
  const Result<aio::Url> url = server ? aio::parse_url(*server) : server.error();
  if (!url) {
    return wrong(cluster.file, "server: " + url.error().what);
  }
  out.server = url->base();
  out.prefix = url->target == "/" ? "" : url->target.substr(0, url->target.find_last_not_of('/') + 1);
  if (out.prefix.contains('?')) {
    return wrong(cluster.file, "server: a URL with a query");
  }
  const Result<std::string> insecure = text(cluster, "insecure-skip-tls-verify");
  if (!insecure || *insecure == "true") {
    return insecure ? wrong(cluster.file,
                            "insecure-skip-tls-verify is not supported: anybody on the way could read the token; "
                            "put the server's CA into certificate-authority")
                    : insecure.error();
  }
  const Result<std::string> proxy = text(cluster, "proxy-url");
  if (!proxy || !proxy->empty()) {
    return proxy ? wrong(cluster.file, "proxy-url is not supported") : proxy.error();
  }
  const Result<std::string> ca = pem(cluster, "certificate-authority", read);
  const Result<std::string> name = text(cluster, "tls-server-name");
  if (std::optional<Error> bad = first_error({&ca, &name})) {
    return *std::move(bad);
  }
  out.ca_pem = *ca;
  out.tls_name = *name;
  return {};
}

Result<ExecPlugin> read_exec(const Entry& user, const YAML::Node& node) {
  const Entry entry{node, user.file};
  const Result<std::string> version = text(entry, "apiVersion");
  const Result<std::string> command = text(entry, "command");
  const Result<std::string> hint = text(entry, "installHint");
  const Result<std::string> info = text(entry, "provideClusterInfo");
  if (std::optional<Error> bad = first_error({&version, &command, &hint, &info})) {
    return *std::move(bad);
  }
  if (*version != "client.authentication.k8s.io/v1" && *version != "client.authentication.k8s.io/v1beta1") {
    return wrong(user.file, "exec.apiVersion is neither client.authentication.k8s.io/v1 nor v1beta1");
  }
  if (command->empty()) {
    return wrong(user.file, "exec.command is missing");
  }
  ExecPlugin out{.api_version = *version,
                 .argv = {command->contains('/') ? beside(user.file, *command) : *command},
                 .environment = {},
                 .install_hint = *hint,
                 .gives_cluster_info = *info == "true"};
  for (const YAML::Node& word : node["args"]) {
    if (!word.IsScalar()) {
      return wrong(user.file, "exec.args is not a list of strings");
    }
    out.argv.push_back(word.Scalar());
  }
  for (const YAML::Node& variable : node["env"]) {
    if (!variable.IsMap() || !variable["name"] || !variable["value"]) {
      return wrong(user.file, "exec.env is not a list of {name, value}");
    }
    out.environment.emplace_back(variable["name"].Scalar(), variable["value"].Scalar());
  }
  return out;
}

Result<void> read_user(const Entry& user, const ReadFile& read, Access& out) {
  if (user.node["auth-provider"]) {
    return wrong(user.file, "auth-provider is gone from Kubernetes since 1.26: use the exec plugin of your provider");
  }
  for (const char* key : {"as", "as-uid", "as-groups", "as-user-extra"}) {
    if (user.node[key]) {
      return wrong(user.file, fmt::format("{}: impersonation is not supported", key));
    }
  }
  const Result<std::string> cert = pem(user, "client-certificate", read);
  const Result<std::string> key = pem(user, "client-key", read);
  const Result<std::string> token = text(user, "token");
  const Result<std::string> token_file = text(user, "tokenFile");
  const Result<std::string> name = text(user, "username");
  const Result<std::string> password = text(user, "password");
  if (std::optional<Error> bad = first_error({&cert, &key, &token, &token_file, &name, &password})) {
    return *std::move(bad);
  }
  if (cert->empty() != key->empty()) {
    return wrong(user.file, "client-certificate and client-key go together");
  }
  out.cert_pem = *cert;
  out.key_pem = *key;
  out.token = *token;
  out.token_file = token_file->empty() ? "" : beside(user.file, *token_file);
  out.user = *name;
  out.password = *password;
  if (const YAML::Node exec = user.node["exec"]; exec && !exec.IsNull()) {
    Result<ExecPlugin> plugin = exec.IsMap() ? read_exec(user, exec) : wrong(user.file, "exec is not a map");
    if (!plugin) {
      return plugin.error();
    }
    out.exec = std::move(*plugin);
  }
  return {};
}

// "a, b and 3 more"
std::string names_of(const std::map<std::string, Entry, std::less<>>& all) {
  constexpr std::size_t shown = 5;
  std::string out;
  std::size_t n = 0;
  for (const auto& [name, entry] : all) {
    if (n++ < shown) {
      out += (out.empty() ? "" : ", ") + name;
    }
  }
  return n > shown ? fmt::format("{} and {} more", out, n - shown) : out;
}

Result<Joined> read_all(const std::vector<std::string>& paths, bool must_be_there, const ReadFile& read) {
  Joined all;
  for (const std::string& path : paths) {
    const Result<std::string> content = read(path);
    if (!content && content.error().code == Code::gone && !must_be_there) {
      continue;
    }
    const Result<void> joined = content ? join(path, *content, all) : content.error();
    if (!joined) {
      return joined.error();
    }
  }
  return all;
}

}  // namespace

Result<Access> access_in_cluster(const Variable& variable, const ReadFile& read) {
  const std::optional<std::string> host = variable("KUBERNETES_SERVICE_HOST");
  const std::optional<std::string> port = variable("KUBERNETES_SERVICE_PORT");
  if (!host || !port || host->empty() || port->empty()) {
    return Error{Code::gone, "this is no pod: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"};
  }
  const std::string server = fmt::format("https://{}:{}", host->contains(':') ? "[" + *host + "]" : *host, *port);
  const Result<aio::Url> url = aio::parse_url(server);
  if (!url) {
    return url.error().in("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT");
  }
  const Result<std::string> ca = read(std::string(account) + "ca.crt");
  const Result<std::string> token = read(std::string(account) + "token");
  const Result<std::string> space = read(std::string(account) + "namespace");
  if (const std::optional<Error> bad = first_error({&ca, &token, &space})) {
    return Error{bad->code, bad->what + "; is automountServiceAccountToken off for this pod?"};
  }
  Access out;
  out.server = url->base();
  out.ca_pem = *ca;
  out.space = trimmed(*space);
  out.token_file = std::string(account) + "token";
  out.origin = "the pod's service account";
  return out;
}

Result<Access> access_of_kubeconfig(const Wanted& wanted, const Variable& variable, const ReadFile& read) {
  std::vector<std::string> paths;
  if (!wanted.kubeconfig.empty()) {
    paths = {wanted.kubeconfig};
  } else if (const std::string listed = variable("KUBECONFIG").value_or(""); !listed.empty()) {
    for (std::size_t begin = 0; begin <= listed.size();) {
      const std::size_t end = std::min(listed.find(':', begin), listed.size());
      if (end > begin) {
        paths.push_back(listed.substr(begin, end - begin));
      }
      begin = end + 1;
    }
  } else {
    paths = {variable("HOME").value_or("") + "/.kube/config"};
  }
  const Result<Joined> all = read_all(paths, !wanted.kubeconfig.empty(), read);
  if (!all) {
    return all.error();
  }
  if (all->files.empty()) {
    return Error{Code::gone, "there is no kubeconfig: looked for " + paths.front()};
  }
  const std::string name = wanted.context.empty() ? all->current : wanted.context;
  const auto context = all->contexts.find(name);
  if (context == all->contexts.end()) {
    const std::string there = names_of(all->contexts);
    return Error{Code::invalid, fmt::format("{}: {}; {}", all->files.front(),
                                            name.empty() ? "no current-context is set" : "there is no context " + name,
                                            there.empty() ? "it has none" : "there are " + there)};
  }
  const Result<std::string> cluster_name = text(context->second, "cluster");
  const Result<std::string> user_name = text(context->second, "user");
  const Result<std::string> space = text(context->second, "namespace");
  if (std::optional<Error> bad = first_error({&cluster_name, &user_name, &space})) {
    return *std::move(bad);
  }
  const auto cluster = all->clusters.find(*cluster_name);
  if (cluster == all->clusters.end()) {
    return wrong(context->second.file,
                 fmt::format("context {} names cluster \"{}\", which is not there", name, *cluster_name));
  }
  Access out;
  out.origin = fmt::format("context {} of {}", name, context->second.file);
  out.space = !wanted.space.empty() ? wanted.space : !space->empty() ? *space : "default";
  if (const Result<void> server = read_server(cluster->second, read, out); !server) {
    return server.error();
  }
  if (const auto user = all->users.find(*user_name); user != all->users.end()) {
    if (const Result<void> good = read_user(user->second, read, out); !good) {
      return good.error();
    }
  } else if (!user_name->empty()) {
    return wrong(context->second.file, fmt::format("context {} names user \"{}\", who is not there", name, *user_name));
  }
  return out;
}

Result<Access> find_access(const Wanted& wanted, const Variable& variable, const ReadFile& read) {
  const bool told =
      !wanted.kubeconfig.empty() || !wanted.context.empty() || !variable("KUBECONFIG").value_or("").empty();
  Result<Access> pod = told ? Error{Code::gone, ""} : access_in_cluster(variable, read);
  if (pod && !wanted.space.empty()) {
    pod->space = wanted.space;
  }
  if (pod || pod.error().code != Code::gone) {
    return pod;
  }
  Result<Access> config = access_of_kubeconfig(wanted, variable, read);
  if (!config && config.error().code == Code::gone && !told) {
    return Error{Code::gone, fmt::format("{}, and {}; --kubeconfig and --context say where a cluster is",
                                         config.error().what, pod.error().what)};
  }
  return config;
}

}  // namespace sluice::kube
