"""Times the parts of a StyleGAN2-ADA training step against naive re-expressions of them.

    python benchmarks/stylegan2_training.py            all contenders, about a quarter of an hour
    python benchmarks/stylegan2_training.py --quick    a check at the least width, writes nothing

Every contender runs in a fresh process, and the contenders take turns, so that each round is a
paired comparison under the same load. Each process also measures the machine's rate of float32
matrix products before and after. A naive contender first shows that it computes the same.
"""

import os
import statistics
import sys
import time

import numpy as np
import paired

BATCH, RESOLUTION, CLASSES, LATENT = 64, 32, 10, 128
CONTENDERS = {
    "ours": "this package",
    "zeros": "zeros between pixels and depthwise filters, for the networks and the augmentation",
    "slices": "sums of shifted slices for the filter, with TensorFlow's own gradients",
    "grouped": "modulated kernels for every image, in one grouped convolution",
}
PARTS = {
    "synthesis": "synthesis, forward",
    "synthesis_gradient": "synthesis, forward and weights' gradient",
    "discriminator": "discriminator, forward",
    "discriminator_gradient": "discriminator, forward and weights' gradient",
    "augmentation": "augmentation, forward",
    "augmentation_gradient": "augmentation, forward and images' gradient",
    "r1": "R1 penalty of augmented images with its update",
    "step": "training step, mean of 16 with one penalty",
}
CHANGED = {  # by a naive contender; it is timed on nothing else
    "zeros": [name for name in PARTS if name != "step"],
    "slices": [name for name in PARTS if "augmentation" not in name and name != "step"],
    "grouped": ["synthesis", "synthesis_gradient"],
}


def channels_of(args):
    """Returns the channels at 4, 8, … pixels."""
    sizes = [4 * 2**k for k in range(RESOLUTION.bit_length() - 2)]
    return [min(args.channel_base // size, args.channel_max) for size in sizes]


def part_gflop(args):
    """Returns the arithmetic of each part in GFLOP, padding counted as pixels are.

    A gradient to weights and maps is twice a forward pass. The penalty is six: forward, gradient
    to the images, and for the weights' gradient twice each of the two. The generator's step takes
    three passes of the generator and two of the discriminator, and the discriminator's one of the
    generator and six of its own.
    """
    channels, generator, discriminator = channels_of(args), 0, 0
    for index, width in enumerate(channels):
        pixels = (4 * 2**index) ** 2
        generator += pixels * (9 * width**2 + 3 * width)
        if index:
            generator += pixels / 4 * 9 * channels[index - 1] * width
            discriminator += pixels * 9 * width**2 + pixels / 4 * 9 * width * channels[index - 1]
    least, most = channels[0], channels[-1]
    discriminator += RESOLUTION**2 * 3 * most + 16 * 9 * (least + 1) * least + 17 * least**2
    side, far, seen = RESOLUTION, 2 * (3 * RESOLUTION - 2), 2 * (RESOLUTION + 6)
    augmentation = 3 * far * side * (side + 3 * far) + 3 * side * seen * (seen + 3 * side)
    passes = {
        "synthesis": generator,
        "synthesis_gradient": 3 * generator,
        "discriminator": discriminator,
        "discriminator_gradient": 3 * discriminator,
        "augmentation": augmentation,
        "augmentation_gradient": 2 * augmentation,
        "r1": 6 * discriminator + 4 * augmentation,
    }
    steps = 4 * generator + 8 * discriminator + 4 * augmentation + passes["r1"] / 16
    return {name: 2e-9 * BATCH * count for name, count in {**passes, "step": steps}.items()}


# ------------------------------------------------------------------- naive re-expressions


def zeros_between(x):
    """Returns maps `(batch, 2 height, 2 width, channels)` with zeros behind each pixel."""
    import tensorflow as tf

    _, height, width, channels = x.shape
    x = tf.pad(x[:, :, None, :, None], ((0, 0), (0, 0), (0, 1), (0, 0), (0, 1), (0, 0)))
    return tf.reshape(x, (-1, 2 * height, 2 * width, channels))


def depthwise(x, taps, before, after, stride=1):
    """Returns maps filtered by the outer product of `taps` in one depthwise convolution."""
    import tensorflow as tf

    x = tf.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
    kernel = np.multiply.outer(np.outer(taps, taps), np.ones(x.shape[-1]))[..., None]
    kernel = tf.constant(kernel, x.dtype)
    return tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), "VALID")


