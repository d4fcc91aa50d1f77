#!/usr/bin/env python3
"""Trains recipes end to end with several seeds, scores every one with parzen.py, and writes the table.

usage: seeds.py MNIST_FOLDER OUT [--program FILE] [--jobs N] [--only NAME]     (needs numpy and safetensors)

Every training is one process with one thread (`ganymede train --threads 1`); --jobs of them run at a time, at the
lowest priority. OUT/scores/ keeps the score of each that has ended, so a second call goes on where the first
stopped, and a run that was cut short is resumed. OUT/table.md is written anew after each; the trainings that it
does not have yet are named in it.

Whatever a recipe was trained on, it is judged against the full MNIST in MNIST_FOLDER. A training has collapsed
when fewer than nine classes hold at least 2 % of 1 000 samples, or when its Parzen score is negative; one that
ends with exit code 5 has failed, and counts as collapsed. Any other failure is not the recipe's and ends the call.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before numpy starts its threads
import parzen  # noqa: E402

TRAININGS = {  # name: options and number of seeds
    "gan-mnist-200": ("--recipe gan --data mnist --epochs 200", 5),
    "gan-mini-1000": ("--recipe gan --data mnist-mini --epochs 1000", 5),
    "gan-fast-mnist-100": ("--recipe gan --data mnist --epochs 100 --learning-rate 5e-4", 5),
    "gan-fast-mini-1000": ("--recipe gan --data mnist-mini --epochs 1000 --learning-rate 5e-4", 5),
    "literal-mnist-50": ("--recipe gan-literal --data mnist --epochs 50", 2),
    "literal-mini-500": ("--recipe gan-literal --data mnist-mini --epochs 500", 2),
}
QUIET = "--threads 1 --log-every 1000 --sample-every 0 --checkpoint-every 10000 --keep 1"


def collapsed(score):
    return "failed" in score or score["classes"] < 9 or score["parzen"] < 0


class Scores:
    def __init__(self, arguments):
        self.out = pathlib.Path(arguments.out)
        self.program = arguments.program.resolve()
        self.judge = parzen.Judge(arguments.mnist)
        self.planned = [(name, seed) for name, (_, seeds) in TRAININGS.items() for seed in range(1, seeds + 1)]
        (self.out / "scores").mkdir(parents=True, exist_ok=True)

    def kept(self, name, seed):
        """The score that an earlier call left, if the options are still the same."""
        file = self.out / "scores" / f"{name}-seed-{seed}.json"
        if not file.exists():
            return None
        score = json.loads(file.read_text())
        return score if score["options"] == TRAININGS[name][0] else None

    def train(self, name, seed):
        options = TRAININGS[name][0]
        run = self.out / "runs" / f"{name}-seed-{seed}"
        began = time.monotonic()
        command = [self.program, "train", *options.split(), *QUIET.split(), "--seed", str(seed), "--resume"]
        command += ["--out", str(run)]
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        seconds = time.monotonic() - began
        score = {"options": options, "seed": seed, "seconds": seconds}
        if ended.returncode == 0:
            score.update(self.judge.score(run / "generator.safetensors"))
        elif ended.returncode == 5:
            score["failed"] = ended.stderr.strip()
        else:
            raise SystemExit(f"{run} ended with exit code {ended.returncode}: {ended.stderr.strip()}")
        file = self.out / "scores" / f"{name}-seed-{seed}.json"
        aside = file.with_suffix(".new")
        aside.write_text(json.dumps(score, indent=1) + "\n")
        aside.rename(file)
        return score

    def table(self):
        lines = [
            "| training | seed | Parzen, nats | σ | classes of at least 2 % | smallest share | collapsed |",
            "|---|---|---|---|---|---|---|",
        ]
        missing = []
        summary = []
        for name, (options, seeds) in TRAININGS.items():
            scores = [self.kept(name, seed) for seed in range(1, seeds + 1)]
            missing += [f"{name} seed {seed}" for seed, score in enumerate(scores, 1) if score is None]
            scores = [score for score in scores if score is not None]
            for s in scores:
                values = "| failed | | | " if "failed" in s else (
                    f"| {s['parzen']:.1f} ± {s['error']:.1f} | {s['sigma']:.3f} | {s['classes']} of 10 "
                    f"| {100 * s['smallest_share']:.1f} % ")
                lines.append(f"| `{options}` | {s['seed']} {values}| {'yes' if collapsed(s) else 'no'} |")
            judged = [s["parzen"] for s in scores if "failed" not in s]
            if judged:
                summary.append(f"| `{options}` | {len(scores)} | {sum(map(collapsed, scores))} | {min(judged):.1f} "
                               f"| {sum(judged) / len(judged):.1f} | {max(judged):.1f} |")
        heading = ["| training | seeds | collapsed | least Parzen | mean | greatest |", "|---|---|---|---|---|---|"]
        text = "\n".join([*heading, *summary, "", *lines]) + "\n"
        if missing:
            text += "\nNot trained yet: " + ", ".join(missing) + ".\n"
        (self.out / "table.md").write_text(text)


def main():
    usage = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usage.add_argument("mnist")
    usage.add_argument("out")
    usage.add_argument("--program", type=pathlib.Path, default=pathlib.Path(__file__).parents[2] / "build/bin/ganymede")
    usage.add_argument("--jobs", type=int, default=2)
    usage.add_argument("--only", choices=list(TRAININGS), action="append", help="may be repeated")
    arguments = usage.parse_args()
    os.nice(19)
    os.environ.setdefault("GANYMEDE_DATA", str(pathlib.Path(arguments.mnist).resolve().parent))

    scores = Scores(arguments)
    wanted = [(name, seed) for name, seed in scores.planned if not arguments.only or name in arguments.only]
    todo = [(name, seed) for name, seed in wanted if scores.kept(name, seed) is None]
    todo.sort(key=lambda training: training[1])  # a call that is cut short has something of every recipe
    scores.table()
    pool = concurrent.futures.ThreadPoolExecutor(arguments.jobs)
    running = {pool.submit(scores.train, *training): training for training in todo}
    try:
        for ended in concurrent.futures.as_completed(running):
            print(*running[ended], {k: v for k, v in ended.result().items() if k != "options"}, flush=True)
            scores.table()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    print(scores.out / "table.md")


if __name__ == "__main__":
    sys.exit(main())
