#!/usr/bin/env python3
"""Times a training step of ganymede, PyTorch and JAX in one run, in turn, and prints ratios: started by run.sh."""

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


class Peer:
    """A contender that stays alive between rounds."""

    def __init__(self, name, kind, cores, threads, arguments):
        self.name, self.times, self.losses = name, [], None
        command = [sys.executable, HERE / "contenders.py", kind, arguments.data, str(arguments.r1), str(arguments.ema),
                   str(threads)]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads), JAX_PLATFORMS="cpu",
                           CUDA_VISIBLE_DEVICES="", PYTHONWARNINGS="ignore", TORCH_LOGS="-all")
        self.processes = []
        if kind == "ddp":
            with socket.socket() as s:  # a port that is free now
                s.bind(("127.0.0.1", 0))
                environment |= dict(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(s.getsockname()[1]))
            for rank in (1, 0):
                self.start(command, {cores[rank]}, dict(environment, RANK=str(rank)))
        else:
            self.start(command, set(cores), environment)
        self.process = self.processes[-1]
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"{name} did not start: see above")

    def start(self, command, cores, environment):
        self.processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                               env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cores)))

    def round(self, steps):
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            sys.exit(f"{self.name} ended: see above")
        self.times.append(float(answer[0]) / steps)
        self.losses = float(answer[1]), float(answer[2])

    def close(self):
        self.process.stdin.close()
        for process in self.processes:
            process.wait()


class Ganymede:
    """`ganymede bench`, started for each round: its own warm-up is not timed."""

    def __init__(self, name, ranks, cores, threads, arguments):
        self.name, self.times, self.losses = name, [], None
        self.cores = set(cores)
        self.command = [arguments.program, "bench", "--data", arguments.data, "--recipe", arguments.recipe, "--threads",
                        str(threads), "--rounds", "1", "--json"]
        if ranks > 1:
            self.command = [arguments.mpirun, "-q", "--bind-to", "none", "-n", str(ranks), *self.command]

    def round(self, steps):
        environment = dict(os.environ)
        if os.geteuid() == 0:
            environment |= dict(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        done = subprocess.run([*self.command, "--round-steps", str(steps)], capture_output=True, text=True, env=environment,
                              preexec_fn=lambda: os.sched_setaffinity(0, self.cores))
        if done.returncode != 0:
            sys.exit(f"{self.name} ended with {done.returncode}: {done.stderr}")
        self.times.extend(json.loads(done.stdout)["seconds_per_step"]["all"])

    def close(self):
        pass


def compare(title, contenders, arguments):
    for _ in range(arguments.rounds):
        for contender in contenders:
            contender.round(arguments.round_steps)
    for contender in contenders:
        contender.close()
    print(f"\n{title}\n{'':34}{'median':>9}{'least':>9}   of ganymede's  {'D loss':>8}{'G loss':>8}")
    own = contenders[0].times
    rows = []
    for contender in contenders:
        median, least = statistics.median(contender.times), min(contender.times)
        ratios = median / statistics.median(own), least / min(own)
        losses = "" if contender.losses is None else "{:8.3f}{:8.3f}".format(*contender.losses)
        print(f"{contender.name:34}{median * 1e3:6.3f} ms{least * 1e3:6.3f} ms{ratios[0]:7.2f} {ratios[1]:7.2f}  {losses}")
        rows.append(dict(name=contender.name, median=median, min=least, median_ratio=ratios[0], min_ratio=ratios[1]))
    return dict(title=title, rows=rows)


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/peers/run.sh [--venv FOLDER]", description=__doc__)
    parser.add_argument("--root", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--program", help="ganymede (default: build/bin/ganymede)")
    parser.add_argument("--data", help="a folder with train-images-idx3-ubyte.gz (default: mnist-mini)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds; every contender runs once in each (default 20)")
    parser.add_argument("--round-steps", type=int, default=100, help="steps in a round (default 100)")
    parser.add_argument("--only", choices=["1", "2", "ranks"], help="one thread, two threads, or two ranks alone")
    parser.add_argument("--recipes", default="gan-literal,gan", help="gan-literal, gan (with R1), or both (default)")
    parser.add_argument("--json", help="a file for the results")
    arguments = parser.parse_args()
    root = pathlib.Path(arguments.root)
    arguments.program = arguments.program or str(root / "build/bin/ganymede")
    arguments.data = arguments.data or str(root / "data/mnist-mini")
    arguments.mpirun = shutil.which("mpirun")
    if not os.access(arguments.program, os.X_OK):
        sys.exit(f"{arguments.program} is not there: build it, or name it with --program")
    cores = sorted(os.sched_getaffinity(0))[:2]
    results = []
    for arguments.recipe in arguments.recipes.split(","):
        arguments.r1, arguments.ema = {"gan-literal": (0, 0), "gan": (5, 0.999)}[arguments.recipe]
        for threads in (1, 2):
            if arguments.only not in (None, str(threads)):
                continue
            if threads > len(cores):
                sys.exit("two threads need two cores: give --only 1")
            use = cores[:threads]
            results.append(compare(f"{arguments.recipe}, {threads} thread{'s' if threads > 1 else ''}", [
                Ganymede("ganymede", 1, use, threads, arguments),
                Peer("JAX, jit of the step", "jax", use, threads, arguments),
                Peer("PyTorch, torch.compile", "compile", use, threads, arguments),
                Peer("PyTorch, eager, fused Adam", "eager", use, threads, arguments)], arguments))
        if arguments.only in (None, "ranks") and len(cores) == 2:
            results.append(compare(f"{arguments.recipe}, 2 ranks of 1 thread (JAX: 2 threads)", [
                Ganymede("ganymede, 2 ranks", 2, cores, 1, arguments),
                Peer("JAX, jit of the step, 2 threads", "jax", cores, 2, arguments),
                Peer("PyTorch DDP on gloo, 2 ranks", "ddp", cores, 1, arguments)], arguments))
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
