// SPDX-License-Identifier: Apache-2.0
#include "external/mounted_certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "aio/task_group.h"

namespace sluice::external {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

class Mounted : public testing::Test {
 protected:
  static constexpr const char* cert_file = "/tls/tls.crt";
  static constexpr const char* key_file = "/tls/tls.key";

  void put(const KeyedCertificate& pair) { files_ = {{cert_file, pair.cert_pem}, {key_file, pair.key_pem}}; }
  [[nodiscard]] KeyedCertificate fresh() const { return make_serving(authority_, service_, clock_.wall()).value(); }
  [[nodiscard]] Result<std::string> read(const std::string& path) const {
    const auto found = files_.find(path);
    return found == files_.end() ? Result<std::string>(Error{Code::gone, path + ": is not there"}) : found->second;
  }

  aio::Loop loop_;
  aio::VirtualClock clock_{loop_};
  const ServiceName service_{.space = "ops", .name = "sluice-adapter"};
  const KeyedCertificate authority_ = make_authority(service_, clock_.wall() - serving_life).value();
  std::map<std::string, std::string> files_;
  std::vector<KeyedCertificate> taken_;
  std::vector<std::string> told_;
  MountedCertificate mounted_{clock_, [this](const std::string& path) { return read(path); },
                              MountedOptions{.cert_file = cert_file, .key_file = key_file},
                              [this](const KeyedCertificate& pair) { taken_.push_back(pair); },
                              [this](const std::string& trouble) { told_.push_back(trouble); }};
};

TEST_F(Mounted, IsTakenOnceAndAgainWhenItChanges) {
  const KeyedCertificate first = fresh();
  const KeyedCertificate second = fresh();
  put(first);
  EXPECT_TRUE(mounted_.look());
  EXPECT_TRUE(mounted_.look());
  EXPECT_THAT(taken_, ElementsAre(first));
  put(second);
  EXPECT_TRUE(mounted_.look());
  EXPECT_THAT(taken_, ElementsAre(first, second));
  EXPECT_THAT(told_, ElementsAre());
}

TEST_F(Mounted, KeepsTheLastPairWhileWhatIsThereDoesNotFit) {
  const KeyedCertificate first = fresh();
  const KeyedCertificate second = fresh();
  put(first);
  EXPECT_TRUE(mounted_.look());
  put({.cert_pem = second.cert_pem, .key_pem = first.key_pem});
  EXPECT_FALSE(mounted_.look());
  EXPECT_FALSE(mounted_.look());
  put({.cert_pem = second.cert_pem.substr(0, 200), .key_pem = first.key_pem});
  EXPECT_FALSE(mounted_.look());
  files_.erase(key_file);
  EXPECT_FALSE(mounted_.look());
  EXPECT_THAT(taken_, ElementsAre(first));
  put(second);
  EXPECT_TRUE(mounted_.look());
  EXPECT_THAT(taken_, ElementsAre(first, second));
  EXPECT_THAT(told_, ElementsAre("/tls/tls.crt, /tls/tls.key: the private key does not belong to the certificate",
                                 HasSubstr("the certificate cannot be read"), "/tls/tls.key: is not there", ""))
      << "each once";
}

// In place, byte by byte, in the order in which a slow tool writes: no state between serves anything but a whole pair.
TEST_F(Mounted, IsNeverTakenHalfWritten) {
  const KeyedCertificate first = fresh();
  const KeyedCertificate second = fresh();
  put(first);
  EXPECT_TRUE(mounted_.look());
  for (std::size_t i = 0; i < second.cert_pem.size(); i += 7) {
    files_[cert_file] = second.cert_pem.substr(0, i);
    (void)mounted_.look();
  }
  files_[cert_file] = second.cert_pem;
  for (std::size_t i = 0; i < second.key_pem.size(); i += 7) {
    files_[key_file] = second.key_pem.substr(0, i);
    (void)mounted_.look();
  }
  files_[key_file] = second.key_pem;
  EXPECT_TRUE(mounted_.look());
  for (const KeyedCertificate& pair : taken_) {
    EXPECT_TRUE(check_pair(pair)) << pair.cert_pem;
  }
  EXPECT_EQ(taken_.back(), second);
}

TEST_F(Mounted, SaysThatItHasEndedAndServesOn) {
  put(make_serving(authority_, service_, clock_.wall() - serving_life + 1h).value());
  clock_.run([this]() -> aio::Task<void> {
    aio::TaskGroup group(loop_, clock_);
    group.spawn(mounted_.run());
    co_await clock_.sleep_for(59min);
    EXPECT_THAT(told_, ElementsAre());
    co_await clock_.sleep_for(2min);
    EXPECT_THAT(told_, ElementsAre(HasSubstr("/tls/tls.crt: the certificate ended at 2026-01-01T01:00")));
    put(fresh());
    co_await clock_.sleep_for(6s);
    EXPECT_THAT(told_, ElementsAre(testing::_, ""));
    EXPECT_EQ(taken_.size(), 2U);
    group.cancel();
    co_await group.join();
  }());
}

}  // namespace
}  // namespace sluice::external
