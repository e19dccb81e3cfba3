# SPDX-License-Identifier: Apache-2.0
"""The two timelines of hpa_story.py as one picture: SVG, without a library and without a font of its own."""

PER_POD = 100  # as hpa_story.PER_POD; a picture needs no cluster
WIDTH, PANEL, LEFT, RIGHT, TOP, GAP = 860, 190, 64, 62, 74, 66
BACKLOG, PODS, INK, LINE = "#c2570c", "#0f62a8", "#1f2933", "#d5dbe1"


def ticks(most, count=4):
    """Round numbers from 0 to at least `most`."""
    sizes = (step * 10 ** power // 10 for power in range(12) for step in (10, 15, 20, 25, 30, 40, 50, 60, 80))
    size = next(one for one in sizes if one * count >= most)
    return [size * n for n in range(count + 1)]


def thinned(rows):
    """Every tenth look, and those around a change that is to be seen."""
    def jump(one, two):
        return one[3] != two[3] or abs(one[1] - two[1]) > 20
    return [row for n, row in enumerate(rows)
            if n % 10 == 0 or n + 1 == len(rows) or jump(row, rows[n - 1]) or jump(row, rows[n + 1])]


def text(x, y, words, anchor="middle", colour=INK, size=12, weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}" '
            f'font-weight="{weight}">{words}</text>')


def path(points, colour, fill=False):
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    if fill:
        base = f"{points[-1][0]:.1f},{fill:.1f} {points[0][0]:.1f},{fill:.1f}"
        return (f'<polygon points="{line} {base}" fill="{colour}" fill-opacity="0.13"/>'
                f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.2"/>'


def steps(points):
    out = points[:1]
    for x, y in points[1:]:
        out += [(x, out[-1][1]), (x, y)]
    return out


def panel(line, title, top, end, backlogs, pods):
    right, bottom = WIDTH - RIGHT, top + PANEL

    def across(s):
        return LEFT + (right - LEFT) * s / end

    def up(value, most):
        return bottom - PANEL * value / most

    out = [text(LEFT, top - 12, title, "start", size=15, weight="600")]
    for backlog, count in zip(backlogs, pods):
        y = up(backlog, backlogs[-1])
        out.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{LINE}"/>')
        out += [text(LEFT - 8, y + 4, backlog, "end", BACKLOG), text(right + 8, y + 4, count, "start", PODS)]
    rows = thinned(line.rows)
    out.append(path([(across(row[0]), up(row[1], backlogs[-1])) for row in rows], BACKLOG, fill=bottom))
    out.append(path(steps([(across(row[0]), up(row[3], pods[-1])) for row in rows]), PODS))
    for s in [one for one in ticks(end, 6) if one <= end]:
        out.append(text(across(s), bottom + 18, f"{s} s"))
    out += [text(18, (top + bottom) / 2, "messages that wait", colour=BACKLOG).replace(
                "<text", f'<text transform="rotate(-90 18 {(top + bottom) / 2:.0f})"', 1),
            text(WIDTH - 14, (top + bottom) / 2, "pods that are ready", colour=PODS).replace(
                "<text", f'<text transform="rotate(90 {WIDTH - 14} {(top + bottom) / 2:.0f})"', 1)]
    return "".join(out)


def picture(lines, messages):
    """The SVG of what hpa_story.play() returned."""
    end = max(line.rows[-1][0] for line in lines)
    backlogs = ticks(max(row[1] for line in lines for row in line.rows))
    pods = ticks(max(row[3] for line in lines for row in line.rows))
    used = [int(row[4].split()[0]) for row in lines[1].rows if row[4]]
    titles = [f"HPA on the backlog, {PER_POD} messages a pod",
              f"HPA on CPU, target 70 %: it read {min(used)} to {max(used)} %"]
    height = TOP + 2 * PANEL + GAP + 46
    body = "".join(panel(line, title, TOP + number * (PANEL + GAP), end, backlogs, pods)
                   for number, (line, title) in enumerate(zip(lines, titles)))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="system-ui, sans-serif" role="img" '
            f'aria-label="Backlog and pods over time under an HPA on backlog and one on CPU">'
            f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
            + text(WIDTH / 2, 26, f"The same workers, the same {messages} messages", size=17, weight="600")
            + body + "</svg>\n")
