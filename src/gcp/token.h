// SPDX-License-Identifier: Apache-2.0
#pragma once
// Who we are to Google: a bearer token, whatever it was got with.
#include <string>

#include "aio/clock.h"
#include "aio/task.h"
#include "base/result.h"

namespace sluice::gcp {

class TokenSource {
 public:
  virtual ~TokenSource() = default;
  // A token that is good for minutes yet; got ahead of the old one's end, so that nobody waits for it. Empty where none
  // is needed (an emulator). Code::denied when the credentials are refused, retry when whoever gives tokens is out of
  // reach; never says the secret.
  virtual aio::Task<Result<std::string>> token(aio::Deadline deadline) = 0;
  // A server answered 401 to this token: another is got before the next request, unless it was already.
  virtual void refused(const std::string& /*token*/) {}
};

// For an emulator.
class NoToken final : public TokenSource {
 public:
  aio::Task<Result<std::string>> token(aio::Deadline /*deadline*/) override { co_return std::string(); }
};

}  // namespace sluice::gcp
