"""Seth, Bhandari and Lakara (2023): real and GAN images mixed in ratios, and MNIST-C.

    python -m replicate.cgan_ood --dataset=mnist,fashion_mnist    those parts of preset paper
    python -m replicate.cgan_ood --dataset=cifar10 --network=official     the report's generator
    python -m replicate.cgan_ood --preset=lite --plan             what would run, and for how long

Method (Sec. 3). A conditional GAN learns MNIST and another one Fashion-MNIST; for CIFAR-10 the
report samples the published StyleGAN2-ADA (`--network`: its file, or "official" for a download), in
whose place stands a substitute, named so: the small StyleGAN2-ADA that this package trained and
ships ("own"), a class-conditional DCGAN trained in the run ("dcgan"), or the network in a given
file, which counts as the report's generator only by way of "official". Each draws as many images as
the real training and test sets hold. A CNN is trained on original (O) and synthetic (S) images in
ratios O:S with a constant total, and tested on both test sets (Table 2) and on MNIST-C's shot noise
(Table 3), here with likelihood and calibration beside accuracy.

Controls that the report lacks: an original part repeated up to the constant total in place of
synthetic images (`step_matched`), permuted labels, a real-versus-synthetic classifier. Extensions,
not part of preset paper: synthetic images left in [-1, 1] (`other_scale`), synthetic images added
to all originals (`add`), ratios that the report has for MNIST only (`more_ratios`); what the report
claims and does not test: class imbalance, shortage of real images, and its future work, transfer
learning (`imbalance`, `shortage`, `transfer`), with generators that saw all originals or only the
classifier's (`same_data`); a smaller CNN for CIFAR-10 (`small_cnn`), an ImageNet network's
distances (`inception`), and CIFAR-10 with other generators beside that of `--network` (`official`,
`dcgan`).
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys

from absl import flags

from replicate.runs.flags import (
    define_choices,
    define_inception_weights,
    define_positive,
    define_shared,
)
from replicate.runs.seeds import stream, trial_seed, trial_stream
from replicate.runs.study import (
    Outcome,
    Stage,
    Study,
    alone_if_long,
    blames_trial,
    data_provenance,
    unique,
)
from replicate.stages.mixes import (
    CLASSES,
    FEW_ORIGINALS,
    LONG_TAILS,
    labels_of,
    rare_classes,
    seen_rows,
    training_rows,
    transfer_order,
)

NAME = "cgan_ood"
TRAINING_IMAGES = {"mnist": 60000, "fashion_mnist": 60000, "cifar10": 50000}
TABLE_2 = ("1:0", "0:1", "1:1", "2:1", "1:2", "5:1")  # original:synthetic
TABLE_3 = ("6:1", "7:1", "8:1", "9:1", "10:1")  # MNIST only, beside those of Table 2
RATIOS = (*TABLE_2, *TABLE_3)
ARMS = ("mix", "step_matched", "label_shuffled", "real_vs_synthetic")
MATCHED = ("1:1", "5:1")  # whose originals alone are repeated up to the constant total
ADDED = ("1:1", "2:1", "5:1", "10:1")
EXTENSIONS = (
    *("other_scale", "add", "more_ratios", "imbalance", "shortage", "transfer", "same_data"),
    *("small_cnn", "inception", "official", "dcgan"),
)
NETWORKS = ("own", "dcgan", "official")
GAN_INIT = {"mnist": "glorot", "fashion_mnist": "torch"}  # the report names none; see `[log] gaps`
FEW = (100, 1000, 6000)  # real images where they are short
DCGAN_BATCH, DCGAN_RATES = 64, (1e-3, 2e-4)  # of the DCGAN; generator, discriminator
SHOWN = ("original", "synthetic", "mnist_c_5")  # whose confusions are kept
# Seconds of two cores to train on an image (docs/pace_benchmarks.md); a third of it to test on one.
SECONDS_AN_IMAGE = {"simple_cnn": 78e-6, "deep_cnn": 705e-6, "deep_cnn_single": 172e-6}


def define_flags(values: flags.FlagValues) -> None:
    """The study's flags; defaults are the report's values or the choices of the specification."""
    define_shared(values, replicates=10, generators=3)
    define_choices(values, "dataset", TRAINING_IMAGES, TRAINING_IMAGES, "data sets (Sec. 3.1)")
    define_positive(values, "epochs", 100, "epochs of the conditional GAN (inferred)")
    define_positive(values, "batch_size", 100, "images a step, conditional GAN (Sec. 3.1)")
    define_positive(values, "learning_rate", 2e-5, "Adam's rate, generator (Sec. 3.1)")
    define_positive(values, "learning_rate_d", 1e-4, "Adam's rate, discriminator (Sec. 3.1)")
    define_positive(values, "latent_dim", 100, "noise dimensions (inferred)")
    flags.DEFINE_enum(
        "gan_init",
        None,
        ("glorot", "torch"),
        "initial weights of the conditional GAN: Glorot's, or PyTorch's defaults (inferred; if not "
        f"given: {', '.join(f'{name} {init}' for name, init in GAN_INIT.items())})",
        flag_values=values,
    )
    define_positive(values, "dcgan_epochs", 100, "epochs of CIFAR-10's DCGAN")
    define_positive(values, "classifier_epochs", 10, "epochs, MNIST and Fashion-MNIST (Table 1)")
    define_positive(values, "classifier_learning_rate", 1e-4, "Adam's rate, the same (Table 1)")
    define_positive(values, "deep_epochs", 50, "epochs of a classifier, CIFAR-10 (Table 1)")
    define_positive(values, "deep_learning_rate", 1e-3, "Adam's rate, CIFAR-10 (Table 1)")
    define_positive(values, "classifier_batch_size", 100, "images a step, classifier (inferred)")
    text = "training images of either kind, as far as there are"
    define_positive(values, "n_train", 60000, text, at_most=60000)
    define_positive(values, "n_test", 10000, "test images of either kind", at_most=10000)
    flags.DEFINE_string(
        "network",
        "own",
        'CIFAR-10\'s generator: "own", the StyleGAN2-ADA that comes along; "dcgan", one trained in '
        'the run; "official" to download NVIDIA\'s StyleGAN2-ADA, whose licence is non-commercial; '
        "or a file (official pickle, or safetensors as this package converts and trains them), "
        "which is named by its content and never scored",
        flag_values=values,
    )
    flags.register_validator(
        "network",
        lambda path: path in NETWORKS or os.path.isfile(path),
        message=f"expected a file or one of {', '.join(NETWORKS)}",
        flag_values=values,
    )
    define_inception_weights(values)
    define_choices(values, "arms", ARMS, ARMS, "training sets to compare")
    define_choices(values, "ratios", RATIOS, RATIOS, "ratios original:synthetic of the mixes")
    define_choices(values, "extensions", EXTENSIONS, (), "further arms")


# ------------------------------------------------------------------- which trials there are


def declare(values: flags.FlagValues) -> list:
    """The trials that the flags ask for: protocol first, data set by data set, then extensions.

    Raises:
        ValueError: if an arm, a ratio or an extension that was asked for has no trial, or
            `--network` is no StyleGAN2-ADA of CIFAR-10.
        OSError: if the file of `--network` cannot be read.
    """
    check_cached(values)
    parts = [
        Part(values, dataset, origin_of(dataset, values.network)) for dataset in values.dataset
    ]
    trials = [trial for part in parts for trial in protocol(part)]
    further = {
        extension: [trial for part in parts for trial in EXTENSION_TRIALS[extension](part)]
        for extension in values.extensions
    }
    refuse_what_yields_nothing(values, trials, further)
    return unique([*trials, *(trial for more in further.values() for trial in more)])


def refuse_what_yields_nothing(values, trials, further):
    """Refuse a choice of arms or ratios, or an extension, that asks for something without trials.

    Args:
        values: the flags.
        trials: those of the protocol.
        further: extension -> its trials.

    Raises:
        ValueError: names the flag.
    """
    every = [*trials, *(trial for more in further.values() for trial in more)]
    found = {
        "arms": {trial.settings.get("arm") for trial in every},
        "ratios": {trial.settings.get("ratio") for trial in every},
        "extensions": {extension for extension, more in further.items() if more},
    }
    for name, whole in (("arms", ARMS), ("ratios", RATIOS), ("extensions", EXTENSIONS)):
        asked = values[name].value
        idle = [choice for choice in asked if choice not in found[name]]
        if idle and set(asked) != set(whole):  # whoever asks for all asks for those that there are
            raise ValueError(
                f"Expected --{name} that have trials with --dataset={','.join(values.dataset)} "
                f"--ratios={','.join(values.ratios)} --n_train={values.n_train}. "
                f"Received: --{name}={','.join(idle)}"
            )


def origin_of(dataset, network):
    """Settings that say what draws a data set's synthetic images."""
    if dataset != "cifar10":
        return {"source": "cgan"}
    if network == "dcgan":
        return {"source": "dcgan_substitute"}
    from replicate.stages.stylegan2_sets import network_origin

    return network_origin(network)


