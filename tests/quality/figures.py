#!/usr/bin/env python3
"""Trains recipes end to end, measures what they make, and writes the tables of docs/RESULTS.md.

usage: figures.py MNIST_FOLDER OUT [--program FILE] [--jobs N | --gpus N] [--threads N] [--only NAME]… [--seed N]
       [--papers]                                                               (needs numpy and safetensors)

Every training is one process of --threads threads (1), --jobs of them (2) at a time and at the lowest priority, or one
on each of --gpus GPUs. With --papers those of the papers' whole length instead, which want a GPU. OUT/figures/ keeps the figures of each that has ended, so a
second call goes on where the first stopped, and a run that was cut short is resumed. OUT/tables.md is written anew
after each; trainings that it lacks are named in it.

Whatever a recipe was trained on, it is judged against the full MNIST in MNIST_FOLDER. A training that ends with exit
code 5 has failed, and is counted as such; any other failure is not the recipe's and ends the call. What is measured:

  parzen   by parzen.py, which shares no code with Ganymede. Collapsed is a training of which fewer than nine classes
           hold at least 2 % of 1 000 samples, or whose score is negative
  judged   by `ganymede eval --metrics judge`
  course   by `ganymede eval --metrics parzen,judge` at each of the training's checkpoints
  nearest  by `ganymede eval --metrics 1nn-error` from 50 000 samples, and as judged
  modes    by `ganymede eval --metrics modes` from 26 000 samples
  wgan     Spearman's rank correlation of the estimate of the Wasserstein distance (the running median of its record,
           as the paper plots it, of 25 records and of 151) with classifier-FD, over the training's checkpoints. Failed is one whose samples end
           with fewer than nine classes, or not twice as near to real digits as at the first checkpoint
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import queue
import re
import subprocess
import sys
import zlib

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy starts its threads
import numpy as np  # noqa: E402
import parzen  # noqa: E402

TRAININGS = {  # name: what is measured, number of seeds, options
    "gan-mnist-200": ("parzen", 5, "--recipe gan --data mnist --epochs 200"),
    "gan-mini-1000": ("parzen", 5, "--recipe gan --data mnist-mini --epochs 1000"),
    "gan-fast-mnist-100": ("parzen", 5, "--recipe gan --data mnist --epochs 100 --learning-rate 5e-4"),
    "gan-fast-mini-1000": ("parzen", 5, "--recipe gan --data mnist-mini --epochs 1000 --learning-rate 5e-4"),
    "literal-mnist-200": ("parzen", 5, "--recipe gan-literal --data mnist --epochs 200"),
    "literal-mini-1000": ("parzen", 5, "--recipe gan-literal --data mnist-mini --epochs 1000"),
    "wgan-mlp": ("wgan", 5, "--recipe wgan --data mnist --steps 24000 --keep 0 --checkpoint-every 600"),
    "wgan-dcgan": ("wgan", 5, "--recipe wgan --model dcgan --channels 32,64 --generator-norm batch "
                   "--discriminator-norm batch --data mnist --steps 6000 --keep 0 --checkpoint-every 150"),
    "wgan-dcgan-no-bn": ("wgan", 5, "--recipe wgan --model dcgan --channels 32,64 --data mnist --steps 6000 --keep 0 "
                         "--checkpoint-every 150"),
    "dcgan-6000": ("nearest", 1, "--recipe dcgan --data mnist --steps 6000"),
    "modern-6000": ("course", 5, "--recipe modern --data mnist --steps 6000 --keep 0 --checkpoint-every 500"),
    "modern-stacked": ("modes", 1, "--recipe modern --data mnist --stack 3 --steps 6000"),
    # In the time of modern-6000 on one thread.
    "gan-as-long": ("course", 1, "--recipe gan --data mnist --steps 354000 --keep 0 --checkpoint-every 59000"),
    "wgan-as-long": ("course", 1, "--recipe wgan --data mnist --steps 162000 --keep 0 --checkpoint-every 27000"),
}
WGAN_DCGAN = "--recipe wgan --model dcgan --channels 64,128 --kernel 5 --data mnist"
PAPERS = {
    "gan": ("parzen", 5, "--recipe gan --data mnist"),
    "dcgan": ("nearest", 5, "--recipe dcgan --data mnist"),
    "modern": ("course", 5, "--recipe modern --data mnist --keep 0 --checkpoint-every 2000"),
    "modern-stacked": ("modes", 5, "--recipe modern --data mnist --stack 3"),
    "wgan-dcgan": ("wgan", 5, f"{WGAN_DCGAN} --generator-norm batch --discriminator-norm batch "
                   "--steps 100000 --keep 0 --checkpoint-every 2500"),
    "wgan-dcgan-no-bn": ("wgan", 5, f"{WGAN_DCGAN} --steps 100000 --keep 0 --checkpoint-every 2500"),
    "wgan-mlp": ("wgan", 5, "--recipe wgan --data mnist --steps 100000 --keep 0 --checkpoint-every 2500"),
}
QUIET = "--log-every 50 --sample-every 0"


class Parzen:
    heading = "| seed | Parzen, nats | σ | classes of at least 2 % | smallest share | collapsed |\n|---|---|---|---|---|---|"
    best = staticmethod(lambda f: f["parzen"])
    judge = None

    @classmethod
    def measure(cls, call, run):
        cls.judge = cls.judge or parzen.Judge(call.mnist)
        return cls.judge.score(run / "generator.safetensors")

    @staticmethod
    def collapsed(f):
        return f["classes"] < 9 or f["parzen"] < 0

    @staticmethod
    def row(f):
        return (f"{f['parzen']:.1f} ± {f['error']:.1f} | {f['sigma']:.3f} | {f['classes']} of 10 "
                f"| {100 * f['smallest_share']:.1f} %")


class Judged:
    heading = ("| seed | classifier-FD | KID | precision, recall | density, coverage | KL of classes | collapsed |\n"
               "|---|---|---|---|---|---|---|")
    best = staticmethod(lambda f: -f["classifier_fd"])

    @staticmethod
    def measure(call, run):
        return call.evaluated(run, "judge", 10000)["judge"]["samples"]

    @staticmethod
    def collapsed(f):
        return sum(n >= 0.02 * sum(f["class_histogram"]) for n in f["class_histogram"]) < 9

    @staticmethod
    def row(f):
        return (f"{f['classifier_fd']:.3f} | {f['kid']['mean']:.4f} ± {f['kid']['standard_error']:.4f} "
                f"| {f['precision']:.3f}, {f['recall']:.3f} | {f['density']:.3f}, {f['coverage']:.3f} "
                f"| {f['class_kl']:.4f}")


def saved(run):
    """Step and folder of the checkpoints, without those that an interruption brought about."""
    every = int(re.search(r"^checkpoint-every *= *(\d+)", (run / "config.ini").read_text(), re.MULTILINE)[1])
    found = sorted((int(folder.name.rsplit("-", 1)[1]), folder) for folder in (run / "checkpoints").iterdir())
    return [(step, folder) for step, folder in found if step % every == 0 or step == found[-1][0]]


class Course(Judged):
    heading = ("| seed | step | Parzen, nats | σ | classifier-FD | KID | precision, recall | collapsed |\n"
               "|---|---|---|---|---|---|---|---|")
    best = staticmethod(lambda f: -f["classifier_fd"])

    @staticmethod
    def measure(call, run):
        rows = []
        for step, checkpoint in saved(run):
            found = call.evaluated(checkpoint, "parzen,judge", 10000)
            judged = found["judge"]["samples"]
            rows.append({"step": step, "parzen": found["parzen"]} | {k: judged[k] for k in
                        ("classifier_fd", "kid", "precision", "recall", "class_histogram")})
        return rows[-1] | {"rows": rows}

    @staticmethod
    def row(f):
        return "\n| | ".join(
            f"{r['step']} | {r['parzen']['log_likelihood']:.1f} ± {r['parzen']['standard_error']:.1f} | {r['parzen']['sigma']:.3f} "
            f"| {r['classifier_fd']:.3f} | {r['kid']['mean']:.4f} ± {r['kid']['standard_error']:.4f} "
            f"| {r['precision']:.3f}, {r['recall']:.3f}" + (" | |" if r is not f["rows"][-1] else "") for r in f["rows"])


class Nearest(Judged):
    heading = ("| seed | 1-NN error | classifier-FD | KID | precision, recall | density, coverage | KL of classes "
               "| collapsed |\n|---|---|---|---|---|---|---|---|")
    best = staticmethod(lambda f: -f["wrong"]["share"])

    @staticmethod
    def measure(call, run):
        wrong = call.evaluated(run, "1nn-error", 50000)["1nn_error"]
        return Judged.measure(call, run) | {"wrong": wrong}

    @staticmethod
    def row(f):
        return f"{100 * f['wrong']['share']:.2f} ± {100 * f['wrong']['standard_error']:.2f} % | {Judged.row(f)}"


class Modes:
    heading = "| seed | modes | KL from all alike, nats | collapsed |\n|---|---|---|---|"
    best = staticmethod(lambda f: f["found"])

    @staticmethod
    def measure(call, run):
        return call.evaluated(run, "modes", 26000)["modes"]["samples"]

    @staticmethod
    def collapsed(f):
        return f["found"] < 0.9 * f["possible"]

    @staticmethod
    def row(f):
        return f"{f['found']} of {f['possible']} | {f['kl']:.4f}"


def running_median(values, width):
    half = width // 2
    return [float(np.median(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]


def spearman(a, b):
    def ranks(values):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[place]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


class Wgan:
    medians = (25, 151)  # records
    heading = (f"| seed | Spearman's ρ, of {medians[0]} | of {medians[1]} | checkpoints | estimate, first and last "
               "| classifier-FD, first and last | classes of at least 2 % | collapsed |\n|---|---|---|---|---|---|---|---|")
    best = staticmethod(lambda f: f["spearman"][0])

    @classmethod
    def measure(cls, call, run):
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        raw = [r["wasserstein_estimate"] for r in records]
        at = {r["step"]: i for i, r in enumerate(records)}
        checkpoints = saved(run)
        judged = [call.evaluated(folder, "judge", 2500)["judge"]["samples"] for _, folder in checkpoints]
        distances = [j["classifier_fd"] for j in judged]
        estimates = [[running_median(raw, width)[at[step]] for step, _ in checkpoints] for width in cls.medians]
        return {"spearman": [spearman(estimate, distances) for estimate in estimates],
                "rows": list(zip([step for step, _ in checkpoints], estimates[0], distances)),
                "class_histogram": judged[-1]["class_histogram"]}

    @staticmethod
    def collapsed(f):
        return Judged.collapsed(f) or f["rows"][-1][2] > f["rows"][0][2] / 2

    @staticmethod
    def row(f):
        first, last = f["rows"][0], f["rows"][-1]
        present = sum(n >= 0.02 * sum(f["class_histogram"]) for n in f["class_histogram"])
        of = " | ".join(f"{rho:.3f}" for rho in f["spearman"])
        return (f"{of} | {len(f['rows'])} | {first[1]:.4f}, {last[1]:.4f} | {first[2]:.2f}, {last[2]:.2f} "
                f"| {present} of 10")


KINDS = {kind.__name__.lower(): kind for kind in (Parzen, Judged, Course, Nearest, Modes, Wgan)}


class Call:
    def __init__(self, arguments):
        self.out = pathlib.Path(arguments.out)
        self.program = arguments.program.resolve()
        self.mnist = arguments.mnist
        self.threads = arguments.threads
        self.jobs = arguments.gpus or arguments.jobs
        self.gpus = queue.SimpleQueue()  # that train nothing now
        for gpu in range(arguments.gpus):
            self.gpus.put(gpu)
        self.trainings = PAPERS if arguments.papers else TRAININGS
        self.planned = [(name, seed) for name, (_, seeds, _) in self.trainings.items() for seed in range(1, seeds + 1)]
        (self.out / "figures").mkdir(parents=True, exist_ok=True)

    def run(self, *words):
        ended = subprocess.run([self.program, *map(str, words)], capture_output=True, text=True)
        if ended.returncode not in (0, 5):
            raise SystemExit(f"ganymede {' '.join(map(str, words))} ended with exit code {ended.returncode}: "
                             + ended.stderr.strip())
        return ended

    def evaluated(self, place, metric, samples):
        ended = self.run("eval", place, "--data", self.mnist, "--metrics", metric, "--samples", samples, "--threads",
                         self.threads, "--json", "-")
        return json.loads(ended.stdout)["metrics"]

    def file(self, name, seed):
        return self.out / "figures" / f"{name}-seed-{seed}.json"

    def kept(self, name, seed):
        """The figures that an earlier call left, if the options are still the same."""
        file = self.file(name, seed)
        found = json.loads(file.read_text()) if file.exists() else {}
        return found if found.get("options") == self.trainings[name][2] else None

    def train(self, name, seed):
        kind, _, options = self.trainings[name]
        # A training with other options is another one.
        run = self.out / "runs" / f"{name}-{zlib.crc32(options.encode()):08x}-seed-{seed}"
        words = ["train", *options.split(), *QUIET.split(), "--threads", self.threads, "--seed", seed, "--resume", "--out",
                 run]
        gpu = None if self.gpus.empty() else self.gpus.get()
        try:
            ended = self.run(*words, *([] if gpu is None else ["--device", f"cuda:{gpu}"]))
        finally:
            if gpu is not None:
                self.gpus.put(gpu)
        records = (run / "metrics.jsonl").read_text().splitlines()
        figures = {"options": options, "seed": seed, "seconds": json.loads(records[-1])["seconds"]}
        if ended.returncode == 5:
            figures["failed"] = ended.stderr.strip()
        else:
            figures |= KINDS[kind].measure(self, run)
        aside = self.file(name, seed).with_suffix(".new")
        aside.write_text(json.dumps(figures, indent=1) + "\n")
        aside.rename(self.file(name, seed))
        return figures

    def tables(self):
        text, missing = "", []
        for name, (kind, seeds, options) in self.trainings.items():
            kind = KINDS[kind]
            found = [self.kept(name, seed) for seed in range(1, seeds + 1)]
            missing += [f"{name} seed {seed}" for seed, f in enumerate(found, 1) if f is None]
            found = [f for f in found if f is not None]
            if not found:
                continue
            bad = sum("failed" in f or kind.collapsed(f) for f in found)
            minutes = sorted(f["seconds"] / 60 for f in found)
            text += (f"`{options}`: {len(found)} of {seeds} seeds, {bad} collapsed or failed; {minutes[0]:.0f} to "
                     f"{minutes[-1]:.0f} minutes each\n\n{kind.heading}\n")
            for f in found:
                if "failed" in f:
                    text += f"| {f['seed']} " + "| failed " * (kind.heading.split("\n")[0].count("|") - 2) + "|\n"
                else:
                    text += f"| {f['seed']} | {kind.row(f)} | {'yes' if kind.collapsed(f) else 'no'} |\n"
            text += "\n"
        if missing:
            text += "Not trained yet: " + ", ".join(missing) + ".\n"
        (self.out / "tables.md").write_text(text)


def main():
    usage = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usage.add_argument("mnist")
    usage.add_argument("out")
    usage.add_argument("--program", type=pathlib.Path, default=pathlib.Path(__file__).parents[2] / "build/bin/ganymede")
    usage.add_argument("--jobs", type=int, default=2)
    usage.add_argument("--gpus", type=int, default=0)
    usage.add_argument("--threads", type=int, default=1)
    usage.add_argument("--only", metavar="NAME", action="append", help="may be repeated")
    usage.add_argument("--seed", type=int, help="this seed alone")
    usage.add_argument("--papers", action="store_true")
    arguments = usage.parse_args()
    os.nice(19)
    os.environ.setdefault("GANYMEDE_DATA", str(pathlib.Path(arguments.mnist).resolve().parent))

    call = Call(arguments)
    for name in arguments.only or []:
        if name not in call.trainings:
            usage.error(f"there is no training {name}, but {', '.join(call.trainings)}")
    wanted = [(name, seed) for name, seed in call.planned if not arguments.only or name in arguments.only]
    todo = [(name, seed) for name, seed in wanted
            if call.kept(name, seed) is None and arguments.seed in (None, seed)]
    todo.sort(key=lambda training: training[1])  # a call that is cut short has something of every recipe
    call.tables()
    pool = concurrent.futures.ThreadPoolExecutor(call.jobs)
    running = {pool.submit(call.train, *training): training for training in todo}
    try:
        for ended in concurrent.futures.as_completed(running):
            figures = ended.result()
            print(*running[ended], {k: v for k, v in figures.items() if k not in ("options", "rows")}, flush=True)
            call.tables()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    print(call.out / "tables.md")


if __name__ == "__main__":
    sys.exit(main())
