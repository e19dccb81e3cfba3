# SPDX-License-Identifier: Apache-2.0
"""Makes a file of jobs as a shop might queue them: one JSON object a line, names with accents, prices, odd spaces.

    python3 tests/integration/jobs.py 10000 > jobs.txt
"""

import json
import random
import sys

NAMES = ["Ada Lovelace", "Grace Hopper", "Niels Åberg", "Zoë García", "李娜",
         "O'Brien, Pat", "J\u00fcrgen Wei\u00df", "\"Bob\""]
ITEMS = ["keyboard", "cable 2 m", "lamp (warm)", "mug \u2615", "book: C\\C++", "tab\there", "desk & chair", "<sticker>"]
KINDS = ["invoice", "thumbnail", "email", "refund", "export"]


def job(number, rng):
    kind = rng.choice(KINDS)
    out = {"job": number, "kind": kind, "customer": rng.choice(NAMES), "total": round(rng.uniform(0.5, 900), 2)}
    if kind in ("invoice", "refund"):
        out["items"] = [{"name": rng.choice(ITEMS), "n": rng.randint(1, 9)} for _ in range(rng.randint(1, 5))]
    if kind == "email":
        out["text"] = " ".join(rng.choice(ITEMS) for _ in range(rng.randint(5, 60)))
    return json.dumps(out, ensure_ascii=rng.random() < 0.5)


def jobs(count, seed=7):
    rng = random.Random(seed)
    return [job(n, rng) for n in range(1, count + 1)]


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print("\n".join(jobs(int(sys.argv[1]) if len(sys.argv) > 1 else 10000)))
