#!/usr/bin/env python3
"""Weights between ganymede and PyTorch: safetensors_load.py PROGRAM FOLDER, a scratch folder.

A short training's weights load into the matching torch.nn.Sequential by name and shape, and its generator then
draws what `ganymede sample` draws from the same z. A file that the safetensors package wrote is read by ganymede.
"""

import pathlib
import shutil
import struct
import subprocess
import sys
import zlib

import numpy as np
import safetensors
import safetensors.torch
import torch

sys.dont_write_bytecode = True  # nothing into the source tree
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fixtures"))
import generate  # noqa: E402  (z by a second implementation of the generator's definition)

NOISE_FOR_SAMPLES = 7
ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "leaky-relu": lambda: torch.nn.LeakyReLU(0.2)}


def ganymede(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"ganymede {' '.join(map(str, arguments))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def grey_png(path):
    """The pixels of a PNG of one byte a pixel."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is no PNG"
    at, packed = 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            assert (depth, colour) == (8, 0), f"{path} has {depth} bits of colour type {colour}"
        elif kind == b"IDAT":
            packed += body
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any(), f"{path} has filtered rows"
    return rows[:, 1:]


def grid(pixels, count, side):
    """The images [count, side, side] of a square grid with one pixel between them."""
    columns = int(np.ceil(np.sqrt(count)))
    step = side + 1
    return np.stack([pixels[i // columns * step :, i % columns * step :][:side, :side] for i in range(count)])


def sequential(widths, activation, last):
    modules = []
    for i in range(len(widths) - 1):
        modules.append(torch.nn.Linear(widths[i], widths[i + 1]))
        if i + 2 < len(widths):
            modules.append(ACTIVATIONS[activation]())
    return torch.nn.Sequential(*modules, *last)


def check(name, latent, hidden, activation, options):
    print(f"{name}: ", end="")
    run = FOLDER / name
    widths = ",".join(map(str, hidden))
    ganymede("train", "--data", "mnist-mini", "--steps", 30, "--out", run, "--latent", latent, "--generator-hidden",
             widths, "--discriminator-hidden", widths, "--generator-activation", activation,
             "--discriminator-activation", activation, "--learning-rate", 0.005, *options)

    g = sequential([latent, *hidden, 784], activation, [torch.nn.Sigmoid()]).float()
    d = sequential([784, *hidden, 1], activation, []).float()
    g_state = safetensors.torch.load_file(run / "generator.safetensors")
    g.load_state_dict(g_state, strict=True)
    d.load_state_dict(safetensors.torch.load_file(run / "discriminator.safetensors"), strict=True)
    with safetensors.safe_open(run / "generator.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt" and metadata["steps"] == "30", metadata

    seed, count = 2**40 + 7, 20
    ganymede("sample", run, "--count", count, "--seed", seed, "--out", FOLDER / f"{name}.png")
    drawn = grid(grey_png(FOLDER / f"{name}.png"), count, 28)
    z = torch.tensor(generate.normal(seed, NOISE_FOR_SAMPLES, 0, count, latent), dtype=torch.float32)
    with torch.no_grad():
        expected = (g(z) * 255).numpy().reshape(count, 28, 28)
    # Half a grey level of rounding, and a hundredth for single precision.
    error = np.abs(drawn.astype(np.float64) - expected).max()
    assert error < 0.51, f"pixels differ by up to {error} of 255"
    assert expected.std() > 1, "an even grey proves nothing"

    # What PyTorch's side writes, in the package's own order of tensors.
    theirs = FOLDER / f"{name}-from-pytorch.safetensors"
    safetensors.torch.save_file(g.state_dict(), theirs, metadata=metadata)
    ganymede("sample", theirs, "--count", count, "--seed", seed, "--out", FOLDER / f"{name}-from-pytorch.png")
    again = grid(grey_png(FOLDER / f"{name}-from-pytorch.png"), count, 28)
    assert (again == drawn).all(), "the same weights from the safetensors package draw other pictures"
    print(f"loaded, pixels within {error:.3f} of 255, read back")


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    check("default", 100, [128, 128], "relu", [])
    check("literal", 100, [128, 128], "relu", ["--recipe", "gan-literal"])
    # Enough modules for two-digit names, which sort otherwise than they count.
    check("deep", 10, [24, 20, 16, 20, 24], "leaky-relu", ["--r1", 0, "--ema", 0])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: safetensors_load.py PROGRAM FOLDER")
    PROGRAM, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
    main()