def use_zeros():
    """Puts naive resampling in the place of shifted sums and matrix products."""
    import tensorflow as tf

    from replicate.models.stylegan2 import generator, layers
    from replicate.training.ada import geometry

    taps = np.array([1.0, 3.0, 3.0, 1.0]) / 8

    def smooth(x, padding, gain=1.0, stride=1):
        return depthwise(x, taps * gain**0.5, padding, padding, stride)

    def warp(images, inverse):
        height, width, channels = images.shape[1:]
        before, after = geometry.margins(inverse, height, width)
        # Always as far as a mirror shows; what the maps do not need is not sampled.
        x = tf.pad(images, ((0, 0), (height - 1,) * 2, (width - 1,) * 2, (0, 0)), "REFLECT")
        keep_y = mask(height, before[1], after[1])
        keep_x = mask(width, before[0], after[0])
        x = x * keep_y[:, None, None] * keep_x[:, None]
        x = depthwise(zeros_between(x), 2 * geometry.WAVELET[::-1], 6, 5)
        x = x * tf.repeat(keep_y, 2)[:, None, None] * tf.repeat(keep_x, 2)[:, None]
        across, down = geometry._places(inverse, height, width)
        x = geometry.sample(x, across + 3 * (width - 1), down + 3 * (height - 1))
        x = tf.reshape(x, (-1, 2 * (height + 6), 2 * (width + 6), channels))
        return depthwise(x[:, 1:-1, 1:-1], geometry.WAVELET, 0, 0, 2)

    def mask(side, before, after):
        places = tf.range(1 - side, 2 * side - 1)
        return tf.cast((places >= -before) & (places < side + after), tf.float32)

    layers.smooth = smooth
    layers.downsample = lambda x: smooth(x, 1, stride=2)
    generator.upsample = lambda x: depthwise(zeros_between(x), 2 * taps, 2, 1)
    geometry.warp = warp


def use_slices():
    """Puts sums of shifted slices in the place of the depthwise filter."""
    import tensorflow as tf

    from replicate.models.stylegan2 import layers

    def smooth(x, padding, gain=1.0):
        x = tf.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        height, width = x.shape[1] - 3, x.shape[2] - 3
        a, b, c, d = (x[:, k : k + height] for k in range(4))
        x = (a + d + 3 * (b + c)) * gain / 64
        a, b, c, d = (x[:, :, k : k + width] for k in range(4))
        return a + d + 3 * (b + c)

    layers.smooth = smooth


def use_grouped():
    """Puts a kernel for every image in the place of scaled activations."""
    import tensorflow as tf

    from replicate.models.stylegan2 import layers

    def convolution(x, kernel, styles, demodulate=True, up=False):
        kernel = tf.convert_to_tensor(kernel)
        height, width, inputs = x.shape[1:]
        size, filters, count = kernel.shape[0], kernel.shape[-1], tf.shape(x)[0]
        kernels = kernel[None] * styles[:, None, None, :, None]  # [NkkIF]
        if demodulate:
            energy = tf.reduce_sum(kernels**2, axis=(1, 2, 3), keepdims=True)
            kernels *= tf.math.rsqrt(energy + layers.EPSILON)
        if up:  # between the pixels, and the kernel's reach around them
            x = tf.pad(zeros_between(x)[:, :-1, :-1], ((0, 0), (2, 2), (2, 2), (0, 0)))
            kernels = tf.reverse(kernels, (1, 2))
            height, width = 2 * height + 3, 2 * width + 3
        x = tf.reshape(tf.transpose(x, (1, 2, 0, 3)), (1, height, width, count * inputs))
        kernels = tf.transpose(kernels, (1, 2, 3, 0, 4))
        kernels = tf.reshape(kernels, (size, size, inputs, count * filters))
        x = tf.nn.conv2d(x, kernels, 1, "VALID" if up else "SAME")
        x = tf.reshape(x, (x.shape[1], x.shape[2], count, filters))
        x = tf.transpose(x, (2, 0, 1, 3))
        return layers.smooth(x, padding=1, gain=4.0) if up else x

    layers.modulated_convolution = convolution


# ------------------------------------------------------------------- measuring


def make_model(args):
    """Returns a new model of the reduced width."""
    from replicate.training.stylegan2 import TrainingOptions, new_model

    sizes = {name: getattr(args, name) for name in ("channel_base", "channel_max")}
    options = TrainingOptions(augment_p=0.5)
    sizes |= {"z_dim": LATENT, "w_dim": LATENT, "conv_clamp": None}
    return new_model(CLASSES, RESOLUTION, options, **sizes)


