// SPDX-License-Identifier: Apache-2.0
#include "external/api_server.h"

#include <fmt/core.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>

#include "aio/testing_certificates.h"
#include "external/forward.h"
#include "kube/testing_api.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;
using aio::http::Request;
using aio::http::Response;
using kube::FakeApi;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr long long_ago = -400L * 86'400;  // the virtual clock's wall is behind the real one
constexpr long far_off = 400L * 86'400;

aio::TestCertificate certificate(const std::string& name, const aio::TestCertificate* issuer,
                                 const std::string& usage = "clientAuth",
                                 const std::vector<std::string>& organizations = {}) {
  return aio::test_certificate(name, issuer, "", long_ago, far_off, usage, organizations);
}

aio::PeerChain chain_of(const aio::TestCertificate& one) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(one.cert, &der);
  aio::PeerChain out{.der = {std::string(reinterpret_cast<char*>(der), static_cast<std::size_t>(size))}};
  OPENSSL_free(der);
  return out;
}

class Table final : public Source {
 public:
  [[nodiscard]] bool knows(std::string_view metric) const override { return metric.starts_with("known"); }
  aio::Task<Result<std::vector<Item>>> read(Question question, aio::Deadline /*deadline*/) override {
    asked.push_back(question.space + " " + question.metric + " " + format_selector(question.selector));
    if (error) {
      co_return *error;
    }
    co_return std::vector<Item>{{.labels = {{"a", "b"}}, .at = WallTime{}, .milli = 92'000}};
  }
  std::optional<Error> error;
  std::vector<std::string> asked;
};

// An API server that knows tokens "good" and "poor", and lets jane and the owner of "good" list metrics of shop.
class ApiServerTest : public testing::Test {
 protected:
  ApiServerTest() {
    access_.server = "http://api:80";
    fake_.on_request = [this](const std::string& method, const std::string& path, const std::string& body) {
      requests_.push_back(method + " " + path);
      const boost::json::value asked = boost::json::parse(body);
      if (status_ != 201) {
        return FakeApi::Answer{.status = status_};
      }
      return FakeApi::Answer{.status = 201, .body = path == token_review_path ? review_token(asked) : rule(asked)};
    };
    auto table = std::make_unique<Table>();
    table_ = table.get();
    Sources sources;
    sources.known.push_back(std::move(table));
    server_.emplace(clock_, config_, reviews_, std::move(sources),
                    ApiServerOptions{.answered = [](const Answered&) {},
                                     .refused =
                                         [this](int status, std::string_view path, std::string_view why) {
                                           refused_.push_back(fmt::format("{} {} {}", status, path, why));
                                         },
                                     .not_ready = [] { return std::string("leaves"); }});
  }

  static std::string review_token(const boost::json::value& asked) {
    const std::string_view token = asked.at("spec").at("token").as_string();
    const bool known = token == "good" || token == "poor";
    return known ? fmt::format(R"({{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{{)"
                               R"("authenticated":true,"user":{{"username":"{}-owner"}}}}}})",
                               token)
                 : R"({"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":{"authenticated":false}})";
  }
  static std::string rule(const boost::json::value& asked) {
    const boost::json::object& spec = asked.at("spec").as_object();
    const std::string_view user = spec.at("user").as_string();
    const boost::json::value* const resource = spec.if_contains("resourceAttributes");
    const bool in_shop = resource == nullptr || resource->at("namespace") == "shop";
    const bool allowed = (user == "jane" || user == "good-owner") && in_shop;
    return fmt::format(R"({{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{{)"
                       R"("allowed":{}}}}})",
                       allowed);
  }

  void put_config(const std::string& names = R"(["front"])") {
    const boost::json::object data = {{"client-ca-file", clients_.cert_pem()},
                                      {"requestheader-client-ca-file", proxies_.cert_pem()},
                                      {"requestheader-allowed-names", names},
                                      {"requestheader-username-headers", R"(["X-Remote-User"])"},
                                      {"requestheader-group-headers", R"(["X-Remote-Group"])"},
                                      {"requestheader-extra-headers-prefix", R"(["X-Remote-Extra-"])"}};
    fake_.put(
        "configmaps", "extension-apiserver-authentication",
        {{"metadata", {{"name", "extension-apiserver-authentication"}, {"namespace", "kube-system"}}}, {"data", data}});
  }

  void run(const std::function<aio::Task<void>()>& body) {
    clock_.run([&]() -> aio::Task<void> {
      group_.spawn(config_.run());
      while (config_.get() == nullptr) {
        co_await config_.changed().wait(clock_.in(10s));
      }
      co_await body();
      group_.cancel();
      co_await group_.join();
      co_await fake_.stop();
    }());
  }

  aio::Task<Response> ask(aio::PeerChain chain, std::string target, aio::http::HeaderList headers = {},
                          std::string method = "GET") {
    Request request{.method = std::move(method), .target = std::move(target), .headers = std::move(headers)};
    Response out = co_await server_->answer(std::make_shared<Visitor>(std::move(chain)), std::move(request));
    EXPECT_FALSE(aio::http::header(out.headers, "Retry-After"));
    co_return out;
  }
  aio::Task<int> status(aio::PeerChain chain, std::string target, aio::http::HeaderList headers = {},
                        std::string method = "GET") {
    const Response out = co_await ask(std::move(chain), std::move(target), std::move(headers), std::move(method));
    co_return out.status;
  }

  const std::string metric_ = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/known";
  const std::string elsewhere_ = "/apis/external.metrics.k8s.io/v1beta1/namespaces/bank/known";
  const aio::TestCertificate clients_ = certificate("clients", nullptr, "");
  const aio::TestCertificate proxies_ = certificate("proxies", nullptr, "");
  const aio::TestCertificate front_ = certificate("front", &proxies_);
  const aio::TestCertificate back_ = certificate("back", &proxies_);
  const aio::TestCertificate jane_ = certificate("jane", &clients_);
  const aio::TestCertificate root_ = certificate("root", &clients_, "clientAuth", {"system:masters"});
  const aio::TestCertificate server_only_ = certificate("jane", &clients_, "serverAuth");
  const aio::TestCertificate stranger_ = certificate("jane", nullptr);

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  Random random_{1};
  aio::TaskGroup group_{loop_, clock_};
  FakeApi fake_{loop_, clock_};
  kube::Access access_ = [] {
    kube::Access out;
    out.server = "http://api:80";
    return out;
  }();
  kube::Api api_{loop_, clock_, access_, kube::ReadFile{}, {}, kube::ApiOptions{.dial = fake_.dial()}};
  ProxyConfigWatch config_{api_, clock_, random_, [](const std::string&) {}};
  Reviews reviews_{api_, clock_, random_, group_};
  std::optional<ApiServer> server_;
  Table* table_ = nullptr;
  std::vector<std::string> requests_;
  std::vector<std::string> refused_;
  int status_ = 201;
};

TEST_F(ApiServerTest, KnowsWhoAsksAndWhetherThatIsAllowed) {
  put_config();
  const aio::http::HeaderList jane = {{"X-Remote-User", "jane"}};
  const aio::http::HeaderList joe = {{"X-Remote-User", "joe"}};
  const aio::http::HeaderList masters = {{"X-Remote-User", "joe"}, {"X-Remote-Group", "system:masters"}};
  struct Case {
    const char* what;
    aio::PeerChain chain;
    aio::http::HeaderList headers;
    std::string target;
    int status;
  };
  const Case cases[] = {
      {"the front proxy for a user with the right", chain_of(front_), jane, metric_, 200},
      {"for one without", chain_of(front_), joe, metric_, 403},
      {"for one in another namespace", chain_of(front_), jane, elsewhere_, 403},
      {"for an administrator", chain_of(front_), masters, elsewhere_, 200},
      {"the front proxy for nobody", chain_of(front_), {}, metric_, 401},
      {"a certificate of its authority with another name", chain_of(back_), jane, metric_, 401},
      {"a client's certificate", chain_of(jane_), {}, metric_, 200},
      {"a client's certificate, and headers", chain_of(jane_), masters, elsewhere_, 403},
      {"an administrator's certificate", chain_of(root_), {}, elsewhere_, 200},
      {"a server's certificate", chain_of(server_only_), {}, metric_, 401},
      {"a certificate of nobody's authority", chain_of(stranger_), {}, metric_, 401},
      {"a certificate of nobody's authority, and headers", chain_of(stranger_), jane, metric_, 401},
      {"headers alone", {}, jane, metric_, 401},
      {"a good token", {}, {{"Authorization", "Bearer good"}}, metric_, 200},
      {"a good token elsewhere", {}, {{"Authorization", "Bearer good"}}, elsewhere_, 403},
      {"a token without the right", {}, {{"Authorization", "Bearer poor"}}, metric_, 403},
      {"nobody's token", {}, {{"Authorization", "Bearer wrong"}}, metric_, 401},
      {"nobody", {}, {}, metric_, 403},
      {"nobody, for a document", {}, {}, "/apis/external.metrics.k8s.io/v1beta1", 403},
      {"nobody, as a probe", {}, {}, "/livez", 200},
  };
  run([&]() -> aio::Task<void> {
    for (const Case& one : cases) {
      const int got = co_await status(one.chain, one.target, one.headers);
      EXPECT_EQ(got, one.status) << one.what;
    }
  });
}

TEST_F(ApiServerTest, AnswersInTheFormOfAnApiServer) {
  put_config();
  run([&]() -> aio::Task<void> {
    const Response values = co_await ask(chain_of(jane_), metric_ + "?labelSelector=a+in+%28b%2Cc%29");
    EXPECT_EQ(
        values.body,
        R"({"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":)"
        R"([{"metricName":"known","metricLabels":{"a":"b"},"timestamp":"1970-01-01T00:00:00Z","value":"92"}]})");
    EXPECT_THAT(table_->asked, ElementsAre("shop known a in (b,c)"));
    const std::pair<std::string, int> wrong[] = {{metric_ + "?labelSelector=a+is+b", 400},
                                                 {metric_ + "2%zz", 400},
                                                 {"/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/other", 404},
                                                 {"/openapi/v2", 404},
                                                 {"/version", 404},
                                                 {"/apis", 200},
                                                 {"/apis/external.metrics.k8s.io", 200}};
    for (const auto& [target, expected] : wrong) {
      const Response response = co_await ask(chain_of(root_), target);
      EXPECT_EQ(response.status, expected) << target;
      EXPECT_EQ(aio::http::header(response.headers, "Content-Type"), "application/json") << target;
    }
    const int posted = co_await status(chain_of(root_), metric_, {}, "POST");
    EXPECT_EQ(posted, 405);
    const Response ready = co_await ask({}, "/readyz");
    EXPECT_EQ(ready.status, 503);
    EXPECT_EQ(ready.body, "leaves\n");
  });
}

TEST_F(ApiServerTest, SaysWhatItsSourceSays) {
  put_config();
  run([&]() -> aio::Task<void> {
    const std::pair<Code, int> codes[] = {
        {Code::gone, 404}, {Code::invalid, 400}, {Code::denied, 503}, {Code::retry, 503}, {Code::throttled, 503}};
    for (const auto& [code, expected] : codes) {
      table_->error = Error{code, "role missing; grant it"};
      const Response response = co_await ask(chain_of(jane_), metric_);
      EXPECT_EQ(response.status, expected);
      EXPECT_THAT(response.body, HasSubstr(R"("message":"role missing; grant it")"));
    }
  });
}

TEST_F(ApiServerTest, AsksOnceForAllWhoWantTheSame) {
  put_config();
  run([&]() -> aio::Task<void> {
    aio::TaskGroup many(loop_, clock_);
    int good = 0;
    const auto one = [&]() -> aio::Task<void> {
      const int got = co_await status({}, metric_, {{"Authorization", "Bearer good"}});
      good += got == 200 ? 1 : 0;
    };
    for (int i = 0; i < 20; ++i) {
      many.spawn(one());
    }
    co_await many.join();
    EXPECT_EQ(good, 20);
    EXPECT_THAT(requests_,
                ElementsAre(fmt::format("POST {}", token_review_path), fmt::format("POST {}", access_review_path)));
    co_await clock_.sleep_for(10s);
    requests_.clear();
    co_await one();
    EXPECT_EQ(requests_.size(), 2U) << "what is 10 s old is asked again";
  });
}

TEST_F(ApiServerTest, GivesNothingWhileTheApiServerCannotBeAsked) {
  put_config();
  run([&]() -> aio::Task<void> {
    status_ = 500;
    const Time began = clock_.now();
    const Response token = co_await ask({}, metric_, {{"Authorization", "Bearer good"}});
    EXPECT_EQ(token.status, 503);
    EXPECT_THAT(token.body, HasSubstr("the token could not be reviewed"));
    const Response user = co_await ask(chain_of(jane_), metric_);
    EXPECT_EQ(user.status, 503);
    EXPECT_LE(clock_.now() - began, 2 * review_max);
    EXPECT_GT(requests_.size(), 4U) << "it tried again";
    const int master = co_await status(chain_of(root_), metric_);
    EXPECT_EQ(master, 200) << "whom nobody needs to be asked about";
    status_ = 201;
    const int after = co_await status(chain_of(jane_), metric_);
    EXPECT_EQ(after, 200) << "an error is not kept";
    EXPECT_THAT(table_->asked.size(), 2U);
  });
}

// A kept connection, while the front proxy's authority is replaced by way of a bundle of both.
TEST_F(ApiServerTest, TakesANewAuthorityWithoutANewConnection) {
  put_config();
  run([&]() -> aio::Task<void> {
    const aio::TestCertificate other = certificate("others", nullptr, "");
    const aio::TestCertificate next = certificate("front", &other);
    const auto old_one = std::make_shared<Visitor>(chain_of(front_));
    const auto new_one = std::make_shared<Visitor>(chain_of(next));
    const auto got = [&](const std::shared_ptr<Visitor>& visitor) -> aio::Task<int> {
      Request request{.target = metric_, .headers = {{"X-Remote-User", "jane"}}};
      const Response out = co_await server_->answer(visitor, std::move(request));
      co_return out.status;
    };
    const auto expect = [&](int of_old, int of_new) -> aio::Task<void> {
      const int first = co_await got(old_one);
      const int second = co_await got(new_one);
      EXPECT_EQ(first, of_old);
      EXPECT_EQ(second, of_new);
    };
    co_await expect(200, 401);
    const auto put = [&](const std::string& pem) -> aio::Task<void> {
      const std::uint64_t before = config_.version();
      fake_.put("configmaps", "extension-apiserver-authentication",
                {{"metadata", {{"name", "extension-apiserver-authentication"}, {"namespace", "kube-system"}}},
                 {"data",
                  {{"requestheader-client-ca-file", pem},
                   {"requestheader-allowed-names", "[]"},
                   {"requestheader-username-headers", R"(["X-Remote-User"])"}}}});
      while (config_.version() == before) {
        co_await config_.changed().wait(clock_.in(10s));
      }
    };
    co_await put(proxies_.cert_pem() + other.cert_pem());
    co_await expect(200, 200);
    co_await put(other.cert_pem());
    co_await expect(401, 200);
    EXPECT_THAT(refused_.back(), HasSubstr("401"));
  });
}

TEST_F(ApiServerTest, KeepsTheLastConfigurationThatCanBeRead) {
  put_config();
  run([&]() -> aio::Task<void> {
    const std::uint64_t before = config_.version();
    put_config("front");  // no JSON array: it could allow everybody
    co_await clock_.sleep_for(40s);
    EXPECT_EQ(config_.version(), before);
    fake_.remove("configmaps", "extension-apiserver-authentication");
    co_await clock_.sleep_for(40s);
    const int still = co_await status(chain_of(front_), metric_, {{"X-Remote-User", "jane"}});
    EXPECT_EQ(still, 200);
    put_config();
    co_await clock_.sleep_for(40s);
    const int again = co_await status(chain_of(front_), metric_, {{"X-Remote-User", "jane"}});
    EXPECT_EQ(again, 200);
  });
}

TEST(Forward, ReadsWhatAnotherServerSays) {
  const Result<std::vector<Item>> items = parse_value_list(
      R"({"kind":"ExternalMetricValueList","items":[{"metricName":"x","metricLabels":{"a":"b"},)"
      R"("timestamp":"2026-08-20T10:00:00Z","window":60,"value":"8600m"},{"value":"1k","metricLabels":null}]})");
  ASSERT_TRUE(items) << items.error().what;
  ASSERT_EQ(items->size(), 2U);
  EXPECT_EQ((*items)[0].milli, 8600);
  EXPECT_EQ((*items)[0].window, 60s);
  EXPECT_EQ((*items)[1].milli, 1'000'000);
  for (const char* const bad :
       {"", "[]", "{}", R"({"kind":"Status"})", R"({"kind":"ExternalMetricValueList","items":1})",
        R"({"kind":"ExternalMetricValueList","items":[{"value":"much"}]})",
        R"({"kind":"ExternalMetricValueList","items":[{"metricLabels":[1],"value":"1"}]})"}) {
    EXPECT_FALSE(parse_value_list(bad)) << bad;
  }
}

}  // namespace
}  // namespace sluice::external
