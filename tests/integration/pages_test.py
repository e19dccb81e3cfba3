# SPDX-License-Identifier: Apache-2.0
"""The pages that are generated from the program are what the program says now."""

from lib import ROOT, main, test


@test("the committed pages of flags and of checks are those that `sluice man --markdown` prints")
def _(box):
    for page in ("cli", "doctor"):
        said = box.sluice("man", "--markdown", page, exit=0).out
        kept = (ROOT / f"docs/reference/{page}.md").read_text(encoding="utf-8")
        assert said == kept, f"stale: sluice man --markdown {page} > docs/reference/{page}.md"


main()
