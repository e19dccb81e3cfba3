// SPDX-License-Identifier: Apache-2.0
#pragma once
// Google in memory and in virtual time: an HTTP server of which a test says what it answers, and a key.
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "aio/faults.h"
#include "aio/http.h"
#include "aio/task_group.h"
#include "aio/url.h"

namespace sluice::gcp {

inline std::string rsa_pem(unsigned int bits) {
  EVP_PKEY* const key = EVP_RSA_gen(bits);
  BIO* const bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string out(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  EVP_PKEY_free(key);
  return out;
}

// Made once: it takes a tenth of a second and more.
inline const std::string& test_pem() {
  static const std::string pem = rsa_pem(2048);
  return pem;
}

inline std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return out;
}

inline std::string key_json(std::string_view pem, std::string_view id = "k1",
                            std::string_view token_uri = "http://127.0.0.1:9/token") {
  return fmt::format(R"({{"type":"service_account","project_id":"shop","private_key_id":"{}","private_key":"{}",)"
                     R"("client_email":"scaler@shop.iam.gserviceaccount.com","client_id":"1","token_uri":"{}"}})",
                     id, escaped(pem), token_uri);
}

inline std::string user_json(std::string_view refresh = "1//S3CR3T-canary-refresh") {
  return fmt::format(
      R"({{"type":"authorized_user","client_id":"id.apps","client_secret":"S3CR3T-canary","refresh_token":"{}",)"
      R"("quota_project_id":"shop"}})",
      refresh);
}

inline aio::http::Response json(std::string body, int status = 200) {
  return {.status = status, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
}

// A token that is good for an hour unless told otherwise.
inline aio::http::Response token_answer(std::string_view token, int life_s = 3600) {
  return json(fmt::format(R"({{"access_token":"{}","expires_in":{},"token_type":"Bearer"}})", token, life_s));
}

class GoogleTest : public testing::Test {
 protected:
  // Runs `body`, then what `end` lets go of, then waits for what is under way.
  void run(const std::function<aio::Task<void>()>& body, const std::function<void()>& end) {
    group_ = std::make_unique<aio::TaskGroup>(loop_, clock_);
    const auto main = [&]() -> aio::Task<void> {
      co_await body();
      end();
      co_await clock_.sleep_for(std::chrono::seconds{15});
      group_->cancel();
      co_await group_->join();
    };
    clock_.run(main());
  }
  [[nodiscard]] aio::http::Dial dial() {
    return [this](const aio::Url& to, aio::Deadline) { return connect(to.host); };
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  std::unique_ptr<aio::TaskGroup> group_;
  aio::http::Server server_{loop_, clock_, [this](aio::http::Request r) { return handle(std::move(r)); }, limits()};
  std::function<aio::http::Response(const aio::http::Request&)> answer_;
  Duration takes_{0};
  bool down_ = false;
  std::vector<aio::http::Request> requests_;
  std::vector<std::string> hosts_;

 private:
  static aio::http::ServerLimits limits() {
    aio::http::ServerLimits out;
    out.header_max = 64U << 10U;
    return out;
  }
  aio::Task<Result<std::unique_ptr<aio::Stream>>> connect(std::string host) {
    hosts_.push_back(host);
    if (down_) {
      co_return Error{Code::retry, host + ": refused"};
    }
    aio::StreamPair pair = aio::stream_pair(clock_);
    group_->spawn(server_.serve(std::move(pair.second), ""));
    co_return std::move(pair.first);
  }
  aio::Task<aio::http::Response> handle(aio::http::Request request) {
    requests_.push_back(request);
    co_await clock_.sleep_for(takes_);
    co_return answer_(request);
  }
};

}  // namespace sluice::gcp
