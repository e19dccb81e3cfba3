// SPDX-License-Identifier: Apache-2.0
#pragma once
// Plots as SVG text: lines and stacked areas over time, and points of two costs. What a curve is called and what its
// points are stands in the page beside it, so that a plot needs no script to be read.
#include <string>
#include <string_view>
#include <vector>

namespace sluice::lab {

struct Curve {
  std::string name;
  std::string colour;  // a CSS class of the page: "c1" .. "c6", "s1" .. "s6"
  std::vector<double> values;
};

struct Flag {  // something that happened, with its words on hover
  double at = 0;
  std::string text;
  std::string kind;  // a CSS class
};

struct TimePlot {
  std::string title;
  std::string unit;    // of the values: "messages", "s"
  double seconds = 0;  // the whole width; the values are spread over it evenly, each at the end of its part
  bool stacked = false;
  std::vector<Curve> curves;
  std::vector<Flag> flags = {};
  double limit = 0;  // a line at this value; 0: none
};
[[nodiscard]] std::string svg(const TimePlot& plot);

struct Point {
  std::string name;
  std::string colour;
  double x = 0, y = 0;
  bool best = false;
};
struct PointPlot {
  std::string title;
  std::string x_unit, y_unit;
  std::vector<Point> points;
};
// With the Pareto front: the points that no other is below and left of.
[[nodiscard]] std::string svg(const PointPlot& plot);

// Text inside HTML, and inside attributes in double quotes.
[[nodiscard]] std::string html_text(std::string_view text);
// 0.5, 12, 3.4k, 1.2M.
[[nodiscard]] std::string short_number(double n);

}  // namespace sluice::lab
