// SPDX-License-Identifier: Apache-2.0
#pragma once
// Records that are not sluice's, as if a journal had them: CSV files, and answers of Prometheus. Whatever they do not
// say stays unknown, and how they were understood is in Past::notes.
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "lab/past.h"

namespace sluice::lab {

// What the person who has the files knows.
struct FileWishes {
  std::optional<std::int64_t> workers;  // that were there all the time, where the record does not tell
};

// A header line and lines below it, in order of time; docs/how-to/simulate.md has the columns. `name` is what messages
// call the file. Code::invalid with line, column and the accepted form.
[[nodiscard]] Result<Past> parse_past_csv(std::string_view text, const std::string& name, const FileWishes& wishes);

// What a series of numbers is.
enum class SeriesRole { ready, in_flight, total, published, done, workers };
// "published" and so on; empty for any other word.
[[nodiscard]] std::optional<SeriesRole> series_role(std::string_view word);
[[nodiscard]] const std::string& series_roles_text();  // "ready, in_flight, .. or workers"

// Takes in answers of Prometheus's /api/v1/query_range, several for one record.
class PrometheusReader {
 public:
  // `role`: of all series in it; else each one's name says it. Code::invalid with the place and the accepted form.
  Result<void> take(std::string_view text, const std::string& name, const std::optional<SeriesRole>& role);
  // One for each queue.
  [[nodiscard]] Result<std::vector<Past>> finish(const FileWishes& wishes) const;

 private:
  struct Series {
    SeriesRole role = SeriesRole::ready;
    std::string metric;
    std::size_t rank = 0;                   // of several for one role the least is used, lest a message counts twice
    std::map<std::int64_t, double> values;  // by time in milliseconds
  };
  [[nodiscard]] Result<std::map<std::string, std::vector<Series>>> by_queue() const;
  // The series of one role added up, by time; says so in the notes.
  static std::map<std::int64_t, std::int64_t> values_of(const std::vector<Series>& all, SeriesRole role, Past& past);
  static Past past_of(const std::vector<Series>& all, const FileWishes& wishes);

  std::map<std::string, std::vector<Series>> queues_;  // by name; "" where no label says it
  std::map<std::string, std::size_t> unknown_;         // names of series that were left out
};

// For both: a point of time of a record.
struct FileRow {
  std::int64_t at_ms = 0;
  std::optional<std::int64_t> ready, in_flight, published, done, workers;
};
// Rows in order of time. Says in the notes what is assumed of the workers.
void add_looks(Past& past, const std::vector<FileRow>& rows, const FileWishes& wishes);

}  // namespace sluice::lab
