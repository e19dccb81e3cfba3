// SPDX-License-Identifier: Apache-2.0
#include "kube/access.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

namespace sluice::kube {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

class AccessTest : public testing::Test {
 protected:
  [[nodiscard]] Variable variable() const {
    return [this](const std::string& name) {
      const auto found = variables_.find(name);
      return found != variables_.end() ? std::optional(found->second) : std::nullopt;
    };
  }
  [[nodiscard]] ReadFile read() const {
    return [this](const std::string& path) {
      const auto found = files_.find(path);
      return found != files_.end() ? Result<std::string>(found->second)
                                   : Result<std::string>(Error{Code::gone, path + " is not there"});
    };
  }
  Result<Access> find(const Wanted& wanted = {}) { return find_access(wanted, variable(), read()); }
  // What is wrong with a kubeconfig of one context whose cluster and user have these lines too.
  std::string problem(const std::string& cluster, const std::string& user) {
    files_["/k"] =
        "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
        "clusters:\n- name: k\n  cluster:\n    server: https://h\n" +
        cluster + "users:\n- name: u\n  user:\n    token: secret\n" + user;
    const Result<Access> access = find({.kubeconfig = "/k", .context = {}, .space = {}});
    return access ? "" : access.error().what;
  }

  std::map<std::string, std::string> variables_{{"HOME", "/h/me"}};
  std::map<std::string, std::string> files_;
};

constexpr const char* two_contexts = R"(
apiVersion: v1
kind: Config
current-context: dev
contexts:
- {name: dev, context: {cluster: here, user: me, namespace: shop}}
- {name: prod, context: {cluster: there, user: robot}}
clusters:
- name: here
  cluster: {server: "https://127.0.0.1:6443", certificate-authority-data: Y2E=}
- name: there
  cluster: {server: "https://rancher.example/k8s/clusters/c-1/", certificate-authority: pki/ca.crt, tls-server-name: api}
users:
- name: me
  user: {client-certificate-data: Y2VydA==, client-key-data: a2V5}
- name: robot
  user:
    exec:
      apiVersion: client.authentication.k8s.io/v1
      command: bin/login
      args: [--cluster, c-1]
      env: [{name: REGION, value: eu}]
      installHint: ask the platform team
      provideClusterInfo: true
      interactiveMode: Never
)";

TEST_F(AccessTest, IsThatOfThePodInAPod) {
  variables_["KUBERNETES_SERVICE_HOST"] = "fd00::1";
  variables_["KUBERNETES_SERVICE_PORT"] = "443";
  const std::string folder = "/var/run/secrets/kubernetes.io/serviceaccount/";
  EXPECT_THAT(find().error().what, AllOf(HasSubstr("ca.crt"), HasSubstr("automountServiceAccountToken")));
  files_ = {{folder + "ca.crt", "CA"}, {folder + "token", "T"}, {folder + "namespace", "shop\n"}};
  const Result<Access> access = find();
  ASSERT_TRUE(access) << access.error().what;
  EXPECT_EQ(access->server, "https://[fd00::1]:443");
  EXPECT_EQ(access->ca_pem, "CA");
  EXPECT_EQ(access->space, "shop");
  EXPECT_EQ(access->token_file, folder + "token");
  EXPECT_EQ(access->token, "") << "it is rotated";
  EXPECT_EQ(find({.kubeconfig = {}, .context = {}, .space = "other"})->space, "other");
}

TEST_F(AccessTest, IsThatOfTheCurrentContextElsewhere) {
  files_["/h/me/.kube/config"] = two_contexts;
  const Result<Access> access = find();
  ASSERT_TRUE(access) << access.error().what;
  EXPECT_EQ(access->server, "https://127.0.0.1:6443");
  EXPECT_EQ(access->prefix, "");
  EXPECT_EQ(access->ca_pem + "," + access->cert_pem + "," + access->key_pem, "ca,cert,key");
  EXPECT_EQ(access->space, "shop");
  EXPECT_EQ(access->origin, "context dev of /h/me/.kube/config");
}

