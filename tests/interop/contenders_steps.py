#!/usr/bin/env python3
"""That what ganymede's speed is compared with does the same work: contenders_steps.py PROGRAM FOLDER, a scratch folder.

Each contender of tests/bench/peers, in PyTorch and in JAX, begins with ganymede's weights and is given its images and
its z; then its losses must be ganymede's, step by step. What a step's losses are hangs on all updates before it: on the
networks, the losses, the penalty, their gradients and Adam's constants. This does not hold what loses nothing by being
wrong: the compilers and CUDA's graphs, without which the contenders run here, and the moving average of G.
"""

import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import safetensors.numpy

sys.dont_write_bytecode = sys.pycache_prefix is None  # nothing into the source tree
TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "bench" / "peers"), str(TESTS / "fixtures")]  # a compare.py is in both
import compare  # noqa: E402
import contenders  # noqa: E402
import generate  # noqa: E402  (draws by a second implementation of the generator's definition)
from calls import call  # noqa: E402

RECIPES = ["gan-literal", "gan", "convolutions"]
KINDS = ["eager", "compile", "eager-graph", "compile-graph", "jax", "ddp"]
SAME_WITHOUT_COMPILER = {("convolutions", "compile"), ("convolutions", "compile-graph")}  # as the eager ones
DATA = TESTS.parent / "data" / "mnist-mini"
SEED, STEPS = 1, 10
TOLERANCE = 1e-4  # of a loss


def ganymedes(program, recipe, folder):
    """ganymede's losses, rows of D's and G's, and the weights of both networks, [weight, bias] of each layer, that it
    begins with: its own, and biases that are not zero. With those a layer that sees nothing but background stands at
    leaky ReLU's kink, where rounding chooses the slope."""
    options = [program, "train", *compare.recipe_options(recipe), "--data", DATA, "--seed", SEED, "--device", "cpu",
               "--log-every", 1, "--sample-every", 0, "--checkpoint-every", 0]
    call(*options, "--steps", 1, "--out", folder / "own")
    biases, networks, begun = np.random.default_rng(1), [], []
    for name in ("generator", "discriminator"):
        tensors = safetensors.numpy.load_file(folder / "own" / f"{name}.safetensors")
        for key in tensors:
            if key.endswith(".bias"):
                tensors[key] = biases.normal(0, 0.05, tensors[key].shape).astype(np.float32)
        begun.append(str(folder / f"{name}.safetensors"))
        safetensors.numpy.save_file(tensors, begun[-1])
        layers = sorted({int(key.split(".")[0]) for key in tensors})
        networks.append([[tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]] for layer in layers])
    call(*options, "--steps", STEPS, "--init-from", ",".join(begun), "--out", folder / "run")
    records = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return np.array([[r["d_loss"], r["g_loss"]] for r in records]), networks


class Draws:
    """What a contender draws, in the order in which it draws: z of D's step, of G's, of D's next, and so on; of those a
    rank's rows."""

    def __init__(self, rank=0, ranks=1):
        self.calls, self.rank, self.ranks = 0, rank, ranks

    def normal(self):
        step, of_g = divmod(self.calls, 2)
        self.calls += 1
        stream = (generate.NOISE_FOR_DISCRIMINATOR, generate.NOISE_FOR_GENERATOR)[of_g]
        z = generate.normal(SEED, stream, step * contenders.BATCH, contenders.BATCH, contenders.LATENT)
        return np.split(z.astype(np.float32), self.ranks)[self.rank]


def images_of_steps():
    """The training's images as they come: a set whose order is that of the steps."""
    real = contenders.images(DATA)
    return real[generate.chosen(SEED, len(real), 0, STEPS * contenders.BATCH)]


def torch_contender(kind, recipe, networks, draws):
    import torch

    def with_weights(of):
        def made(device):
            result = list(of(device))
            for network, layers in zip(result, networks):
                parameters = list(network.parameters())
                values = [value for layer in layers for value in layer]
                assert len(parameters) == len(values)
                with torch.no_grad():
                    for parameter, value in zip(parameters, values):
                        parameter.copy_(torch.from_numpy(value))
            return result
        return made

    def plainly(step, batches):
        def run():
            batches.before_step()
            step()
        return run

    contenders.torch_networks = with_weights(contenders.torch_networks)
    contenders.captured = plainly
    torch.set_default_dtype(torch.float32)  # the generator of fixtures wants double precision
    torch.compile = lambda function: function
    torch.randn = lambda *shape, device: torch.from_numpy(draws.normal())
    torch.randperm = lambda count, **how: torch.arange(count)
    compiled, graph = kind.startswith("compile"), kind.endswith("graph")
    common = ("", *compare.penalty_and_average(recipe), 1, "cpu")
    if compiled and not contenders.CONVOLUTIONS:
        return contenders.torch_compiled(*common, graph=graph)
    return contenders.torch_eager(*common, draws.rank, draws.ranks, graph=graph, compiled=compiled)


