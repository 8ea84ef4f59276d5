"""Times a training step of the CIFAR-10 DCGAN against plain Keras and a PyTorch twin.

    python benchmarks/dcgan_step.py                  all contenders, about twenty minutes
    python benchmarks/dcgan_step.py --quick          a check in under a minute, writes nothing
    python benchmarks/dcgan_step.py --torch_python=PATH   another environment's PyTorch

Every contender runs in a fresh process, and the contenders take turns, so that each round is a
paired comparison under the same load. Each process also measures the machine's rate of float32
matrix products just before and just after its steps. First steps (tracing, compiling) are timed
apart.
"""

import os
import statistics
import time

import numpy as np
import paired

BATCH = 64
LATENT = 100
RATES = (1e-3, 2e-4)  # generator, discriminator
CONTENDERS = {
    "ours": "this package, float32",
    "ours_bf16": "this package, bfloat16",
    "ours_side": "this package, float32, side by side",
    "ours_bf16_side": "this package, bfloat16, side by side",
    "keras": "plain Keras: two discriminator passes, `Adam`, `Model.fit`",
    "torch": "PyTorch twin, float32",
    "torch_bf16": "PyTorch twin, bfloat16 autocast",
    "torch_side": "PyTorch twin, float32, side by side",
    "torch_bf16_side": "PyTorch twin, bfloat16 autocast, side by side",
}
BASES = {
    "keras": "plain Keras",
    "torch": "PyTorch",
    "torch_bf16": "PyTorch bfloat16",
    "torch_side": "PyTorch side by side",
    "torch_bf16_side": "PyTorch bfloat16 side by side",
}


SHARE, FASTER, FASTER_BF16 = 0.8, 1.2, 1.5  # bars set before: of the sgemm rate, x PyTorch


def step_gflop():
    """Returns the arithmetic of one step in GFLOP, taps on padding counted as the layers have them.

    The generator runs forward twice and backward once, the discriminator forward on three batches
    and backward on three; backward is twice forward, less what no variable needs: the first layer's
    input and, in the generator's step, the discriminator's own weights.
    """
    up = zip((1, 4, 16, 64, 256), (LATENT, 512, 256, 128, 64), (512, 256, 128, 64, 3), strict=True)
    down = zip((256, 64, 16, 4), (3, 64, 128, 256), (64, 128, 256, 512), strict=True)
    passes = {"up": [3, 4, 4, 4, 4], "down": [6, 8, 8, 8]}
    products = sum(
        count * pixels * 16 * inputs * filters
        for name, layers in (("up", up), ("down", down))
        for count, (pixels, inputs, filters) in zip(passes[name], layers, strict=True)
    )
    return 2e-9 * BATCH * products


def random_images(count):
    """Returns float32 images `(count, 32, 32, 3)` in [-1, 1]."""
    return np.random.default_rng(0).uniform(-1, 1, (count, 32, 32, 3)).astype("float32")


def run_tensorflow(contender, steps):
    """Returns modules, sgemm rates and times of a TensorFlow contender."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from replicate.runs.worker import configure_tensorflow, thread_profile

    if contender != "keras":
        configure_tensorflow(thread_profile("generator"))
    matrix = tf.random.stateless_normal((paired.SIDE, paired.SIDE), seed=[0, 0])

    def rate():
        return paired.sgemm_rate(
            tf.function(lambda: tf.matmul(matrix, matrix)), lambda value: value.numpy()
        )

    before = rate()
    first, seconds = (run_keras if contender == "keras" else run_ours)(contender, steps)
    return (tf, tf.keras), [before, rate()], first, seconds


def run_ours(contender, steps):
    """Returns times of this package's step as its own training loop runs it."""
    import keras
    import tensorflow as tf

    if "bf16" in contender:
        keras.config.set_dtype_policy("mixed_bfloat16")
    from replicate.models.dcgan import DCGAN
    from replicate.training.loop import resident_steps
    from replicate.training.optimizers import FusedAdam

    model = DCGAN()
    model.compile(*(FusedAdam(rate, beta_1=0.5) for rate in RATES))
    images = tf.constant(random_images(BATCH))
    run = resident_steps(lambda *batch: model.train_step(batch), images, tf.zeros(BATCH, tf.int64))
    rows = tf.constant(np.arange(BATCH)[None])
    return paired.timed(lambda: run(rows), steps)


