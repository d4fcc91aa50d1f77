#!/usr/bin/env python3
"""Runs in TensorBoard: tensorboard_read.py PROGRAM FOLDER, a scratch folder.

What a training with --tensorboard writes, also one that was killed and resumed from an earlier step, and what
`ganymede export --format tensorboard` writes of a run without, is read by TensorBoard's own reader and compared with
the run's files; its server shows the options as hyperparameters.
"""

import json
import math
import pathlib
import shutil
import sys
import time
import urllib.request

import numpy as np
import safetensors.numpy
from tensorboard import program
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

sys.dont_write_bytecode = True  # nothing into the source tree
from calls import call  # noqa: E402

GROUPS = {"d": "D", "g": "G", "sample": "samples", "eval": "evaluation"}
SMALL = "--data mnist-mini --generator-hidden 16 --discriminator-hidden 16 --sample-count 9 --log-every 10 " \
        "--sample-every 20 --checkpoint-every 30 --diagnose-every 30 --learning-rate 3e-4".split()
LIVE = "--tensorboard --tensorboard-histograms-every 20".split()


def ganymede(*arguments):
    call(PROGRAM, *arguments)


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={kind: 0 for kind in ("scalars", "images", "histograms")})
    events.Reload()
    return events


def tag_of(column):
    first, _, rest = column.partition("_")
    return f"{GROUPS[first]}/{rest}" if first in GROUPS else f"training/{column}"


def check_scalars(events, run):
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    columns = [column for column in records[0] if column != "step"]
    assert len(columns) > 15
    for column in columns:
        expected = [(record["step"], record[column]) for record in records if record[column] is not None]
        if not expected:
            continue
        found = [(event.step, event.value) for event in events.Scalars(tag_of(column))]
        assert [step for step, _ in found] == [step for step, _ in expected], (column, found, expected)
        assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-30) for (_, a), (_, b) in zip(found, expected)), column
    times = [event.wall_time for event in events.Scalars("D/loss")]
    assert times == sorted(times) and abs(times[-1] - time.time()) < 3600, times
    return len(records)


def check_grids(events, run):
    files = sorted((run / "samples").glob("step-*.png"))
    images = events.Images("samples")
    assert [image.step for image in images] == [int(file.stem.removeprefix("step-")) for file in files]
    for image, file in zip(images, files):
        assert image.encoded_image_string == file.read_bytes(), file
        assert (image.width, image.height) == (86, 86), (image.width, image.height)
    return len(files)


def check_histograms(events, run, steps):
    weights = safetensors.numpy.load_file(run / "discriminator.safetensors")
    for group in ("D parameters", "D gradients", "G parameters", "G gradients"):
        for name in ("0.weight", "0.bias", "2.weight", "2.bias"):
            found = events.Histograms(f"{group}/{name}")
            assert [event.step for event in found] == steps, (group, name, [event.step for event in found])
            assert all(event.histogram_value.sum_squares > 0 for event in found), (group, name)
    # The last ones are of the step that the final weights are of.
    for name, values in weights.items():
        value = events.Histograms(f"D parameters/{name}")[-1].histogram_value
        assert value.num == values.size and value.min == values.min() and value.max == values.max(), name
        assert math.isclose(value.sum, values.astype(np.float64).sum(), rel_tol=1e-6, abs_tol=1e-6), name
        inner = [min(max(limit, value.min), value.max) for limit in value.bucket_limit]
        for limit, below in zip(inner, np.cumsum(value.bucket)):
            assert below == values.size if limit == value.max else below == (values < limit).sum(), (name, limit)
    # A gradient's norm is a record's.
    for network in "DG":
        norm = math.sqrt(sum(events.Histograms(f"{network} gradients/{name}")[-1].histogram_value.sum_squares
                             for name in ("0.weight", "0.bias", "2.weight", "2.bias")))
        logged = events.Scalars(f"{network}/gradient_norm")[-1]
        assert logged.step == steps[-1] and math.isclose(norm, logged.value, rel_tol=1e-5), (network, norm, logged)


