"""Times batch normalisation in training, forward and gradient, against Keras' own layer.

    python benchmarks/batch_normalization.py            both contenders, about two minutes
    python benchmarks/batch_normalization.py --quick    a check, writes nothing

Each contender runs in a fresh process, and they take turns, so that each round is a paired
comparison under the same load.
"""

import os
import statistics
import sys

import paired

CONTENDERS = {"ours": "this package's layer", "keras": "Keras' layer"}
SHAPES = {  # (batch, height, width, channels) where the studies normalise
    "fruits_gan, generator, last": (32, 64, 64, 64),
    "fruits_gan, generator, second": (32, 32, 32, 128),
    "cifar_dcgan, classifier, first": (64, 16, 16, 64),
    "mnist_dbm, generator, second": (64, 14, 14, 64),
}


def measure(args):
    """Times one contender in this process; returns what it did."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(paired.ROOT))
    import keras
    import tensorflow as tf

    from replicate.models.normalization import BatchNormalization
    from replicate.runs.worker import configure_tensorflow, thread_profile

    configure_tensorflow(thread_profile("generator"))
    kind = BatchNormalization if args.contender == "ours" else keras.layers.BatchNormalization
    milliseconds = {}
    for name, shape in SHAPES.items():
        x, upstream = (tf.random.stateless_normal(shape, [0, seed]) for seed in range(2))
        layer = kind()
        layer.build(shape)
        step = tf.function(
            lambda x=x, upstream=upstream, layer=layer: gradients(layer, x, upstream)
        )
        _, seconds = paired.timed(lambda step=step: [part.numpy() for part in step()], args.repeats)
        milliseconds[name] = [1e3 * value for value in seconds]
    return {
        "contender": args.contender,
        "ms": milliseconds,
        "versions": paired.versions(tf, keras),
    }


def gradients(layer, x, upstream):
    """Returns sums of the gradients by input, scale and offset."""
    import tensorflow as tf

    sources = [x, layer.gamma.value, layer.beta.value]
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
    found = tape.gradient(outputs, sources, output_gradients=upstream)
    return [tf.reduce_sum(part) for part in found]


def table(report):
    """Returns the Markdown table."""
    ours, keras = (paired.by_contender(report)[name] for name in CONTENDERS)
    lines = [
        "| maps | shape | ours, ms, median | min | Keras, ms, median | min | times faster |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, shape in SHAPES.items():
        cells = [name, " x ".join(map(str, shape))]
        for rows in (ours, keras):
            every = [ms for row in rows for ms in row["ms"][name]]
            cells += [f"{statistics.median(every):.1f}", f"{min(every):.1f}"]
        cells.append(
            paired.ratio(ours, keras, lambda row, name=name: statistics.median(row["ms"][name]))
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(report):
    """Writes the JSON and the page."""
    page = f"""# Batch normalisation in training

Written by `python benchmarks/batch_normalization.py --publish`; raw numbers in
`benchmarks/results/batch_normalization.json`.

Forward pass and gradient by input, scale and offset, float32. Contenders take turns in
{paired.rounds_of(report)} rounds, each in a fresh process; ratios are taken within a round: median
(least).

{table(report)}

{paired.footer(report)}
"""
    paired.save("batch_normalization", "normalization_benchmarks", report, page)


def compare(args):
    """Runs all rounds; returns the report as a dictionary."""
    return paired.compare_repeats(__file__, CONTENDERS, args, lambda row: "done")


def main():
    """Measures, prints the table and, with --publish, writes the results."""
    parser = paired.parser_of(__doc__, CONTENDERS, rounds=5)
    parser.add_argument("--repeats", type=int, default=10, help="runs of a shape and round")
    paired.run(parser.parse_args(), measure, compare, table, write)


if __name__ == "__main__":
    main()
