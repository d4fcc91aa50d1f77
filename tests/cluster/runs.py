"""Small trainings for these tests, and what their folders say."""

import json
import os

WEIGHTS = ("generator.safetensors", "discriminator.safetensors")


def training(out, steps, *more, seed=5):
    """The words behind `ganymede` of a training of some hundred steps a second, the same bytes however it is run."""
    return ["train", "--reproducible", "--threads", "1", "--latent", "16", "--generator-hidden", "40",
            "--discriminator-hidden", "40", "--seed", str(seed), "--checkpoint-every", "50", "--sample-every", "0",
            "--log-every", "10", "--steps", str(steps), "--out", out, *more]


def records(run):
    try:
        with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def step(run):
    """The last step that its metrics tell of."""
    return max((record["step"] for record in records(run)), default=0)


def snapshot(run):
    """What is in its folder, but for the logs: {file: (number, size, time of the last change)}."""
    found = {}
    for folder, _, names in os.walk(run):
        for name in names:
            file = os.path.join(folder, name)
            status = os.stat(file)
            found[os.path.relpath(file, run)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return {file: status for file, status in found.items() if not file.startswith("logs/")}


def weights(run):
    """The final weights' bytes."""
    found = []
    for name in WEIGHTS:
        with open(os.path.join(run, name), "rb") as file:
            found.append(file.read())
    return found
