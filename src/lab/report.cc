// SPDX-License-Identifier: Apache-2.0
#include "lab/report.h"

#include <fmt/core.h>

#include <algorithm>

#include "lab/plot.h"

namespace sluice::lab {
namespace {

constexpr std::string_view head =
    R"(<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>sluice simulate</title><style>
:root{--bg:#fff;--fg:#1d2430;--dim:#68717f;--grid:#e4e7ec;--card:#f7f8fa;--c1:#0b63ce;--c2:#c2410c;--c3:#0f7a43;--c4:#8a2be2;--c5:#b0126f;--c6:#5b6470}
@media(prefers-color-scheme:dark){:root{--bg:#12161c;--fg:#e6e9ee;--dim:#98a2b1;--grid:#2a313b;--card:#1a2029;--c1:#62a8ff;--c2:#ff9a62;--c3:#4fd18b;--c4:#c79bff;--c5:#ff7cc4;--c6:#aab3bf}}
body{margin:0 auto;max-width:1360px;padding:20px;background:var(--bg);color:var(--fg);font:14px/1.45 system-ui,sans-serif}
h1{font-size:20px;margin:0 0 4px}h2{font-size:16px;margin:28px 0 4px}h3{font-size:14px;margin:14px 0 4px}p{margin:4px 0;color:var(--dim)}
table{border-collapse:collapse;margin:10px 0;font-variant-numeric:tabular-nums}th{color:var(--dim);font-weight:500}
th,td{padding:3px 10px;text-align:right;border-bottom:1px solid var(--grid)}th:first-child,td:first-child{text-align:left}
tr.best td{font-weight:700}.row{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:12px}@media(max-width:820px){.row{grid-template-columns:minmax(0,1fr)}}
figure{margin:0;background:var(--card);border-radius:8px;padding:8px 10px}figcaption{font-weight:600}small{color:var(--dim);font-weight:400}
svg{width:100%;height:auto;display:block}svg text{font:10px system-ui,sans-serif;fill:var(--dim)}
.tx{text-anchor:middle}.ty{text-anchor:end}.name{fill:var(--fg)}.name.end{text-anchor:end}.grid{stroke:var(--grid);fill:none}
.line{fill:none;stroke-width:1.4}.area{stroke:none}.front{fill:none;stroke:var(--dim);stroke-dasharray:4 3}
.limit{stroke:var(--c2);stroke-dasharray:2 3;fill:none}.dot{stroke:var(--bg);stroke-width:1}.dot.best{stroke:var(--fg);stroke-width:2}
.c1.line{stroke:var(--c1)}.c2.line{stroke:var(--c2)}.c3.line{stroke:var(--c3)}.c4.line{stroke:var(--c4)}.c5.line{stroke:var(--c5)}.c6.line{stroke:var(--c6)}
.c1{fill:var(--c1)}.c2{fill:var(--c2)}.c3{fill:var(--c3)}.c4{fill:var(--c4)}.c5{fill:var(--c5)}.c6{fill:var(--c6)}.line{fill:none!important}
.flag{stroke:var(--dim);stroke-width:3;opacity:.7}.flag.grow{stroke:var(--c3)}.flag.shrink{stroke:var(--c2)}.flag.full,.flag.blind,.flag.broken{stroke:var(--c5)}.flag:hover{opacity:1;stroke-width:5}
.legend{font-size:12px;display:flex;gap:14px;flex-wrap:wrap}.legend i{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}
i.c1{background:var(--c1)}i.c2{background:var(--c2)}i.c3{background:var(--c3)}i.c4{background:var(--c4)}i.c5{background:var(--c5)}i.c6{background:var(--c6)}
#say{position:fixed;pointer-events:none;background:var(--fg);color:var(--bg);padding:5px 9px;border-radius:6px;max-width:460px;font-size:12px;display:none}
nav button{font:inherit;margin:0 6px 6px 0;padding:3px 10px;border:1px solid var(--grid);border-radius:6px;background:var(--card);color:var(--fg);cursor:pointer}
nav button[aria-pressed=true]{border-color:var(--fg);font-weight:600}
</style></head><body>
)";

// Words on hover, and one policy's plots at a time. Without it every plot is there, and the words come as titles.
constexpr std::string_view tail =
    R"(<div id="say" role="tooltip"></div><script>
const say=document.getElementById('say');
document.addEventListener('mousemove',e=>{const t=e.target.closest('[data-say]');say.style.display=t?'block':'none';
if(t){say.textContent=t.dataset.say;say.style.left=Math.min(e.clientX+14,innerWidth-say.offsetWidth-8)+'px';say.style.top=(e.clientY+16)+'px'}});
document.querySelectorAll('[data-say]>title').forEach(t=>t.remove());
document.querySelectorAll('section').forEach(s=>{const all=[...s.querySelectorAll('.policy')],nav=s.querySelector('nav');
const show=n=>{all.forEach((p,i)=>p.hidden=i!==n);[...nav.children].forEach((b,i)=>b.setAttribute('aria-pressed',i===n))};
all.forEach((p,i)=>{const b=document.createElement('button');b.textContent=p.dataset.name;b.onclick=()=>show(i);nav.append(b)});show(+nav.dataset.best)});
</script></body></html>
)";

std::string colour(std::size_t i) {
  return fmt::format("c{}", i % 6 + 1);
}

std::vector<double> values_of(const Marks& marks, auto value) {
  std::vector<double> out;
  for (const Mark& mark : marks) {
    out.push_back(static_cast<double>(value(mark)));
  }
  return out;
}

// A count since the beginning as messages a second.
std::vector<double> rates_of(const Marks& marks, double seconds, std::int64_t Mark::* count) {
  std::vector<double> out;
  std::int64_t before = 0;
  for (const Mark& mark : marks) {
    out.push_back(static_cast<double>(mark.*count - before) * static_cast<double>(marks.size()) / seconds);
    before = mark.*count;
  }
  return out;
}

std::vector<Flag> flags_of(const std::vector<Said>& said) {
  std::vector<Flag> out;
  for (const Said& one : said) {
    const double at = static_cast<double>(one.at) / 1e6;
    const auto when = std::chrono::seconds{static_cast<std::int64_t>(at)};
    out.push_back({.at = at,
                   .text = fmt::format("{}  {} workers  {}", format_duration(when), one.workers, one.reason),
                   .kind = one.reason.substr(0, one.reason.find(':'))});
  }
  return out;
}

std::string pool_plots(const Outcome& outcome, const Run& run, const PoolRun& pool) {
  const double seconds = to_s(outcome.scenario.lasts);
  const std::string of = run.pools.size() > 1 ? pool.pool + ": " : "";
  std::string out;
  out += svg(TimePlot{.title = of + "Arrivals and work done",
                      .unit = "messages a second",
                      .seconds = seconds,
                      .curves = {{"arrive", "c1", rates_of(pool.marks, seconds, &Mark::published)},
                                 {"done", "c3", rates_of(pool.marks, seconds, &Mark::done)}}});
  out += svg(TimePlot{.title = of + "Backlog",
                      .unit = "messages",
                      .seconds = seconds,
                      .stacked = true,
                      .curves = {{"in work", "c3", values_of(pool.marks, [](const Mark& m) { return m.in_flight; })},
                                 {"waiting", "c2", values_of(pool.marks, [](const Mark& m) { return m.ready; })}}});
  out += svg(TimePlot{.title = of + "Workers, and why",
                      .unit = "marks on top are decisions: point at one",
                      .seconds = seconds,
                      .stacked = true,
                      .curves = {{"busy", "c3", values_of(pool.marks, [](const Mark& m) { return m.busy; })},
                                 {"draining", "c4", values_of(pool.marks, [](const Mark& m) { return m.draining; })},
                                 {"idle", "c1", values_of(pool.marks, [](const Mark& m) { return m.idle; })},
                                 {"starting", "c2", values_of(pool.marks, [](const Mark& m) { return m.starting; })},
                                 {"no node yet", "c6", values_of(pool.marks, [](const Mark& m) { return m.waiting; })}},
                      .flags = flags_of(pool.said)});
  out += svg(TimePlot{
      .title = of + "Waiting time",
      .unit = "seconds, of messages that began then",
      .seconds = seconds,
      .curves =
          {{"p99", "c2", values_of(pool.marks, [](const Mark& m) { return static_cast<double>(m.waits.p99) / 1e3; })},
           {"p95", "c4", values_of(pool.marks, [](const Mark& m) { return static_cast<double>(m.waits.p95) / 1e3; })},
           {"p50", "c1", values_of(pool.marks, [](const Mark& m) { return static_cast<double>(m.waits.p50) / 1e3; })}},
      .limit = to_s(outcome.scenario.late)});
  return out;
}

std::string node_plot(const Outcome& outcome, const Run& run) {
  std::vector<double> up, booting;
  for (const NodeMark& mark : run.nodes) {
    up.push_back(static_cast<double>(mark.up));
    booting.push_back(static_cast<double>(mark.booting));
  }
  return svg(TimePlot{.title = "Nodes",
                      .unit = "",
                      .seconds = to_s(outcome.scenario.lasts),
                      .stacked = true,
                      .curves = {{"up", "c1", up}, {"booting", "c2", booting}}});
}

std::string table(const Outcome& outcome) {
  const bool price = has_price(outcome.scenario);
  std::string out =
      "<table><thead><tr><th>policy</th><th>late</th><th>p50</th><th>p95</th><th>p99</th><th>max</th><th>worker-h</th>"
      "<th>node-h</th><th title=\"node-hours beyond what knowing the future would need for the same "
      "p99\">regret</th><th>starts</th><th>flaps</th><th>peak</th>";
  out += price ? "<th>cost</th></tr></thead><tbody>" : "</tr></thead><tbody>";
  for (std::size_t i = 0; i < outcome.means.size(); ++i) {
    const Means& one = outcome.means[i];
    out += fmt::format(
        "<tr{}><td>{}</td><td>{:.2f} %</td><td>{:.1f} s</td><td>{:.1f} s</td><td>{:.1f} s</td><td>{:.1f} s</td>",
        i == outcome.best ? " class=\"best\"" : "", html_text(one.policy), 100 * one.late_share, one.p50_s, one.p95_s,
        one.p99_s, one.most_s);
    const std::optional<double> regret = regret_of(one);
    out += fmt::format("<td>{:.1f}</td><td>{:.1f}</td><td>{}</td><td>{:.0f}</td><td>{:.0f}</td><td>{}</td>",
                       one.worker_s / 3600, one.node_s / 3600, regret ? fmt::format("{:.0f} %", 100 * *regret) : "-",
                       one.starts, one.flaps, one.workers_peak);
    out += price ? fmt::format("<td>{:.2f}</td></tr>", one.cost) : "</tr>";
  }
  return out + "</tbody></table>\n";
}

std::string pareto(const Outcome& outcome) {
  PointPlot plot{.title = "Cost against lateness",
                 .x_unit = has_price(outcome.scenario) ? "money" : "node-hours",
                 .y_unit = "% late",
                 .points = {}};
  for (std::size_t i = 0; i < outcome.means.size(); ++i) {
    const Means& one = outcome.means[i];
    plot.points.push_back({.name = one.policy,
                           .colour = colour(i),
                           .x = has_price(outcome.scenario) ? one.cost : one.node_s / 3600,
                           .y = 100 * one.late_share,
                           .best = i == outcome.best});
  }
  return svg(plot);
}

std::string waits_over_time(const Outcome& outcome) {
  TimePlot plot{.title = "p99 of the waiting time, by policy",
                .unit = "seconds",
                .seconds = to_s(outcome.scenario.lasts),
                .curves = {},
                .limit = to_s(outcome.scenario.late)};
  for (std::size_t i = 0; i < outcome.means.size(); ++i) {
    const Run& run = outcome.runs[i * outcome.seeds.size()];
    std::vector<double> most(run.pools.front().marks.size());
    for (const PoolRun& pool : run.pools) {
      for (std::size_t at = 0; at < most.size(); ++at) {
        most[at] = std::max(most[at], static_cast<double>(pool.marks[at].waits.p99) / 1e3);
      }
    }
    plot.curves.push_back({outcome.means[i].policy, colour(i), std::move(most)});
  }
  return svg(plot);
}

std::string section(const Outcome& outcome) {
  const Scenario& scenario = outcome.scenario;
  std::string out = fmt::format("<section><h2>{}</h2><p>{}</p>", html_text(scenario.name), html_text(scenario.about));
  out += fmt::format("<p>{} simulated, {} seed{}, about {} messages each; late is more than {}. ",
                     humane_duration(scenario.lasts), outcome.seeds.size(), outcome.seeds.size() == 1 ? "" : "s",
                     short_number(outcome.means.front().published), humane_duration(scenario.late));
  const Nodes& nodes = scenario.environment.nodes;
  out += fmt::format("At most {} nodes of {} slots, gone {} after they fall empty.</p>", nodes.max, nodes.slots,
                     humane_duration(nodes.removed));
  for (const std::string& note : trace_notes(scenario)) {
    out += fmt::format("<p>Trace {}.</p>", html_text(note));
  }
  out += table(outcome) + "<div class=\"row\">" + pareto(outcome) + waits_over_time(outcome) + "</div>\n";
  out += fmt::format("<h3>One run, seed {}</h3><nav data-best=\"{}\"></nav>\n", outcome.seeds.front(), outcome.best);
  for (std::size_t i = 0; i < outcome.means.size(); ++i) {
    const Run& run = outcome.runs[i * outcome.seeds.size()];
    out +=
        fmt::format("<div class=\"policy\" data-name=\"{}\"><h3>{}</h3>", html_text(run.policy), html_text(run.policy));
    out += "<div class=\"row\">";
    for (const PoolRun& pool : run.pools) {
      out += pool_plots(outcome, run, pool);
    }
    out += node_plot(outcome, run) + "</div></div>\n";
  }
  return out + "</section>\n";
}

}  // namespace

std::string report_html(const std::vector<Outcome>& outcomes) {
  std::string out(head);
  out +=
      "<h1>What policies would cost, and how late messages would be</h1>\n"
      "<p>The scaler is the one that ships; queue, workers, nodes and readings are models of what the scenario says. "
      "Means over the seeds; bold is the cheapest policy with at most 1 % late, or, where there is none, the one with "
      "the fewest. Regret is what a policy took of nodes beyond somebody who knows all messages in advance and is as "
      "late as it. Times of service, boot and start are drawn at random, independent of each other; nothing here knows "
      "of a slow network, a throttled API or a handler that waits for another service.</p>\n";
  for (const Outcome& outcome : outcomes) {
    out += section(outcome);
  }
  return out + std::string(tail);
}

}  // namespace sluice::lab
