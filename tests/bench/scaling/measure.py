#!/usr/bin/env python3
"""measure.py PROGRAM RESULTS: how a training's step scales over ranks that share this machine's memory and over hosts
that a gigabit link joins, and how much of D's sum it hides. The hosts are namespaces of this machine (tests/cluster),
so that all ranks share its cores: root, and the packages of `launch/install --ci`.

Every round runs each case once, so that ratios are of the same minutes; RESULTS (JSON, a line a run) is added to, and
what an interrupted round has measured stands. At the end the tables of docs/RESULTS.md are printed, of all rounds in
RESULTS: the least time of a step, and for sums the medians.
"""

import argparse
import json
import os
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(f"{HERE}/../../..")
sys.path.insert(0, f"{ROOT}/tests/cluster")
import namespaces  # noqa: E402  (where it lies is known now)

RANKS = (1, 2, 3, 4)
# The recipe's own batch, and the steps and rounds of a run.
RECIPES = {"gan": (100, ["--round-steps", "30", "--rounds", "4"]),
           "modern": (128, ["--round-steps", "3", "--rounds", "2"])}
OVERLAP = [("gan", 100), ("gan", 400), ("gan", 1000), ("gan", 2000), ("gan", 4000), ("modern", 64), ("modern", 128)]


def cases():
    """(key, words of `ganymede bench`) in the order of a round."""
    for recipe, (batch, effort) in RECIPES.items():
        words = ["--recipe", recipe, *effort]
        for ranks in RANKS:
            for place in ("memory", "network"):
                if ranks == 1 and place == "network":
                    continue  # one rank is one rank
                for mode in ("strong", "weak"):
                    if ranks == 1 and mode == "weak":
                        continue
                    total = batch * ranks if mode == "weak" else batch
                    yield ((recipe, place, mode, ranks), [*words, "--batch", str(total)])
    for recipe, batch in OVERLAP:
        words = ["--recipe", recipe, "--round-steps", "4", "--rounds", "8", "--batch", str(batch)]
        yield ((recipe, "network", f"overlap {batch}", 2), words)


class Place:
    def __init__(self, arguments):
        self.arguments, self.hosts = arguments, namespaces.Hosts([f"h{i + 1}" for i in range(max(RANKS))])

    def __enter__(self):
        self.hosts.__enter__()
        for host in self.hosts.values():
            host.slow_down(self.arguments.rate)
        return self

    def __exit__(self, *error):
        self.hosts.__exit__(*error)

    def run(self, key, words):
        _, place, _, ranks = key
        program = [*self.arguments.prefix.split(), self.arguments.program, "bench", "--json", "--threads", "1", *words]
        start = []
        if ranks > 1:
            start = [f"{ROOT}/launch/mpirun"]
            if place == "network":
                start += ["--mca", "plm_rsh_agent", self.hosts.ssh_command, "--mca", "btl", "tcp,self", "--host",
                          ",".join(f"h{i + 1}:1" for i in range(ranks))]
            else:
                start += ["-n", str(ranks)]
        output = self.hosts["h1"].run(*start, *program, timeout=300)
        return json.loads(output[output.index("{"):output.rindex("}") + 1])


def read(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def table(head, rows):
    print("\n| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def report(runs):
    def of(key):
        return [run for run in runs if tuple(run["key"]) == key]

    def least(key):
        return min((run["min"] for run in of(key)), default=None)

    rows = []
    for recipe, (batch, _) in RECIPES.items():
        alone = least((recipe, "memory", "strong", 1))
        for mode in ("strong", "weak"):
            for place in ("memory", "network"):
                for ranks in RANKS[1:]:
                    time = least((recipe, place, mode, ranks))
                    if time is None or alone is None:
                        continue
                    total = batch * ranks if mode == "weak" else batch
                    rows.append([f"`{recipe}`", mode, place, ranks, total, f"{alone * 1e3:.2f} ms",
                                 f"{time * 1e3:.2f} ms", f"{alone / time * total / batch:.2f}"])
    table(["recipe", "scaling", "over", "ranks", "batch in all", "step of one rank", "step",
           "times one rank's images/s"], rows)
    rows = []
    for recipe, batch in OVERLAP:
        found = of((recipe, "network", f"overlap {batch}", 2))
        if found:
            middle = {name: statistics.median(run[name] for run in found)
                      for name in ("alone", "waited", "meanwhile", "min")}
            rows.append([f"`{recipe}`", batch, f"{middle['min'] * 1e3:.2f} ms", f"{middle['meanwhile'] * 1e3:.2f} ms",
                         f"{middle['alone'] * 1e3:.2f} ms", f"{middle['waited'] * 1e3:.2f} ms",
                         f"{100 * max(0, 1 - middle['waited'] / middle['alone']):.0f} %"])
    table(["recipe", "batch in all", "step", "G forward", "D's sum alone", "waited for it", "hidden"], rows)
    print(f"\n{max((len(of(tuple(run['key']))) for run in runs), default=0)} rounds")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("results", type=os.path.abspath)
    parser.add_argument("--rounds", type=int, default=3, help="0: only the tables (default: %(default)s)")
    parser.add_argument("--only", default="", help="cases whose recipe, place or kind of scaling is this word")
    parser.add_argument("--rate", default="1gbit", help="of the links between hosts (default: %(default)s)")
    parser.add_argument("--prefix", default="", help="words before the program on each rank, such as what gives it the "
                        "machine for itself")
    arguments = parser.parse_args()
    if arguments.rounds > 0:
        namespaces.require(namespaces.PACKAGES)
        namespaces.enter("/tmp/ganymede-scaling")
        with Place(arguments) as place:
            for number in range(arguments.rounds):
                for key, words in cases():
                    if arguments.only and arguments.only not in " ".join(map(str, key)).split():
                        continue
                    json_of = place.run(key, words)
                    run = {"key": key, "min": json_of["seconds_per_step"]["min"],
                           "meanwhile": json_of["phases"]["G forward"] / 2}
                    if "discriminator_sum" in json_of:
                        run |= {"alone": json_of["discriminator_sum"]["seconds_alone"],
                                "waited": json_of["discriminator_sum"]["seconds_waited"]}
                    with open(arguments.results, "a", encoding="utf-8") as file:
                        file.write(json.dumps(run) + "\n")
                    print(f"round {number + 1}: {' '.join(map(str, key))}: {run['min'] * 1e3:.2f} ms", flush=True)
    report(read(arguments.results))


if __name__ == "__main__":
    main()
