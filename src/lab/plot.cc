// SPDX-License-Identifier: Apache-2.0
#include "lab/plot.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "base/time.h"

namespace sluice::lab {
namespace {

// In SVG units; the page scales the whole.
constexpr double width = 640, height = 170;
constexpr double left = 46, right = 8, top = 8, bottom = 20;
constexpr double inner_w = width - left - right, inner_h = height - top - bottom;

// 1, 2 or 5 times a power of ten, so that at most `most` of them fit below `top_value`.
double step_for(double top_value, int most) {
  double step = 1e-3;
  while (top_value / step > most) {
    for (const double factor : {2.0, 2.5, 2.0}) {
      step *= factor;
      if (top_value / step <= most) {
        break;
      }
    }
  }
  return step;
}

double time_step(double seconds) {
  for (const double step : {1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0, 43200.0}) {
    if (seconds / step <= 8) {
      return step;
    }
  }
  return 86400 * std::max(1.0, std::ceil(seconds / 86400 / 8));
}

double x_of(double at, double seconds) {
  return left + inner_w * (seconds <= 0 ? 0 : at / seconds);
}
double y_of(double value, double most) {
  return top + inner_h * (1 - (most <= 0 ? 0 : std::min(value / most, 1.0)));
}

std::string frame(double most, double seconds) {
  std::string out;
  const double step = step_for(most, 4);
  for (int i = 0; i * step <= most * 1.0001; ++i) {
    const double y = y_of(i * step, most);
    out +=
        fmt::format(R"(<path class="grid" d="M{:.1f} {:.1f}h{:.1f}"/><text class="ty" x="{:.1f}" y="{:.1f}">{}</text>)",
                    left, y, inner_w, left - 4, y + 3.5, short_number(i * step));
  }
  const double every = time_step(seconds);
  for (int i = 0; i * every <= seconds * 1.0001; ++i) {
    const auto at = std::chrono::seconds{static_cast<std::int64_t>(i * every)};
    out += fmt::format(R"(<text class="tx" x="{:.1f}" y="{:.1f}">{}</text>)", x_of(i * every, seconds), height - 6,
                       i == 0 ? "0" : format_duration(at));
  }
  return out;
}

std::string open(std::string_view title, std::string_view unit) {
  return fmt::format(
      "<figure><figcaption>{} <small>{}</small></figcaption>"
      R"(<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">)",
      html_text(title), html_text(unit), width, height, html_text(title));
}

std::string legend(const std::vector<Curve>& curves) {
  std::string out = "<p class=\"legend\">";
  for (const Curve& curve : curves) {
    out += fmt::format(R"(<span><i class="{}"></i>{}</span>)", curve.colour, html_text(curve.name));
  }
  return out + "</p></figure>\n";
}

// Areas one upon the other: from the last curve's top to the bottom first, so that each covers what is above it.
std::string areas(const TimePlot& plot, double most) {
  std::string out;
  std::vector<double> sums(plot.curves.front().values.size());
  std::vector<std::string> paths;
  for (const Curve& curve : plot.curves) {
    std::string path = fmt::format("M{:.1f} {:.1f}", left, y_of(0, most));
    for (std::size_t i = 0; i < sums.size(); ++i) {
      sums[i] += curve.values[i];
      const double begin = x_of(plot.seconds * static_cast<double>(i) / static_cast<double>(sums.size()), plot.seconds);
      const double end =
          x_of(plot.seconds * static_cast<double>(i + 1) / static_cast<double>(sums.size()), plot.seconds);
      path += fmt::format("L{:.1f} {:.1f}H{:.1f}", begin, y_of(sums[i], most), end);
    }
    paths.push_back(fmt::format(R"(<path class="{} area" d="{}V{:.1f}Z"/>)", curve.colour, path, y_of(0, most)));
  }
  for (auto path = paths.rbegin(); path != paths.rend(); ++path) {
    out += *path;
  }
  return out;
}

std::string lines(const TimePlot& plot, double most) {
  std::string out;
  for (const Curve& curve : plot.curves) {
    std::string path;
    for (std::size_t i = 0; i < curve.values.size(); ++i) {
      const double at = plot.seconds * (static_cast<double>(i) + 0.5) / static_cast<double>(curve.values.size());
      path +=
          fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", x_of(at, plot.seconds), y_of(curve.values[i], most));
    }
    out += fmt::format(R"(<path class="{} line" d="{}"/>)", curve.colour, path);
  }
  return out;
}

double most_of(const TimePlot& plot) {
  double most = plot.limit * 1.1;
  if (plot.curves.empty()) {
    return most;
  }
  for (std::size_t i = 0; i < plot.curves.front().values.size(); ++i) {
    double sum = 0;
    for (const Curve& curve : plot.curves) {
      sum = plot.stacked ? sum + curve.values[i] : std::max(sum, curve.values[i]);
    }
    most = std::max(most, sum);
  }
  return most <= 0 ? 1 : most * 1.05;
}

bool beaten(const Point& one, const std::vector<Point>& all) {
  return std::ranges::any_of(all, [&one](const Point& other) {
    return other.x <= one.x && other.y <= one.y && (other.x < one.x || other.y < one.y);
  });
}

struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;
};

constexpr double letter = 5.4;  // about what a browser takes for one of a name
double length_of(const std::string& name) {
  return letter * static_cast<double>(name.size());
}

// Names beside their points, where neither another name nor a point is in the way, as far as there is room.
class Names {
 public:
  void keep_free(double x, double y) { taken_.push_back({x - 5, y - 5, x + 5, y + 5}); }
  // As an element of the picture.
  std::string put(double x, double y, const std::string& name);