def check_cached(values):
    """Refuse an official network of the cache that cannot draw CIFAR-10, if it is asked for."""
    asked = values.network == "official" or "official" in values.extensions
    if asked and "cifar10" in values.dataset:
        from replicate.stages.stylegan2_sets import check_official

        check_official()


@dataclasses.dataclass(frozen=True)
class Part:
    """One data set of a run: makes its trials.

    Args:
        values: the flags.
        dataset: name of the data set.
        origin: `source` of the synthetic images, with `weights` if that does not name the network.
    """

    values: flags.FlagValues
    dataset: str
    origin: dict

    @property
    def n_train(self):
        """Training images of either kind, the constant total of a mix."""
        return min(self.values.n_train, TRAINING_IMAGES[self.dataset])

    @property
    def generators(self):
        """Independent generators: one for CIFAR-10, where the report has one published network."""
        return 1 if self.dataset == "cifar10" else self.values.generators

    @property
    def replicates(self):
        """Replicates of the protocol's arms."""
        return range(self.values.replicates)

    @property
    def few(self):
        """Replicates of controls and extensions: as many as the other data sets have generators."""
        return range(min(self.values.replicates, self.values.generators))

    def asked(self, ratios):
        """Those of some ratios that the flags ask for."""
        return [ratio for ratio in ratios if ratio in self.values.ratios]

    def common(self, **settings):
        """Settings that every trial carries."""
        v = self.values
        sizes = {"n_train": self.n_train, "n_test": v.n_test}
        return {"dataset": self.dataset, "seed": v.seed, **sizes, **settings}

    def generator(self, replicate, **sees):
        """The network that draws synthetic images, where it is trained here."""
        v = self.values
        settings = self.common(**self.origin, **(sees or {"sees": "all"}))
        if self.dataset == "cifar10":
            rate, rate_d = DCGAN_RATES
            epochs, batch_size = v.dcgan_epochs, DCGAN_BATCH
        else:
            rate, rate_d = v.learning_rate, v.learning_rate_d
            epochs, batch_size = v.epochs, v.batch_size
            if (v.gan_init or GAN_INIT[self.dataset]) == "glorot":
                settings["init"] = "glorot"
        settings |= {"epochs": epochs, "batch_size": batch_size, "latent_dim": v.latent_dim}
        settings |= {"learning_rate": rate, "learning_rate_d": rate_d}
        return STUDY.trial("generator", settings, replicate)

    def synthetic(self, replicate, **sees):
        """The trials behind a synthetic set: its generator, if trained here, and the set."""
        settings = self.common(**self.origin, **(sees or {"sees": "all"}))
        if self.origin["source"].startswith("stylegan2"):
            return [STUDY.trial("synthetic", settings, replicate)]
        source = self.generator(replicate, **sees)
        settings["gan_epochs"] = source.settings["epochs"]
        return [source, STUDY.trial("synthetic", settings, replicate, generator=source)]

    def evaluation(self, replicate, extractor, **sees):
        """What can be said of a synthetic set by one extractor's features."""
        images, judge = self.synthetic(replicate, **sees)[-1], self.judge()
        settings = images.settings | {"extractor": extractor}
        inputs = {"synthetic": images, "judge": judge}
        return STUDY.trial("evaluation", settings, replicate, **inputs)

    def evaluated(self, replicate, extractor, **sees):
        """A synthetic set's evaluation, with all that it needs."""
        chain = self.synthetic(replicate, **sees)
        return [self.judge(), *chain, self.evaluation(replicate, extractor, **sees)]

    def judge(self):
        """The CNN of original images whose features the proxy distance uses."""
        return STUDY.trial("judge", self.common(**self.training()))

    def training(self, epochs=1, network=None):
        """How a classifier is trained (Table 1), for so many times its epochs."""
        v, deep = self.values, self.dataset == "cifar10"
        return {
            "network": network or ("deep_cnn" if deep else "simple_cnn"),
            "epochs": epochs * (v.deep_epochs if deep else v.classifier_epochs),
            "batch_size": v.classifier_batch_size,
            "learning_rate": v.deep_learning_rate if deep else v.classifier_learning_rate,
        }

    def classifier(self, arm, replicate, sees=None, epochs=1, network=None, **settings):
        """One CNN on one training set, with what its synthetic images need."""
        chain = self.synthetic(replicate % self.generators, **(sees or {}))
        settings = {"arm": arm, "scale": "same", **settings}
        settings = self.common(**self.origin, **(sees or {"sees": "all"}), **settings)
        settings |= self.training(epochs, network)
        return [*chain, STUDY.trial("classifier", settings, replicate, synthetic=chain[-1])]

    def classifiers(self, arm, replicates, ratios, **settings):
        """An arm at several ratios, replicate by replicate."""
        return [
            trial
            for replicate in replicates
            for ratio in ratios
            for trial in self.classifier(arm, replicate, ratio=ratio, **settings)
        ]


