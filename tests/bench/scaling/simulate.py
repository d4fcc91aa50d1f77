#!/usr/bin/env python3
"""simulate.py PROGRAM RESULTS: training steps of 64 to 1024 ranks, simulated: SimGrid's SMPI runs the program's own
sums over hosts (src/comm/host_sum.cpp) in the order of a step over a described network, and sleeps for as long as
PROGRAM's kernels take here on one rank, as `ganymede bench` measures them first. Needs Debian's libsimgrid-dev.

RESULTS (JSON, a line each) is added to; what it already has is not simulated again. At the end the table of
docs/RESULTS.md is printed.

What is described and not measured: the network, a fat tree without bottlenecks whose links have the latency and 94 %
of the rate of NETWORKS; a message costs its sender and its receiver a microsecond each. Every rank has a core, and
computes as fast as the one that was measured, but for up to 3 % that vary from rank to rank and step to step. Sums
within a host take as long as those of two ranks do. Waiting ranks look at the network every 40 microseconds.
"""

import argparse
import itertools
import json
import math
import os
import re
import subprocess
import tempfile

ROOT = os.path.abspath(f"{os.path.dirname(os.path.abspath(__file__))}/../../..")
# Gbit/s: seconds for each of the four links between two hosts. TCP, TCP, RDMA.
NETWORKS = {10: 5e-6, 25: 3e-6, 100: 0.5e-6}
# Seconds until a small message is there: as is usual with gigabit Ethernet, of the others over their four links.
LATENCIES = {1: 60e-6} | {gbit: 4 * latency for gbit, latency in NETWORKS.items()}
MESSAGE_SECONDS = 1e-6  # of the sender's time, and of the receiver's
# ranks, of them on a host
CLUSTERS = [(64, 16), (256, 16), (1024, 16), (64, 1), (256, 1), (1024, 1)]
# Batches of a rank that are measured, between which times are interpolated; the largest is the one of weak scaling.
RECIPES = {"gan": (8, 25, 100), "modern": (8, 32, 128)}
# The kernels of G's forward pass, after each of which messages are looked at.
KERNELS = {"gan": 4, "modern": 12}
STRONG_BATCH = 8192
NODE_SUM_SECONDS_PER_BYTE = 58e-6 / 468224  # bench_allreduce
MOST_HOSTS = 64                             # comm::MpiOptions


