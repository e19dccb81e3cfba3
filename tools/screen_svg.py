#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a captured terminal screen into an SVG picture: text in, text out, no font inside.

    tmux capture-pane -e -p -t demo | tools/screen_svg.py --title "sluice demo" > docs/images/demo.svg

Understands what our own screens use: UTF-8, one column a character, SGR colours 30-37, 90-97, bold and dim. Any other
escape sequence is an error, so that a picture never shows half of what was there.
"""

import argparse
import re
import sys
from xml.sax.saxutils import escape

SGR = re.compile(r"\x1b\[([0-9;]*)m|\x1b\(B|\x0f")
COLOURS = {30: "#6e7681", 31: "#ff7b72", 32: "#7ee787", 33: "#e3b341", 34: "#79c0ff", 35: "#d2a8ff", 36: "#76e3ea",
           37: "#e6edf3"}
TEXT, BACK, BAR = "#e6edf3", "#0d1117", "#161b22"
CELL, LINE, SIZE, PAD, HEAD = 8.4, 19, 14, 16, 34


class Style:
    def __init__(self):
        self.reset()

    def reset(self):
        self.colour, self.bold, self.dim = TEXT, False, False

    def apply(self, codes):
        for code in [int(c or 0) for c in codes.split(";")]:
            if code == 0:
                self.reset()
            elif code == 1:
                self.bold = True
            elif code == 2:
                self.dim = True
            elif code == 22:
                self.bold = self.dim = False
            elif code == 39:
                self.colour = TEXT
            elif code in COLOURS or code - 60 in COLOURS:
                self.colour = COLOURS.get(code) or COLOURS[code - 60]
            elif code != 49:
                raise ValueError(f"colour code {code} is not known to this tool")

    def attributes(self):
        out = f' fill="{self.colour}"' if self.colour != TEXT else ""
        out += ' font-weight="bold"' if self.bold else ""
        return out + (' opacity="0.6"' if self.dim else "")


def pieces(line, style):
    """(column, text, attributes) of every run of one style; `style` goes on into the next line."""
    at, column = 0, 0
    while at < len(line):
        found = SGR.search(line, at)
        end = found.start() if found else len(line)
        text = line[at:end]
        if "\x1b" in text:
            raise ValueError(f"an escape sequence that is not a colour: {text!r}")
        if text:
            yield column, text, style.attributes()
            column += len(text)
        if not found:
            return
        if found.group(1) is not None:
            style.apply(found.group(1))
        at = found.end()


def draw(lines, title, columns):
    """The picture. Every character has its own x, so that no viewer's font can shift a column."""
    wide = PAD * 2 + columns * CELL
    high = HEAD + PAD * 2 + len(lines) * LINE
    size = f'viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}"'
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
           f'role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
           f'<rect width="{wide:g}" height="{high:g}" rx="8" fill="{BACK}"/>',
           f'<path d="M0 {HEAD}V8a8 8 0 0 1 8-8H{wide - 8:g}a8 8 0 0 1 8 8V{HEAD}z" fill="{BAR}"/>']
    for i, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        out.append(f'<circle cx="{20 + i * 20}" cy="{HEAD / 2:g}" r="6" fill="{colour}"/>')
    fonts = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    out.append(f'<g font-family="{fonts}" font-size="{SIZE}" fill="{TEXT}" xml:space="preserve">')
    out.append(f'<text x="{wide / 2:g}" y="{HEAD / 2 + 5:g}" text-anchor="middle" opacity="0.6">{escape(title)}</text>')
    style = Style()
    for row, line in enumerate(lines):
        y = HEAD + PAD + (row + 1) * LINE - 5
        for column, text, attributes in pieces(line, style):
            if text.strip():
                xs = " ".join(f"{PAD + (column + i) * CELL:g}" for i in range(len(text)))
                out.append(f'<text x="{xs}" y="{y:g}"{attributes}>{escape(text)}</text>')
    out += ["</g>", "</svg>"]
    return "\n".join(out) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", default="sluice demo")
    parser.add_argument("--columns", type=int, default=0, help="width (default: the longest line)")
    args = parser.parse_args()
    lines = sys.stdin.read().rstrip("\n").split("\n")
    while lines and not SGR.sub("", lines[-1]).strip():
        lines.pop()
    longest = max((len(SGR.sub("", line).rstrip()) for line in lines), default=0)
    sys.stdout.write(draw(lines, args.title, args.columns or longest))


if __name__ == "__main__":
    main()
