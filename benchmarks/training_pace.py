"""Times a training step of every network of the studies, as the runs train them on this machine.

    python benchmarks/training_pace.py            every network, about ten minutes
    python benchmarks/training_pace.py --quick    a check

The studies' predicted times rest on these numbers. Each contender runs in a fresh process with the
threads of its stage: classifiers one a core, side by side, generators with all cores within an
operation.
"""

import os
import statistics
import sys
import time

import numpy as np
import paired

GREY, COLOUR, LARGE = (28, 28, 1), (32, 32, 3), (64, 64, 3)
CLASSIFIERS = {  # name -> what it is, builder, images, images a step, steps a core
    "strided_cnn": ("cifar_dcgan, CNN", "build_strided_cnn", COLOUR, 64, 40),
    "pooled_cnn_12": ("fruits_gan, CNN of FIDS30", "build_pooled_cnn", LARGE, 12, 60),
    "pooled_cnn_128": ("fruits_gan, CNN of MNIST", "build_pooled_cnn", LARGE, 128, 8),
    "mnist_cnn": ("mnist_dbm, CNN", "build_mnist_cnn", GREY, 128, 30),
    "simple_cnn": ("cgan_ood, simple CNN", "build_simple_cnn", GREY, 100, 150),
    "deep_cnn": ("cgan_ood, deep CNN", "build_deep_cnn", COLOUR, 100, 15),
    "deep_cnn_single": ("cgan_ood, smaller deep CNN", "build_deep_cnn", COLOUR, 100, 50),
}
GENERATORS = {  # name -> what it is, images, real images a step, steps
    "dcgan": ("cifar_dcgan, DCGAN", COLOUR, 64, 10),
    "perclass_gan_6": ("fruits_gan, GAN of FIDS30", LARGE, 3, 40),
    "perclass_gan_128": ("fruits_gan, GAN of MNIST", LARGE, 64, 4),
    "conditional_dcgan": ("mnist_dbm, conditional DCGAN", GREY, 64, 15),
    "cgan": ("cgan_ood, conditional GAN", GREY, 100, 100),
}
NETWORKS = {name: entry[0] for name, entry in (CLASSIFIERS | GENERATORS).items()}


def measure(args):
    """Times one network in this process; returns milliseconds a step."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(paired.ROOT))
    import keras
    import tensorflow as tf

    timed = classifier_steps if args.contender in CLASSIFIERS else generator_steps
    return {
        "contender": args.contender,
        "step_ms": timed(args.contender, args.repeats),
        "versions": paired.versions(tf, keras),
    }


def random_images(shape, count):
    """Returns uint8 images and labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *shape), np.uint8), rng.integers(0, 10, count)


def classifier_steps(name, repeats):
    """Returns milliseconds a step where networks train side by side: the time of any one's step."""
    from replicate.models import classifiers
    from replicate.runs.worker import configure_tensorflow, thread_profile
    from replicate.training.lanes import LaneJob, LaneTrainer

    threads = thread_profile("lanes")
    configure_tensorflow(threads)
    _, builder, shape, batch_size, steps = CLASSIFIERS[name]
    more = {"single": True} if name.endswith("_single") else {}
    images, labels = random_images(shape, batch_size * steps)
    trainer = LaneTrainer(images, labels, lanes=threads["inter"])

    def job(lane):
        return LaneJob(
            key=lane,
            build=lambda: getattr(classifiers, builder)(input_shape=shape, seed=lane, **more),
            indices=lambda epoch: np.random.default_rng(epoch).permutation(len(labels)),
            batch_size=batch_size,
            epochs=1,
            optimizer={"name": "adam", "learning_rate": 1e-4},
        )

    found = []
    for _ in range(1 + repeats):  # the first traces
        start = time.perf_counter()
        for result in trainer.run(job(lane) for lane in range(threads["inter"])):
            if result.error is not None:
                raise result.error
        found.append(1e3 * (time.perf_counter() - start) / steps / threads["inter"])
    return found[1:]


def build_generator(name):
    """Returns a compiled model."""
    from replicate.models.cgan import CGAN
    from replicate.models.conditional_dcgan import ConditionalDCGAN
    from replicate.models.dcgan import DCGAN
    from replicate.models.perclass_gan import PerClassGAN
    from replicate.training.optimizers import FusedAdam

    kinds = {"cgan": CGAN, "conditional_dcgan": ConditionalDCGAN, "dcgan": DCGAN}
    network = kinds.get(name, PerClassGAN)()
    network.compile(FusedAdam(2e-4, beta_1=0.5), FusedAdam(2e-4, beta_1=0.5))
    return network


def generator_steps(name, repeats):
    """Returns milliseconds a step, in the loop of all generators."""
    import tensorflow as tf

    from replicate.runs.worker import configure_tensorflow, thread_profile
    from replicate.training.loop import resident_steps

    configure_tensorflow(thread_profile("generator"))
    _, shape, batch_size, steps = GENERATORS[name]
    images, labels = random_images(shape, batch_size)
    network = build_generator(name)
    arrays = tf.constant(images / np.float32(127.5) - 1), tf.constant(labels)
    run = resident_steps(lambda *batch: network.train_step(batch), *arrays)
    rows = tf.constant(np.tile(np.arange(batch_size), (steps, 1)))
    found = []
    for _ in range(1 + repeats):  # the first traces
        start = time.perf_counter()
        run(rows)
        found.append(1e3 * (time.perf_counter() - start) / steps)
    return found[1:]


def table(report):
    """Returns the Markdown table."""
    lines = [
        "| network | images a step | ms a step, median | min | images a second |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, rows in paired.by_contender(report).items():
        *_, batch_size, _ = (CLASSIFIERS | GENERATORS)[name]
        every = [ms for row in rows for ms in row["step_ms"]]
        pace = statistics.median(every)
        cells = [NETWORKS[name], f"{batch_size}", f"{pace:.1f}", f"{min(every):.1f}"]
        lines.append(f"| {' | '.join(cells)} | {1e3 * batch_size / pace:,.0f} |")
    return "\n".join(lines)


def write(report):
    """Writes the JSON and the page."""
    page = f"""# The pace of training

Written by `python benchmarks/training_pace.py --publish`; raw numbers in
`benchmarks/results/training_pace.json`.

What the predicted times of `--plan` rest on: a training step of each network, float32, with the
threads of a run. Classifiers train side by side, one a core, and a step's time is the wall time
over the steps of all; a generator has all cores. Contenders take turns in
{paired.rounds_of(report)} rounds, each in a fresh process. The machine should do nothing else
meanwhile.

{table(report)}

{paired.footer(report)}
"""
    paired.save("training_pace", "pace_benchmarks", report, page)


def compare(args):
    """Runs all rounds; returns the report as a dictionary."""
    return paired.compare_repeats(
        __file__, NETWORKS, args, lambda row: f"{paired.median_ms(row):.1f} ms"
    )


def main():
    """Measures, prints the table and, with --publish, writes the results."""
    parser = paired.parser_of(__doc__, NETWORKS, rounds=3)
    parser.add_argument(
        "--repeats", type=int, default=3, help="timed epochs of a network and round"
    )
    paired.run(parser.parse_args(), measure, compare, table, write)


if __name__ == "__main__":
    main()