TEST_F(AccessTest, TakesPathsFromBesideTheFileAndAProgramAsItIsSaid) {
  files_ = {{"/etc/k/config", two_contexts}, {"/etc/k/pki/ca.crt", "CA"}};
  const Result<Access> access = find({.kubeconfig = "/etc/k/config", .context = "prod", .space = {}});
  ASSERT_TRUE(access) << access.error().what;
  EXPECT_EQ(access->server + access->prefix, "https://rancher.example:443/k8s/clusters/c-1");
  EXPECT_EQ(access->ca_pem, "CA");
  EXPECT_EQ(access->tls_name, "api");
  EXPECT_EQ(access->space, "default");
  ASSERT_TRUE(access->exec);
  EXPECT_THAT(access->exec->argv, ElementsAre("/etc/k/bin/login", "--cluster", "c-1"));
  EXPECT_THAT(access->exec->environment, ElementsAre(Pair("REGION", "eu")));
  EXPECT_EQ(access->exec->install_hint, "ask the platform team");
  EXPECT_TRUE(access->exec->gives_cluster_info);
}

TEST_F(AccessTest, SeveralFilesAreOneAndTheFirstToSaySomethingWins) {
  variables_["KUBECONFIG"] = "/missing:/a::/b";
  files_["/a"] = "contexts: [{name: dev, context: {cluster: here, user: ''}}]";
  files_["/b"] = two_contexts;
  const Result<Access> access = find();
  ASSERT_TRUE(access) << access.error().what;
  EXPECT_EQ(access->space, "default") << "the context of /a, the cluster of /b";
  EXPECT_EQ(access->cert_pem, "");
  EXPECT_EQ(access->origin, "context dev of /a");
}

TEST_F(AccessTest, SaysWhereItLookedAndWhatThereIs) {
  EXPECT_EQ(find().error().what,
            "there is no kubeconfig: looked for /h/me/.kube/config, and this is no pod: KUBERNETES_SERVICE_HOST and "
            "KUBERNETES_SERVICE_PORT are not set; --kubeconfig and --context say where a cluster is");
  EXPECT_EQ(find({.kubeconfig = "/k", .context = {}, .space = {}}).error().what, "/k is not there");
  files_["/k"] = two_contexts;
  EXPECT_EQ(find({.kubeconfig = "/k", .context = "test", .space = {}}).error().what,
            "/k: there is no context test; there are dev, prod");
  files_["/k"] = "kind: Config";
  EXPECT_EQ(find({.kubeconfig = "/k", .context = {}, .space = {}}).error().what,
            "/k: no current-context is set; it has none");
}

TEST_F(AccessTest, NamesTheFieldThatCannotBeUsedAndNoSecret) {
  EXPECT_EQ(problem("", ""), "");
  EXPECT_THAT(problem("    insecure-skip-tls-verify: true\n", ""), HasSubstr("/k: insecure-skip-tls-verify"));
  EXPECT_THAT(problem("    proxy-url: http://p\n", ""), HasSubstr("/k: proxy-url"));
  EXPECT_THAT(problem("    certificate-authority-data: '!'\n", ""),
              HasSubstr("/k: certificate-authority-data is not base64"));
  EXPECT_THAT(problem("    certificate-authority: ca.crt\n", ""), HasSubstr("/k: certificate-authority: /ca.crt"));
  EXPECT_THAT(problem("", "    client-key-data: a2V5\n"),
              HasSubstr("/k: client-certificate and client-key go together"));
  EXPECT_THAT(problem("", "    username: [a]\n"), HasSubstr("/k: username is not a string"));
  EXPECT_THAT(problem("", "    as: admin\n"), HasSubstr("/k: as: impersonation"));
  EXPECT_THAT(problem("", "    auth-provider: {name: gcp}\n"), HasSubstr("/k: auth-provider"));
  EXPECT_THAT(problem("", "    exec: {apiVersion: v1, command: a}\n"), HasSubstr("/k: exec.apiVersion"));
  EXPECT_THAT(problem("", "    exec: {apiVersion: client.authentication.k8s.io/v1}\n"),
              HasSubstr("/k: exec.command is missing"));
  EXPECT_THAT(problem("", "    password: [\n"), AllOf(HasSubstr("/k: line "), Not(HasSubstr("secret"))));
  EXPECT_THAT(problem("    proxy-url: ''\n", "    exec: 3\n"), HasSubstr("/k: exec is not a map"));
  files_["/k"] = "- a";
  EXPECT_EQ(find({.kubeconfig = "/k", .context = {}, .space = {}}).error().what, "/k: not a kubeconfig: it is no map");
  files_["/k"] = "clusters: [a]";
  EXPECT_THAT(find({.kubeconfig = "/k", .context = {}, .space = {}}).error().what,
              HasSubstr("an item of clusters is not {name: .., cluster: {..}}"));
  files_["/k"] = "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]";
  EXPECT_THAT(find({.kubeconfig = "/k", .context = {}, .space = {}}).error().what,
              HasSubstr("names cluster \"k\", which is not there"));
}

}  // namespace
}  // namespace sluice::kube