def served(folder):
    """What TensorBoard's server, whose reader is another one, tells its page: hyperparameters, the steps of a scalar."""
    server = program.TensorBoard()
    server.configure(argv=[None, "--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"])
    url = server.launch()
    ask = {"experimentName": "", "startIndex": 0, "sliceSize": 10, "colParams": [],
           "allowedStatuses": ["STATUS_SUCCESS", "STATUS_UNKNOWN", "STATUS_RUNNING", "STATUS_FAILURE"]}
    request = urllib.request.Request(f"{url}data/plugin/hparams/session_groups", json.dumps(ask).encode(),
                                     {"Content-Type": "application/json"})
    for _ in range(60):  # it reads the files meanwhile
        groups = json.load(urllib.request.urlopen(request))["sessionGroups"]
        losses = {}
        if len(groups) == 2:
            groups = {group["sessions"][0]["name"]: group for group in groups}
            for run in groups:
                scalars = f"{url}data/plugin/scalars/scalars?tag=D%2Floss&run={run.replace('/', '%2F')}"
                losses[run] = [step for _, step, _ in json.load(urllib.request.urlopen(scalars))]
            if sum(map(len, losses.values())) >= 14:
                return groups, losses
        time.sleep(1)
    sys.exit(f"TensorBoard shows {len(groups)} runs with hyperparameters, not 2, and steps {losses}")


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    live, late = FOLDER / "live", FOLDER / "late"
    ganymede("train", "--out", live, "--steps", 60, *SMALL, *LIVE)
    events = read(live / "tensorboard")
    print(f"live: {check_scalars(events, live)} records, {check_grids(events, live)} grids")
    check_histograms(events, live, [20, 40, 60])

    # As one that was killed behind its checkpoint: what was told of later steps is told anew.
    shutil.rmtree(live / "checkpoints" / "step-00000060")
    for network in ("generator", "discriminator"):
        (live / f"{network}.safetensors").unlink()
    ganymede("train", "--out", live, "--resume", "--steps", 80)
    events = read(live / "tensorboard")
    print(f"resumed: {check_scalars(events, live)} records, {check_grids(events, live)} grids")
    check_histograms(events, live, [20, 40, 60, 80])

    # A run whose first part was without, and the same run exported.
    ganymede("train", "--out", late, "--steps", 40, *SMALL)
    ganymede("export", late, "--format", "tensorboard", "--out", FOLDER / "exported")
    exported = read(FOLDER / "exported")
    print(f"exported: {check_scalars(exported, late)} records, {check_grids(exported, late)} grids")
    ganymede("train", "--out", late, "--resume", "--steps", 60, "--tensorboard")
    events = read(late / "tensorboard")
    print(f"late: {check_scalars(events, late)} records, {check_grids(events, late)} grids")

    shutil.rmtree(FOLDER / "exported")
    groups, losses = served(FOLDER)
    assert losses == {"live/tensorboard": list(range(10, 90, 10)), "late/tensorboard": list(range(10, 70, 10))}, losses
    for run in (live, late):
        group = groups[f"{run.name}/tensorboard"]
        hparams = group["hparams"]
        assert hparams["learning-rate"] == 3e-4 and hparams["model"] == "mlp", hparams
        assert hparams["spectral-norm"] is False and hparams["generator-hidden"] == 16, hparams
        assert group["sessions"][0]["status"] == "STATUS_SUCCESS", group
        metrics = {value["name"]["tag"] for value in group["metricValues"]}
        assert {"D/loss", "G/loss", "samples/diversity"} <= metrics, metrics
    print("hyperparameters: those of both runs, beside their last scalars")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: tensorboard_read.py PROGRAM FOLDER")
    PROGRAM, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
    main()