 private:
  static constexpr double line = 12;
  [[nodiscard]] bool free(const Box& box) const {
    const auto apart = [&box](const Box& other) {
      return box.left >= other.right || other.left >= box.right || box.top >= other.bottom || other.top >= box.bottom;
    };
    return box.left >= left && box.right <= width && box.top >= 0 && box.bottom <= height - bottom &&
           std::ranges::all_of(taken_, apart);
  }
  std::vector<Box> taken_;
};

std::string Names::put(double x, double y, const std::string& name) {
  const double length = length_of(name);
  const bool first = x + 8 + length > width;  // on which side to try
  bool ends = first;
  Box box;
  const auto at = [&](double below, bool on_left) {
    const double from = on_left ? x - 8 - length : x + 8;
    box = {from, y + below - line + 3, from + length, y + below + 3};
    ends = on_left;
    return free(box);
  };
  bool found = false;
  for (const double below : {-5.0, 12.0, -5 - line, 12 + line, -5 - 2 * line, -5 - 3 * line}) {
    found = found || at(below, first) || at(below, !first);
  }
  if (!found) {
    at(-5, first);
  }
  taken_.push_back(box);
  return fmt::format(R"(<text class="name{}" x="{:.1f}" y="{:.1f}">{}</text>)", ends ? " end" : "",
                     ends ? box.right : box.left, box.bottom - 3, html_text(name));
}

// The points, and beside each its name.
std::string points(const PointPlot& plot, double x_most, double y_most) {
  std::string out;
  Names names;
  for (const Point& point : plot.points) {
    names.keep_free(x_of(point.x, x_most), y_of(point.y, y_most));
  }
  for (const Point& point : plot.points) {
    const std::string say = html_text(fmt::format("{}: {} {}, {} {}", point.name, short_number(point.x), plot.x_unit,
                                                  short_number(point.y), plot.y_unit));
    const double x = x_of(point.x, x_most), y = y_of(point.y, y_most);
    out += fmt::format(
        R"(<circle class="{}{} dot" cx="{:.1f}" cy="{:.1f}" r="4.5" data-say="{}"><title>{}</title></circle>)",
        point.colour, point.best ? " best" : "", x, y, say, say);
    out += names.put(x, y, point.name);
  }
  return out;
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string short_number(double n) {
  const auto plain = [](double x) {
    std::string text = x >= 100  ? fmt::format("{:.0f}", x)
                       : x >= 10 ? fmt::format("{:.1f}", x)
                                 : fmt::format("{:.2f}", x);
    while (text.find('.') != std::string::npos && (text.back() == '0' || text.back() == '.')) {
      text.pop_back();
    }
    return text;
  };
  return n >= 1e6 ? plain(n / 1e6) + "M" : n >= 1e4 ? plain(n / 1e3) + "k" : plain(n);
}

std::string svg(const TimePlot& plot) {
  const double most = most_of(plot);
  std::string out = open(plot.title, plot.unit) + frame(most, plot.seconds);
  if (!plot.curves.empty()) {
    out += plot.stacked ? areas(plot, most) : lines(plot, most);
  }
  if (plot.limit > 0) {
    out += fmt::format(R"(<path class="limit" d="M{:.1f} {:.1f}h{:.1f}"/>)", left, y_of(plot.limit, most), inner_w);
  }
  for (const Flag& flag : plot.flags) {
    out +=
        fmt::format(R"(<path class="flag {}" d="M{:.1f} {:.1f}v{:.1f}" data-say="{}"><title>{}</title></path>)",
                    flag.kind, x_of(flag.at, plot.seconds), 0.0, top - 1, html_text(flag.text), html_text(flag.text));
  }
  return out + "</svg>" + legend(plot.curves);
}

std::string svg(const PointPlot& plot) {
  double x_most = 0, y_most = 0;
  for (const Point& point : plot.points) {
    // So that the name fits right of it, if it is not too long for that.
    x_most = std::max(x_most, point.x * inner_w / std::max(inner_w - 12 - length_of(point.name), inner_w * 2 / 3));
    y_most = std::max(y_most, point.y * 1.15);
  }
  x_most = x_most <= 0 ? 1 : x_most;
  y_most = y_most <= 0 ? 1 : y_most;
  std::string out = open(plot.title, plot.y_unit + " against " + plot.x_unit);
  const double x_step = step_for(x_most, 6), y_step = step_for(y_most, 4);
  for (int i = 0; i * y_step <= y_most; ++i) {
    out += fmt::format(
        R"(<path class="grid" d="M{:.1f} {:.1f}h{:.1f}"/><text class="ty" x="{:.1f}" y="{:.1f}">{}</text>)", left,
        y_of(i * y_step, y_most), inner_w, left - 4, y_of(i * y_step, y_most) + 3.5, short_number(i * y_step));
  }
  for (int i = 0; i * x_step <= x_most; ++i) {
    out += fmt::format(R"(<text class="tx" x="{:.1f}" y="{:.1f}">{}</text>)", x_of(i * x_step, x_most), height - 6,
                       short_number(i * x_step));
  }
  std::vector<Point> front;
  std::ranges::copy_if(plot.points, std::back_inserter(front),
                       [&plot](const Point& one) { return !beaten(one, plot.points); });
  std::ranges::sort(front, {}, &Point::x);
  std::string path;
  for (const Point& one : front) {
    path += path.empty() ? fmt::format("M{:.1f} {:.1f}", x_of(one.x, x_most), y_of(one.y, y_most))
                         : fmt::format("H{:.1f}V{:.1f}", x_of(one.x, x_most), y_of(one.y, y_most));
  }
  out += fmt::format(R"(<path class="front" d="{}"/>)", path);
  out += points(plot, x_most, y_most);
  return out + "</svg><p class=\"legend\"><span>stepped line: what no other policy beats in both</span></p></figure>\n";
}

}  // namespace sluice::lab