def protocol(part):
    """Table 2, for MNIST Table 3, the controls, and the distance of every synthetic set."""
    v = part.values
    trials = []
    for replicate in range(min(part.generators, v.replicates)):
        trials += part.evaluated(replicate, "classifier")
    if "mix" in v.arms:
        ratios = part.asked(RATIOS if part.dataset == "mnist" else TABLE_2)
        trials += part.classifiers("mix", part.replicates, ratios)
    if "step_matched" in v.arms:
        trials += part.classifiers("step_matched", part.few, part.asked(MATCHED))
    for arm, ratio in (("label_shuffled", "0:1"), ("real_vs_synthetic", "1:1")):
        if arm in v.arms:
            trials += part.classifiers(arm, part.few, [ratio])
    return trials


def imbalance_trials(part):
    """Extension: originals with a long tail, alone, filled up by synthetic images or repeats."""
    return [t for r in part.replicates for arm in LONG_TAILS for t in part.classifier(arm, r)]


def shortage_trials(part):
    """Extension: few originals alone, and filled up to the constant total by synthetic or repeats.

    All replicates for S17's number of originals.
    """
    return [
        trial
        for n_real in FEW
        if n_real < part.n_train
        for replicate in (part.replicates if n_real == FEW[1] else part.few)
        for arm in FEW_ORIGINALS
        for trial in part.classifier(arm, replicate, n_real=n_real)
    ]


