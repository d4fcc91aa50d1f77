"""Calls of the program and of what the tests built beside it."""

import subprocess
import sys

import numpy as np


def call(*words):
    """Ends this program where that one fails."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def outputs(network_outputs, run, network, inputs, classes, folder):
    """What a run's network gives here for rows of inputs and their classes, in single precision and one row after the
    other; `folder` is for files on the way."""
    files = [folder / name for name in ("inputs", "classes", "outputs")]
    inputs.astype(np.float32).tofile(files[0])
    classes.astype(np.uint8).tofile(files[1])
    call(network_outputs, run, network, *files)
    return np.fromfile(files[2], np.float32)
