// SPDX-License-Identifier: Apache-2.0
#include "gcp/credentials.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <map>

#include "base/testing_folder.h"
#include "gcp/testing_google.h"

namespace sluice::gcp {
namespace {

using namespace std::chrono_literals;
using aio::http::Request;
using aio::http::Response;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class CredentialsTest : public GoogleTest {
 protected:
  void run(const std::function<aio::Task<void>()>& body) {
    const auto whole = [&]() -> aio::Task<void> {
      CredentialsOptions options{.file = file_, .loopback_token_uri = true, .dial = dial()};
      options.user_token_uri = "http://127.0.0.1:9/token";
      options.variable = [this](const std::string& name) {
        const auto found = variables_.find(name);
        return found != variables_.end() ? std::optional(found->second) : std::nullopt;
      };
      credentials_ = std::make_unique<Credentials>(loop_, clock_, std::move(options));
      co_await body();
    };
    GoogleTest::run(whole, [this] { credentials_.reset(); });
  }
  // In place, as an editor does it.
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = folder_.path() + "/" + name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    std::ofstream(path) << text;
    return path;
  }
  aio::Task<std::string> token() {
    const Result<std::string> token = co_await credentials_->token(clock_.in(20s));
    co_return token ? *token : token.error().what;
  }
  aio::Task<Error> failure() {
    const Result<std::string> token = co_await credentials_->token(clock_.in(20s));
    co_return token ? Error{Code::conflict, "there is a token"} : token.error();
  }
  aio::Task<void> keep_token(std::vector<std::string>& out) {
    std::string text = co_await token();
    out.push_back(std::move(text));
  }
  // Answers token-1, token-2, ..
  void give_tokens(int life_s = 3600) {
    answer_ = [this, life_s](const Request&) { return token_answer(fmt::format("token-{}", ++given_), life_s); };
  }

