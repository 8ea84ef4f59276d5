"""Leung, Leung and Yu (2022): ten DCGANs on CIFAR-10 and one CNN in five experiments.

    python -m replicate.cifar_dcgan --epochs=100              the report's protocol (preset paper)
    python -m replicate.cifar_dcgan --extensions=learning_rate,joint,other_scale
                                                              with what H11, K5, K6 and K7 need
    python -m replicate.cifar_dcgan --classes=horse,cat       some of the ten generators, no CNN
    python -m replicate.cifar_dcgan --preset=lite --plan      print what would run, and for how long

Method (Secs. 3 to 5). One DCGAN a class learns 4,500 images for 100 epochs and draws 6,000, split
like the real ones (4,500 / 500 / 1,000 a class). One CNN is trained for 20 epochs on real images
(experiments 1 and 4), on synthetic ones (2 and 5) and on both merged (3), and tested on real,
synthetic and merged test images. The report takes the tenth epoch ("selected" here) and also
quotes the last; both are kept. Fréchet distances are taken class by class.

Controls that the report lacks: half the real set, a merged set of the real set's size, the real set
twice (as many steps as the merged one), permuted labels, a real-versus-synthetic classifier.
Extensions, not part of preset paper: one class-conditional generator for all classes (`joint`),
the discriminator's learning rates that the report rejected (`learning_rate`), synthetic pixels left
in another scale (`other_scale`), the highest frequencies of all images alone (`high_pass`), Table
1's own kind of distance (`inception`, needs that network's weights), other networks and losses
(`kernel4`, `arch_b`, `saturating`, `wgan_gp`).
"""

from __future__ import annotations

import sys

from absl import flags

from replicate.runs.flags import (
    define_choices,
    define_inception_weights,
    define_positive,
    define_shared,
    preset_values,
)
from replicate.runs.seeds import epoch_order, trial_seed, trial_stream
from replicate.runs.study import (
    Outcome,
    Stage,
    Study,
    alone_if_long,
    blames_trial,
    data_provenance,
    unique,
)

NAME = "cifar_dcgan"
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
VEHICLES = (0, 1, 8, 9)  # airplane, automobile, ship, truck: experiment 5
CAT, DOG = 3, 5
ARMS = (
    *("real", "synthetic", "mixed", "real_half", "mixed_matched", "real_twice"),
    *("label_shuffled", "real_vs_synthetic"),
)
EXTENSIONS = (
    *("joint", "learning_rate", "other_scale", "high_pass", "inception"),
    *("kernel4", "arch_b", "saturating", "wgan_gp"),
)
SETS = ("real", "synthetic", "mixed")  # to test on
PROBE_CLASS = "horse"  # Fig. 2
REJECTED_RATES = (0.0005, 0.001)  # Sec. 4.4, for the discriminator
PREVIEW = 10
FEWEST = 18  # training images a class whose validation and test images are six, see `declare`
NETWORKS = ("generator", "discriminator")  # Figs. 9 and 10


def define_flags(values: flags.FlagValues) -> None:
    """The study's flags; defaults are the report's values or the choices of the specification."""
    define_shared(values, replicates=10, generators=1)
    define_positive(values, "epochs", 100, "epochs of a generator (Sec. 5.1)")
    define_positive(values, "batch_size", 64, "images a step, generator (inferred)")
    define_positive(values, "learning_rate", 1e-3, "Adam's rate, generator (Sec. 4.2.1)")
    define_positive(values, "learning_rate_d", 2e-4, "Adam's rate, discriminator (Sec. 4.2.2)")
    define_positive(values, "latent_dim", 100, "noise dimensions (inferred)")
    define_positive(values, "n_per_class", 4500, "training images a class (Sec. 3.2)")
    define_positive(values, "classifier_epochs", 20, "epochs of a classifier (Sec. 5.3.1)")
    define_positive(values, "classifier_batch_size", 64, "images a step, classifier (inferred)")
    define_positive(values, "classifier_learning_rate", 1e-4, "Adam's rate, classifier (Sec. 4.3)")
    for name, default, choices, text in (
        ("arch", "a", ["a", "b"], "generator: five doublings, or 4x4 first (inferred)"),
        ("gan_loss", "nonsaturating", ["nonsaturating", "saturating", "wgan-gp"], "loss (Eq. 2)"),
        ("kernel", "3", ["3", "4"], "side of the classifier's kernels (inferred)"),
    ):
        flags.DEFINE_enum(name, default, choices, text, flag_values=values)
    define_inception_weights(values)
    text = "classes to train a generator for; without all ten no classifier is trained"
    define_choices(values, "classes", CLASSES, CLASSES, text)
    define_choices(values, "arms", ARMS, ARMS, "training sets to compare")
    define_choices(values, "extensions", EXTENSIONS, (), "further arms")


