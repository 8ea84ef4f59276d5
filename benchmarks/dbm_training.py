"""Times training steps of the MNIST Boltzmann machines against the machine's matrix products.

    python benchmarks/dbm_training.py                all contenders, about eight minutes
    python benchmarks/dbm_training.py --quick        a check in under a minute, writes nothing
    python benchmarks/dbm_training.py --torch_python=PATH   another environment's PyTorch

Training is dense matrix work; the goal is at least half of the rate of float32 products of large
square matrices, which each process measures just before and just after its steps. Every contender
runs in a fresh process, and the contenders take turns, so that each round is a paired comparison
under the same load. First steps (tracing) are timed apart. "Operations side by side" is how a
single training runs: an operation has one thread, and the batch's mean field is worked on in lots.
"Trainings side by side" is one training a core, with one thread each, as `--workers` runs them: a
step's time is the wall time over the steps of all, and the rate of products is the sum of theirs.
"""

import os
import statistics

import numpy as np
import paired

VISIBLE, LOW, HIGH = 784, 512, 1024
BATCHES = {"rbm1": 48, "rbm2": 48, "dbm": 100}
GIBBS = {"rbm1": 1, "rbm2": 6, "dbm": 1}  # the lower machine's CD-1, the last CD-6
UPDATES = 50  # of the mean field, the most a step may take; tolerance 0, so that all are made
MACHINES = {
    "rbm1": "lower RBM 784-512, batch 48, CD-1",
    "rbm2": "upper RBM 512-1024, batch 48, CD-6",
    "dbm": "joint step 784-512-1024, batch 100, 50 updates",
}
WAYS = {
    "all": "all cores in an operation",
    "beside": "operations side by side",
    "side": "trainings side by side",
}
CONTENDERS = {
    f"{name}_{way}": f"{machine}; {how}"
    for name, machine in MACHINES.items()
    for way, how in WAYS.items()
} | {"dbm_torch": "the same joint step in PyTorch, default threads"}
GOAL = 0.5


def step_gflop(contender):
    """Returns the matrix products of one step in GFLOP; nothing else is counted."""
    name = contender.split("_")[0]
    batch, gibbs = BATCHES[name], GIBBS[name]
    if name != "dbm":
        area = VISIBLE * LOW if name == "rbm1" else LOW * HIGH
        products = (1 + 2 * gibbs + 2) * area  # up; alternations; both ends' contrast
    else:
        low, high = VISIBLE * LOW, LOW * HIGH
        products = low + high + UPDATES * 2 * high  # inference
        products += gibbs * 2 * (low + high) + 2 * (low + high) + low  # chains, contrast, error
    return 2e-9 * batch * products


def random_pixels(count, units):
    """Returns float32 `(count, units)` in [0, 1], a fifth of them not zero."""
    rng = np.random.default_rng(0)
    return (rng.random((count, units)) * (rng.random((count, units)) < 0.2)).astype("float32")


def build(name, lots):
    """Returns a compiled model and its images."""
    from replicate.models.boltzmann import DBM, RBM

    if name == "dbm":
        model = DBM(spread=0.05, max_norm=6.0)
        model.compile(
            590,
            [2e-3],
            [0.5],
            l2=1e-7,
            mean_field_updates=UPDATES,
            mean_field_tolerance=0.0,
            sparsity_targets=(0.2, 0.1),
            sparsity_costs=(1e-4, 5e-5),
            lots=lots,
        )
        return model, random_pixels(BATCHES[name], VISIBLE).reshape(-1, 28, 28, 1)
    visible, hidden, doubled = (VISIBLE, LOW, "up") if name == "rbm1" else (LOW, HIGH, "down")
    model = RBM((visible,), hidden, doubled=doubled)
    model.compile(1250, [0.01], [0.5], [GIBBS[name]], l2=1e-3)
    return model, random_pixels(BATCHES[name], visible)


def run_ours(contender, steps):
    """Returns modules, sgemm rates and times of this package's steps in its own loop."""
    name, way = contender.split("_")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    from replicate.runs.worker import configure_tensorflow, thread_profile
    from replicate.training.loop import resident_steps

    threads = thread_profile("generator" if way == "all" else "operations")
    configure_tensorflow(threads)
    matrix = tf.random.stateless_normal((paired.SIDE, paired.SIDE), seed=[0, 0])
    beside = threads["inter"]
    multiply = tf.function(lambda: [tf.matmul(matrix, matrix) for _ in range(beside)])

    def rate():  # of as many products as may be worked on at a time
        return beside * paired.sgemm_rate(multiply, lambda values: values[-1].numpy())

    model, images = build(name, beside)
    labels = tf.zeros(len(images), tf.int64)
    run = resident_steps(lambda *batch: model.train_step(batch), tf.constant(images), labels)
    rows = tf.constant(np.tile(np.arange(len(images)), (10, 1)))  # ten steps a call, as in training
    before = rate()
    first, seconds = paired.timed(lambda: run(rows), steps)
    return (tf, keras), [before, rate()], first, [value / 10 for value in seconds]