def part_functions(model):
    """Returns part -> (function that runs it once, how many runs that counts for)."""
    import tensorflow as tf

    from replicate.training.ada import pipeline
    from replicate.training.loop import resident_steps

    rng = np.random.default_rng(0)
    shape = (BATCH, RESOLUTION, RESOLUTION, 3)
    images = tf.constant(rng.uniform(-1, 1, shape), tf.float32)
    labels = tf.constant(rng.integers(0, CLASSES, BATCH))
    c, z = tf.one_hot(labels, CLASSES), tf.random.stateless_normal((BATCH, LATENT), [0, 0])
    ws = model.generator.mapping(z, c)
    networks = {
        "synthesis": (
            lambda: model.generator.synthesis(ws),
            model.generator.synthesis.trainable_variables,
        ),
        "discriminator": (
            lambda: model.discriminator(images, c),
            model.discriminator.trainable_variables,
        ),
        "augmentation": (lambda: pipeline.augment(images, 1.0, seed=[0, 1]), images),
    }

    def gradient(run, sources):
        with tf.GradientTape() as tape:
            if tf.is_tensor(sources):  # weights are watched as it is
                tape.watch(sources)
            total = tf.reduce_sum(run() ** 2)
        found = tape.gradient(total, sources)
        return tf.add_n([tf.reduce_sum(part) for part in tf.nest.flatten(found)])

    def compiled(run, sources):  # by closure: arguments of a graph would be other tensors
        forward = tf.function(lambda: tf.reduce_sum(run() ** 2))
        return forward, tf.function(lambda: gradient(run, sources))

    functions = {}
    for name, (run, sources) in networks.items():
        functions[name], functions[f"{name}_gradient"] = compiled(run, sources)
    functions["r1"] = tf.function(lambda: model._penalise(images, c))
    steps = resident_steps(lambda *batch: model.train_step(batch), images, labels)
    rows = tf.constant(np.tile(np.arange(BATCH), (16, 1)))
    functions = {name: (lambda run=run: run().numpy(), 1) for name, run in functions.items()}
    functions["step"] = (lambda: steps(rows), 16)
    return functions


def check_equal(model, contender):
    """Raises AssertionError unless the naive networks and augmentation compute the same."""
    import tensorflow as tf

    from replicate.training.ada import pipeline

    x = tf.random.stateless_uniform((8, RESOLUTION, RESOLUTION, 3), [1, 2], -1, 1)
    z, c = tf.random.stateless_normal((8, LATENT), [3, 4]), tf.one_hot(range(8), CLASSES)

    def outputs():
        augmented = pipeline.augment(x, 0.8, seed=[5, 6])
        return [model.generator(z, c), model.discriminator(x, c), augmented]

    expected = outputs()
    {"zeros": use_zeros, "slices": use_slices, "grouped": use_grouped}[contender]()
    for ours, naive in zip(expected, outputs(), strict=True):
        np.testing.assert_allclose(naive, ours, rtol=1e-3, atol=1e-3)