def measure(program, recipe, batch):
    """Seconds of the parts of a step of one rank, and the bytes of both gradients."""
    words = [program, "bench", "--json", "--threads", "1", "--recipe", recipe, "--batch", str(batch), "--rounds", "5",
             "--round-steps", str(max(2, 200 // batch))]
    found = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    phases = found["phases"]
    # "… (130 576 parameters)", with spaces that do not break; six sums travel behind a gradient.
    floats = [int(re.sub(r"\D", "", re.search(r"\((.*) parameters\)", found["setup"][network])[1])) + 6
              for network in ("discriminator", "generator")]
    # One rank makes D's fakes and G's own in one pass over twice the rows.
    meanwhile = (phases["G forward"] + phases["noise"]) / 2
    judged = phases["D forward"] + phases["loss"] + phases["D backward"]
    # D's update sees real and fake, forward, backward and for the weights; G's D forward and backward to the data.
    for_d = judged * 6 / 8
    return {"before": phases["images"] + meanwhile + for_d + phases.get("penalty", 0), "meanwhile": meanwhile,
            "d_update": phases["update"] / 2, "after": judged - for_d + phases["G backward"],
            "g_update": phases["update"] / 2}, floats


def between(measured, rows):
    """The parts of a step of so many rows: on the line through the two batches beside it."""
    known = sorted(measured)
    upper = next((b for b in known[1:] if b >= rows), known[-1])
    lower = known[known.index(upper) - 1]
    share = (rows - lower) / (upper - lower)
    return {part: max(0.0, measured[lower][part] + share * (measured[upper][part] - measured[lower][part]))
            for part in measured[lower]}


def platform(path, hosts, gbit):
    """A fat tree of two levels that carries all that hosts send."""
    leaf = 2 ** math.ceil(math.log2(hosts) / 2)
    leaves = -(-hosts // leaf)
    with open(path, "w", encoding="utf-8") as file:
        file.write("<?xml version='1.0'?>\n<!DOCTYPE platform SYSTEM 'https://simgrid.org/simgrid.dtd'>\n"
                   "<platform version='4.1'>\n"
                   f"<cluster id='c' prefix='n' suffix='' radical='0-{leaf * leaves - 1}' speed='10Gf' "
                   f"bw='{gbit * 1e9 / 8:.0f}Bps' lat='{NETWORKS[gbit] * 1e6}us' topology='FAT_TREE' "
                   f"topo_parameters='2;{leaf},{leaves};1,{leaf};1,1'/>\n</platform>\n")


def build(folder):
    program = f"{folder}/simulated_step"
    subprocess.run(["smpicxx", "-std=c++20", "-O2", f"-I{ROOT}/src", f"-I{ROOT}/include",
                    f"{ROOT}/tests/bench/scaling/simulated_step.cpp", f"{ROOT}/src/comm/host_sum.cpp",
                    f"{ROOT}/src/comm/node_memory.cpp", "-o", program], check=True)
    return program


def simulate(folder, program, hosts, gbit, counts, parts, node_sum, kernels):
    platform(f"{folder}/platform.xml", hosts, gbit)
    with open(f"{folder}/hosts", "w", encoding="utf-8") as file:
        file.writelines(f"n{i}\n" for i in range(hosts))
    numbers = [MOST_HOSTS, *counts, parts["before"], parts["meanwhile"], parts["d_update"] + parts["after"],
               parts["g_update"], node_sum, kernels, 2, 0.03]
    options = ["smpi/host-speed:10Gf", "smpi/coll-selector:ompi", "smpi/simulate-computation:no", "smpi/test:0",
               "smpi/grow-injected-times:no", f"smpi/os:0:{MESSAGE_SECONDS}:0", f"smpi/or:0:{MESSAGE_SECONDS}:0",
               "smpi/bw-factor:0:0.94",
               "smpi/lat-factor:0:1"]
    words = ["smpirun", "-np", str(hosts), "-platform", f"{folder}/platform.xml", "-hostfile", f"{folder}/hosts",
             *(f"--cfg={option}" for option in options), "--log=root.thres:warning", program, *map(str, numbers)]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def lines(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def report(results):
    print("\n| recipe | scaling | ranks | on hosts | batch a rank | alone | " +
          " | ".join(f"{gbit} Gbit" for gbit in NETWORKS) + " |\n|---|---|---|---|---|---|" + "---|" * len(NETWORKS))
    rows = {}
    for result in results:
        if "step" in result:
            rows.setdefault(tuple(result["case"]), {})[result["gbit"]] = result
    for (recipe, mode, ranks, per_host), by_network in rows.items():
        cells = []
        for gbit in NETWORKS:
            r = by_network.get(gbit)
            cells.append("" if r is None else f"{r['step'] * 1e3:.2f} ms, {100 * r['efficiency']:.0f} %, hidden "
                         f"{100 * max(0, 1 - r['waited'] / r['alone']):.0f} %")
        some = next(iter(by_network.values()))
        print(f"| `{recipe}` | {mode} | {ranks} | {ranks // per_host} | {some['rows']:g} | "
              f"{some['one_rank'] * 1e3:.2f} ms | " + " | ".join(cells) + " |")


def advise(measured):
    """From what batch another rank pays, by the formula in docs/RESULTS.md."""
    def step(times, floats, gbit, batch, ranks):
        parts = between(times, batch / ranks)
        if ranks == 1:
            return sum(parts.values())

        def over_ranks(count):
            if gbit is None:  # memory
                return NODE_SUM_SECONDS_PER_BYTE * 4 * count
            return (2 * LATENCIES[gbit] + 2 * (ranks - 1) * MESSAGE_SECONDS +
                    2 * (ranks - 1) / ranks * 4 * count / (0.94 * gbit * 1e9 / 8))
        return sum(parts.values()) + max(0.0, over_ranks(floats[0]) - parts["meanwhile"]) + over_ranks(floats[1])

    def least(condition):
        return next((batch for batch in range(2, 100_000) if condition(batch)), None)

    print("\n| recipe | over | a second rank pays from a batch of | 64 hosts work at 50 % from a batch a rank of | "
          "80 % |\n|---|---|---|---|---|")
    for recipe, batches in RECIPES.items():
        times = {batch: measured[recipe, batch]["parts"] for batch in batches}
        floats = measured[recipe, batches[0]]["floats"]
        for gbit in (None, *LATENCIES):
            def efficiency(batch, gbit=gbit, times=times, floats=floats):
                return step(times, floats, gbit, batch, 1) / step(times, floats, gbit, 64 * batch, 64)
            cells = [least(lambda b: step(times, floats, gbit, b, 2) < step(times, floats, gbit, b, 1))]
            cells += ["", ""] if gbit is None else [least(lambda b, share=share: efficiency(b) >= share)
                                                     for share in (0.5, 0.8)]
            # No batch below the smallest one was measured.
            cells = [f"under {batches[0]}" if cell != "" and cell < batches[0] else str(cell) for cell in cells]
            print(f"| `{recipe}` | {'memory' if gbit is None else f'{gbit} Gbit'} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("results", type=os.path.abspath)
    arguments = parser.parse_args()
    results = lines(arguments.results)

    def keep(result):
        results.append(result)
        with open(arguments.results, "a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")

    measured = {(r["recipe"], r["batch"]): r for r in results if "parts" in r}
    for recipe, batches in RECIPES.items():
        for batch in batches:
            if (recipe, batch) not in measured:
                parts, floats = measure(arguments.program, recipe, batch)
                measured[recipe, batch] = {"recipe": recipe, "batch": batch, "parts": parts, "floats": floats}
                keep(measured[recipe, batch])
    with tempfile.TemporaryDirectory() as folder:
        step = build(folder)
        for mode, (recipe, batches) in itertools.product(("weak", "strong"), RECIPES.items()):
            times = {batch: measured[recipe, batch]["parts"] for batch in batches}
            counts = measured[recipe, batches[0]]["floats"]
            most = max(batches)
            best = most / sum(times[most].values())  # images a second
            for (ranks, per_host), gbit in itertools.product(CLUSTERS, NETWORKS):
                rows = most if mode == "weak" else STRONG_BATCH / ranks
                case = [recipe, mode, ranks, per_host]
                if rows > most or mode == "strong" and per_host == 1:
                    continue
                if any(r.get("case") == case and r["gbit"] == gbit for r in results):
                    continue
                parts = between(times, rows)
                node_sum = NODE_SUM_SECONDS_PER_BYTE * 4 * counts[0] if per_host > 1 else 0
                found = simulate(folder, step, ranks // per_host, gbit, counts, parts, node_sum, KERNELS[recipe])
                keep({"case": case, "gbit": gbit, "rows": rows, "one_rank": sum(parts.values()),
                      "efficiency": rows / found["step"] / best, **found})
                print(json.dumps(results[-1]), flush=True)
    report(results)
    advise(measured)


if __name__ == "__main__":
    main()
