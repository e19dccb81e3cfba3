// SPDX-License-Identifier: Apache-2.0
// Each state names its members once; a writer and a reader visit them.
#include "rivals/state.h"

#include <fmt/core.h>

#include <array>
#include <concepts>
#include <limits>
#include <type_traits>

#include "model/json_reader.h"
#include "policy/hpa_json.h"

namespace sluice::rivals {
namespace {

constexpr std::array<std::string_view, 6> words = {"kedaScaledObject", "kedaScaledJob", "sqsTargetTracking",
                                                   "knativeKpa",       "flinkLike",     "dataflowLike"};
static_assert(words.size() == std::variant_size_v<RivalState>);

template <class T, class U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

template <class V, Is<KedaScaledObjectState> T>
void members(V& v, T& s) {
  v("created_ms", s.created_ms);
  v("polled_ms", s.polled_ms);
  v("synced_ms", s.synced_ms);
  v("active_ms", s.active_ms);
  v("replicas", s.replicas);
  v("hpa", s.hpa);
}
template <class V, Is<KedaScaledJobState> T>
void members(V& v, T& s) {
  v("polled_ms", s.polled_ms);
}
template <class V, Is<SqsTargetTrackingState> T>
void members(V& v, T& s) {
  v("sampled_ms", s.sampled_ms);
  v("high", s.high);
  v("low", s.low);
  v("out_ms", s.out_ms);
  v("capacity", s.capacity);
}
template <class V, Is<KpaLevel> T>
void members(V& v, T& s) {
  v("at_ms", s.at_ms);
  v("concurrency", s.concurrency);
}
template <class V, Is<KnativeKpaState> T>
void members(V& v, T& s) {
  v("first_ms", s.first_ms);
  v("levels", s.levels);
  v("ticked_ms", s.ticked_ms);
  v("panic_ms", s.panic_ms);
  v("panic_pods", s.panic_pods);
  v("activity", s.activity);
  v("since_ms", s.since_ms);
  v("replicas", s.replicas);
}
template <class V, Is<FlinkSample> T>
void members(V& v, T& s) {
  v("at_ms", s.at_ms);
  v("records", s.records);
  v("lag", s.lag);
  v("load_millionths", s.load_millionths);
  v("observed", s.observed);
}
template <class V, Is<FlinkRecommended> T>
void members(V& v, T& s) {
  v("at_ms", s.at_ms);
  v("parallelism", s.parallelism);
  v("outside", s.outside);
}
template <class V, Is<FlinkLikeState> T>
void members(V& v, T& s) {
  v("parallelism", s.parallelism);
  v("scaled_ms", s.scaled_ms);
  v("running_ms", s.running_ms);
  v("collected_ms", s.collected_ms);
  v("samples", s.samples);
  v("down_first_ms", s.down_first_ms);
  v("down", s.down);
}
template <class V, Is<DataflowSample> T>
void members(V& v, T& s) {
  v("at_ms", s.at_ms);
  v("finished", s.finished);
  v("backlog", s.backlog);
  v("busy", s.busy);
  v("there", s.there);
}
template <class V, Is<DataflowLikeState> T>
void members(V& v, T& s) {
  v("workers", s.workers);
  v("samples", s.samples);
}

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  template <class T>
  void operator()(std::string_view name, const T& member) {
    out_ += fmt::format("{}\"{}\":", out_.back() == '{' ? "" : ",", name);
    write(member);
  }
  template <class T>
  void object(const T& one) {
    out_ += '{';
    members(*this, one);
    out_ += '}';
  }

 private:
  void write(std::int64_t n) { out_ += fmt::format("{}", n); }
  void write(bool is) { out_ += is ? "true" : "false"; }
  void write(KpaActivity activity) { write(static_cast<std::int64_t>(activity)); }
  void write(const policy::HpaState& hpa) { policy::append_json(out_, hpa); }
  void write(const std::optional<std::int64_t>& n) { out_ += n ? fmt::format("{}", *n) : "null"; }
  template <class T>
  void write(const std::vector<T>& list) {
    out_ += '[';
    for (const T& one : list) {
      out_ += out_.back() == '[' ? "" : ",";
      object(one);
    }
    out_ += ']';
  }

  std::string& out_;
};

constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();

class Reader {
 public:
  Reader(model::JsonReader& in, std::optional<Error>& error) : in_(in), error_(error) {}
  void operator()(std::string_view name, std::int64_t& n) { in_.integer(name, n, least); }
  void operator()(std::string_view name, std::optional<std::int64_t>& n) { in_.integer(name, n, least); }
  void operator()(std::string_view name, bool& is) { in_.boolean(name, is); }
  void operator()(std::string_view name, KpaActivity& activity) {
    std::int64_t n = 0;
    in_.integer(name, n);
    if (n > static_cast<std::int64_t>(KpaActivity::active)) {
      in_.fail(name, std::to_string(n), "0, 1 or 2");
    } else {
      activity = static_cast<KpaActivity>(n);
    }
  }
  void operator()(std::string_view name, policy::HpaState& hpa) {
    if (const boost::json::value* json = in_.get(name)) {
      Result<policy::HpaState> read = policy::hpa_state_from_json(*json, in_.at(name));
      if (read) {
        hpa = std::move(*read);
      } else if (!error_) {
        error_ = read.error();
      }
    }
  }
  template <class T>
  void operator()(std::string_view name, std::vector<T>& list) {
    const boost::json::value* json = in_.get(name);
    if (json == nullptr) {
      return;
    }
    if (!json->is_array()) {
      in_.fail(name, model::kind_of(*json), "an array");
      return;
    }
    for (std::size_t i = 0; i < json->get_array().size(); ++i) {
      model::JsonReader one(json->get_array()[i], fmt::format("{}[{}]", in_.at(name), i), error_);
      Reader reader(one, error_);
      members(reader, list.emplace_back());
      one.end();
    }
  }

 private:
  model::JsonReader& in_;
  std::optional<Error>& error_;
};

// The alternative `word`, read; empty where it is not the one that is there.
template <class State>
bool read_as(std::string_view word, model::JsonReader& in, std::optional<Error>& error, RivalState& out) {
  std::optional<model::JsonReader> one = in.object(word);
  if (one) {
    Reader reader(*one, error);
    members(reader, out.emplace<State>());
    one->end();
  }
  return one.has_value();
}

template <std::size_t... I>
std::size_t read_all(model::JsonReader& in, std::optional<Error>& error, RivalState& out, std::index_sequence<I...>) {
  return (
      std::size_t{0} + ... +
      (read_as<std::variant_alternative_t<I, RivalState>>(words[I], in, error, out) ? std::size_t{1} : std::size_t{0}));
}

}  // namespace

void append_json(std::string& out, const RivalState& state) {
  out += fmt::format("{{\"{}\":", words[state.index()]);
  Writer writer(out);
  std::visit([&writer](const auto& one) { writer.object(one); }, state);
  out += '}';
}

Result<RivalState> state_from_json(const boost::json::value& json, const std::string& path) {
  RivalState out;
  std::optional<Error> error;
  model::JsonReader in(json, path, error);
  const std::size_t found = read_all(in, error, out, std::make_index_sequence<words.size()>{});
  in.end();
  if (!error && found != 1) {
    error = Error{Code::invalid, fmt::format("{}: {} states; accepted: that of one rival", path, found)};
  }
  if (error) {
    return *error;
  }
  return out;
}

}  // namespace sluice::rivals
