"""Times classifier lanes against `Model.fit` and a PyTorch loop: the sigmoid LeNet at batch 20.

    python benchmarks/classifier_lanes.py                  all contenders, about six minutes
    python benchmarks/classifier_lanes.py --quick          a check in under a minute, writes nothing
    python benchmarks/classifier_lanes.py --torch_python=PATH   another environment's PyTorch

Every contender runs in a fresh process with its own threads, and the contenders take turns, so
that each round is a paired comparison under the same load. Compiling is timed apart.
"""

import json
import os
import statistics
import sys
import time

import numpy as np
import paired

BATCH = 20
CONTENDERS = {
    "fit": "`Model.fit`, defaults",
    "fit100": "`Model.fit`, `steps_per_execution=100`",
    "torch": "PyTorch loop (DataLoader, Adam), default threads",
    "torch1": "PyTorch loop, one thread",
    "lanes1": "one lane",
    "lanes2": "two lanes",
    "graph2": "two lanes, general path",
}
WARM_UP_STEPS = 4


def random_images(count):
    """Returns images of MNIST's shape, bytes `(count, 28, 28, 1)`, and labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    return images, rng.integers(0, 10, count)


def run_fit(images, labels, steps_per_execution):
    """Returns seconds to warm up and to train one epoch by `Model.fit`."""
    import keras

    from replicate.models.lenet import build_lenet

    images = images.astype("float32") / 255
    model = build_lenet(seed=0)
    model.compile(
        keras.optimizers.Adam(1e-3, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps_per_execution,
    )
    warm = BATCH * max(WARM_UP_STEPS, steps_per_execution)
    seconds = []
    for count in (warm, len(images)):
        start = time.perf_counter()
        model.fit(images[:count], labels[:count], batch_size=BATCH, verbose=0)
        seconds.append(time.perf_counter() - start)
    return seconds, len(images)


def run_torch(images, labels, threads):
    """Returns seconds to warm up and to train one epoch by a plain PyTorch loop."""
    import torch
    from torch import nn

    if threads is not None:
        torch.set_num_threads(threads)

    class Digits(torch.utils.data.Dataset):
        def __init__(self, count):
            self.images = torch.tensor(images[:count]).permute(0, 3, 1, 2).float() / 255
            self.labels = torch.tensor(labels[:count])

        def __len__(self):
            return len(self.labels)

        def __getitem__(self, index):
            return self.images[index], self.labels[index]

    network = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10)),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()
    seconds = []
    for count in (BATCH * WARM_UP_STEPS, len(images)):
        loader = torch.utils.data.DataLoader(Digits(count), batch_size=BATCH, shuffle=True)
        start = time.perf_counter()
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(network(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        seconds.append(time.perf_counter() - start)
    return seconds, len(images)


def run_lanes(images, labels, lanes, fast=True, batch_size=BATCH, width=1):
    """Returns seconds to warm up and to train one network a lane for an epoch."""
    import keras

    from replicate.models.init import initialize
    from replicate.training.lanes import LaneJob, LaneTrainer

    def build():
        layers = keras.layers
        stack = [
            *(layers.Conv2D(6 * width, 5, padding="same", activation="sigmoid"),),
            *(layers.AveragePooling2D(2), layers.Conv2D(16 * width, 5, activation="sigmoid")),
            *(layers.AveragePooling2D(2), layers.Flatten()),
            *(layers.Dense(n * width, activation="sigmoid") for n in (120, 84)),
            layers.Dense(10),
        ]
        return initialize(keras.Sequential([keras.Input((28, 28, 1)), *stack]), seed=0)

    trainer = LaneTrainer(images, labels, lanes=lanes, fast=fast)
    seconds = []
    for count in (batch_size * WARM_UP_STEPS, len(images) // batch_size * batch_size):
        jobs = [
            LaneJob(
                key=key,
                build=build,
                indices=lambda epoch, count=count: np.random.default_rng(0).permutation(count),
                batch_size=batch_size,
                epochs=1,
                optimizer={"name": "adam", "epsilon": 1e-8},
            )
            for key in range(lanes)
        ]
        start = time.perf_counter()
        for result in trainer.run(jobs):
            if result.error is not None:
                raise result.error
        seconds.append(time.perf_counter() - start)
    return seconds, lanes * count


def measure(args):
    """Runs one contender in this process; returns what it did."""
    contender = args.contender
    images, labels = random_images(args.images)
    if contender.startswith("torch"):
        import torch

        modules = [torch]
        seconds, trained = run_torch(images, labels, 1 if contender == "torch1" else None)
    else:
        tf = _start_tensorflow(contender)
        modules = [tf, tf.keras]
        if contender.startswith("fit"):
            seconds, trained = run_fit(images, labels, int(contender[3:] or 1))
        else:
            fast = contender.startswith("lanes")
            seconds, trained = run_lanes(images, labels, int(contender[-1]), fast)
    return {
        "contender": contender,
        "images_per_second": trained / seconds[1],
        "warm_up_seconds": seconds[0],
        "peak_memory_mb": paired.peak_memory_mb(),
        "versions": paired.versions(*modules),
    }


def _start_tensorflow(contender):
    """Sets the threads that the contender's users would have; returns the module."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(paired.ROOT))
    import tensorflow as tf

    if not contender.startswith("fit"):
        from replicate.runs.worker import thread_profile

        threads = thread_profile("lanes", int(contender[-1]))
        tf.config.threading.set_intra_op_parallelism_threads(threads["intra"])
        tf.config.threading.set_inter_op_parallelism_threads(threads["inter"])
    return tf