def jax_contender(recipe, networks, draws):
    import jax
    import jax.numpy as jnp

    drawn_networks = contenders.jax_networks(*jax.random.split(jax.random.key(0)))

    def layer(w, b, place, network):
        """PyTorch's as JAX has it: channels last."""
        if w.ndim == 2:
            if contenders.CONVOLUTIONS and (network, place) == (0, 0):
                w = w.reshape(128, 7, 7, -1).transpose(1, 2, 0, 3).reshape(6272, -1)
                b = b.reshape(128, 7, 7).transpose(1, 2, 0).reshape(-1)
            if contenders.CONVOLUTIONS and (network, place) == (1, 2):
                w = w.reshape(1, 128, 7, 7).transpose(0, 2, 3, 1).reshape(1, -1)
            return w.T, b
        if network == 0:  # [in][out][y][x] of a transposed convolution, whose filter is turned around
            return w[:, :, ::-1, ::-1].transpose(2, 3, 0, 1), b
        return w.transpose(2, 3, 1, 0), b

    given = [[tuple(map(jnp.asarray, layer(w, b, place, number))) for place, (w, b) in enumerate(network)]
             for number, network in enumerate(networks)]
    assert jax.tree.map(jnp.shape, drawn_networks[:2]) == tuple(jax.tree.map(jnp.shape, given))
    contenders.jax_networks = lambda k_g, k_d: (*given, *drawn_networks[2:])
    # A key is the number of what is drawn with it; a step's that of the step.
    drawn = jnp.stack([draws.normal() for _ in range(2 * STEPS)])
    jax.random.key = lambda seed: jnp.int32(0)
    jax.random.split = lambda key, count: (key + 1, 2 * key, 2 * key + 1, key)
    jax.random.normal = lambda key, shape: drawn[key]
    jax.random.permutation = lambda key, count: jnp.arange(count)
    return contenders.jax_jit("", *compare.penalty_and_average(recipe), "cpu")


def losses_of(kind, recipe, networks, draws):
    run = (jax_contender(recipe, networks, draws) if kind == "jax"
           else torch_contender(kind, recipe, networks, draws))
    return np.array([run(1) for _ in range(STEPS)])


def child(folder, kind, recipe, rank, ranks):
    """One contender in a process of its own, with libraries of its own to change."""
    contenders.CONVOLUTIONS = recipe == "convolutions"
    contenders.BATCH = 128 if contenders.CONVOLUTIONS else contenders.BATCH
    images = images_of_steps()
    contenders.images = lambda folder: images
    given = safetensors.numpy.load_file(folder / "networks")
    networks = [[[given[f"{n}.{i}.{part}"] for part in "wb"] for i in range(len(given) // 4)] for n in (0, 1)]
    np.save(folder / f"{kind}-{rank}.npy", losses_of(kind, recipe, networks, Draws(rank, ranks)))


def contenders_losses(folder, kind, recipe):
    ranks = 2 if kind == "ddp" else 1
    # To read PyTorch's sources takes longer than the steps.
    environment = dict(os.environ, OMP_NUM_THREADS="1", JAX_PLATFORMS="cpu", MASTER_ADDR="127.0.0.1",
                       PYTHONWARNINGS="ignore", PYTHONPYCACHEPREFIX=str(folder.parent / "bytecode"))
    with socket.socket() as s:  # a port that is free now
        s.bind(("127.0.0.1", 0))
        environment["MASTER_PORT"] = str(s.getsockname()[1])
    started = [subprocess.Popen([sys.executable, __file__, "--child", folder, kind, recipe, str(rank), str(ranks)],
                                env=environment) for rank in range(ranks)]
    if any([process.wait() != 0 for process in started]):
        raise RuntimeError(f"{recipe}, {kind}: did not run")
    return np.mean([np.load(folder / f"{kind}-{rank}.npy") for rank in range(ranks)], axis=0)


def main():
    if sys.argv[1] == "--child":
        folder, kind, recipe, rank, ranks = sys.argv[2:]
        return child(pathlib.Path(folder), kind, recipe, int(rank), int(ranks))
    program, scratch = map(pathlib.Path, sys.argv[1:3])
    wrong = 0
    for recipe in RECIPES:
        folder = scratch / recipe
        call("rm", "-rf", folder)
        folder.mkdir(parents=True)
        losses, networks = ganymedes(program, recipe, folder)
        safetensors.numpy.save_file({f"{n}.{i}.{part}": np.ascontiguousarray(value)
                                     for n, layers in enumerate(networks) for i, layer in enumerate(layers)
                                     for part, value in zip("wb", layer)}, folder / "networks")
        kinds = [kind for kind in KINDS if (recipe, kind) not in SAME_WITHOUT_COMPILER]
        with concurrent.futures.ThreadPoolExecutor(2) as two:
            all_losses = [*two.map(lambda kind: contenders_losses(folder, kind, recipe), kinds)]
        for kind, found in zip(kinds, all_losses):
            apart = np.abs(found - losses)
            print(f"{recipe}, {kind}: losses of {STEPS} steps differ by at most {apart.max():.1e}", flush=True)
            if not apart.max() <= TOLERANCE:
                wrong += 1
                print(f"  step by step, D's and G's:\n{apart}")
    if wrong:
        sys.exit(f"{wrong} do not train as ganymede does")


if __name__ == "__main__":
    main()