def measure(args):
    """Times the parts of one contender in this process; returns what it did."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.path.insert(0, str(paired.ROOT))
    import tensorflow as tf

    from replicate.runs.worker import configure_tensorflow, thread_profile

    configure_tensorflow(thread_profile("generator"))
    matrix = tf.random.stateless_normal((paired.SIDE, paired.SIDE), seed=[0, 0])
    multiply = tf.function(lambda: tf.matmul(matrix, matrix))
    rates = [paired.sgemm_rate(multiply, lambda value: value.numpy())]
    model = make_model(args)
    if args.contender != "ours":
        check_equal(model, args.contender)
    milliseconds, errors = {}, {}
    for name, (run, count) in part_functions(model).items():
        if name not in CHANGED.get(args.contender, PARTS) or (args.quick and name == "step"):
            continue
        try:
            milliseconds[name] = [1e3 * s / count for s in seconds_of(run, args.repeats)]
        except (tf.errors.OpError, ValueError, LookupError) as error:
            errors[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[-1][:120]}"
    rates.append(paired.sgemm_rate(multiply, lambda value: value.numpy()))
    return {
        "contender": args.contender,
        "ms": milliseconds,
        "errors": errors,
        "sgemm_gflops": rates,
        "peak_memory_mb": paired.peak_memory_mb(),
        "versions": paired.versions(tf, tf.keras),
    }


def seconds_of(run, repeats):
    """Returns the seconds of each repeat, after one that traces."""
    run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def compare(args):
    """Runs all rounds; returns the report as a dictionary."""
    machine_line = paired.machine()
    flags = [f"--{name}={getattr(args, name)}" for name in ("channel_base", "channel_max")]
    flags += [f"--repeats={args.repeats}"] + ["--quick"] * args.quick
    rows = paired.take_turns(
        __file__, CONTENDERS, args, flags, lambda row: row["errors"] or "all parts ran"
    )
    more = {"channels": channels_of(args), "batch_size": BATCH, "gflop": part_gflop(args)}
    return paired.report_of(machine_line, rows, **more)


def table(report):
    """Returns the Markdown table: time and rate of each part, and the naive ones' times."""
    by_name = paired.by_contender(report)
    rates = [statistics.mean(row["sgemm_gflops"]) for row in by_name["ours"]]
    lines = [
        "| part | ms, median | min | GFLOP | GFLOP/s | share of sgemm | zeros between: x slower "
        "| slices: x slower | grouped: x slower |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for part, meaning in PARTS.items():
        rounds = [row["ms"][part] for row in by_name["ours"] if part in row["ms"]]
        if not rounds:
            continue
        every = [ms for row in rounds for ms in row]
        speeds = [1e3 * report["gflop"][part] / statistics.median(row) for row in rounds]
        shares = [speed / rate for speed, rate in zip(speeds, rates, strict=True)]
        ratios = [_ratio(part, by_name["ours"], by_name[name]) for name in CHANGED]
        lines.append(
            f"| {meaning} | {statistics.median(every):.1f} | {min(every):.1f} "
            f"| {report['gflop'][part]:.1f} | {statistics.median(speeds):.0f} "
            f"| {statistics.median(shares):.0%} | {' | '.join(ratios)} |"
        )
    return "\n".join(lines)


def _ratio(part, ours, naive):
    """Returns median and least of the round-by-round ratios of time, or that it does not run."""
    if any(part in row["errors"] for row in naive):
        return "does not run"
    if any(part not in row["ms"] for row in naive):
        return "-"
    return paired.ratio(ours, naive, lambda row: statistics.median(row["ms"][part]))


def errors_of(report):
    """Returns a Markdown list of what naive contenders cannot do on this machine."""
    found = {
        f"- {CONTENDERS[row['contender']]}; {PARTS[part]}: `{error}`"
        for row in report["rows"]
        for part, error in row["errors"].items()
    }
    return "\n".join(sorted(found)) or "Every contender ran every part that it changes."


def write(report):
    """Writes the JSON and the page."""
    memory = max(row["peak_memory_mb"] for row in paired.by_contender(report)["ours"])
    rate = statistics.median(statistics.mean(row["sgemm_gflops"]) for row in report["rows"])
    page = f"""# A training step of StyleGAN2-ADA

Written by `python benchmarks/stylegan2_training.py --publish`; raw numbers in
`benchmarks/results/stylegan2_training.json`.

{RESOLUTION} x {RESOLUTION} colour images, batch {report["batch_size"]}, float32, maps of
{report["channels"]} channels at 4, 8, … pixels. Contenders take turns in
{paired.rounds_of(report)} rounds, each in a fresh process; ratios are taken
within a round: median (least). "sgemm" is the rate of float32 matrix products,
{paired.SIDE} x {paired.SIDE}, in the same process, {rate:.0f} GFLOP/s. GFLOP are counted from the
layers; those of the augmentation are its matrix products at the widest margin, without the gather
between them. Peak memory of a process, all parts: {memory:,.0f} MB.

{table(report)}

What did not run:

{errors_of(report)}

{paired.footer(report)}
"""
    paired.save("stylegan2_training", "stylegan2_benchmarks", report, page)


def main():
    """Measures, prints the table and, with --publish, writes the results."""
    parser = paired.parser_of(__doc__, CONTENDERS, rounds=3)
    parser.add_argument(
        "--repeats", type=int, default=5, help="runs of a part, contender and round"
    )
    parser.add_argument("--channel_base", type=int, default=1024)
    parser.add_argument("--channel_max", type=int, default=128)
    args = parser.parse_args()
    if args.quick:
        args.channel_base, args.repeats = 256, 1
    paired.run(
        args, measure, compare, lambda report: f"{table(report)}\n{errors_of(report)}", write
    )


if __name__ == "__main__":
    main()
