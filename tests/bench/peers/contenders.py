"""The same training step in PyTorch and in JAX: contenders.py KIND …, one process, driven by compare.py.

The step is ganymede's: batch 100, G 100-128-128-784, D 784-128-128-1 (or, with the recipe "convolutions", batch 128 and
two convolutions of 4 x 4 and stride 2, 1-64-128, in D, and as many transposed in G, channels last), D's update on real
above fake as one batch, G's with a fresh z through the new D without D's weight gradients, Adam; images gathered from
bytes by a shuffle per epoch, random numbers drawn, losses and D's accuracies summed. Each library does it the fast way
that its manual gives; on a GPU the images lie in its memory, and float32 is float32 (TF32 is off). When it has compiled
and warmed up it says "ready PARAMETERS VERSION"; or "absent REASON" where the library is not there, or sees no GPU. Then
every line on standard input, "STEPS", runs so many steps; the answer is a line "SECONDS D-LOSS G-LOSS", when the device
is done with them.
"""

import gzip
import os
import pathlib
import sys
import time

BATCH, LATENT, HIDDEN, PIXELS = 100, 100, 128, 784
CONVOLUTIONS = False
RATE, BETA1, BETA2, EPSILON = 2e-4, 0.5, 0.999, 1e-8


def images(folder):
    import numpy as np

    with gzip.open(pathlib.Path(folder) / "train-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, PIXELS).copy()


def absent(reason):
    print("absent", reason, flush=True)
    sys.exit(0)


def serve(run, version):
    """run(steps) -> (mean loss of D, of G), complete when it returns; run.parameters: of both networks together."""
    print("ready", run.parameters, version, flush=True)
    for line in sys.stdin:
        begin = time.perf_counter()
        losses = run(int(line))
        print(time.perf_counter() - begin, *losses, flush=True)


# --- PyTorch ------------------------------------------------------------------------------------------------------


class Batches:
    """A shuffle per epoch, without a gap between epochs; [rows] of it for this rank."""

    def __init__(self, data, device, rank=0, ranks=1):
        import torch

        self.data, self.generator = torch.from_numpy(data).to(device), torch.Generator(device).manual_seed(1)
        self.order, self.at = torch.empty(0, dtype=torch.int64, device=device), 0
        self.rank, self.rows = rank, BATCH // ranks

    def next(self):
        import torch

        if self.at + BATCH > len(self.order):
            fresh = torch.randperm(len(self.data), generator=self.generator, device=self.data.device)
            self.order, self.at = torch.cat([self.order[self.at :], fresh]), 0
        mine = self.order[self.at + self.rank * self.rows :][: self.rows]
        self.at += BATCH
        return self.data[mine].float() / 255


class GraphBatches:
    """The same for a step that a CUDA graph replays: which rows come next is told by a counter on the device. The last
    images of an epoch that fill no batch are left out."""

    def __init__(self, data, device):
        import torch

        self.data, self.epoch = torch.from_numpy(data).to(device), len(data) // BATCH
        self.order = torch.randperm(len(data), device=device)
        self.rows, self.done = torch.arange(BATCH, device=device), 0

    def next(self):
        real = self.data[self.order[self.rows]].float() / 255
        self.rows += BATCH
        return real

    def before_step(self):
        import torch

        if self.done == self.epoch:
            self.order.copy_(torch.randperm(len(self.data), device=self.data.device))
            self.rows -= self.epoch * BATCH
            self.done = 0
        self.done += 1


def captured(step, batches):
    """step() as a CUDA graph, recorded after a warm-up on a side stream, as PyTorch's manual has it."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(11):
            batches.before_step()
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay():
        batches.before_step()
        graph.replay()

    return replay


def torch_networks(device):
    import torch
    from torch import nn

    torch.manual_seed(1)
    if CONVOLUTIONS:
        g = nn.Sequential(nn.Linear(LATENT, 6272), nn.ReLU(), nn.Unflatten(1, (128, 7, 7)),
                          nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(64, 1, 4, 2, 1),
                          nn.Sigmoid(), nn.Flatten())
        d = nn.Sequential(nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 64, 4, 2, 1), nn.LeakyReLU(0.2),
                          nn.Conv2d(64, 128, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(6272, 1))
        return (network.to(device, memory_format=torch.channels_last) for network in (g, d))
    g = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
                      nn.Linear(HIDDEN, PIXELS), nn.Sigmoid())
    d = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
    for network in (g, d):
        for layer in network:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
    return g.to(device), d.to(device)


def torch_eager(folder, gamma, ema, threads, device, rank=0, ranks=1, graph=False, compiled=False):
    """Autograd and the fused Adam; over several ranks DistributedDataParallel on gloo; the networks and their losses
    compiled by inductor; the step as a CUDA graph."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    torch.set_num_threads(threads)
    g, d = torch_networks(device)
    batches = GraphBatches(images(folder), device) if graph else Batches(images(folder), device, rank, ranks)
    torch.manual_seed(100 + rank)
    rows = BATCH // ranks
    target = torch.cat([torch.ones(rows, 1), torch.zeros(rows, 1)]).to(device)
    ones = torch.ones(rows, 1, device=device)

    class DLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.d = d

        def forward(self, x):
            # Mean over pairs of the sum of both sides: twice the mean over rows.
            if gamma > 0:
                x = x.requires_grad_()
            logits = self.d(x)
            loss = 2 * F.binary_cross_entropy_with_logits(logits, target)
            total = loss
            if gamma > 0:
                (slope,) = torch.autograd.grad(logits[:rows].sum(), x, create_graph=True)
                total = loss + gamma / 2 * slope[:rows].square().sum(1).mean()
            return total, loss.detach(), logits.detach()

    class GLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.g = g

        def forward(self, z):
            return F.binary_cross_entropy_with_logits(d(self.g(z)), ones)

    d_loss, g_loss = DLoss(), GLoss()
    if compiled:
        d_loss, g_loss = torch.compile(d_loss), torch.compile(g_loss)
    if ranks > 1:
        torch.distributed.init_process_group("gloo", rank=rank, world_size=ranks)
        # D is no part of G's module, so its gradients are not reduced there.
        d_loss = nn.parallel.DistributedDataParallel(d_loss, gradient_as_bucket_view=True)
        object.__setattr__(g_loss, "d", d)
        g_loss = nn.parallel.DistributedDataParallel(g_loss, gradient_as_bucket_view=True)
    adam = dict(lr=RATE, betas=(BETA1, BETA2), eps=EPSILON, fused=True, capturable=graph)
    d_adam, g_adam = torch.optim.Adam(d.parameters(), **adam), torch.optim.Adam(g.parameters(), **adam)
    average = [p.detach().clone() for p in g.parameters()]
    d_parameters = list(d.parameters())

    sums = torch.zeros(4, device=device)

    def step():
        real = batches.next()
        with torch.no_grad():
            x = torch.cat([real, g(torch.randn(rows, LATENT, device=device))])
        total, loss, logits = d_loss(x)
        d_adam.zero_grad(set_to_none=ranks == 1)
        total.backward()
        d_adam.step()

        for p in d_parameters:
            p.requires_grad_(False)
        generator = g_loss(torch.randn(rows, LATENT, device=device))
        g_adam.zero_grad(set_to_none=ranks == 1)
        generator.backward()
        g_adam.step()
        for p in d_parameters:
            p.requires_grad_(True)
        if ema > 0:
            with torch.no_grad():
                torch._foreach_lerp_(average, list(g.parameters()), 1 - ema)
        sums.add_(torch.stack([loss, generator.detach(), (logits[:rows] > 0).float().mean(),
                               (logits[rows:] < 0).float().mean()]))

    one = captured(step, batches) if graph else step

    def run(steps):
        sums.zero_()
        for _ in range(steps):
            one()
        return (sums[:2] / steps).tolist()

    run.parameters = sum(p.numel() for network in (g, d) for p in network.parameters())
    return run


def torch_compiled(folder, gamma, ema, threads, device, graph=False):
    """The whole step as one function of tensors (torch.func), compiled by inductor; and that as a CUDA graph."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(threads)
    g, d = torch_networks(device)
    batches = (GraphBatches if graph else Batches)(images(folder), device)
    relu, linear = F.relu, F.linear

    def forward(p, x):
        return linear(relu(linear(relu(linear(x, p[0], p[1])), p[2], p[3])), p[4], p[5])

    def d_objective(p, real, fake):
        logits = forward(p, torch.cat([real, fake]))
        loss = F.softplus(-logits[:BATCH]).mean() + F.softplus(logits[BATCH:]).mean()
        total = loss
        if gamma > 0:
            slope = torch.func.grad(lambda x: forward(p, x).sum())(real)
            total = loss + gamma / 2 * slope.square().sum(1).mean()
        right = torch.stack([(logits[:BATCH] > 0).float().mean(), (logits[BATCH:] < 0).float().mean()])
        return total, (loss, right)

    def g_objective(p, q, z):
        return F.softplus(-forward(q, torch.sigmoid(forward(p, z)))).mean()

    def adam(p, gradient, m, v, t):
        m = [BETA1 * a + (1 - BETA1) * b for a, b in zip(m, gradient)]
        v = [BETA2 * a + (1 - BETA2) * b * b for a, b in zip(v, gradient)]
        rate, root = RATE / (1 - BETA1**t), torch.sqrt(1 - BETA2**t)
        p = [a - rate * b / (torch.sqrt(c) / root + EPSILON) for a, b, c in zip(p, m, v)]
        return p, m, v

    def advanced(gp, dp, gm, gv, dm, dv, average, t, real, z_d, z_g):
        fake = torch.sigmoid(forward(gp, z_d))
        gradient, (loss, right) = torch.func.grad(d_objective, has_aux=True)(dp, real, fake)
        dp, dm, dv = adam(dp, gradient, dm, dv, t)
        gradient, g_loss = torch.func.grad_and_value(g_objective)(gp, dp, z_g)
        gp, gm, gv = adam(gp, gradient, gm, gv, t)
        if ema > 0:
            average = [ema * a + (1 - ema) * b for a, b in zip(average, gp)]
        return [*gp, *dp, *gm, *gv, *dm, *dv, *average, t + 1], torch.cat([torch.stack([loss, g_loss]), right])

    gp, dp = ([p.detach() for p in network.parameters()] for network in (g, d))
    zeros = lambda like: [torch.zeros_like(p) for p in like]
    state = [gp, dp, zeros(gp), zeros(gp), zeros(dp), zeros(dp), [p.clone() for p in gp]]
    t, sums = torch.ones((), device=device), torch.zeros(4, device=device)

    # The state changes in place, which the compiler fuses with what is computed.
    @torch.compile
    def compiled(real, z_d, z_g):
        after, means = advanced(*state, t, real, z_d, z_g)
        for old, new in zip([p for part in state for p in part] + [t], after):
            old.copy_(new)
        sums.add_(means)

    def step():
        compiled(batches.next(), torch.randn(BATCH, LATENT, device=device), torch.randn(BATCH, LATENT, device=device))

    one = torch.no_grad()(captured)(step, batches) if graph else step

    @torch.no_grad()
    def run(steps):
        sums.zero_()
        for _ in range(steps):
            one()
        return (sums[:2] / steps).tolist()

    run.parameters = sum(p.numel() for p in gp + dp)
    return run


# --- JAX ----------------------------------------------------------------------------------------------------------


def jax_networks(k_g, k_d):
    """Parameters of G and of D, G as a function of its own and z, and D's logits as one of its own and images, whose
    pixels lie in rows. Convolutions are channels last, as in PyTorch's step."""
    import jax
    import jax.numpy as jnp
    from jax.nn import leaky_relu, relu, sigmoid

    def uniform(key, shape, bound):
        return jax.random.uniform(key, shape, jnp.float32, -bound, bound)

    if CONVOLUTIONS:
        # As PyTorch initialises them.
        def network(key, *layers):
            return [(uniform(k, shape, fan**-0.5), uniform(jax.random.fold_in(k, 1), shape[-1:], fan**-0.5))
                    for k, (shape, fan) in zip(jax.random.split(key, len(layers)), layers)]

        def convolution(x, layer, **how):
            w, b = layer
            return jax.lax.conv_general_dilated(x, w, dimension_numbers=("NHWC", "HWIO", "NHWC"), **how) + b

        def down(x, layer):
            return convolution(x, layer, window_strides=(2, 2), padding=((1, 1), (1, 1)))

        # A transposed convolution, with zeros between the pixels; its filter is PyTorch's turned around.
        def up(x, layer):
            return convolution(x, layer, window_strides=(1, 1), padding=((2, 2), (2, 2)), lhs_dilation=(2, 2))

        def generate(p, z):
            x = relu(z @ p[0][0] + p[0][1]).reshape(-1, 7, 7, 128)
            return sigmoid(up(relu(up(x, p[1])), p[2])).reshape(-1, PIXELS)

        def logits(p, x):
            x = leaky_relu(down(x.reshape(-1, 28, 28, 1), p[0]), 0.2)
            x = leaky_relu(down(x, p[1]), 0.2).reshape(-1, 6272)
            return x @ p[2][0] + p[2][1]

        g = network(k_g, ((LATENT, 6272), LATENT), ((4, 4, 128, 64), 64 * 16), ((4, 4, 64, 1), 16))
        d = network(k_d, ((4, 4, 1, 64), 16), ((4, 4, 64, 128), 64 * 16), ((6272, 1), 6272))
        return g, d, generate, logits

    def network(key, widths):
        return [(uniform(k, (i, o), (6 / (i + o)) ** 0.5), jnp.zeros(o))
                for k, i, o in zip(jax.random.split(key, len(widths)), widths, widths[1:])]

    def forward(p, x):
        for w, b in p[:-1]:
            x = relu(x @ w + b)
        return x @ p[-1][0] + p[-1][1]

    return (network(k_g, [LATENT, HIDDEN, HIDDEN, PIXELS]), network(k_d, [PIXELS, HIDDEN, HIDDEN, 1]),
            lambda p, z: sigmoid(forward(p, z)), forward)


def jax_jit(folder, gamma, ema, device):
    """The whole step, draws included, in one jit with donated buffers. Its threads are the cores it may run on."""
    import jax
    import jax.numpy as jnp
    from jax.nn import softplus

    if device == "cuda":
        jax.config.update("jax_default_matmul_precision", "highest")  # else TF32
    data = jnp.asarray(images(folder))
    count = len(data)
    k_g, k_d, k_order, key = jax.random.split(jax.random.key(1), 4)
    gp, dp, generate, forward = jax_networks(k_g, k_d)

    def d_objective(p, real, fake):
        logits = forward(p, jnp.concatenate([real, fake]))
        loss = softplus(-logits[:BATCH]).mean() + softplus(logits[BATCH:]).mean()
        total = loss
        if gamma > 0:
            slope = jax.grad(lambda x: forward(p, x).sum())(real)
            total = loss + gamma / 2 * jnp.square(slope).sum(1).mean()
        return total, (loss, (logits[:BATCH] > 0).mean(), (logits[BATCH:] < 0).mean())

    def g_objective(p, q, z):
        return softplus(-forward(q, generate(p, z))).mean()

    def adam(p, gradient, m, v, t):
        m = jax.tree.map(lambda a, b: BETA1 * a + (1 - BETA1) * b, m, gradient)
        v = jax.tree.map(lambda a, b: BETA2 * a + (1 - BETA2) * b * b, v, gradient)
        rate, root = RATE / (1 - BETA1**t), jnp.sqrt(1 - BETA2**t)
        p = jax.tree.map(lambda a, b, c: a - rate * b / (jnp.sqrt(c) / root + EPSILON), p, m, v)
        return p, m, v

    @jax.jit(donate_argnums=0)
    def step(state):
        gp, dp, gm, gv, dm, dv, average, t, key, order, at, sums = state
        key, k_d, k_g, k_order = jax.random.split(key, 4)
        order, at = jax.lax.cond(at + BATCH > count, lambda: (jax.random.permutation(k_order, count), 0),
                                 lambda: (order, at))
        real = data[jax.lax.dynamic_slice(order, (at,), (BATCH,))].astype(jnp.float32) / 255
        fake = generate(gp, jax.random.normal(k_d, (BATCH, LATENT)))
        gradient, (loss, real_right, fake_right) = jax.grad(d_objective, has_aux=True)(dp, real, fake)
        dp, dm, dv = adam(dp, gradient, dm, dv, t)
        g_loss, gradient = jax.value_and_grad(g_objective)(gp, dp, jax.random.normal(k_g, (BATCH, LATENT)))
        gp, gm, gv = adam(gp, gradient, gm, gv, t)
        if ema > 0:
            average = jax.tree.map(lambda a, b: ema * a + (1 - ema) * b, average, gp)
        sums = sums + jnp.stack([loss, g_loss, real_right, fake_right])
        return gp, dp, gm, gv, dm, dv, average, t + 1, key, order, at + BATCH, sums

    zeros = lambda like: jax.tree.map(jnp.zeros_like, like)
    state = (gp, dp, zeros(gp), zeros(gp), zeros(dp), zeros(dp), jax.tree.map(jnp.copy, gp), jnp.ones(()), key,
             jax.random.permutation(k_order, count), 0, jnp.zeros(4))

    def run(steps):
        nonlocal state
        state = (*state[:-1], jnp.zeros(4))
        for _ in range(steps):
            state = step(state)
        return (jax.block_until_ready(state)[-1][:2] / steps).tolist()

    run.parameters = sum(p.size for p in jax.tree.leaves((gp, dp)))
    return run


def torch_version(device):
    """The version, or the end where there is none for the device."""
    try:
        import torch
    except ImportError as error:
        absent(f"PyTorch is not there: {error}")
    if device == "cuda":
        if not torch.cuda.is_available():
            absent(f"PyTorch {torch.__version__} sees no GPU")
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = True  # shapes stay, so its manual has cuDNN try its algorithms out
    return f"PyTorch {torch.__version__}" + (f" with CUDA {torch.version.cuda}" if device == "cuda" else "")


def jax_version(device):
    try:
        import jax
    except ImportError as error:
        absent(f"JAX is not there: {error}")
    try:
        jax.devices(device)
    except (RuntimeError, AssertionError) as error:  # the latter where it has no plugin for the platform
        absent(f"JAX {jax.__version__} sees no GPU: {' '.join(str(error).split()) or 'it lacks its CUDA plugin'}")
    return f"JAX {jax.__version__}"


def main():
    kind, folder, device = sys.argv[1], sys.argv[2], sys.argv[6]
    gamma, ema, threads = float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
    global BATCH, CONVOLUTIONS
    CONVOLUTIONS = sys.argv[7] == "convolutions"
    BATCH = 128 if CONVOLUTIONS else BATCH
    version = jax_version(device) if kind == "jax" else torch_version(device)
    if kind in ("eager", "eager-graph"):
        run = torch_eager(folder, gamma, ema, threads, device, graph=kind == "eager-graph")
    elif kind in ("compile", "compile-graph") and CONVOLUTIONS:
        run = torch_eager(folder, gamma, ema, threads, device, graph=kind == "compile-graph", compiled=True)
    elif kind in ("compile", "compile-graph"):
        run = torch_compiled(folder, gamma, ema, threads, device, graph=kind == "compile-graph")
    elif kind == "jax":
        run = jax_jit(folder, gamma, ema, device)
    elif kind == "ddp":
        import torch
        import torch.distributed

        rank = int(os.environ["RANK"])
        run = torch_eager(folder, gamma, ema, threads, device, rank, 2)
        if rank == 1:
            # Follows rank 0, which says how many steps; none ends it.
            steps = torch.zeros(1, dtype=torch.int64)
            while True:
                torch.distributed.broadcast(steps, 0)
                if steps.item() == 0:
                    return
                run(steps.item())
        alone = run

        def run(steps):
            torch.distributed.broadcast(torch.tensor([steps]), 0)
            return alone(steps)

        run.parameters = alone.parameters
    else:
        sys.exit(f"no contender {kind}")
    run(3 if CONVOLUTIONS else 30)  # compiles, and warms up
    serve(run, version)
    if kind == "ddp":
        torch.distributed.broadcast(torch.zeros(1, dtype=torch.int64), 0)


if __name__ == "__main__":
    main()
