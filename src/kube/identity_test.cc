// SPDX-License-Identifier: Apache-2.0
// The plugins are real programs.
#include "kube/identity.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/testing_folder.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class PluginTest : public testing::Test {
 protected:
  // A program that notes each of its runs, then does this.
  std::string program(const std::string& body) {
    const std::string path = folder_.path() + "/login";
    std::ofstream(path) << "#!/bin/sh\necho run >> " << folder_.path() + "/runs" << "\n" << body << "\n";
    ::chmod(path.c_str(), 0700);
    return path;
  }
  [[nodiscard]] int runs() const { return static_cast<int>(std::ranges::count(file("runs"), '\n')); }
  [[nodiscard]] std::string file(const char* name) const {
    std::ifstream in(folder_.path() + "/" + name);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  [[nodiscard]] static bool sleeps(const std::string& pid) {
    std::ifstream stat("/proc/" + pid + "/stat");
    std::string words;
    std::getline(stat, words);
    return !pid.empty() && words.contains(") S ");
  }
  Identity identity(std::vector<std::string> argv) {
    Access access;
    access.server = "https://h:6443";
    access.ca_pem = "CA";
    access.origin = "the test";
    access.exec = ExecPlugin{.api_version = "client.authentication.k8s.io/v1",
                             .argv = std::move(argv),
                             .environment = {{"REGION", "eu"}},
                             .install_hint = "ask the platform team\n",
                             .gives_cluster_info = true};
    return {loop_, clock_, access, {}, {"PATH=/usr/bin:/bin", "REGION=us"}};
  }
  // What is shown, or why nothing is.
  std::string show(Identity& identity, Duration patience = 20s) {
    std::string out;
    const auto main = [&]() -> aio::Task<void> {
      const Result<Credential> shown = co_await identity.show(clock_.in(patience));
      out = shown ? fmt::format("{},{},{}", shown->authorization, shown->cert_pem, shown->key_pem) : shown.error().what;
    };
    loop_.run(main());
    return out;
  }
  static std::string credential(const std::string& status) {
    return R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{)" + status + "}}";
  }
  std::string show_printed(const std::string& text) {
    Identity one = identity({program("cat <<'END'\n" + text + "\nEND")});
    return show(one);
  }

  TestFolder folder_;
  aio::Loop loop_;
  aio::RealClock clock_{loop_};
};

TEST_F(PluginTest, GetsWhatItAsksForAndIsAskedOnceForWhatLasts) {
  const std::string out = folder_.path() + "/asked";
  Identity one = identity({program("echo \"$KUBERNETES_EXEC_INFO $REGION $1\" > " + out + "\ncat <<'END'\n" +
                                   credential(R"("token":"T","expirationTimestamp":"2999-01-01T00:00:00Z")") + "\nEND"),
                           "--cluster"});
  EXPECT_EQ(show(one), "Bearer T,,");
  EXPECT_EQ(show(one), "Bearer T,,");
  EXPECT_EQ(runs(), 1);
  EXPECT_THAT(file("asked"), AllOf(HasSubstr("eu --cluster"), HasSubstr(R"("kind":"ExecCredential")"),
                                   HasSubstr(R"("interactive":false)"), HasSubstr(R"("server":"https://h:6443")"),
                                   HasSubstr(R"("certificate-authority-data":"Q0E=")")));
}

TEST_F(PluginTest, MayGiveACertificate) {
  EXPECT_EQ(show_printed(credential(R"("clientCertificateData":"C","clientKeyData":"K")")), ",C,K");
}

TEST_F(PluginTest, WhatHasExpiredIsNotShown) {
  EXPECT_EQ(show_printed(credential(R"("token":"T","expirationTimestamp":"2020-01-01T00:00:00Z")")),
            "the test: the credential has expired");
}

TEST_F(PluginTest, IsNamedWhenItFailsAndNothingItPrintsIs) {
  EXPECT_THAT(show_printed("secret"),
              AllOf(HasSubstr("/login: what it printed is no ExecCredential"), Not(HasSubstr("secret"))));
  EXPECT_THAT(show_printed(R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1beta1"})"),
              HasSubstr("is not of client.authentication.k8s.io/v1"));
  EXPECT_THAT(show_printed(R"({"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"})"),
              HasSubstr("has no status"));
  EXPECT_THAT(show_printed(credential(R"("clientCertificateData":"C")")), HasSubstr("neither a token nor"));
  EXPECT_THAT(show_printed(credential(R"("token":"T","expirationTimestamp":"soon")")),
              HasSubstr("expirationTimestamp"));
  Identity fails = identity({program("echo secret; exit 3")});
  EXPECT_THAT(show(fails), HasSubstr("/login: exit status 3"));
  Identity missing = identity({"no-such-login"});
  EXPECT_THAT(show(missing), AllOf(HasSubstr("no-such-login"), HasSubstr("; ask the platform team")));
  Identity endless = identity({program("cat /dev/zero")});
  EXPECT_THAT(show(endless), HasSubstr("printed more than 1 MiB"));
}

TEST_F(PluginTest, IsNotRunInALoopAndIsEndedWhenItIsLate) {
  Identity fails = identity({program("exit 3")});
  for (int i = 0; i < 5; ++i) {
    EXPECT_THAT(show(fails), HasSubstr("exit status 3"));
    fails.refused();
  }
  EXPECT_EQ(runs(), 1);
  Identity late = identity({program("echo $$ > " + folder_.path() + "/pid" + "\nexec sleep 1000")});
  EXPECT_THAT(show(late, 500ms), HasSubstr("no credential came in time"));
  const std::string pid = file("pid");
  const auto gone = [&]() -> aio::Task<void> {
    while (sleeps(pid.substr(0, pid.find('\n')))) {
      co_await clock_.sleep_for(1ms);
    }
  };
  loop_.run(gone());
}

}  // namespace
}  // namespace sluice::kube