def run_torch(contender, steps):
    """Returns modules, sgemm rates and times of the joint step in PyTorch, written plainly."""
    import torch

    torch.manual_seed(0)
    sizes, batch = (VISIBLE, LOW, HIGH), BATCHES["dbm"]
    kernels = [0.05 * torch.randn(pair) for pair in zip(sizes, sizes[1:], strict=False)]
    biases = [torch.zeros(size) for size in sizes]
    velocities = [torch.zeros_like(p) for p in kernels + biases]
    running = [torch.zeros(2, size) for size in sizes[1:]]
    images = torch.tensor(random_pixels(batch, VISIBLE))
    chains = [torch.bernoulli(torch.full((batch, size), 0.5)) for size in sizes]

    def step():
        below = images @ kernels[0]
        low = torch.sigmoid(2 * below + biases[1])
        high = torch.sigmoid(low @ kernels[1] + biases[2])
        for _ in range(UPDATES):
            new_low = torch.sigmoid(below + high @ kernels[1].T + biases[1])
            new_high = torch.sigmoid(new_low @ kernels[1] + biases[2])
            moved = max((new_low - low).abs().max().item(), (new_high - high).abs().max().item())
            low, high = new_low, new_high
            if moved < 0:
                break
        total = chains[0] @ kernels[0] + chains[2] @ kernels[1].T + biases[1]
        chains[1] = torch.bernoulli(torch.sigmoid(total))
        chains[0] = torch.bernoulli(torch.sigmoid(chains[1] @ kernels[0].T + biases[0]))
        chains[2] = torch.bernoulli(torch.sigmoid(chains[1] @ kernels[1] + biases[2]))
        error = ((images - torch.sigmoid(low @ kernels[0].T + biases[0])) ** 2).mean()
        means = [images, low, high]
        slopes = [
            (means[k].T @ means[k + 1] - chains[k].T @ chains[k + 1]) / batch - 1e-7 * kernels[k]
            for k in range(2)
        ]
        slopes += [means[k].mean(0) - chains[k].mean(0) for k in range(3)]
        for k, (target, cost) in enumerate(((0.2, 1e-4), (0.1, 5e-5))):
            now = torch.stack([means[k + 1].mean(0), chains[k + 1].mean(0)])
            running[k].mul_(0.9).add_(now, alpha=0.1)
            penalty = cost * (running[k] - target).sum(0)
            slopes[k] -= penalty
            slopes[3 + k] -= penalty
        for parameter, velocity, slope in zip(kernels + biases, velocities, slopes, strict=True):
            parameter += velocity.mul_(0.5).add_(slope, alpha=2e-3)
        for kernel in kernels:
            norms = kernel.norm(dim=0)
            kernel *= norms.clamp(max=6.0) / norms
        return error.item()

    matrix = torch.randn(paired.SIDE, paired.SIDE)
    before = paired.sgemm_rate(lambda: matrix @ matrix)
    first, seconds = paired.timed(step, steps * 10)
    after = paired.sgemm_rate(lambda: matrix @ matrix)
    return (torch,), [before, after], first, seconds


def measure(args):
    """Runs one contender; returns what it did."""
    return paired.step_row(
        __file__, args, run_torch if args.contender.endswith("torch") else run_ours
    )


def compare(args):
    """Runs all rounds; returns the report as a dictionary."""
    names = ["rbm1_side", "dbm_all"] if args.quick else list(CONTENDERS)
    args.steps = 1 if args.quick else args.steps
    gflop = {name: step_gflop(name) for name in names}
    return paired.compare_steps(__file__, names, args, step_gflop=gflop)


def table(report):
    """Returns the Markdown table: times, rates and their share of the machine's."""
    lines = [
        "| contender | GFLOP a step | ms a step, median | min | GFLOP/s | sgemm GFLOP/s "
        "| share of sgemm, median (least) | first steps, s |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rows in paired.by_contender(report).items():
        gflop = report["step_gflop"][name]
        every = [ms for row in rows for ms in row["step_ms"]]
        rates, sgemm, shares = paired.shares_of_sgemm(rows, gflop)
        lines.append(
            f"| {CONTENDERS[name]} | {gflop:.2f} | {statistics.median(every):.1f} "
            f"| {min(every):.1f} | {statistics.median(rates):.0f} "
            f"| {statistics.median(sgemm):.0f} "
            f"| {statistics.median(shares):.0%} ({min(shares):.0%}) "
            f"| {statistics.median(row['first_steps_seconds'] for row in rows):.1f} |"
        )
    return "\n".join(lines)


def missed(report):
    """Returns a sentence that names the contenders of this package below the goal."""
    below = [
        CONTENDERS[name]
        for name, rows in paired.by_contender(report).items()
        if "torch" not in name
        and statistics.median(paired.shares_of_sgemm(rows, report["step_gflop"][name])[2]) < GOAL
    ]
    return (
        "Below the goal: " + ", ".join(f'"{name}"' for name in below) + "."
        if below
        else "All reach the goal."
    )


def write(report):
    """Writes the JSON and the page."""
    page = f"""# Training steps of the MNIST Boltzmann machines

Written by `python benchmarks/dbm_training.py --publish`; raw numbers in
`benchmarks/results/dbm_training.json`.

GFLOP are those of the matrix products alone, counted from the algorithm; drawing of states,
sigmoids and updates of weights take time but count nothing. Contenders take turns in
{paired.rounds_of(report)} rounds, each in a fresh process.

* "operations side by side": how a training runs alone, one thread an operation.
* "trainings side by side": one training a core, of one thread each, as `--workers` runs them; the
  time is the wall time over the steps of all.
* "sgemm": the rate of float32 matrix products, {paired.SIDE} x {paired.SIDE}, in the same
  processes, before and after. The goal is a share of {GOAL:.0%}.
* "first steps": holds tracing.

{missed(report)}

{table(report)}

{paired.footer(report)}
"""
    paired.save("dbm_training", "dbm_benchmarks", report, page)


def main():
    """Measures, prints the table and, with --publish, writes the results."""
    parser = paired.parser_of(__doc__, CONTENDERS, rounds=5)
    parser.add_argument("--steps", type=int, default=5, help="tens of steps a contender and round")
    paired.run(parser.parse_args(), measure, compare, table, write)


if __name__ == "__main__":
    main()
