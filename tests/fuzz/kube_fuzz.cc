// SPDX-License-Identifier: Apache-2.0
// links: kube
//
// Any bytes as a list, as a watch and as each of the objects in them: the same however they are cut, and what is cut
// out of a document that is JSON is JSON itself.
#include <boost/json.hpp>

#include "base/check.h"
#include "kube/objects.h"
#include "kube/testing_splitter.h"

using namespace sluice;

namespace {

bool is_json(std::string_view text) {
  boost::json::error_code failed;
  boost::json::parse_options options;
  options.max_depth = 200;
  const boost::json::value value = boost::json::parse({text.data(), text.size()}, failed, {}, options);
  return !failed && value.is_object();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const kube::Cut list = kube::cut<kube::ListSplitter>(bytes, size + 1);
  check(list == kube::cut<kube::ListSplitter>(bytes, size % 7 + 1), "cuts change nothing in a list");
  if (is_json(bytes) && list.error.empty()) {
    check(is_json(list.rest), "what is left of a list is JSON");
    for (const std::string& item : list.items) {
      check(is_json(item), "an item of a list is JSON");
    }
  }
  const kube::Cut watch = kube::cut<kube::LineSplitter>(bytes, size + 1);
  check(watch == kube::cut<kube::LineSplitter>(bytes, size % 7 + 1), "cuts change nothing in a watch");
  for (const std::string& line : watch.items) {
    const Result<kube::Event<kube::Job>> job = kube::read_job_event(line);
    const Result<kube::Event<kube::Pod>> pod = kube::read_pod_event(line);
    check(job || !job.error().what.empty(), "an error says why");
    check(pod || !pod.error().what.empty(), "an error says why");
  }
  const Result<kube::Job> job = kube::read_job(bytes);
  check(job || job.error().code == Code::invalid, "of bytes alone nothing else can be said");
  const Result<kube::Pod> pod = kube::read_pod(bytes);
  const Result<kube::ListHead> head = kube::read_list_head(bytes);
  const Result<kube::Status> status = kube::read_status(bytes);
  check(pod || head || status || !pod.error().what.empty(), "an error says why");
  return 0;
}
