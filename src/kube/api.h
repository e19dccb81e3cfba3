// SPDX-License-Identifier: Apache-2.0
#pragma once
// One API server as one identity: single requests, lists page by page, watches. Deadlines are the caller's.
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "aio/http.h"
#include "kube/identity.h"
#include "kube/objects.h"
#include "kube/splitter.h"
#include "kube/verb_budget.h"

namespace sluice::kube {

struct ApiOptions {
  // Of each answer its status; 0 when there was none.
  std::function<void(int)> answered = [](int) {};
  std::string user_agent = "sluice";
  aio::http::Dial dial = {};  // tests
};

struct Call {
  std::string method = "GET";
  std::string path;  // "/apis/batch/v1/namespaces/shop/jobs", without the server's own prefix; with a query
  std::string body = {};
  std::string content_type = "application/json";
  // Waits neither while the server has asked for a pause (429, 503) nor for its turn: the renewal of a lease.
  bool urgent = false;
};

using WatchBegun = std::function<void()>;

class Api {
 public:
  Api(aio::Loop& loop, aio::Clock& clock, Access access, ReadFile read, std::vector<std::string> environment,
      ApiOptions options = {});

  // The body of an answer below 300. Else an Error with the server's own words: denied (401, 403: also quotas and
  // admission), gone (404, 410), conflict (409), invalid (400, 405, 413, 415, 422), throttled (429, or 503 with
  // Retry-After), retry (other 5xx, cut off, deadline): then a write may have happened.
  [[nodiscard]] aio::Task<Result<std::string>> ask(Call call, aio::Deadline deadline);
  // Any answer as it came; an Error when none did. For what lies behind the API server, such as a Service by its proxy.
  [[nodiscard]] aio::Task<Result<aio::http::Response>> send(Call call, aio::Deadline deadline);
  // Every object of a collection, in pages of 500; returns the version at which a watch may begin. Any Error means that
  // what was taken is not the whole. Code::gone: the list grew older than the server remembers; begin anew.
  [[nodiscard]] aio::Task<Result<ListHead>> list(std::string path, TakeItem take, aio::Deadline deadline);
  // What happens to a collection after `version`, line by line, until the server ends it: success, to go on with the
  // version of the last event. Code::retry when nothing, not even a bookmark, came for `silence`, or it was cut off.
  // `begun` is called when the server has taken it on.
  [[nodiscard]] aio::Task<Result<void>> watch(std::string path, std::string version, WatchBegun begun, TakeItem take,
                                              Duration silence);

  [[nodiscard]] const Access& access() const { return access_; }

 private:
  // Has client_ show this certificate; what is under way on connections with another one goes on.
  void renew_client(const Credential& credential);
  // Waits out a pause and for its turn, then has the credential in the request and in client_.
  [[nodiscard]] aio::Task<Result<void>> wait_for_turn(VerbBudget::Kind kind, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<aio::http::Request>> prepare(Call call, aio::Deadline deadline);
  // An answer below 300, to be read as it comes.
  [[nodiscard]] aio::Task<Result<std::unique_ptr<aio::http::Incoming>>> open(std::string path, aio::Deadline deadline);
  [[nodiscard]] aio::Task<Result<ListHead>> list_page(std::string path, TakeItem take, aio::Deadline deadline);
  // What the server says instead of an answer.
  [[nodiscard]] Error refusal(int status, const aio::http::HeaderList& headers, const std::string& body);

  aio::Loop& loop_;
  aio::Clock& clock_;
  const Access access_;
  const ApiOptions options_;
  Identity identity_;
  std::shared_ptr<aio::http::Client> client_;
  std::string client_cert_;
  Time pause_until_ = Time::min();
  VerbBudget budget_;
};

// "?" or "&" before the next parameter of a path, and the parameter, percent-encoded.
void add_parameter(std::string& path, std::string_view name, std::string_view value);

}  // namespace sluice::kube