# ------------------------------------------------------------------- which trials there are


def declare(values: flags.FlagValues) -> list:
    """The trials that the flags ask for: generators class by class, then what needs all ten.

    Raises:
        ValueError: if more images are asked for than there are, or fewer than an evaluation takes,
            or, with some of the classes, classifiers that need all ten.
    """
    if values.n_per_class < FEWEST:
        raise ValueError(
            f"Expected --n_per_class of at least {FEWEST}: with it go {FEWEST // 9} validation and "
            f"{2 * FEWEST // 9} test images a class, and precision and recall need six held-out "
            f"ones, since a ball reaches to the fifth neighbour. Received: {values.n_per_class}"
        )
    if values.n_per_class > 4500:
        raise ValueError(
            "Expected --n_per_class of at most 4500: 500 of a class's 5,000 training images are "
            f"for validation. Received: {values.n_per_class}"
        )
    check_classes(values)
    trials = []
    for replicate in range(min(values.generators, values.replicates)):
        trials += set_trials(values, replicate)
    trials += classifier_trials(values, values.arms)
    for extension in values.extensions:
        trials += EXTENSION_TRIALS[extension](values)
    return unique(trials)


def check_classes(values):
    """Refuse some classes beside classifiers that were asked for by name: these need all ten."""
    if set(values.classes) == set(CLASSES):
        return
    of_preset = preset_values(STUDY, values.preset).extensions
    asked = ["--arms"] if values["arms"].present else []
    for name in values.extensions:
        if name in OF_ALL_CLASSES and name not in of_preset:
            asked.append(f"--extensions={name}")
    if asked:
        raise ValueError(
            f"Expected all ten --classes: the classifiers of {', '.join(asked)} learn from images "
            f"of each. Received: --classes={','.join(values.classes)}"
        )


def common(values, **settings):
    """Settings that every trial carries."""
    return {
        "dataset": "cifar10",
        "seed": values.seed,
        "n_per_class": values.n_per_class,
        **settings,
    }


def generator(values, klass, replicate, **changed):
    """The DCGAN of one class, or of all."""
    settings = common(
        values,
        source="joint" if klass == "all" else "per_class",
        klass=klass,
        arch=values.arch,
        gan_loss=values.gan_loss,
        epochs=values.epochs,
        batch_size=values.batch_size,
        learning_rate=values.learning_rate,
        learning_rate_d=values.learning_rate_d,
        latent_dim=values.latent_dim,
    )
    return STUDY.trial("generator", settings | changed, replicate)


def synthetic(values, klass, replicate, point="last", joint=False, **changed):
    """The synthetic images of one class."""
    source = generator(values, "all" if joint else klass, replicate, **changed)
    names = ("source", "arch", "gan_loss", "epochs", "learning_rate_d")
    settings = common(values, klass=klass, point=point)
    settings |= {name: source.settings[name] for name in names}
    return STUDY.trial("synthetic", settings, replicate, generator=source)


def judge(values):
    """Experiment 1's classifier at the selected epoch: extractor of the proxy distance."""
    settings = common(values, kernel=int(values.kernel), epochs=selected_epoch(values))
    return STUDY.trial("judge", settings | classifier_settings(values))