def transfer_trials(part):
    """Extension: synthetic images first, then originals; beside it originals all the time."""
    sizes = [n for n in (FEW[1], part.n_train) if n <= part.n_train]
    return [
        trial
        for replicate in part.few
        for n_real in sizes
        for arm in ("transfer", "transfer_real")
        for trial in part.classifier(arm, replicate, epochs=2, n_real=n_real)
    ]


def same_data(part):
    """Arm -> what its generator sees: only the classifier's originals.

    Empty for CIFAR-10, whose generator is one that was published.
    """
    if part.dataset == "cifar10":
        return {}
    n_real = max((n for n in FEW[:2] if n < part.n_train), default=part.n_train // 2)
    return {
        "long_tail_filled": {"sees": "long_tail"},
        "few_filled": {"sees": "few", "n_real": n_real},
    }


def same_data_trials(part):
    """Extension: imbalance and shortage with generators that see only the classifier's originals.

    Of each synthetic set also its distance from those originals.
    """
    trials = []
    for arm, sees in same_data(part).items():
        for r in part.few:
            trials += part.classifier(arm, r, sees) + part.evaluated(r, "classifier", **sees)
    return trials


def small_cnn_trials(part):
    """Extension: CIFAR-10 with one convolution a block."""
    if part.dataset != "cifar10":
        return []
    return part.classifiers("mix", part.few, ("1:0", "0:1", "5:1"), network="deep_cnn_single")


def inception_trials(part):
    """Extension: distances of every synthetic set on the Inception network that Keras ships."""
    asked, extractor = part.values.extensions, "inception_imagenet"
    others = [name for name in ("official", "dcgan") if name in asked and part.dataset == "cifar10"]
    parts = [part, *(with_network(part, name) for name in others)]
    generators = range(min(part.generators, part.values.replicates))
    trials = [t for p in parts for r in generators for t in p.evaluated(r, extractor)]
    for sees in same_data(part).values() if "same_data" in asked else ():
        trials += [t for r in part.few for t in part.evaluated(r, extractor, **sees)]
    return trials


def with_network(part, network):
    """CIFAR-10 by another generator."""
    return dataclasses.replace(part, origin=origin_of(part.dataset, network))


def network_trials(part, network):
    """Extension: CIFAR-10 by another generator, beside that of `--network`."""
    if part.dataset != "cifar10":
        return []
    return protocol(with_network(part, network))


def added_trials(part):
    """Extension: synthetic images on top of all originals, and repeats in their place."""
    arms = ("add", "add_repeated")
    return [t for arm in arms for t in part.classifiers(arm, part.few, part.asked(ADDED))]


EXTENSION_TRIALS = {
    "other_scale": lambda part: part.classifiers(
        "mix", part.few, part.asked(TABLE_2), scale="signed"
    ),
    "add": added_trials,
    "more_ratios": lambda part: part.classifiers("mix", part.replicates, part.asked(TABLE_3)),
    "imbalance": imbalance_trials,
    "shortage": shortage_trials,
    "transfer": transfer_trials,
    "same_data": same_data_trials,
    "small_cnn": small_cnn_trials,
    "inception": inception_trials,
    "official": functools.partial(network_trials, network="official"),
    "dcgan": functools.partial(network_trials, network="dcgan"),
}


# ------------------------------------------------------------------- what each trial does


def real_images(data, settings):
    """The original images and labels of each split that a trial uses: the first in canonical order.

    That order is by a hash of the content, so that the first are as good as drawn.

    Returns:
        `"train"`, `"test"` -> (uint8 images `(n, height, width, channels)`, labels `(n,)`).

    Raises:
        ValueError: if a split has too few images.
    """
    found = {}
    for name, part, count in (
        ("train", data.train, settings["n_train"]),
        ("test", data.test, settings["n_test"]),
    ):
        if len(part) < count:
            raise ValueError(
                f"Expected at least {count} {name} images of {data.name}. Received: {len(part)}"
            )
        found[name] = part.images[:count], part.labels[:count]
    return found


def run_generators(trials, context):
    """Stage `generator`: train a conditional GAN; losses are means over an epoch's steps."""
    import numpy as np

    from replicate.models.summary import layer_rows
    from replicate.runs.files import write_json
    from replicate.training.generator import run_generator_trial
    from replicate.training.optimizers import FusedAdam

    for trial in trials:
        s = trial.settings
        data = context.dataset(s["dataset"])
        images, labels = real_images(data, s)["train"]
        network = build_gan(trial)
        epsilon = 1e-8 if s["source"] == "cgan" else 1e-7  # PyTorch's default, Keras'
        rates = s["learning_rate"], s["learning_rate_d"]
        network.compile(*(FusedAdam(rate, beta_1=0.5, epsilon=epsilon) for rate in rates))
        outcome = run_generator_trial(
            trial,
            context,
            network,
            images / np.float32(127.5) - 1,
            labels,
            order_of(trial, labels),
            data,
            strip=strip_of(trial, network),
            log=True,
        )
        path = context.artifact_dir(trial) / "summary.json"
        parts = ("generator", "discriminator")
        write_json(path, {name: layer_rows(getattr(network, name)) for name in parts})
        outcome.artifacts["summary"] = path
        yield trial, outcome


def order_of(trial, labels):
    """Epoch -> the images of that epoch, as many as in the whole training set whatever is seen."""
    from replicate.data.ratios import repeated

    rows = seen_rows(trial, labels)

    def order(epoch):
        permuted = trial_stream(trial, "generator/order", epoch).permutation(rows)
        return repeated(permuted, len(labels))

    return order


def build_gan(trial):
    """The untrained networks of a generator trial."""
    s = trial.settings
    seeds = {
        "latent_dim": s["latent_dim"],
        "num_classes": CLASSES,
        "seed": trial_seed(trial, "generator/init"),
        "noise_seed": trial_seed(trial, "generator/noise"),
    }
    if s["source"] == "cgan":
        from replicate.models.cgan import CGAN

        return CGAN(**seeds, init=s.get("init", "torch"))
    from replicate.models.dcgan import DCGAN

    return DCGAN(**seeds)


def strip_of(trial, network):
    """A fixed noise a class, drawn again as training goes."""
    import numpy as np

    from replicate.stages.synthetic_sets import draw_bytes
    from replicate.training.telemetry import Strip

    z = trial_stream(trial, "generator/strip").standard_normal((CLASSES, network.latent_dim))
    every = max(1, trial.settings["epochs"] // 10)
    return Strip(lambda: draw_bytes(network, z.astype(np.float32), np.arange(CLASSES)), every)


def run_synthetic(trials, context):
    """Stage `synthetic`: draw a training and a test set, balanced, kept as 8-bit like real ones."""
    import numpy as np

    from replicate.stages.stylegan2_sets import draw_stylegan2
    from replicate.stages.synthetic_sets import store_set

    for trial in trials:
        labels = synthetic_labels(trial.settings)
        if "generator" in trial.inputs:
            images = draw(trial, context, labels)
            data = context.input(trial, "generator").data
        else:
            images, card = draw_stylegan2(trial, context, labels, cut=trial.settings["n_train"])
            data = data_provenance(context.dataset("cifar10")) | {"network": card}
        training = labels[: trial.settings["n_train"]]
        rows = np.concatenate([np.flatnonzero(training == label)[:4] for label in range(CLASSES)])
        yield trial, store_set(trial, context, images, labels, data, rows)


def synthetic_labels(settings):
    """Labels of the training images, then of the test images; each part class after class."""
    import numpy as np

    parts = (settings["n_train"], settings["n_test"])
    return np.concatenate([np.sort(np.arange(count) % CLASSES) for count in parts])


def draw(trial, context, labels):
    """Images uint8, one a label, of a network trained here, from its released float16 weights."""
    from replicate.stages.synthetic_sets import draw_in_parts
    from replicate.training.checkpoints import load_weights

    network = build_gan(context.input(trial, "generator").trial)
    load_weights(context.input_path(trial, "generator", "weights"), network.inference_layers())
    noise = trial_stream(trial, "synthetic/z").standard_normal((len(labels), network.latent_dim))
    return draw_in_parts(trial, context, network, noise, labels)


def run_evaluation(trials, context):
    """Stage `evaluation`: a set's test images against the originals its generator learned from."""
    from replicate.stages.evaluations import evaluate_sets

    held_out = slice(-trials[0].settings["n_test"], None)
    by_originals = {}
    for trial in trials:
        name = "all" if trial.settings["sees"] == "all" else trial.key
        by_originals.setdefault(name, []).append(trial)
    for name, members in by_originals.items():
        # Diversity is that of as many images as there are originals: of all classes, where these
        # are fewer.
        order = (
            slice(None)
            if name == "all"
            else in_turn(synthetic_labels(members[0].settings)[held_out])
        )
        yield from evaluate_sets(
            members,
            context,
            features_of=lambda trial: features_of(trial, context),
            real_of=lambda trial: originals_of(trial, context.dataset(trial.settings["dataset"])),
            drawn_of=lambda drawn, order=order: drawn.images[held_out][order],
        )


def in_turn(labels):
    """Rows by which sorted labels `(n,)` follow one another: one of each class, then the next."""
    import numpy as np

    starts = np.searchsorted(labels, labels)
    return np.argsort(np.arange(len(labels)) - starts, kind="stable")


def originals_of(trial, data):
    """Originals that the generator behind a trial's set saw, and held-out ones."""
    real = real_images(data, trial.settings)
    images, labels = real["train"]
    if trial.settings["sees"] != "all":
        images = images[seen_rows(trial, labels)]
    return images, real["test"][0]


def features_of(trial, context):
    """Function from uint8 images to features: the judge's or Inception's."""
    import numpy as np

    from replicate.evaluation.extractors import classifier_features, inception_imagenet
    from replicate.training.checkpoints import load_weights

    if trial.settings["extractor"] == "inception_imagenet":
        extractor = inception_imagenet(context.inception_weights)
        # Grey images as colour images of equal channels.
        return lambda images: extractor.features(np.repeat(images, 3 // images.shape[-1], axis=-1))
    network = network_of(context.input(trial, "judge").trial)
    load_weights(context.input_path(trial, "judge", "weights"), {"classifier": network})
    return classifier_features(network, 1 / 255).features


def run_judge(trials, context):
    """Stage `judge`: a CNN on all originals, whose features the proxy distance uses."""
    import numpy as np

    from replicate.data.splits import class_rows
    from replicate.stages.judges import judge_outcome
    from replicate.training.classifiers import ClassifierJob, run_lanes
    from replicate.training.lanes import LaneTrainer

    for trial in trials:
        s = trial.settings
        data = context.dataset(s["dataset"])
        real = real_images(data, s)
        shown = class_rows(real["train"][1], CLASSES, first=4)  # Fig. 1's originals
        pictures = [part[shown] for part in real["train"]]
        job = ClassifierJob(
            build=lambda trial=trial: network_of(trial),
            rows=np.arange(s["n_train"]),
            order=lambda epoch, trial=trial: trial_stream(trial, "classifier/order", epoch),
            optimizer={"name": "adam", "learning_rate": s["learning_rate"]},
            keep=True,
        )
        trainer = LaneTrainer(*real["train"], *real["test"], lanes=1)
        for _, spec, result in run_lanes(trainer, [trial], lambda _, job=job: job, context):
            outcome = judge_outcome(trial, spec, result, context, data, *pictures)
            if s["dataset"] == "mnist":
                outcome.artifacts["mnist_c"] = context.artifact_dir(trial) / "mnist_c.npz"
                show_corrupted(outcome.artifacts["mnist_c"], real["test"], s["seed"])
            yield trial, outcome


def show_corrupted(path, test, seed):
    """Write a test digit a class, clean and at every severity of MNIST-C."""
    import numpy as np

    from replicate.data.splits import class_rows
    from replicate.runs.files import write_arrays

    chosen = class_rows(test[1], CLASSES, first=1)
    sets = [test, *corrupted(*test, seed).values()]
    images, labels = (np.concatenate([part[i][chosen] for part in sets]) for i in (0, 1))
    write_arrays(path, {"images": images, "labels": labels})


def corrupted(images, labels, seed):
    """MNIST's test images under shot noise of each severity: name -> images and labels."""
    from replicate.data.mnist_c import SEVERITIES, shot_noise

    return {
        f"mnist_c_{s}": (shot_noise(images, s, stream(seed, NAME, 0, "mnist_c", s)), labels)
        for s in SEVERITIES
    }


def network_of(trial):
    """The untrained CNN of a trial."""
    from replicate.models import classifiers

    s = trial.settings
    classes = 2 if s.get("arm") == "real_vs_synthetic" else CLASSES
    seed = trial_seed(trial, "classifier/init")
    if s["network"] == "simple_cnn":
        return classifiers.build_simple_cnn(num_classes=classes, seed=seed)
    single = s["network"] == "deep_cnn_single"
    return classifiers.build_deep_cnn(num_classes=classes, seed=seed, single=single)


def run_classifiers(trials, context):
    """Stage `classifier`: CNNs side by side; accuracy, likelihood and calibration on every set."""
    by_set = {}
    for trial in trials:
        where = trial.inputs["synthetic"], trial.settings["scale"]
        by_set.setdefault(where, []).append(trial)
    for members in by_set.values():
        yield from run_on_one_set(members, context)


def run_on_one_set(trials, context):
    """CNNs that share their resident images."""
    from replicate.training.classifiers import ClassifierJob, run_lanes
    from replicate.training.lanes import LaneTrainer

    images, labels, tests, provenance = load_sets(trials[0], context)
    n = trials[0].settings["n_train"]
    trainer = LaneTrainer(images, labels, lanes=context.threads["inter"], probes=tests)
    truths = {name: labels for name, (_, labels) in tests.items()}
    del images, tests

    def job(trial):
        s = trial.settings
        rows = training_rows(trial, labels, n)
        return ClassifierJob(
            build=lambda: network_of(trial),
            rows=rows,
            labels=labels_of(trial, labels, n),
            order=functools.partial(trial_stream, trial, "classifier/order"),
            optimizer={"name": "adam", "learning_rate": s["learning_rate"]},
            probes_at=lambda epoch: probes_of(trial, truths, epoch),
            indices=transfer_order(trial, rows, n) if s["arm"] == "transfer" else None,
        )

    for trial, spec, result in run_lanes(trainer, trials, job, context):
        rare = rare_classes(spec.rows, labels, n) if trial.settings["arm"] in LONG_TAILS else []
        yield trial, classifier_outcome(trial, result, truths, rare, context, provenance)


def probes_of(trial, names, epoch):
    """Names of the sets that a CNN is tested on after an epoch: all, after the last one."""
    if epoch < trial.settings["epochs"]:
        return ()
    apart = trial.settings["arm"] == "real_vs_synthetic"
    return [name for name in names if name.startswith("source/") == apart]


def load_sets(trial, context):
    """Real and synthetic images of a trial, to train on and to test on.

    With `scale="signed"` synthetic images are float32 in [-1, 1], as the generator draws them,
    while originals, MNIST-C's too, are float32 in [0, 1] (a mismatch that would explain the
    report's Table 2). Else all are uint8.

    Returns:
        Training images, real ones first; their labels; name -> images and labels of each test set;
        what a record says of the data.
    """
    import numpy as np

    from replicate.data.mnist_c import published_shot_noise
    from replicate.data.synthetic import load_synthetic

    s = trial.settings
    data = context.dataset(s["dataset"])
    real, drawn = (
        real_images(data, s),
        load_synthetic(context.input_path(trial, "synthetic", "set")),
    )
    images, labels = real["train"]
    synthetic = drawn.images
    if s["scale"] == "signed":
        images, synthetic = in_unit(images), synthetic / np.float32(127.5) - 1
    cut = s["n_train"]
    tests = {"original": real["test"], "synthetic": (synthetic[cut:], drawn.labels[cut:])}
    for kind, name in enumerate(list(tests)):  # the same images, told apart by where they are from
        tests[f"source/{name}"] = tests[name][0], np.full(s["n_test"], kind)
    provenance = data_provenance(data)
    if s["dataset"] == "mnist":
        tests |= corrupted(*real["test"], s["seed"])
        provenance["mnist_c"] = "drawn by the formula"
        published = published_shot_noise(context.data_dir)
        if published is not None:
            tests["mnist_c_published"] = published.images, published.labels
            provenance["mnist_c"] += f"; published set, sha256 {published.sha256}"
    if s["scale"] == "signed":
        tests = {name: (in_unit(part), truth) for name, (part, truth) in tests.items()}
    images = np.concatenate([images, synthetic[:cut]])
    return images, np.concatenate([labels, drawn.labels[:cut]]), tests, provenance


def in_unit(images):
    """Bytes as float32 in [0, 1]; images that are float32 already, as they are."""
    import numpy as np

    return images / np.float32(255) if images.dtype == np.uint8 else images


@blames_trial
def classifier_outcome(trial, result, truths, rare, context, provenance):
    """Metrics, curves and confusion matrices of one CNN."""
    import numpy as np

    from replicate.evaluation.confusion import confusion_matrix, per_class_recall
    from replicate.evaluation.probabilities import quality
    from replicate.runs.files import write_arrays
    from replicate.training.classifiers import training_curves

    curves = training_curves(result)
    metrics = {name: values[-1] for name, values in curves.items()}
    probed = {name: found for (name, _), found in result.probes.items()}
    if trial.settings["arm"] == "real_vs_synthetic":
        metrics["accuracy_source"] = float(np.mean([found.accuracy for found in probed.values()]))
        return Outcome(metrics, curves, {}, provenance, result.wall_seconds)
    matrices = {}
    for name, found in probed.items():
        matrices[name] = confusion_matrix(truths[name], found.predictions, CLASSES)
        found = quality(found.outputs, truths[name])
        metrics |= {f"{key}_{name}": value for key, value in found.items()}
    metrics["gap_original_synthetic"] = metrics["accuracy_original"] - metrics["accuracy_synthetic"]
    recalls = per_class_recall(matrices["original"])
    metrics["balanced_accuracy_original"] = float(np.nanmean(recalls))
    if len(rare):
        metrics["tail_recall_original"] = float(np.nanmean(recalls[rare]))
    kept = {name: m.astype(np.int32) for name, m in matrices.items() if name in SHOWN}
    path = context.artifact_dir(trial) / "confusion.npz"
    write_arrays(path, kept)
    return Outcome(metrics, curves, {"confusion": path}, provenance, result.wall_seconds)


# ------------------------------------------------------------------- the study


def generator_seconds(trial):
    """Predicted wall time on two cores, as measured in docs/pace_benchmarks.md.

    17.5 ms a step of 100 images of the conditional GAN, 166 ms a step of 64 of cifar_dcgan's DCGAN.
    """
    s = trial.settings
    step = 0.0175 * s["batch_size"] / 100 if s["source"] == "cgan" else 0.166
    return 5 + s["epochs"] * -(-s["n_train"] // s["batch_size"]) * step


def classifier_seconds(trial):
    """Predicted wall time on two cores; a judge is trained alone, which takes longer."""
    s = trial.settings
    pace = SECONDS_AN_IMAGE[s["network"]] * (1.5 if trial.stage == "judge" else 1)
    share = {"long_tail": 0.25, "long_tail_filled": 0.9, "long_tail_repeated": 0.9}
    images = s["n_real"] if s.get("arm") == "few" else s["n_train"] * share.get(s.get("arm"), 1)
    if s.get("arm") in ("add", "add_repeated"):
        a, b = map(int, s["ratio"].split(":"))
        images *= (a + b) / a
    tests = 7 if s["dataset"] == "mnist" else 2
    return 2 + pace * (images * s["epochs"] + tests * s["n_test"] / 3)


def set_seconds(trial):
    """Predicted wall time on two cores of drawing or measuring a set.

    Counted: 13 GFLOP an image of StyleGAN2-ADA, 11 of Inception, at 110 GFLOP/s. The rest, and
    features of a CNN, as measured at preset lite.
    """
    s = trial.settings
    if trial.stage == "evaluation":
        costly = s["extractor"] == "inception_imagenet"
        return 5 + (0.1 if costly else 0.0012) * (s["n_train"] + 2 * s["n_test"])
    costly = s["source"] in ("stylegan2_ada_official", "stylegan2_ada_given")
    return 5 + (0.12 if costly else 0.001) * (s["n_train"] + s["n_test"])


def set_group(trial):
    """Small sets share a process; measurements of a data set share the originals' features."""
    if trial.settings["n_train"] <= 1000:
        return "small"
    return trial.settings["dataset"] if trial.stage == "evaluation" else trial.key


def classifier_group(trial):
    """CNNs on the same resident images share a process; small sets all do."""
    if trial.settings["n_train"] <= 1000:
        return "small"
    return trial.inputs.get("synthetic", trial.settings["dataset"]), trial.settings.get("scale")


STUDY = Study(
    name=NAME,
    title="Real and GAN images mixed in ratios, and MNIST-C (MNIST, Fashion-MNIST, CIFAR-10)",
    citation="Seth, P., Bhandari, A., Lakara, K. (2023). Analyzing Effects of Fake Training Data "
    "on the Performance of Deep Learning Systems.",
    datasets=tuple(TRAINING_IMAGES),
    stages={
        "judge": Stage(1, run_judge, classifier_seconds, "lanes", group=classifier_group),
        "generator": Stage(
            1, run_generators, generator_seconds, group=alone_if_long(generator_seconds)
        ),
        "synthetic": Stage(1, run_synthetic, set_seconds, group=set_group),
        "evaluation": Stage(1, run_evaluation, set_seconds, group=set_group),
        "classifier": Stage(
            1, run_classifiers, classifier_seconds, "lanes", group=classifier_group
        ),
    },
    define_flags=define_flags,
    declare=declare,
    extensions=EXTENSIONS,
)

if __name__ == "__main__":
    sys.exit(STUDY.main())
