#!/usr/bin/env python3
"""Whether a training's collapse is told in time, and none is told of a healthy one:
diagnoses.py PROGRAM FOLDER collapses|healthy SEED RECIPE, a scratch folder.

Trains on MNIST for twelve epochs, and has `ganymede eval` count the digits among 1 000 samples at the end of each: those
that make up at least 2 %. From the third epoch on a healthy training shows nine or ten. One has collapsed at the latest
when it shows no more than two then, and that must have been told by the end of that epoch; where that does not happen,
it must be told before the training ends. What is told is said once more in the run's log.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys

EPOCH, EPOCHS = 600, 12


def call(*words):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def digits(program, checkpoint):
    found = json.loads(call(program, "eval", checkpoint, "--metrics", "judge", "--samples", 1000, "--json", "-"))
    return sum(n >= 20 for n in found["metrics"]["judge"]["samples"]["class_histogram"])


def main(program, folder, kind, seed, recipe):
    run = pathlib.Path(folder)
    shutil.rmtree(run, ignore_errors=True)
    call(program, "train", "--recipe", recipe, "--data", "mnist", "--seed", seed, "--steps", EPOCHS * EPOCH, "--out", run,
         "--keep", 0, "--checkpoint-every", EPOCH, "--sample-every", 0, "--threads", 1)
    seen = {int(c.name.rsplit("-", 1)[1]): digits(program, c) for c in sorted((run / "checkpoints").iterdir())}
    assert list(seen) == [EPOCH * (i + 1) for i in range(EPOCHS)], seen
    told = [int(step) for step in re.findall(r"since step (\d+) samples have collapsed",
                                             (run / "logs/rank-0000.log").read_text())]
    print(f"{recipe}, seed {seed}: digits at the end of each epoch {list(seen.values())}, told since {told}")
    late = {step: n for step, n in seen.items() if step >= 3 * EPOCH}
    if kind == "healthy":
        assert min(late.values()) >= 9, "this training is not healthy"
        assert not told, "a healthy training is told to have collapsed"
        return
    assert max(late.values()) < 9, "this training has not collapsed"
    end = next((step for step, n in late.items() if n <= 2), EPOCHS * EPOCH)
    assert told, "nothing was told"
    assert told[0] <= end, f"told since step {told[0]}, and it has collapsed by {end}"


if __name__ == "__main__":
    if len(sys.argv) != 6 or sys.argv[3] not in ("collapses", "healthy"):
        sys.exit("usage: diagnoses.py PROGRAM FOLDER collapses|healthy SEED RECIPE")
    main(*sys.argv[1:])