  TestFolder folder_;
  std::string file_;
  std::map<std::string, std::string> variables_;
  int given_ = 0;
  std::unique_ptr<Credentials> credentials_;
};

TEST_F(CredentialsTest, GetOneTokenForAllWhoWaitAndAnotherAheadOfItsEnd) {
  file_ = write("key.json", key_json(test_pem()));
  give_tokens();
  takes_ = 2s;
  run([&]() -> aio::Task<void> {
    std::vector<std::string> got;
    aio::TaskGroup many(loop_, clock_);
    for (int i = 0; i < 50; ++i) {
      many.spawn(keep_token(got));
    }
    co_await many.join();
    EXPECT_THAT(got, testing::AllOf(testing::SizeIs(50), testing::Each("token-1")));
    EXPECT_EQ(requests_.size(), 1U);
    EXPECT_THAT(requests_[0].body, testing::StartsWith("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-"));
    EXPECT_EQ(requests_[0].target, "/token");
    // 5 minutes before its end nobody waits for the next one.
    co_await clock_.sleep_for(55min);
    const Time before = clock_.now();
    std::string text = co_await token();
    EXPECT_EQ(text, "token-1");
    EXPECT_EQ(clock_.now(), before);
    co_await clock_.sleep_for(3s);
    text = co_await token();
    EXPECT_EQ(text, "token-2");
    EXPECT_EQ(requests_.size(), 2U);
  });
}

TEST_F(CredentialsTest, ServeTheOldTokenWhileNoNewOneComesAndRetryWithBackoff) {
  file_ = write("key.json", key_json(test_pem()));
  give_tokens();
  run([&]() -> aio::Task<void> {
    co_await token();
    down_ = true;
    takes_ = 0s;
    co_await clock_.sleep_for(55min);
    for (int second = 0; second < 280; ++second) {
      const std::string text = co_await token();
      EXPECT_EQ(text, "token-1");
      co_await clock_.sleep_for(1s);
    }
    EXPECT_LT(hosts_.size(), 40U);
    co_await clock_.sleep_for(60s);
    Error error = co_await failure();
    EXPECT_EQ(error.code, Code::retry);
    EXPECT_THAT(error.what, AllOf(HasSubstr("Google credentials: "), HasSubstr("key.json"), HasSubstr("refused")));
    down_ = false;
    co_await clock_.sleep_for(61s);
    const std::string text = co_await token();
    EXPECT_EQ(text, "token-2");
  });
}

TEST_F(CredentialsTest, FollowAKeyThatIsReplacedUnderLoadWithoutAFailedRequest) {
  file_ = write("key.json", key_json(test_pem(), "k0"));
  give_tokens();
  run([&]() -> aio::Task<void> {
    const std::string first = co_await token();
    EXPECT_EQ(first, "token-1");
    for (int round = 1; round <= 30; ++round) {
      // Gone, half, empty: none of them is used.
      const std::string next = key_json(test_pem(), fmt::format("k{}", round));
      for (const std::string& text :
           {next.substr(0, next.size() / 2), std::string(), next.substr(0, next.size() - 1)}) {
        std::filesystem::remove(file_);
        co_await clock_.sleep_for(6s);
        const std::string gone = co_await token();
        write("key.json", text);
        co_await clock_.sleep_for(6s);
        const std::string half = co_await token();
        EXPECT_EQ(half, gone);
        EXPECT_EQ(half, fmt::format("token-{}", round));
      }
      write("key.json", next);
      co_await clock_.sleep_for(6s);
      const std::string old = co_await token();
      EXPECT_EQ(old, fmt::format("token-{}", round));
      co_await clock_.sleep_for(1s);
      const std::string fresh = co_await token();
      EXPECT_EQ(fresh, fmt::format("token-{}", round + 1));
    }
    EXPECT_EQ(requests_.size(), 31U);
  });
}

TEST_F(CredentialsTest, SayWhichFileAndWhatToDo) {
  struct Case {
    std::string text;
    Response answer;
    Code code;
    const char* says;
  };
  const std::string account = key_json(test_pem());
  const std::vector<Case> cases{
      {"{", token_answer("t"), Code::denied, "no JSON that can be read"},
      {account, json(R"({"error":"invalid_grant","error_description":"S3CR3T"})", 400), Code::denied,
       "the key is refused (invalid_grant): it was deleted or disabled, or this machine's clock is wrong"},
      {account, json(R"({"error":"<script>S3CR3T"})", 400), Code::denied, "status 400"},
      {account, json("S3CR3T", 503), Code::retry, "status 503"},
      {account, json("S3CR3T", 429), Code::throttled, "status 429"},
      {account, json("S3CR3T", 200), Code::invalid, "no JSON that can be read"},
      {account, {.status = 302, .headers = {{"Location", "http://evil/"}}}, Code::denied, "status 302"},
      {user_json(), json(R"({"error":"invalid_grant"})", 400), Code::denied, "gcloud auth application-default login"},
  };
  for (const Case& one : cases) {
    file_ = write("key.json", one.text);
    answer_ = [&](const Request&) { return one.answer; };
    run([&]() -> aio::Task<void> {
      const Error error = co_await failure();
      EXPECT_EQ(error.code, one.code) << error.what;
      EXPECT_THAT(error.what, AllOf(HasSubstr("key.json"), HasSubstr(one.says), Not(HasSubstr("S3CR3T"))));
    });
  }
  EXPECT_THAT(hosts_, testing::Each("127.0.0.1"));
}

TEST_F(CredentialsTest, AreLookedForWhereGooglesOwnProgramsLook) {
  struct Case {
    const char* file;
    std::map<std::string, std::string> variables;
    const char* where;
  };
  const std::string folder = folder_.path();
  const std::string key = write("key.json", key_json(test_pem()));
  const std::string other = write("other.json", key_json(test_pem()));
  write("home/.config/gcloud/application_default_credentials.json", user_json());
  write("sdk/application_default_credentials.json", user_json());
  const std::vector<Case> cases{
      {key.c_str(), {{"GOOGLE_APPLICATION_CREDENTIALS", other}, {"HOME", folder + "/home"}}, "/key.json"},
      {"",
       {{"GOOGLE_APPLICATION_CREDENTIALS", other}, {"HOME", folder + "/home"}},
       "/other.json (named by GOOGLE_APPLICATION_CREDENTIALS)"},
      {"", {{"HOME", folder + "/home"}}, "/home/.config/gcloud/application_default_credentials.json"},
      {"",
       {{"HOME", folder + "/home"}, {"CLOUDSDK_CONFIG", folder + "/sdk"}},
       "/sdk/application_default_credentials.json"},
      {"", {{"HOME", folder + "/nobody"}}, "the metadata server 169.254.169.254"},
      {"", {{"GCE_METADATA_HOST", "127.0.0.1:8090"}}, "the metadata server 127.0.0.1:8090"},
  };
  give_tokens();
  for (const Case& one : cases) {
    file_ = one.file;
    variables_ = one.variables;
    run([&]() -> aio::Task<void> {
      const std::string text = co_await token();
      EXPECT_THAT(text, testing::StartsWith("token-"));
      EXPECT_THAT(credentials_->where(), testing::EndsWith(one.where));
    });
  }
  // One that is named and is not there is an error, not a reason to be somebody else.
  file_ = "";
  variables_ = {{"GOOGLE_APPLICATION_CREDENTIALS", folder + "/none.json"}, {"HOME", folder + "/home"}};
  run([&]() -> aio::Task<void> {
    const Error error = co_await failure();
    EXPECT_EQ(error.code, Code::denied);
    EXPECT_THAT(error.what, HasSubstr("/none.json: cannot open: No such file or directory"));
  });
}

TEST_F(CredentialsTest, OfTheMetadataServerNameTheAccountAndTheProject) {
  answer_ = [](const Request& request) {
    EXPECT_EQ(aio::http::header(request.headers, "Metadata-Flavor"), "Google");
    Response out = request.target.ends_with("/token") ? token_answer("m1")
                   : request.target.ends_with("/email")
                       ? Response{.body = "scaler@shop.iam.gserviceaccount.com"}
                       : Response{.status = request.target == "/computeMetadata/v1/project/project-id" ? 200 : 404,
                                  .body = "shop-project\n"};
    out.headers.emplace_back("Metadata-Flavor", "Google");
    return out;
  };
  run([&]() -> aio::Task<void> {
    const std::string text = co_await token();
    EXPECT_EQ(text, "m1");
    EXPECT_EQ(credentials_->account(), "service account scaler@shop.iam.gserviceaccount.com");
    Result<std::string> project = co_await credentials_->project(clock_.in(5s));
    EXPECT_EQ(project.value_or(""), "shop-project");
    EXPECT_EQ(requests_[0].target, "/computeMetadata/v1/instance/service-accounts/default/token");
    const std::size_t asked = requests_.size();
    project = co_await credentials_->project(clock_.in(5s));
    EXPECT_EQ(requests_.size(), asked);
  });
}

TEST_F(CredentialsTest, OfAnythingElseThanAMetadataServerAreNotBelieved) {
  answer_ = [](const Request& request) {
    return request.target.ends_with("/token") ? json("<html>", 404) : Response{.body = "some-project"};
  };
  run([&]() -> aio::Task<void> {
    const Error error = co_await failure();
    EXPECT_EQ(error.code, Code::denied);
    EXPECT_THAT(error.what, AllOf(HasSubstr("the metadata server 169.254.169.254"), HasSubstr("no service account")));
    const Result<std::string> project = co_await credentials_->project(clock_.in(5s));
    EXPECT_THAT(project.error().what, HasSubstr("no metadata server answered"));
    down_ = true;
  });
  run([&]() -> aio::Task<void> {
    const Error error = co_await failure();
    EXPECT_EQ(error.code, Code::retry);
    EXPECT_THAT(error.what, HasSubstr("outside of Google Cloud name a key file: GOOGLE_APPLICATION_CREDENTIALS"));
  });
}

TEST_F(CredentialsTest, GetAnotherTokenWhenAServerRefusesOneButNotForEachRequest) {
  file_ = write("key.json", key_json(test_pem()));
  give_tokens();
  run([&]() -> aio::Task<void> {
    std::string text = co_await token();
    co_await clock_.sleep_for(60s);
    credentials_->refused("token-0");
    text = co_await token();
    EXPECT_EQ(text, "token-1");
    credentials_->refused("token-1");
    text = co_await token();
    EXPECT_EQ(text, "token-2");
    for (int second = 0; second < 100; ++second) {
      text = co_await token();
      credentials_->refused(text);
      co_await clock_.sleep_for(1s);
    }
    EXPECT_LE(requests_.size(), 13U);
  });
}

TEST_F(CredentialsTest, BreakNowhereWhenAnyStepOfTheExchangeDoes) {
  const std::string path = write("key.json", key_json(test_pem()));
  const std::size_t steps = aio::for_each_failure([&](aio::Faults& faults) {
    aio::Loop loop;
    aio::VirtualClock clock(loop);
    aio::TaskGroup group(loop, clock);
    const auto handler = [](const Request&) -> aio::Task<Response> { co_return token_answer("good"); };
    aio::http::Server server(loop, clock, handler, {});
    CredentialsOptions options{.file = path, .loopback_token_uri = true};
    options.dial = [&](const aio::Url&, aio::Deadline deadline) -> aio::Task<Result<std::unique_ptr<aio::Stream>>> {
      const Result<void> there = co_await aio::connect_step(faults, clock, deadline);
      if (!there) {
        co_return there.error();
      }
      aio::StreamPair pair = aio::stream_pair(clock);
      group.spawn(server.serve(std::move(pair.second), ""));
      co_return aio::with_faults(std::move(pair.first), faults, clock);
    };
    const auto main = [&]() -> aio::Task<void> {
      auto credentials = std::make_unique<Credentials>(loop, clock, options);
      Result<std::string> token = co_await credentials->token(clock.in(15s));
      if (!token) {
        EXPECT_EQ(token.error().code, Code::retry) << token.error().what;
        co_await clock.sleep_for(10s);
        token = co_await credentials->token(clock.in(15s));
      }
      EXPECT_EQ(token.value_or(""), "good");
      credentials.reset();
      co_await clock.sleep_for(15s);
      group.cancel();
      co_await group.join();
    };
    clock.run(main());
  });
  EXPECT_GE(steps, 3U);
}

}  // namespace
}  // namespace sluice::gcp
