#!/usr/bin/env python3
"""Times a training step of ganymede, PyTorch and JAX in one run, in turn, and prints ratios: started by run.sh.

With --device cuda all run on one GPU, and what is not installed for it is left out, by name.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
# On a GPU: how many times ganymede's median these should take.
GOALS = {"eager": 20, "eager-graph": 2, "compile-graph": 2}
CONVOLUTIONS_GOALS = {"eager": 3, "compile": 1.3, "eager-graph": 1.3, "compile-graph": 1.3, "jax": 1.3}


def visible_gpu(arguments):
    """CUDA_VISIBLE_DEVICES for a contender: the first GPU of those that there are, or none."""
    return (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0] if arguments.device == "cuda" else ""


# The small networks of convolutions that libraries are compared on.
CONVOLUTIONS = ["--recipe", "dcgan", "--condition", "none", "--kernel", "4", "--fully-connected", "0",
                "--generator-norm", "none", "--discriminator-norm", "none", "--weight-decay", "0",
                "--schedule", "constant", "--latent-distribution", "normal"]


def recipe_options(recipe):
    """ganymede's options."""
    return CONVOLUTIONS if recipe == "convolutions" else ["--recipe", recipe]


def penalty_and_average(recipe):
    """γ of R1 and the decay of G's average."""
    return {"gan": (5, 0.999)}.get(recipe, (0, 0))


class Absent(Exception):
    """A library is not there, or not for this device."""


class Broken(Exception):
    """A contender that should run does not."""


class Peer:
    """A contender that stays alive between rounds. All begin at once, which takes what their compilers do; none is
    timed before the last is ready."""

    def __init__(self, name, kind, cores, threads, arguments):
        self.name, self.times, self.losses = name, [], None
        goals = CONVOLUTIONS_GOALS if arguments.recipe == "convolutions" else GOALS
        self.goal = goals.get(kind) if arguments.device == "cuda" else None
        command = [sys.executable, HERE / "contenders.py", kind, arguments.data, str(arguments.r1), str(arguments.ema),
                   str(threads), arguments.device, arguments.recipe]
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                           JAX_PLATFORMS=arguments.device, XLA_PYTHON_CLIENT_PREALLOCATE="false",
                           CUDA_VISIBLE_DEVICES=visible_gpu(arguments), PYTHONWARNINGS="ignore", TORCH_LOGS="-all")
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

    def get_ready(self):
        word, _, rest = self.process.stdout.readline().strip().partition(" ")
        if word != "ready":
            raise Absent(rest) if word == "absent" else Broken("did not start")
        parameters, _, self.version = rest.partition(" ")
        self.parameters = int(parameters)

    def start(self, command, cores, environment):
        self.processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                               env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cores)))

    def round(self, steps):
        try:
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise Broken("ended") from None
        answer = self.process.stdout.readline().split()
        if len(answer) != 3:
            raise Broken("ended")
        self.times.append(float(answer[0]) / steps)
        self.losses = float(answer[1]), float(answer[2])

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        for process in self.processes:
            process.wait()


