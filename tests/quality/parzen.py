"""Scores a trained MLP generator by the protocol of 2014, independently of Ganymede's own code.

usage: parzen.py MNIST_FOLDER GENERATOR.safetensors...      (needs numpy and safetensors)

Parzen-window log-likelihood (Goodfellow et al. 2014, the authors' script): 10 000 samples; sigma from
logspace(-1, 0, 10) by the first 1 000 images of train[50000:60000]; mean and standard error, in nats, over the
10 000 test images. Beside it the class of each of 1 000 samples by its nearest training image (pixel Euclidean):
how many classes hold at least 2 %, and the smallest share.
"""
import gzip
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file


def idx(folder, name):
    path = pathlib.Path(folder) / name
    data = gzip.open(f"{path}.gz").read() if not path.exists() else path.read_bytes()
    rank = data[3]
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(rank)]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def generate(weights, z):
    modules = sorted({int(name.split(".")[0]) for name in weights})
    h = z
    for module in modules:
        h = h @ weights[f"{module}.weight"].T + weights[f"{module}.bias"]
        h = 0.5 + 0.5 * np.tanh(0.5 * h) if module == modules[-1] else np.maximum(h, 0)  # sigmoid, ReLU
    return h.astype(np.float32)


def squared_distances(a, b):
    return np.maximum((a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T, 0)


def log_likelihoods(images, samples, sigma):
    result = []
    for at in range(0, len(images), 500):
        e = -squared_distances(images[at : at + 500], samples) / (2 * sigma**2)
        top = e.max(1)
        result.append(top + np.log(np.exp(e - top[:, None]).mean(1)))
    return np.concatenate(result) - images.shape[1] * np.log(sigma * np.sqrt(2 * np.pi))


class Judge:
    """Holds the full MNIST of a folder and scores files of weights against it."""

    def __init__(self, folder):
        self.train = idx(folder, "train-images-idx3-ubyte").reshape(-1, 784).astype(np.float32) / 255
        self.labels = idx(folder, "train-labels-idx1-ubyte")
        self.test = idx(folder, "t10k-images-idx3-ubyte").reshape(-1, 784).astype(np.float32) / 255

    def score(self, file):
        weights = load_file(file)
        z = np.random.default_rng(0).standard_normal((10000, weights["0.weight"].shape[1])).astype(np.float32)
        samples = generate(weights, z)
        sigma = max(np.logspace(-1, 0, 10), key=lambda s: log_likelihoods(self.train[50000:51000], samples, s).mean())
        scores = log_likelihoods(self.test, samples, sigma)
        nearest = [squared_distances(samples[i : i + 100], self.train).argmin(1) for i in range(0, 1000, 100)]
        share = np.bincount(self.labels[np.concatenate(nearest)], minlength=10) / 1000
        return {
            "parzen": float(scores.mean()),
            "error": float(scores.std() / np.sqrt(len(scores))),
            "sigma": float(sigma),
            "classes": int((share >= 0.02).sum()),
            "smallest_share": float(share.min()),
        }


def main():
    folder, *files = sys.argv[1:]
    judge = Judge(folder)
    print("| weights | Parzen, nats | sigma | classes of at least 2 % | smallest share |\n|---|---|---|---|---|")
    for file in files:
        s = judge.score(file)
        print(f"| {file} | {s['parzen']:.1f} ± {s['error']:.1f} | {s['sigma']:.3f} "
              f"| {s['classes']} | {s['smallest_share']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
