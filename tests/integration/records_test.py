# SPDX-License-Identifier: Apache-2.0
"""sluice simulate --from-csv and --from-prometheus: what other programs recorded, through policies."""

import json

from lib import contains, equal, main, test

ARRIVALS = [10, 12, 80, 75, 60, 11, 9, 10, 12, 10] * 4  # every 15 s


def of(done, event):
    return [line for line in done.json if line["event"] == event]


@test("a table of arrivals, with all its messages; what is assumed is said; -f brings the pool's own policy")
def _(box):
    box.write("orders.csv", "time,arrivals\n" + "".join(f"{1767225600 + 15 * i},{n}\n" for i, n in enumerate(ARRIVALS)))
    done = box.sluice("simulate", "--from-csv", "orders.csv", "--service", "2s", "--start", "5s", "--policy", "lag",
                      "--output", "json", exit=0, timeout=120)
    equal(done.json[0]["event"], "record")
    for line in of(done, "policy"):
        equal(line["published"], sum(ARRIVALS), f"messages of {line['policy']}")
    contains("\n".join(done.json[0]["assumed"]), "no pool is given (-f POOL): at most 1000 workers")
    file = box.pool(policy={"threshold": {"messages": 7, "every": "10s"}}, workers={"max": 9})
    text = box.sluice("simulate", "--from-csv", "orders.csv", "--service", "2s", "-f", file, "--policy", "threshold 7",
                      exit=0, timeout=120).out
    contains(text, "default/orders: what was recorded elsewhere")
    contains(text, "as they were counted")
    contains(text, "threshold 7")


@test("of a backlog alone what came is estimated, plainly, and not without service time and workers")
def _(box):
    box.write("b.csv", "time,backlog\n" + "".join(f"2026-01-01T00:0{i // 4}:{15 * (i % 4):02}Z,{40 * (i % 5)}\n"
                                                  for i in range(40)))
    contains(box.sluice("simulate", "--from-csv", "b.csv", exit=2).err, "--service TIME beside it")
    contains(box.sluice("simulate", "--from-csv", "b.csv", "--service", "2s", exit=2).err,
             "accepted: --service TIME and --workers N beside it")
    text = box.sluice("simulate", "--from-csv", "b.csv", "--service", "2s", "--workers", "4", "--policy", "lag",
                      exit=0, timeout=120).out
    contains(text, "ESTIMATED from the backlog alone")
    contains(text, "4 workers were there all the time, as you say")


@test("an answer of Prometheus: series by name or by role, counters that began anew, the same messages to every policy")
def _(box):
    labels = {"queue": "orders", "vhost": "/"}
    published, acked, count = [], [], 1_000_000
    for i, n in enumerate(ARRIVALS):
        published.append([1767225600 + 15 * i, str(count)])
        acked.append([1767225600 + 15 * i, str(count // 2)])
        count = n if i == 7 else count + n  # the broker was restarted
    came = sum(ARRIVALS[:-1])

    def answer(*series):
        result = [{"metric": {"__name__": name, **labels} if name else {}, "values": values} for name, values in series]
        return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})

    box.write("all.json", answer(("rabbitmq_detailed_queue_messages_published_total", published), ("up", acked)))
    box.write("sum.json", answer(("", published)))
    for file in ("all.json", "published=sum.json"):
        done = box.sluice("simulate", "--from-prometheus", file, "--service", "2s", "--policy", "lag", "--output",
                          "json", exit=0, timeout=120)
        for line in of(done, "policy"):
            equal(line["published"], came, f"messages of {line['policy']}")
        contains("\n".join(done.json[0]["assumed"]), "began anew 1 time")
    contains(box.sluice("simulate", "--from-prometheus", "sum.json", exit=2).err, "--from-prometheus ROLE=FILE")


@test("mistakes are told with line, column and what is accepted; flags that need a record are refused without")
def _(box):
    box.write("bad.csv", "time,backlog\n1,2\n2,many\n")
    contains(box.sluice("simulate", "--from-csv", "bad.csv", exit=2).err,
             "bad.csv:3: backlog: many; accepted: a number from 0")
    contains(box.sluice("simulate", "--from-csv", "none.csv", exit=2).err, "none.csv")
    contains(box.sluice("simulate", "--from-prometheus", "bad.csv", exit=2).err, "accepted: an answer of /api/v1/query")
    contains(box.sluice("simulate", "a.yaml", "--workers", "3", exit=2).err, "--from-csv or --from-prometheus")
    contains(box.sluice("simulate", "a.yaml", "-f", "pool.yaml", exit=2).err, "--from-csv or --from-prometheus")
    box.write("long.csv", "time,arrivals\n0,5\n1767225600,5\n")
    contains(box.sluice("simulate", "--from-csv", "long.csv", "--service", "1s", exit=2).err, "more than 400 days")


main()
