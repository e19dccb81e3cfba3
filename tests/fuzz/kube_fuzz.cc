// SPDX-License-Identifier: Apache-2.0
// links: kube
//
// Any bytes as a list, as a watch and as each of the objects in them: the same however they are cut, and what is cut
// out of a document that is JSON is JSON itself.
#include <boost/json.hpp>
#include <vector>

#include "base/check.h"
#include "kube/objects.h"
#include "kube/splitter.h"

using namespace sluice;

namespace {

struct Read {
  std::vector<std::string> items;
  std::string rest;
  bool good = true;
  friend bool operator==(const Read&, const Read&) = default;
};

template <class Splitter>
Read read(std::string_view bytes, std::size_t piece) {
  Read out;
  Splitter splitter([&](std::string_view item) {
    out.items.emplace_back(item);
    return Result<void>{};
  });
  for (; out.good && !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    out.good = splitter.feed(bytes.substr(0, piece)).has_value();
  }
  if constexpr (std::is_same_v<Splitter, kube::ListSplitter>) {
    Result<std::string> rest = out.good ? splitter.finish() : Result<std::string>(Error{});
    out.good = rest.has_value();
    out.rest = rest.value_or("");
  } else {
    out.good = out.good && splitter.finish();
  }
  return out;
}

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
  const Read list = read<kube::ListSplitter>(bytes, size + 1);
  check(list == read<kube::ListSplitter>(bytes, size % 7 + 1), "cuts change nothing in a list");
  if (is_json(bytes) && list.good) {
    check(is_json(list.rest), "what is left of a list is JSON");
    for (const std::string& item : list.items) {
      check(is_json(item), "an item of a list is JSON");
    }
  }
  const Read watch = read<kube::LineSplitter>(bytes, size + 1);
  check(watch == read<kube::LineSplitter>(bytes, size % 7 + 1), "cuts change nothing in a watch");
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