def classifier_settings(values):
    """How classifiers are trained."""
    return {
        "batch_size": values.classifier_batch_size,
        "learning_rate": values.classifier_learning_rate,
    }


def selected_epoch(values):
    """The epoch whose classifier the report tests: the tenth of twenty (Sec. 5.3.1)."""
    return max(1, values.classifier_epochs // 2)


def set_trials(values, replicate, classes=None, joint=False, points=("last", "half"), **changed):
    """Generators, their sets at each point and what can be said of the sets."""
    trials = []
    for klass in classes or values.classes:
        for point in points:
            images = synthetic(values, klass, replicate, point, joint, **changed)
            trials += [generator(values, "all" if joint else klass, replicate, **changed), images]
            trials += [judge(values), evaluation(values, images, "classifier")]
    return trials


def evaluation(values, images, extractor):
    """What can be said of a synthetic set by one extractor's features."""
    inputs = {"synthetic": images, "judge": judge(values)}
    settings = images.settings | {"extractor": extractor}
    return STUDY.trial("evaluation", settings, images.replicate, **inputs)


def classifier_trials(values, arms, joint=False, **changed):
    """Every arm, replicate by replicate; none if a class lacks the generator of its own."""
    if not joint and set(values.classes) != set(CLASSES):
        return []
    return [
        classifier(values, arm, replicate, joint, **changed)
        for replicate in range(values.replicates)
        for arm in arms
    ]


def classifier(values, arm, replicate, joint=False, **changed):
    """One CNN on one training set, tested on real, synthetic and merged test images."""
    settings = common(
        values,
        arm=arm,
        source="joint" if joint else "per_class",
        scale="same",
        kernel=int(values.kernel),
        epochs=values.classifier_epochs,
        selected=selected_epoch(values),
        **classifier_settings(values),
    )
    which = replicate % values.generators
    inputs = {klass: synthetic(values, klass, which, joint=joint) for klass in CLASSES}
    return STUDY.trial("classifier", settings | changed, replicate, **inputs)


def joint_trials(values):
    """Extension: one class-conditional generator, so that no class has a generator of its own."""
    trials = []
    for replicate in range(min(values.generators, values.replicates)):
        trials += set_trials(values, replicate, CLASSES, joint=True)
    return trials + classifier_trials(
        values, ("synthetic", "mixed", "real_vs_synthetic"), joint=True
    )


def variant_trials(values, classes=(PROBE_CLASS,), **changed):
    """Extension: one class with other settings of the generator, three repeats."""
    return [
        trial
        for replicate in range(min(3, values.replicates))
        for trial in set_trials(values, replicate, classes, points=("last",), **changed)
    ]


def learning_rate_trials(values):
    """Extension: the discriminator's rates of Sec. 4.4 on one class, with the chosen one beside."""
    rates = (values.learning_rate_d, *REJECTED_RATES)
    return [t for rate in rates for t in variant_trials(values, learning_rate_d=rate)]


def inception_trials(values):
    """Extension: Table 1's distance, on the Inception network that Keras ships."""
    return [
        evaluation(values, synthetic(values, klass, replicate), "inception_imagenet")
        for replicate in range(min(values.generators, values.replicates))
        for klass in values.classes
    ]


EXTENSION_TRIALS = {
    "joint": joint_trials,
    "learning_rate": learning_rate_trials,
    "inception": inception_trials,
    "other_scale": lambda v: classifier_trials(v, ("real", "synthetic"), scale="other"),
    "high_pass": lambda v: classifier_trials(
        v, ("real", "synthetic", "real_vs_synthetic"), scale="high_pass"
    ),
    "kernel4": lambda v: classifier_trials(v, ("real", "synthetic", "mixed"), kernel=4),
    "arch_b": lambda v: variant_trials(v, arch="b"),
    "saturating": lambda v: variant_trials(v, gan_loss="saturating"),
    "wgan_gp": lambda v: variant_trials(v, gan_loss="wgan-gp"),
}
OF_ALL_CLASSES = ("other_scale", "high_pass", "kernel4")  # extensions


# ------------------------------------------------------------------- what each trial does


def split_sizes(n_per_class):
    """Training, validation and test images a class: 4,500, 500 and 1,000 in the report."""
    return n_per_class, max(1, n_per_class // 9), max(1, 2 * n_per_class // 9)


def real_images(data, n_per_class):
    """The real images and labels of each split, class by class in canonical order.

    The last images of a class are for validation (Sec. 3.2 gives the numbers only).

    Returns:
        `"train"`, `"val"`, `"test"` -> (uint8 images `(n, 32, 32, 3)`, labels `(n,)`).

    Raises:
        ValueError: if a class has too few images.
    """
    from replicate.data.splits import class_rows

    train, val, test = split_sizes(n_per_class)
    count = len(CLASSES)
    class_rows(data.train.labels, count, first=train + val)  # or the two would overlap
    rows = {
        "train": (data.train, class_rows(data.train.labels, count, first=train)),
        "val": (data.train, class_rows(data.train.labels, count, last=val)),
        "test": (data.test, class_rows(data.test.labels, count, first=test)),
    }
    return {name: (part.images[r], part.labels[r]) for name, (part, r) in rows.items()}


def run_generators(trials, context):
    """Stage `generator`: train a DCGAN; losses are means over an epoch's steps."""
    import numpy as np

    from replicate.models.summary import layer_rows
    from replicate.runs.files import write_json
    from replicate.training.generator import run_generator_trial
    from replicate.training.optimizers import FusedAdam

    for trial in trials:
        s = trial.settings
        data = context.dataset(s["dataset"])
        images, labels = real_images(data, s["n_per_class"])["train"]
        if s["klass"] != "all":
            chosen = labels == CLASSES.index(s["klass"])
            images, labels = images[chosen], labels[chosen]
        network = build_dcgan(trial)
        rates = s["learning_rate"], s["learning_rate_d"]
        network.compile(*(FusedAdam(rate, beta_1=0.5) for rate in rates))
        outcome = run_generator_trial(
            trial,
            context,
            network,
            images / np.float32(127.5) - 1,
            labels,
            epoch_order(trial, len(images), "generator/order", klass_of(trial)),
            data,
            strip=strip_of(trial, network),
            keep_weights={"weights_half": half_epoch(trial)},
            log=True,
        )
        path = context.artifact_dir(trial) / "summary.json"
        write_json(path, {name: layer_rows(getattr(network, name)) for name in NETWORKS})
        outcome.artifacts["summary"] = path
        yield trial, outcome


def half_epoch(trial):
    """The earlier of the two epochs that the report shows: the 50th of 100 (Fig. 2)."""
    return max(1, trial.settings["epochs"] // 2)


def strip_of(trial, network):
    """Ten fixed noises, drawn again as training goes (Fig. 2)."""
    import numpy as np

    from replicate.stages.synthetic_sets import draw_bytes
    from replicate.training.telemetry import Strip

    z = trial_stream(trial, "generator/strip").standard_normal((PREVIEW, network.latent_dim))
    z = z.astype(np.float32)
    labels = np.arange(PREVIEW) if network.num_classes else None
    every = max(1, trial.settings["epochs"] // 10)
    return Strip(lambda: draw_bytes(network, z, labels), every, also=[half_epoch(trial)])


def build_dcgan(trial):
    """The untrained networks of a generator trial."""
    from replicate.models.dcgan import DCGAN

    s = trial.settings
    return DCGAN(
        arch=s["arch"],
        latent_dim=s["latent_dim"],
        num_classes=len(CLASSES) if s["source"] == "joint" else 0,
        gan_loss=s["gan_loss"],
        seed=trial_seed(trial, "generator/init", klass_of(trial)),
        noise_seed=trial_seed(trial, "generator/noise", klass_of(trial)),
    )


def klass_of(trial):
    """The number of a trial's class; 10 for all classes."""
    return (*CLASSES, "all").index(trial.settings["klass"])


def run_synthetic(trials, context):
    """Stage `synthetic`: draw 6,000 images of a class, kept as 8-bit like the real ones."""
    from replicate.stages.synthetic_sets import store_set

    networks = {}  # both points of a class, or all classes, may share a generator
    for trial in trials:
        images = draw(trial, context, networks)
        labels = [CLASSES.index(trial.settings["klass"])] * len(images)
        data = context.input(trial, "generator").data
        yield trial, store_set(trial, context, images, labels, data, range(PREVIEW))


def weights_read(trial, context=None):
    """The artifact of the generator that a set is drawn from; see `Stage`."""
    return {"generator": ["weights" if trial.settings["point"] == "last" else "weights_half"]}


def draw(trial, context, networks):
    """Images uint8 `(n, 32, 32, 3)` of one class, from the released float16 weights.

    Networks that were built already are taken from `networks`: generator's key -> network.
    """
    import numpy as np

    from replicate.stages.synthetic_sets import draw_in_parts
    from replicate.training.checkpoints import load_weights

    s = trial.settings
    source = context.input(trial, "generator").trial
    if source.key not in networks:
        networks.clear()  # one at a time
        networks[source.key] = build_dcgan(source)
    network = networks[source.key]
    (artifact,) = weights_read(trial)["generator"]
    load_weights(context.input_path(trial, "generator", artifact), network.inference_layers())
    count, label = sum(split_sizes(s["n_per_class"])), CLASSES.index(s["klass"])
    noise = trial_stream(trial, "synthetic/z", label).standard_normal((count, network.latent_dim))
    labels = np.full(count, label) if s["source"] == "joint" else None
    return draw_in_parts(trial, context, network, noise, labels)


def run_evaluation(trials, context):
    """Stage `evaluation`: distances, precision and recall, diversity, copies of training images."""
    from replicate.stages.evaluations import evaluate_sets

    yield from evaluate_sets(
        trials,
        context,
        features_of=lambda trial: extractor_of(trial, context).features,
        real_of=lambda trial: real_of_class(
            context.dataset(trial.settings["dataset"]), trial.settings
        ),
        shown=PREVIEW,
    )


def extractor_of(trial, context):
    """The extractor of an evaluation trial: the judge's features or Inception's."""
    from replicate.evaluation.extractors import classifier_features, inception_imagenet
    from replicate.training.checkpoints import load_weights

    s = trial.settings
    if s["extractor"] == "inception_imagenet":
        return inception_imagenet(context.inception_weights)
    network = network_of(context.input(trial, "judge").trial)
    load_weights(context.input_path(trial, "judge", "weights"), {"classifier": network})
    data = context.dataset(s["dataset"])
    scale, offset = standardisation(real_images(data, s["n_per_class"])["train"][0])
    return classifier_features(network, scale, offset)


def real_of_class(data, settings):
    """A class's training images, and its validation and test images together."""
    import numpy as np

    label = CLASSES.index(settings["klass"])
    real = real_images(data, settings["n_per_class"])
    train, val, test = (real[name][0][real[name][1] == label] for name in ("train", "val", "test"))
    return train, np.concatenate([val, test])


def run_judge(trials, context):
    """Stage `judge`: experiment 1's CNN at the selected epoch; for Figs. 1 and 11, too."""
    import numpy as np

    from replicate.stages.judges import judge_outcome
    from replicate.training.classifiers import ClassifierJob, run_lanes
    from replicate.training.lanes import LaneTrainer

    for trial in trials:
        s = trial.settings
        data = context.dataset(s["dataset"])
        real = real_images(data, s["n_per_class"])
        by_class = [np.flatnonzero(data.train.labels == label)[:4] for label in range(len(CLASSES))]
        shown = np.stack(by_class, axis=1).ravel()  # a row of Fig. 1 has one image a class
        pictures = data.train.images[shown], data.train.labels[shown]
        scale, offset = standardisation(real["train"][0])
        trainer = LaneTrainer(*real["train"], *real["test"], lanes=1, scale=scale, offset=offset)
        job = ClassifierJob(
            build=lambda trial=trial: network_of(trial),
            rows=np.arange(len(real["train"][0])),
            order=lambda epoch, trial=trial: trial_stream(trial, "classifier/order", epoch),
            optimizer={"name": "adam", "learning_rate": s["learning_rate"]},
            keep=True,
        )
        for _, spec, result in run_lanes(trainer, [trial], lambda _, job=job: job, context):
            yield trial, judge_outcome(trial, spec, result, context, data, *pictures)


def standardisation(images):
    """Factor and offset that give each channel mean 0 and SD 1 over the real training images."""
    import numpy as np

    mean = images.mean(axis=(0, 1, 2), dtype=np.float64)
    sd = images.std(axis=(0, 1, 2), dtype=np.float64)
    return (1 / sd).astype(np.float32), (-mean / sd).astype(np.float32)


def network_of(trial):
    """The untrained CNN of a trial."""
    from replicate.models.classifiers import build_strided_cnn

    classes = 2 if trial.settings.get("arm") == "real_vs_synthetic" else len(CLASSES)
    seed = trial_seed(trial, "classifier/init")
    return build_strided_cnn(trial.settings["kernel"], num_classes=classes, seed=seed)


def training_rows(trial, labels, n):
    """Rows of a trial's training set among n real images followed by n synthetic ones.

    Both are in class order. A half holds half of each class, the same rows of either set.
    """
    import numpy as np

    from replicate.data.splits import class_sample

    each = n // len(CLASSES) // 2
    half = class_sample(labels[:n], len(CLASSES), each, trial_stream(trial, "subset"))
    real, drawn = np.arange(n), np.arange(n, 2 * n)
    return {
        "real": real,
        "real_half": half,
        "real_twice": np.concatenate([real, real]),
        "synthetic": drawn,
        "label_shuffled": drawn,
        "mixed": np.concatenate([real, drawn]),
        "mixed_matched": np.concatenate([half, n + half]),
        "real_vs_synthetic": np.concatenate([real, drawn]),
    }[trial.settings["arm"]]


def run_classifiers(trials, context):
    """Stage `classifier`: CNNs side by side; their accuracy on every set and epoch."""
    by_scale = {}
    for trial in trials:
        by_scale.setdefault(trial.settings["scale"], []).append(trial)
    for members in by_scale.values():
        yield from run_on_one_set(members, context)


def run_on_one_set(trials, context):
    """CNNs that share their resident images."""
    import numpy as np

    from replicate.training.classifiers import ClassifierJob, run_lanes
    from replicate.training.lanes import LaneTrainer

    data = context.dataset(trials[0].settings["dataset"])
    sets, (scale, offset) = load_sets(trials[0], context, data)
    images, labels = (
        np.concatenate(parts) for parts in zip(*(sets["train", t] for t in SETS[:2]), strict=True)
    )
    n = len(sets["train", "real"][0])
    probes = {f"{split}/{t}": sets[split, t] for split in ("val", "test") for t in SETS[:2]}
    for label, name in enumerate(SETS[:2]):  # the same images, told apart by where they are from
        probes[f"source/{name}"] = sets["test", name][0], np.full(len(sets["test", name][1]), label)
    trainer = LaneTrainer(
        images,
        labels,
        lanes=context.threads["inter"],
        scale=scale,
        offset=offset,
        probes=probes,
    )
    truths = {name: labels for name, (_, labels) in probes.items()}
    del sets, images

    def job(trial):
        s = trial.settings
        return ClassifierJob(
            build=lambda: network_of(trial),
            rows=training_rows(trial, labels, n),
            labels=labels_of(trial, labels, n),
            order=lambda epoch: trial_stream(trial, "classifier/order", epoch),
            optimizer={"name": "adam", "learning_rate": s["learning_rate"]},
            probes_at=lambda epoch: probes_of(trial, probes, epoch),
        )

    for trial, _, result in run_lanes(trainer, trials, job, context):
        yield trial, classifier_outcome(trial, result, truths, context, data)


def probes_of(trial, probes, epoch):
    """Names of the sets that a CNN is tested on after an epoch."""
    read = epoch in points_of(trial).values()
    if trial.settings["arm"] == "real_vs_synthetic":
        return [name for name in probes if name.startswith("source") and read]
    return [n for n in probes if n.startswith("val") or (n.startswith("test") and read)]


def load_sets(trial, context, data):
    """The images of every split and source, and the standardisation that all go through.

    Returns:
        (split, "real" or "synthetic") -> (images, labels) in class order, then factor and offset a
        channel. With `scale="other"` synthetic pixels are float32, such that the classifier sees
        them in [-1, 1] as the generator draws them while real ones are standardised. With
        `scale="high_pass"` all images hold their highest frequencies alone, standardised likewise.
    """
    import numpy as np

    from replicate.data.synthetic import load_synthetic
    from replicate.evaluation.images import high_frequencies

    n_per_class = trial.settings["n_per_class"]
    real = real_images(data, n_per_class)
    scale, offset = standardisation(real["train"][0])
    sets = {(split, "real"): arrays for split, arrays in real.items()}
    cuts = np.cumsum(split_sizes(n_per_class))[:2]
    parts = {"train": [], "val": [], "test": []}
    for klass in CLASSES:
        drawn = load_synthetic(context.input_path(trial, klass, "set")).images
        for name, part in zip(parts, np.split(drawn, cuts), strict=True):
            parts[name].append(part)
    for split, images in parts.items():
        images = np.concatenate(images)
        labels = np.repeat(np.arange(len(CLASSES)), len(images) // len(CLASSES))
        if trial.settings["scale"] == "other":
            images = ((images / np.float32(127.5) - 1) - offset) / scale
        sets[split, "synthetic"] = images, labels
    if trial.settings["scale"] == "high_pass":
        sets = {name: (high_frequencies(images), labels) for name, (images, labels) in sets.items()}
        scale, offset = standardisation(sets["train", "real"][0])
    return sets, (scale, offset)


def labels_of(trial, labels, n):
    """Labels of all resident images where an arm has others than their classes."""
    import numpy as np

    if trial.settings["arm"] == "label_shuffled":
        order = np.concatenate(
            [np.arange(n), n + trial_stream(trial, "label_shuffle").permutation(n)]
        )
        return labels[order]
    if trial.settings["arm"] == "real_vs_synthetic":
        return (np.arange(len(labels)) >= n).astype(labels.dtype)
    return None


@blames_trial
def classifier_outcome(trial, result, truths, context, data):
    """Metrics, curves and confusion matrices of one CNN."""
    import numpy as np

    from replicate.evaluation.transfer import Transfer
    from replicate.runs.files import write_arrays
    from replicate.training.classifiers import training_curves

    s = trial.settings
    curves = training_curves(result)
    predictions = {name: probed.predictions for name, probed in result.probes.items()}
    metrics = {"train_accuracy_e1": curves["train_accuracy"][0]}
    artifacts = {}
    if s["arm"] == "real_vs_synthetic":
        metrics |= told_apart(predictions, points_of(trial))
    else:
        transfer = Transfer(predictions, truths, len(CLASSES))
        curves |= transfer.curves("val", s["epochs"])
        metrics |= epoch_metrics(curves, points_of(trial))
        for point, epoch in points_of(trial).items():
            metrics |= test_metrics(transfer, point, epoch)
        matrices = {
            f"{which}_{point}": transfer.confusion("test", which, epoch).astype(np.int32)
            for point, epoch in points_of(trial).items()
            for which in SETS
        }
        artifacts["confusion"] = context.artifact_dir(trial) / "confusion.npz"
        write_arrays(artifacts["confusion"], matrices)
    return Outcome(metrics, curves, artifacts, data_provenance(data), result.wall_seconds)


def points_of(trial):
    """Name of each point at which the report reads a classifier -> its epoch."""
    return {"selected": trial.settings["selected"], "last": trial.settings["epochs"]}


def told_apart(predictions, points):
    """Share of test images that a real-versus-synthetic classifier names rightly."""
    import numpy as np

    return {
        f"test_accuracy_{point}": float(
            np.mean([np.mean(predictions[f"source/{n}", e] == i) for i, n in enumerate(SETS[:2])])
        )
        for point, e in points.items()
    }


def epoch_metrics(curves, points):
    """Training and validation accuracy at the epochs that the report and its claims read."""
    epochs = {"e1": 1, "e2": 2, **points}
    return {
        f"{name}_{point}": values[min(epoch, len(values)) - 1]
        for name, values in curves.items()
        for point, epoch in epochs.items()
        if name != "train_loss" and (point in points or name.startswith("val"))
    }


def test_metrics(transfer, point, epoch):
    """Test accuracy on every set; what the confusion matrices say of cats, dogs and vehicles."""
    from replicate.evaluation.confusion import pair_lead, per_class_recall, predicted_share

    matrices = {which: transfer.confusion("test", which, epoch) for which in SETS}
    metrics = {}
    for which, matrix in matrices.items():
        metrics[f"test_accuracy_{which}_{point}"] = float(matrix.trace() / matrix.sum())
        metrics[f"cat_dog_lead_{which}_{point}"] = pair_lead(matrix, CAT, DOG)
    for klass, recall in zip(CLASSES, per_class_recall(matrices["real"]), strict=True):
        metrics[f"recall_{klass}_real_{point}"] = float(recall)
    metrics[f"vehicle_share_real_{point}"] = predicted_share(matrices["real"], VEHICLES)
    return metrics


# ------------------------------------------------------------------- the study


def generator_seconds(trial):
    """Predicted wall time on two cores: 166 ms a step of 64 images (docs/pace_benchmarks.md).

    Architecture b, with maps of twice the side, takes 2.3 times as long, as measured at lite.
    """
    s = trial.settings
    images = s["n_per_class"] * (len(CLASSES) if s["klass"] == "all" else 1)
    step = 0.166 * (2.3 if s["arch"] == "b" else 1)
    return 5 + s["epochs"] * -(-images // s["batch_size"]) * step


def classifier_seconds(trial):
    """Predicted wall time on two cores, 2,160 images a second (docs/pace_benchmarks.md)."""
    s = trial.settings
    size = {"real_half": 0.5, "mixed": 2, "real_twice": 2, "real_vs_synthetic": 2}
    images = s["n_per_class"] * len(CLASSES) * size.get(s.get("arm"), 1)
    return 2 + s["epochs"] * images * (1 if s["kernel"] == 3 else 1.8) / 2160


def classifier_group(trial):
    """CNNs on the same resident images share a process."""
    return trial.inputs["airplane"], trial.settings["scale"]


def set_seconds(trial):
    """Predicted wall time on two cores of drawing or measuring a class's set."""
    return 1 + 0.003 * trial.settings["n_per_class"]


def set_group(trial):
    """A class's sets share a process; small sets all do."""
    return trial.settings["klass"] if trial.settings["n_per_class"] > 500 else "small"


STUDY = Study(
    name=NAME,
    title="Ten DCGANs' images as training data for a CNN (CIFAR-10)",
    citation="Leung, Y. S., Leung, H. H. B., Yu, C. H. (2022). Synthetic Data Generation.",
    datasets=("cifar10",),
    stages={
        "generator": Stage(
            1, run_generators, generator_seconds, group=alone_if_long(generator_seconds)
        ),
        "judge": Stage(1, run_judge, classifier_seconds, "lanes"),
        "synthetic": Stage(
            *(1, run_synthetic, set_seconds),
            group=set_group,
            reads=weights_read,
            loads=lambda trial: False,
        ),
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
