#!/usr/bin/env python3
"""Exported networks in ONNX Runtime: onnx_run.py PROGRAM NETWORK_OUTPUTS FOLDER, a scratch folder.

Of every family, with and without classes, normalisation and several channels, both networks give to 1e-5 what they
give here, for one row and for many.
"""

import pathlib
import shutil
import sys

import numpy as np
import onnxruntime

sys.dont_write_bytecode = True  # nothing into the source tree
from calls import call, outputs  # noqa: E402

SMALL = "--recipe dcgan --channels 4,8 --fully-connected 16"
TRAININGS = {
    "mlp": "--steps 60",
    "mlp-classes": "--steps 60 --condition concat --generator-norm batch",
    "mlp-projection": "--steps 60 --condition projection --spectral-norm --dropout 0.2",
    "mlp-stacked": "--steps 60 --stack 3",
    "dcgan": f"{SMALL} --steps 30",
    "dcgan-plain": f"{SMALL} --condition none --steps 30 --ema 0.9",
    "dcgan-odd": f"{SMALL} --kernel 4 --steps 10 --discriminator-norm none --spectral-norm --stack 2 --condition none",
    "dcgan-no-units": "--recipe dcgan --channels 4,8 --fully-connected 0 --condition projection --steps 10",
    "modern": "--recipe modern --channels 4,8 --steps 20",
    "modern-classes": "--recipe modern --channels 4,8,8 --kernel 5 --steps 20 --condition projection --stack 1",
    "modern-stacked": "--recipe modern --channels 4,8 --steps 20 --stack 3",
}


def check(name):
    run = FOLDER / name
    call(PROGRAM, "train", "--data", "mnist-mini", "--out", run, *TRAININGS[name].split())
    worst = 0
    for network in ("generator", "discriminator"):
        model = FOLDER / f"{name}-{network}.onnx"
        call(PROGRAM, "export", run, "--format", "onnx", "--network", network, "--out", model)
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        declared = {entry.name: entry for entry in session.get_inputs()}
        properties = session.get_modelmeta().custom_metadata_map
        assert properties["network"] == network and "learning-rate" in properties, properties
        first = declared["z" if network == "generator" else "images"]
        assert first.shape[0] == "batch", first.shape
        draw = np.random.default_rng(3)
        for rows in (1, 17):
            shape = (rows, *first.shape[1:])
            # Images as they are: between 0 and 1.
            values = draw.normal(size=shape) if network == "generator" else draw.uniform(size=shape)
            feed = {first.name: values.astype(np.float32)}
            classes = draw.integers(0, 10, rows)
            if "class" in declared:
                feed["class"] = classes
            (theirs,) = session.run(None, feed)
            if network == "generator":
                assert theirs.shape[0] == rows and theirs.shape[2:] == (28, 28), theirs.shape
            else:
                assert theirs.shape == (rows,), theirs.shape
            expected = outputs(NETWORK_OUTPUTS, run, network, feed[first.name], classes, FOLDER)
            assert expected.size == theirs.size
            assert rows == 1 or expected.std() > 1e-4, "an even output proves nothing"
            worst = max(worst, np.abs(expected - theirs.ravel()).max())
    assert ("class" in declared) == (any(word in name for word in ("classes", "projection", "no-units")) or name == "dcgan")
    assert worst < 1e-5, f"{name}: ONNX Runtime's outputs differ by up to {worst}"
    print(f"{name}: outputs within {worst:.1e}")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: onnx_run.py PROGRAM NETWORK_OUTPUTS FOLDER")
    PROGRAM, NETWORK_OUTPUTS, FOLDER = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for one in TRAININGS:
        check(one)
