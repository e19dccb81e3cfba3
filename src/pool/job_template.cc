// SPDX-License-Identifier: Apache-2.0
#include "pool/job_template.h"

#include <fmt/core.h>

#include <algorithm>
#include <boost/json.hpp>

#include "pool/json_text.h"
#include "pool/scalar.h"

namespace sluice::pool {
namespace {

constexpr Field any_field{.doc = ""};

// A place in the template; all problems are added through it.
struct Place {
  const Node* node;
  std::string path;
  Report& report;

  [[nodiscard]] Place at(std::string_view key) const {
    const Entry* entry = node == nullptr ? nullptr : node->find(key);
    return {entry == nullptr ? nullptr : &entry->value, child_path(path, key), report};
  }
  [[nodiscard]] explicit operator bool() const { return node != nullptr && node->kind != Node::Kind::null; }
  [[nodiscard]] bool says(std::string_view text) const { return node->scalar() && node->text == text; }
  void refuse(std::string_view accepted) const { refuse(found_at({*node, path, any_field, report}), accepted); }
  void refuse(std::string found, std::string_view accepted) const {
    pool::refuse({*node, path, any_field, report}, std::move(found), std::string(accepted));
  }
};

void write(const Place& place, std::string& out);

void write_plain(const Place& place, std::string& out) {
  switch (classify_plain(place.node->text)) {
    case Plain::text:
      append_json_string(out, place.node->text);
      return;
    case Plain::whole:
    case Plain::decimal:
    case Plain::boolean:
      out += place.node->text;
      return;
    case Plain::odd:
      place.refuse(fmt::format("{} without quotes", shown(place.node->text)),
                   fmt::format("\"{}\" in double quotes if text is meant; else true, false, or a decimal number",
                               shown(place.node->text)));
      out += "null";
  }
}

// Keys sorted: the order in which a person or a tool writes them says nothing.
void write_map(const Place& place, std::string& out) {
  std::vector<const Entry*> entries;
  for (const Entry& entry : place.node->entries) {
    entries.push_back(&entry);
  }
  std::sort(entries.begin(), entries.end(), [](const Entry* a, const Entry* b) { return a->key < b->key; });
  out.push_back('{');
  for (const Entry* entry : entries) {
    out += out.back() == '{' ? "" : ",";
    append_json_string(out, entry->key);
    out.push_back(':');
    write({&entry->value, child_path(place.path, entry->key), place.report}, out);
  }
  out.push_back('}');
}

void write(const Place& place, std::string& out) {
  const Node& node = *place.node;
  switch (node.kind) {
    case Node::Kind::null:
    case Node::Kind::bad:
      out += "null";
      return;
    case Node::Kind::quoted:
      append_json_string(out, node.text);
      return;
    case Node::Kind::plain:
      write_plain(place, out);
      return;
    case Node::Kind::map:
      write_map(place, out);
      return;
    case Node::Kind::list:
      out.push_back('[');
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        out += i == 0 ? "" : ",";
        write({&node.items[i], item_path(place.path, i), place.report}, out);
      }
      out.push_back(']');
  }
}

// One Job is one worker, tried once: the message comes back by itself, so a Job must not.
void check_job(const Place& job) {
  for (const char* key : {"parallelism", "completions"}) {
    if (const Place place = job.at(key); place && !(place.node->kind == Node::Kind::plain && place.says("1"))) {
      place.refuse("1, or nothing: a Job is one worker");
    }
  }
  if (const Place place = job.at("backoffLimit");
      place && !(place.node->kind == Node::Kind::plain && place.says("0"))) {
    place.refuse("0, or nothing: a failed worker's message comes back by itself");
  }
  if (const Place place = job.at("completionMode"); place && !place.says("NonIndexed")) {
    place.refuse("NonIndexed, or nothing");
  }
  for (const char* key : {"manualSelector", "selector"}) {
    if (const Place place = job.at(key)) {
      place.refuse("nothing: the cluster makes the selector");
    }
  }
}

void check_pod(const Place& pod) {
  if (const Place place = pod.at("restartPolicy"); place && !place.says("Never") && !place.says("OnFailure")) {
    place.refuse("Never (the default) or OnFailure");
  }
  const Place containers = pod.at("containers");
  if (!containers) {
    return;
  }
  if (containers.node->kind != Node::Kind::list || containers.node->items.empty()) {
    containers.refuse("a list of at least one container");
    return;
  }
  for (std::size_t i = 0; i < containers.node->items.size(); ++i) {
    const Place container{&containers.node->items[i], item_path(containers.path, i), pod.report};
    if (const Place name = container.at("name"); !name || !name.node->scalar()) {
      container.refuse("a container with a name");
    }
  }
}

// Reports and forgets a value that is there and no map.
Place map_at(const Place& parent, std::string_view key) {
  Place place = parent.at(key);
  if (place && place.node->kind != Node::Kind::map) {
    place.refuse("a map");
    place.node = nullptr;
  }
  return place;
}

const boost::json::array* containers(const boost::json::value& job) {
  boost::system::error_code none;
  const boost::json::value* found = job.find_pointer("/spec/template/spec/containers", none);
  return found == nullptr ? nullptr : found->if_array();
}

}  // namespace

std::optional<JobTemplate> read_job_template(const Node& node, const std::string& path, Report& report) {
  const std::size_t problems_before = report.size();
  const Place root{&node, path, report};
  for (const Entry& entry : node.entries) {
    if (entry.key != "metadata" && entry.key != "spec") {
      report.add({entry.line, entry.column, child_path(path, entry.key),
                  "unknown field" + suggestion(entry.key, {"metadata", "spec"}),
                  "metadata, spec: this is a JobTemplateSpec, so containers belong to spec.template.spec"});
    }
  }
  map_at(root, "metadata");
  const Place job = map_at(root, "spec");
  if (const Place wrong = job.at("containers")) {
    wrong.refuse("a pod's field in a Job's spec", "containers below spec.template.spec");
  }
  check_job(job);
  check_pod(map_at(map_at(job, "template"), "spec"));
  JobTemplate out;
  write(root, out.json);
  return report.size() == problems_before ? std::optional(std::move(out)) : std::nullopt;
}

bool has_containers(const JobTemplate& job) {
  const boost::json::value value = boost::json::parse(job.json);
  const boost::json::array* list = containers(value);
  return list != nullptr && !list->empty();
}

bool has_container(const JobTemplate& job, std::string_view name) {
  const boost::json::value value = boost::json::parse(job.json);
  const boost::json::array* list = containers(value);
  return list != nullptr && std::any_of(list->begin(), list->end(), [&](const boost::json::value& container) {
           const boost::json::object* object = container.if_object();
           const boost::json::value* own = object == nullptr ? nullptr : object->if_contains("name");
           return own != nullptr && own->is_string() && own->get_string() == boost::json::string_view(name);
         });
}

}  // namespace sluice::pool
