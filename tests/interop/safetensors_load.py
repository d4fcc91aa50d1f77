#!/usr/bin/env python3
"""Weights between ganymede and PyTorch: safetensors_load.py PROGRAM NETWORK_OUTPUTS FOLDER, a scratch folder.

A short training's weights load into the matching torch.nn.Sequential by name and shape, and its generator then
draws what `ganymede sample` draws from the same z; of every family, with and without classes, both networks give what
they give here. A file that the safetensors package wrote is read by ganymede, and a
training starts from PyTorch's weights. For the recipe dcgan the network is the one that README.md shows.
"""

import json
import pathlib
import shutil
import struct
import sys
import zlib

import numpy as np
import safetensors
import safetensors.torch
import torch

sys.dont_write_bytecode = True  # nothing into the source tree
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fixtures"))
import generate  # noqa: E402  (z by a second implementation of the generator's definition; networks of its own)
from calls import call, outputs  # noqa: E402

NOISE_FOR_SAMPLES = 7
ACTIVATIONS = {"relu": torch.nn.ReLU, "tanh": torch.nn.Tanh, "leaky-relu": lambda: torch.nn.LeakyReLU(0.2)}


def ganymede(*arguments):
    call(PROGRAM, *arguments)


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


def grid(pixels, count, side, classes):
    """The images [count, side, side] of a grid with one pixel between them: a square, or a column for each class."""
    columns = classes or int(np.ceil(np.sqrt(count)))
    step = side + 1
    return np.stack([pixels[i // columns * step :, i % columns * step :][:side, :side] for i in range(count)])


def sequential(widths, activation, last):
    modules = []
    for i in range(len(widths) - 1):
        modules.append(torch.nn.Linear(widths[i], widths[i + 1]))
        if i + 2 < len(widths):
            modules.append(ACTIVATIONS[activation]())
    return torch.nn.Sequential(*modules, *last)


def train(name, *options):
    run = FOLDER / name
    ganymede("train", "--data", "mnist-mini", "--out", run, *options)
    return run


def load(network, file):
    network.load_state_dict(safetensors.torch.load_file(file), strict=True)


def check(name, run, g, latent, steps, classes=0, noise=generate.normal):
    """Our pictures are those of g, which holds the weights of the run; the classes take turns."""
    print(f"{name}: ", end="")
    with safetensors.safe_open(run / "generator.safetensors", "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt" and metadata["steps"] == str(steps), metadata

    seed, count = 2**40 + 7, 20
    ganymede("sample", run, "--count", count, "--seed", seed, "--out", FOLDER / f"{name}.png")
    drawn = grid(grey_png(FOLDER / f"{name}.png"), count, 28, classes)
    z = torch.tensor(noise(seed, NOISE_FOR_SAMPLES, 0, count, latent), dtype=torch.float32)
    with torch.no_grad():
        expected = ((g(z, torch.arange(count) % classes) if classes else g(z)) * 255).numpy().reshape(count, 28, 28)
    # Half a grey level of rounding, and a hundredth for single precision.
    error = np.abs(drawn.astype(np.float64) - expected).max()
    assert error < 0.51, f"pixels differ by up to {error} of 255"
    assert expected.std() > 1, "an even grey proves nothing"

    # What PyTorch's side writes, in the package's own order of tensors.
    theirs = FOLDER / f"{name}-from-pytorch.safetensors"
    safetensors.torch.save_file(g.state_dict(), theirs, metadata=metadata)
    ganymede("sample", theirs, "--count", count, "--seed", seed, "--out", FOLDER / f"{name}-from-pytorch.png")
    again = grid(grey_png(FOLDER / f"{name}-from-pytorch.png"), count, 28, classes)
    assert (again == drawn).all(), "the same weights from the safetensors package draw other pictures"
    print(f"loaded, pixels within {error:.3f} of 255, read back")


def check_mlp(name, latent, hidden, activation, options):
    widths = ",".join(map(str, hidden))
    run = train(name, "--steps", 30, "--latent", latent, "--generator-hidden", widths, "--discriminator-hidden", widths,
                "--generator-activation", activation, "--discriminator-activation", activation, "--learning-rate",
                0.005, *options)
    g = sequential([latent, *hidden, 784], activation, [torch.nn.Sigmoid()]).float()
    load(g, run / "generator.safetensors")
    d = sequential([784, *hidden, 1], activation, []).float()
    load(d, run / "discriminator.safetensors")
    check(name, run, g, latent, 30)
    return run, {"generator": g, "discriminator": d}


def check_checkpoint(run, networks):
    """The safetensors package opens every file of a checkpoint, which are those of its manifest; its tensors have the
    names and shapes of the networks' in PyTorch, the optimisers' those of Adam's two moments of each."""
    (folder,) = (run / "checkpoints").iterdir()
    manifest = json.loads((folder / "manifest.json").read_text())
    expected = {}
    for role, network in networks.items():
        shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
        expected[f"{role}.safetensors"] = shapes
        expected[f"{role}-optimizer.safetensors"] = {f"{moment}.{name}": shape for moment in "mv"
                                                     for name, shape in shapes.items()}
    expected["generator-average.safetensors"] = expected["generator.safetensors"]
    assert manifest["files"].keys() == expected.keys(), manifest["files"]
    for name, shapes in expected.items():
        assert (folder / name).stat().st_size == manifest["files"][name]["bytes"], name
        with safetensors.safe_open(folder / name, "pt") as file:
            found = {key: list(file.get_tensor(key).shape) for key in file.keys()}
        assert found == shapes, f"{name} holds {found}, not {shapes}"
    print(f"{run.name}: all {len(expected)} files of its checkpoint opened")


def check_dcgan():
    readme = (pathlib.Path(__file__).resolve().parents[2] / "README.md").read_text()
    (shown,) = [block for block in readme.split("```")[1::2] if "ConvTranspose2d" in block]
    network = shown.removeprefix("python\n").split("g.load_state_dict")[0]
    names = {"nn": torch.nn, "torch": torch}
    exec(network, names)
    g = names["g"].float()
    run = train("dcgan", "--recipe", "dcgan", "--steps", 4)
    load(g, run / "generator.safetensors")
    nn = torch.nn

    def discriminator(more):
        return nn.Sequential(nn.Conv2d(1 + more, 64, 5, 2, 2), nn.LeakyReLU(0.2),
                             nn.Conv2d(64 + more, 128, 5, 2, 2, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
                             nn.Flatten(), nn.Linear(6272 + more, 1024, bias=False), nn.BatchNorm1d(1024),
                             nn.LeakyReLU(0.2), nn.Linear(1024 + more, 1)).float()

    load(discriminator(10), run / "discriminator.safetensors")
    check("dcgan", run, g, 100, 4, 10, generate.uniform)
    run = train("dcgan-none", "--recipe", "dcgan", "--condition", "none", "--steps", 4)
    load(discriminator(0), run / "discriminator.safetensors")


CONVOLUTIONS = "--channels 4,8"
FAMILIES = {
    "mlp-plain": "--steps 60",
    "mlp-concat": "--steps 60 --condition concat",
    "mlp-projection": "--steps 60 --condition projection --discriminator-hidden 32,16",
    "dcgan-plain": f"--recipe dcgan {CONVOLUTIONS} --fully-connected 16 --condition none --steps 20 --ema 0.9",
    "dcgan-concat": f"--recipe dcgan {CONVOLUTIONS} --fully-connected 0 --kernel 4 --steps 20",
    "dcgan-projection": f"--recipe dcgan {CONVOLUTIONS} --fully-connected 16 --condition projection --steps 20",
    "modern-plain": f"--recipe modern {CONVOLUTIONS} --steps 20",
    "modern-concat": f"--recipe modern {CONVOLUTIONS} --condition concat --generator-norm batch --steps 20",
    "modern-projection": f"--recipe modern {CONVOLUTIONS} --condition projection --blocks 2 --steps 20",
}


def check_family(name):
    run = train(name, *FAMILIES[name].split())
    options = generate.options_of(run / "config.ini") | (dict() if name.endswith("plain") else dict(classes=10))
    _, _, *networks = generate.networks(options, 28)
    rng = np.random.default_rng(4)
    rows, worst = 17, 0
    for role, network, shape in zip(("generator", "discriminator"), networks, ((options["latent"],), (1, 28, 28))):
        load(network, run / f"{role}.safetensors")
        x = rng.normal(size=(rows, *shape)) if role == "generator" else rng.uniform(size=(rows, *shape))
        if options["model"] == "mlp":
            x = x.reshape(rows, -1)
        classes = rng.integers(0, 10, rows)
        with torch.no_grad():
            # In double precision: rounding is ours alone.
            expected = network.double().eval()(torch.tensor(np.float32(x)).double(), torch.tensor(classes)).numpy().ravel()
        assert expected.std() > 1e-4, "an even output proves nothing"
        found = outputs(NETWORK_OUTPUTS, run, role, x, classes, FOLDER)
        worst = max(worst, np.abs(found - expected).max())
    assert worst < 1e-5, f"{name}: PyTorch's outputs differ by up to {worst}"
    print(f"{name}: both networks loaded, outputs within {worst:.1e}")


def check_regularised():
    """D's weights under spectral normalisation and dropout load into PyTorch's modules of these names, which then work
    with W over (nearly) its largest singular value. (That they judge as ours do is for the fixture `networks` to say.)"""
    nn, parametrized = torch.nn, torch.nn.utils.parametrizations.spectral_norm
    run = train("regularised-mlp", "--steps", 60, "--spectral-norm", "--dropout", 0.3, "--input-dropout", 0.2)
    d = nn.Sequential(nn.Dropout(0.2), parametrized(nn.Linear(784, 128)), nn.ReLU(), nn.Dropout(0.3),
                      parametrized(nn.Linear(128, 128)), nn.ReLU(), nn.Dropout(0.3), parametrized(nn.Linear(128, 1)))
    check_sigmas(run, d.float().eval(), [1, 4, 7])
    run = train("regularised-dcgan", "--recipe", "dcgan", "--condition", "none", "--channels", "4,8",
                "--fully-connected", 16, "--discriminator-norm", "none", "--steps", 20, "--spectral-norm",
                "--dropout", 0.3)
    d = nn.Sequential(parametrized(nn.Conv2d(1, 4, 5, 2, 2)), nn.LeakyReLU(0.2), nn.Dropout(0.3),
                      parametrized(nn.Conv2d(4, 8, 5, 2, 2)), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Flatten(),
                      parametrized(nn.Linear(392, 16)), nn.LeakyReLU(0.2), nn.Dropout(0.3), parametrized(nn.Linear(16, 1)))
    check_sigmas(run, d.float().eval(), [0, 3, 7, 10])


def check_sigmas(run, d, numbers):
    load(d, run / "discriminator.safetensors")
    worst = 0
    for number in numbers:
        # What the module works with is W/(uᵀWv): u and v are in W's order if that is W over its largest singular value.
        (norm,) = d[number].parametrizations.weight
        stored = d[number].parametrizations.weight.original.detach().flatten(1)
        sigma = norm._u @ stored @ norm._v
        largest = torch.linalg.svdvals(stored.double())[0]
        worst = max(worst, abs(sigma / largest - 1).item())
        assert abs(norm._u.norm() - 1) < 1e-5 and abs(norm._v.norm() - 1) < 1e-5
        torch.testing.assert_close(d[number].weight.detach().flatten(1), stored / sigma)
    # Singular values that are close take many steps to tell apart; in another order u and v would miss nearly all of it.
    assert worst < 0.1, f"a weight's largest singular value is missed by {worst:.1%}"
    print(f"{run.name}: loaded, sigma within {worst:.2%} of the largest singular value")


def check_init_from():
    """A training starts from what PyTorch has saved: with a learning rate of 0 it ends in the same weights."""
    nn, parametrized = torch.nn, torch.nn.utils.parametrizations.spectral_norm
    torch.manual_seed(3)
    mlp = [nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 784), nn.Sigmoid()),
           nn.Sequential(parametrized(nn.Linear(784, 24)), nn.ReLU(), parametrized(nn.Linear(24, 1)))]
    dcgan = [nn.Sequential(nn.Linear(20, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(),
                           nn.Linear(16, 392, bias=False), nn.BatchNorm1d(392), nn.ReLU(), nn.Unflatten(1, (8, 7, 7)),
                           nn.ConvTranspose2d(8, 4, 5, 2, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
                           nn.ConvTranspose2d(4, 1, 5, 2, 2, 1), nn.Sigmoid()),
             nn.Sequential(nn.Conv2d(1, 4, 5, 2, 2), nn.LeakyReLU(0.2), nn.Conv2d(4, 8, 5, 2, 2, bias=False),
                           nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(392, 16, bias=False),
                           nn.BatchNorm1d(16), nn.LeakyReLU(0.2), nn.Linear(16, 1))]
    for name, networks, options in (
            ("mlp", mlp, "--generator-hidden 32 --discriminator-hidden 24 --spectral-norm"),
            ("dcgan", dcgan, "--recipe dcgan --condition none --channels 4,8 --fully-connected 16 --weight-decay 0")):
        files = [FOLDER / f"{name}-{role}-to-start-from.safetensors" for role in ("g", "d")]
        for network, file in zip(networks, files):
            safetensors.torch.save_file(network.float().state_dict(), file)
        run = train(f"started-{name}", "--steps", 1, "--latent", 20, "--learning-rate", 0, "--init-from",
                    ",".join(map(str, files)), *options.split())
        for network, role in zip(networks, ("generator", "discriminator")):
            started = safetensors.torch.load_file(run / f"{role}.safetensors")
            # What a step changes without an update.
            fixed = {key: value for key, value in network.state_dict().items()
                     if not key.endswith(("running_mean", "running_var", "num_batches_tracked", "._u", "._v"))}
            assert len(fixed) > 3 and fixed.keys() <= started.keys(), (fixed.keys(), started.keys())
            for key, value in fixed.items():
                assert torch.equal(started[key], value), f"{name}, {role}: {key} is not PyTorch's"
        print(f"{name}: started from PyTorch's weights of both networks")


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    check_checkpoint(*check_mlp("default", 100, [128, 128], "relu", []))
    check_mlp("literal", 100, [128, 128], "relu", ["--recipe", "gan-literal"])
    # Enough modules for two-digit names, which sort otherwise than they count.
    check_mlp("deep", 10, [24, 20, 16, 20, 24], "leaky-relu", ["--r1", 0, "--ema", 0])
    check_dcgan()
    for name in FAMILIES:
        check_family(name)
    check_regularised()
    check_init_from()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: safetensors_load.py PROGRAM NETWORK_OUTPUTS FOLDER")
    PROGRAM, NETWORK_OUTPUTS, FOLDER = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    main()
