// SPDX-License-Identifier: Apache-2.0
#pragma once
// One Secret, read by its name: never a list of them, never another namespace's.
#include <map>
#include <string>
#include <string_view>

#include "kube/api.h"

namespace sluice::kube {

using SecretData = std::map<std::string, std::string, std::less<>>;  // bytes by key

// Of the text of one Secret. Code::invalid names the key that is not base64; no Error says what is in it.
[[nodiscard]] Result<SecretData> read_secret(std::string_view json);

// Errors as of Api::ask(), in words for who has to give the right or make the Secret.
[[nodiscard]] aio::Task<Result<SecretData>> get_secret(Api& api, std::string space, std::string name,
                                                       aio::Deadline deadline);

}  // namespace sluice::kube