def plain_keras():
    """Returns a DCGAN as a Keras user writes it from the library's own layers and losses."""
    import keras
    import tensorflow as tf

    layers, entropy = keras.layers, keras.losses.BinaryCrossentropy(from_logits=True)
    stack = [keras.Input((LATENT,)), layers.Reshape((1, 1, LATENT))]
    for filters in (512, 256, 128, 64):
        stack.append(layers.Conv2DTranspose(filters, 4, 2, "same"))
        stack += [layers.GroupNormalization(1, epsilon=1e-5), layers.LeakyReLU(0.2)]
    stack.append(layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh"))
    generator = keras.Sequential(stack)
    stack = [keras.Input((32, 32, 3))]
    for filters in (64, 128, 256, 512):
        stack += [layers.Conv2D(filters, 4, 2, "same"), layers.LeakyReLU(0.2)]
    discriminator = keras.Sequential([*stack, layers.Flatten(), layers.Dense(1)])

    class Plain(keras.Model):
        def __init__(self):
            super().__init__()
            self.generator, self.discriminator = generator, discriminator
            self.built = True

        def train_step(self, images):
            noise = tf.random.normal((2, tf.shape(images)[0], LATENT))
            fake = generator(noise[0])
            with tf.GradientTape() as tape:
                real, drawn = discriminator(images), discriminator(fake)
                d_loss = entropy(tf.ones_like(real), real) + entropy(tf.zeros_like(drawn), drawn)
            variables = discriminator.trainable_variables
            self.d_optimizer.apply(tape.gradient(d_loss, variables), variables)
            with tf.GradientTape() as tape:
                drawn = discriminator(generator(noise[1]))
                g_loss = entropy(tf.ones_like(drawn), drawn)
            variables = generator.trainable_variables
            self.optimizer.apply(tape.gradient(g_loss, variables), variables)
            return {"d_loss": d_loss, "g_loss": g_loss}

    model = Plain()
    model.compile(keras.optimizers.Adam(RATES[0], beta_1=0.5))
    model.optimizer.build(generator.trainable_variables)
    model.d_optimizer = keras.optimizers.Adam(RATES[1], beta_1=0.5)
    model.d_optimizer.build(discriminator.trainable_variables)
    return model


def run_keras(contender, steps):
    """Returns times of the steps of `Model.fit` with its defaults."""
    import keras

    marks = [time.perf_counter()]

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            marks.append(time.perf_counter())

    images = random_images(BATCH * (paired.WARM_UP_STEPS + steps))
    plain_keras().fit(images, batch_size=BATCH, verbose=0, callbacks=[Clock()])
    return marks[paired.WARM_UP_STEPS] - marks[0], np.diff(marks)[paired.WARM_UP_STEPS :].tolist()


def run_torch(contender, steps):
    """Returns modules, sgemm rates and times of the same step in PyTorch."""
    import torch
    from torch import nn
    from torch.nn.functional import softplus

    channels = (LATENT, 512, 256, 128, 64)
    stack = []
    for inputs, filters in zip(channels[:-1], channels[1:], strict=True):
        stack += [nn.ConvTranspose2d(inputs, filters, 4, 2, 1), nn.GroupNorm(1, filters)]
        stack.append(nn.LeakyReLU(0.2))
    generator = nn.Sequential(*stack, nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh())
    stack = []
    for inputs, filters in zip((3, 64, 128, 256), (64, 128, 256, 512), strict=True):
        stack += [nn.Conv2d(inputs, filters, 4, 2, 1), nn.LeakyReLU(0.2)]
    discriminator = nn.Sequential(*stack, nn.Flatten(), nn.Linear(2048, 1))
    networks = (generator, discriminator)
    optimizers = [
        torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999))
        for network, rate in zip(networks, RATES, strict=True)
    ]
    images = torch.tensor(random_images(BATCH)).permute(0, 3, 1, 2).contiguous()
    reduced = torch.autocast("cpu", torch.bfloat16, enabled="bf16" in contender)

    def update(which, loss):
        parameters = list(networks[which].parameters())
        gradients = torch.autograd.grad(loss, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizers[which].step()

    def step():
        noise = torch.randn(2, BATCH, LATENT, 1, 1)
        with reduced, torch.no_grad():
            fake = generator(noise[0])
        with reduced:
            logits = discriminator(torch.cat([images, fake.float()])).float()
        d_loss = softplus(-logits[:BATCH]).mean() + softplus(logits[BATCH:]).mean()
        update(1, d_loss)
        with reduced:
            logits = discriminator(generator(noise[1])).float()
        g_loss = softplus(-logits).mean()
        update(0, g_loss)
        return d_loss.item(), g_loss.item()

    matrix = torch.randn(paired.SIDE, paired.SIDE)
    before = paired.sgemm_rate(lambda: matrix @ matrix)
    first, seconds = paired.timed(step, steps)
    return (torch,), [before, paired.sgemm_rate(lambda: matrix @ matrix)], first, seconds


def measure(args):
    """Runs one contender; returns what it did."""
    torch = args.contender.startswith("torch")
    return paired.step_row(__file__, args, run_torch if torch else run_tensorflow)


def compare(args):
    """Runs all rounds; returns the report as a dictionary."""
    names = ["ours", "ours_bf16"] if args.quick else list(CONTENDERS)
    args.steps = 3 if args.quick else args.steps
    return paired.compare_steps(__file__, names, args, batch_size=BATCH, step_gflop=step_gflop())


def table(report):
    """Returns the Markdown table: times, rates, ratios within a round, memory."""
    by_name = paired.by_contender(report)
    lines = [
        "| contender | ms a step, median | min | GFLOP/s | sgemm GFLOP/s | share of sgemm "
        f"| {' | '.join(f'x {name}' for name in BASES.values())} "
        "| first steps, s | peak memory, MB |",
        f"|---|{'---:|' * (7 + len(BASES))}",
    ]
    for name, rows in by_name.items():
        every = [ms for row in rows for ms in row["step_ms"]]
        rates, sgemm, shares = paired.shares_of_sgemm(rows, report["step_gflop"])
        ratios = [paired.ratio(rows, by_name.get(base), paired.median_ms) for base in BASES]
        lines.append(
            f"| {CONTENDERS[name]} | {statistics.median(every):.0f} | {min(every):.0f} "
            f"| {statistics.median(rates):.0f} | {statistics.median(sgemm):.0f} "
            f"| {statistics.median(shares):.0%} | {' | '.join(ratios)} "
            f"| {statistics.median(row['first_steps_seconds'] for row in rows):.1f} "
            f"| {max(row['peak_memory_mb'] for row in rows):,.0f} |"
        )
    return "\n".join(lines)


def bars(report):
    """Returns the bars as a list in Markdown: what was measured, and whether each is met."""
    by_name = paired.by_contender(report)

    def told(value, bar, form):
        return f"{value:{form}}, {'met' if value >= bar else 'missed'}"

    def share(name):
        return statistics.median(paired.shares_of_sgemm(by_name[name], report["step_gflop"])[2])

    def faster(name, base):
        pairs = zip(by_name[name], by_name[base], strict=True)
        return statistics.median(paired.median_ms(b) / paired.median_ms(a) for a, b in pairs)

    lines = ["Bars that were set before, alone and side by side (PyTorch likewise), medians:", ""]
    for what, bar, form, alone, beside in (
        ("of the sgemm rate in float32", SHARE, ".0%", share("ours"), share("ours_side")),
        (
            *("times as fast as PyTorch in float32", FASTER, ".2f"),
            *(faster("ours", "torch"), faster("ours_side", "torch_side")),
        ),
        (
            *("times as fast as PyTorch in bfloat16", FASTER_BF16, ".2f"),
            *(faster("ours_bf16", "torch_bf16"), faster("ours_bf16_side", "torch_bf16_side")),
        ),
    ):
        found = f"{told(alone, bar, form)}; side by side {told(beside, bar, form)}"
        lines.append(f"* {bar:{form.replace('2', '1')}} {what}: {found}.")
    return "\n".join(lines)


def write(report):
    """Writes the JSON and the page."""
    page = f"""# A training step of the CIFAR-10 DCGAN

Written by `python benchmarks/dcgan_step.py --publish`; raw numbers in
`benchmarks/results/dcgan_step.json`.

One discriminator step and one generator step, variant A, batch {report["batch_size"]}, Adam:
{report["step_gflop"]:.1f} GFLOP, counted from the layers, padding included. Contenders take turns
in {paired.rounds_of(report)} rounds, each in a fresh process, this package with the threads of its
runs, the others with their defaults. "Side by side" is one generator a core, of one thread each, as
`--workers` trains the ten generators: its time is the wall time over the steps of all, of which
each generator's own takes as many as there are cores; its rates and memory are those of all
together.
Ratios are taken within a round: median (least); above one means faster than the column's. "sgemm"
is the rate of float32 matrix products, {paired.SIDE} x {paired.SIDE}, in the same process, before
and after. The PyTorch twin, too, sends real and generated images through its discriminator together
and asks for no gradient that is not used. "First steps" holds tracing and compiling.

{bars(report)}

{table(report)}

{paired.footer(report)}
"""
    paired.save("dcgan_step", "dcgan_benchmarks", report, page)


def main():
    """Measures, prints the table and, with --publish, writes the results."""
    parser = paired.parser_of(__doc__, CONTENDERS, rounds=5)
    parser.add_argument("--steps", type=int, default=15, help="steps a contender and round")
    paired.run(parser.parse_args(), measure, compare, table, write)


if __name__ == "__main__":
    main()