class Ganymede:
    """`ganymede bench`, started for each round: its own warm-up is not timed."""

    def __init__(self, name, ranks, cores, threads, arguments, *options):
        self.name, self.times, self.losses, self.goal = name, [], None, None
        self.cores, self.gpu = set(cores), visible_gpu(arguments)
        self.command = [arguments.program, "bench", "--data", arguments.data, *recipe_options(arguments.recipe),
                        "--threads", str(threads), "--rounds", "1", "--json", "--device", arguments.device, *options]
        version = subprocess.run([arguments.program, "--version"], capture_output=True, text=True)
        self.version = version.stdout.split("\n")[0]
        if ranks > 1:
            self.command = [arguments.mpirun, "-q", "--bind-to", "none", "-n", str(ranks), *self.command]

    def get_ready(self):
        pass

    def round(self, steps):
        environment = dict(os.environ, CUDA_VISIBLE_DEVICES=self.gpu)
        if os.geteuid() == 0:
            environment |= dict(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        done = subprocess.run([*self.command, "--round-steps", str(steps)], capture_output=True, text=True,
                              env=environment, preexec_fn=lambda: os.sched_setaffinity(0, self.cores))
        if done.returncode != 0:
            raise Broken(f"ended with {done.returncode}: {done.stderr.strip()}")
        said = json.loads(done.stdout)
        self.times.extend(said["seconds_per_step"]["all"])
        self.parameters = sum(int(re.search(r"\(([\d ]+) parameters\)", said["setup"][network])[1].replace(" ", ""))
                              for network in ("generator", "discriminator"))

    def close(self):
        pass


def compare(title, makers, arguments):
    """Runs what the makers make, in turn. The first is ganymede's; one that is absent or broken is left out on a GPU
    and named, and ends the comparison on a CPU."""
    contenders, left_out, broken = [], {}, {}
    for contender in [make(name) for name, make in makers]:
        try:
            contender.get_ready()
            contenders.append(contender)
        except Absent as reason:
            left_out[contender.name] = str(reason)
            contender.close()
        except Broken as reason:
            broken[contender.name] = str(reason)
            contender.close()
    for _ in range(arguments.rounds):
        for contender in list(contenders):
            try:
                contender.round(arguments.round_steps)
                if contender.parameters != contenders[0].parameters:
                    raise Broken(f"trains {contender.parameters} parameters, ganymede {contenders[0].parameters}")
            except Broken as reason:
                broken[contender.name] = str(reason)
                contenders.remove(contender)
                contender.close()
    for contender in contenders:
        contender.close()
    for name, reason in (left_out | broken).items():
        print(f"{name}: {reason}", file=sys.stderr)
    if (left_out or broken) and arguments.device == "cpu" or makers[0][0] in broken:
        sys.exit(f"{title}: not compared, see above")
    print(f"\n{title}\n{'':34}{'median':>9}{'least':>10}    of ganymede's  {'D loss':>8}{'G loss':>8}")
    own = contenders[0].times
    rows = []
    for contender in contenders:
        median, least = statistics.median(contender.times), min(contender.times)
        ratios = median / statistics.median(own), least / min(own)
        losses = "" if contender.losses is None else "{:8.3f}{:8.3f}".format(*contender.losses)
        print(f"{contender.name:34}{median * 1e3:6.3f} ms {least * 1e3:7.3f} ms{ratios[0]:7.2f} {ratios[1]:7.2f}  "
              f"{losses}")
        rows.append(dict(name=contender.name, version=contender.version, median=median, min=least,
                         median_ratio=ratios[0], min_ratio=ratios[1], goal=contender.goal))
    return dict(title=title, round_steps=arguments.round_steps, rows=rows, left_out=left_out, broken=broken)


def markdown(results, arguments):
    """The results as tables, with the goals beside what was measured."""
    lines = [f"{arguments.rounds} rounds, every contender in each, in turn. Ratios are of medians and of minima.", ""]
    for result in results:
        lines += [f"**{result['title']}**, rounds of {result['round_steps']} steps", "", "| contender | version | median, µs | least, µs | times ganymede's "
                  "median | its least | goal | |", "|---|---|---:|---:|---:|---:|---:|---|"]
        for row in result["rows"]:
            goal, reached = "", ""
            if row["goal"]:
                goal, reached = f"≥ {row['goal']}", "reached" if row["median_ratio"] >= row["goal"] else "NOT reached"
            lines.append(f"| {row['name']} | {row['version']} | {row['median'] * 1e6:.1f} | {row['min'] * 1e6:.1f} "
                         f"| {row['median_ratio']:.2f} | {row['min_ratio']:.2f} | {goal} | {reached} |")
        lines.append("")
        lines += [f"- not run: {name}: {reason}" for name, reason in result["left_out"].items()]
        lines += [f"- FAILED: {name}: {reason}" for name, reason in result["broken"].items()]
        lines.append("")
    return "\n".join(lines)


def on_gpu(arguments):
    """All on the first GPU, each with one thread on the host and the others' cores to sleep on."""
    cores = os.sched_getaffinity(0)
    own = lambda *options: lambda name: Ganymede(name, 1, cores, 1, arguments, *options)
    peer = lambda kind: lambda name: Peer(name, kind, cores, 1, arguments)
    makers = [("ganymede", own()),
              ("ganymede --no-graph", own("--no-graph")),
              ("PyTorch, eager, fused Adam", peer("eager")),
              ("PyTorch, torch.compile", peer("compile")),
              ("PyTorch, eager in a CUDA graph", peer("eager-graph")),
              ("PyTorch, compiled in a CUDA graph", peer("compile-graph")),
              ("JAX, jit of the step", peer("jax"))]
    return compare(f"{arguments.recipe}, one GPU", makers, arguments)


def on_cpu(arguments, cores):
    own = lambda ranks, use, threads: lambda name: Ganymede(name, ranks, use, threads, arguments)
    peer = lambda kind, use, threads: lambda name: Peer(name, kind, use, threads, arguments)
    for threads in (1, 2):
        if arguments.only not in (None, str(threads)):
            continue
        if threads > len(cores):
            sys.exit("two threads need two cores: give --only 1")
        use = cores[:threads]
        makers = [("ganymede", own(1, use, threads)),
                  ("PyTorch, eager, fused Adam", peer("eager", use, threads)),
                  ("PyTorch, torch.compile", peer("compile", use, threads)),
                  ("JAX, jit of the step", peer("jax", use, threads))]
        yield compare(f"{arguments.recipe}, {threads} thread{'s' if threads > 1 else ''}", makers, arguments)
    if arguments.only in (None, "ranks") and len(cores) == 2 and arguments.recipe == "convolutions":
        yield compare("convolutions, 2 ranks of 1 thread", [
            ("ganymede, 2 ranks", own(2, cores, 1)),
            ("PyTorch DDP on gloo, 2 ranks", peer("ddp", cores, 1)),
            ("PyTorch, eager, 2 threads", peer("eager", cores, 2)),
            ("JAX, jit of the step, 2 threads", peer("jax", cores, 2))], arguments)
    elif arguments.only in (None, "ranks") and len(cores) == 2:
        yield compare(f"{arguments.recipe}, 2 ranks of 1 thread (JAX: 2 threads)", [
            ("ganymede, 2 ranks", own(2, cores, 1)),
            ("JAX, jit of the step, 2 threads", peer("jax", cores, 2)),
            ("PyTorch DDP on gloo, 2 ranks", peer("ddp", cores, 1))], arguments)


def main():
    parser = argparse.ArgumentParser(prog="tests/bench/peers/run.sh [--venv FOLDER]", description=__doc__)
    parser.add_argument("--root", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--program", help="ganymede (default: build/bin/ganymede)")
    parser.add_argument("--data", help="a folder with train-images-idx3-ubyte.gz (default: mnist-mini)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds; every contender runs once in each (default 20)")
    parser.add_argument("--round-steps", type=int, help="steps in a round (default 100; on a GPU 1000; of convolutions 5 and 200)")
    parser.add_argument("--only", choices=["1", "2", "ranks"],
                        help="on the CPU: one thread, two threads, or two ranks alone")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="cpu (default) or cuda: the first GPU")
    parser.add_argument("--recipes", default="gan-literal,gan",
                        help="of gan-literal, gan (with R1) and convolutions (default: the first two)")
    parser.add_argument("--json", help="a file for the results")
    parser.add_argument("--markdown", help="a file for the results as tables, with the goals on a GPU")
    arguments = parser.parse_args()
    root = pathlib.Path(arguments.root)
    arguments.program = arguments.program or str(root / "build/bin/ganymede")
    arguments.data = arguments.data or str(root / "data/mnist-mini")
    arguments.mpirun = shutil.which("mpirun")
    if not os.access(arguments.program, os.X_OK):
        sys.exit(f"{arguments.program} is not there: build it, or name it with --program")
    if arguments.device == "cuda" and arguments.only:
        parser.error("--only is for the CPU")
    cores = sorted(os.sched_getaffinity(0))[:2]
    results = []
    chosen_steps = arguments.round_steps
    for arguments.recipe in arguments.recipes.split(","):
        slow = arguments.recipe == "convolutions"
        arguments.round_steps = chosen_steps or {"cpu": 5 if slow else 100, "cuda": 200 if slow else 1000}[arguments.device]
        arguments.r1, arguments.ema = penalty_and_average(arguments.recipe)
        results += [on_gpu(arguments)] if arguments.device == "cuda" else on_cpu(arguments, cores)
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n")
    if arguments.markdown:
        pathlib.Path(arguments.markdown).write_text(markdown(results, arguments))
    if any(result["broken"] for result in results):
        sys.exit(1)


if __name__ == "__main__":
    main()