def measure_costs(count, quick):
    """Returns microseconds an image by number of lanes, batch size and width of the network."""
    _start_tensorflow("lanes4")
    images, labels = random_images(count)
    axes = {
        "lanes": [{"lanes": n} for n in (1, 2, 4)],
        "batch_size": [{"batch_size": n} for n in (5, 20, 50, 100, 200)],
        "width": [{"width": n} for n in (1, 2, 4)],
    }
    costs = {}
    for name, points in axes.items():
        costs[name] = []
        for point in points[:2] if quick else points:
            seconds, trained = run_lanes(images, labels, **{"lanes": 2, **point})
            costs[name].append([point[name], seconds[1] / trained * 1e6])
    return costs


def compare(args):
    """Runs all rounds; returns the report as a dictionary."""
    machine_line = paired.machine()
    names = ["fit", "lanes2"] if args.quick else list(CONTENDERS)
    count = args.images or (2000 if args.quick else 30_000)

    def told(row):
        return f"{row['images_per_second']:,.0f} images/s"

    rows = paired.take_turns(__file__, names, args, [f"--images={count}"], told)
    quick = ["--quick"] if args.quick else []
    costs = paired.in_process(
        sys.executable, __file__, "--costs", f"--images={min(count, 10_000)}", *quick
    )
    more = {"images": count, "batch_size": BATCH, "costs_us_per_image": costs}
    return paired.report_of(machine_line, rows, **more)


def table(report):
    """Returns the Markdown table: speed, ratio to `fit` and to PyTorch, memory."""
    by_name = paired.by_contender(report)
    lines = [
        "| contender | images/s, median | min | x `fit` | x PyTorch | x PyTorch, one thread "
        "| first steps, s | peak memory, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rows in by_name.items():
        speeds = [row["images_per_second"] for row in rows]
        bases = (by_name.get(base) for base in ("fit", "torch", "torch1"))
        ratios = [
            paired.ratio(rows, base, lambda row: 1 / row["images_per_second"]) for base in bases
        ]
        lines.append(
            f"| {CONTENDERS[name]} | {statistics.median(speeds):,.0f} | {min(speeds):,.0f} "
            f"| {' | '.join(ratios)} "
            f"| {statistics.median(row['warm_up_seconds'] for row in rows):.1f} "
            f"| {max(row['peak_memory_mb'] for row in rows):,.0f} |"
        )
    return "\n".join(lines)


def write(report):
    """Writes the JSON, the page and the plot."""
    page = f"""# Benchmarks

Written by `python benchmarks/classifier_lanes.py --publish`; raw numbers in
`benchmarks/results/classifier_lanes.json`.

## Classifier lanes

The sigmoid LeNet (61,706 parameters), batch {report["batch_size"]}, Adam, one epoch of
{report["images"]:,} images a network, in {paired.rounds_of(report)} rounds in
which the contenders take turns, each in a fresh process. Ratios are taken within a round: median
(least). "First steps" holds tracing and compiling, once a process. Memory is the whole process.

{table(report)}

{paired.footer(report)}

![Cost of an image by lanes, batch size and width](../figures/benchmark_lanes.png)

Microseconds an image over all lanes, two lanes and batch {report["batch_size"]} unless the axis
says otherwise; width multiplies the channels and units of every hidden layer.
"""
    paired.save("classifier_lanes", "benchmarks", report, page)
    plot(report["costs_us_per_image"], paired.ROOT / "figures" / "benchmark_lanes.png")


def plot(costs, path):
    """Draws microseconds an image against lanes, batch size and width."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(8, 2.6), sharey=True, layout="constrained")
    labels = {"lanes": "lanes", "batch_size": "batch size", "width": "width of the network"}
    for axis, (name, points) in zip(axes, costs.items(), strict=True):
        x, y = zip(*points, strict=True)
        axis.plot(x, y, "o-")
        axis.set_xscale("log", base=2)
        axis.set_yscale("log")
        axis.set_xticks(x, [str(v) for v in x])
        axis.minorticks_off()
        axis.set_xlabel(labels[name])
        axis.grid(alpha=0.3)
    ticks = [10, 20, 50, 100, 200, 500]
    low, high = axes[0].get_ylim()
    shown = [t for t in ticks if low <= t <= high]
    axes[0].set_yticks(shown, [str(t) for t in shown])
    axes[0].set_ylabel("microseconds an image")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def main():
    """Measures, prints the table and, with --publish, writes the results."""
    parser = paired.parser_of(__doc__, CONTENDERS, rounds=3)
    parser.add_argument("--images", type=int, help="images of one epoch")
    parser.add_argument("--costs", action="store_true", help="run the cost axes here, print JSON")
    args = parser.parse_args()
    if args.costs:
        print(json.dumps(measure_costs(args.images, args.quick)))
    else:
        paired.run(args, measure, compare, table, write)


if __name__ == "__main__":
    main()
