"""Sterzinger, Stippel and Zogaj (2020): one GAN a class on MNIST and FIDS30, against augmentation.

    python -m replicate.fruits_gan                           the report's protocol (preset paper)
    python -m replicate.fruits_gan --dataset=fids30          one of its two data sets
    python -m replicate.fruits_gan --preset=lite --plan      print what would run, and for how long

Method (Secs. 2 to 5). One GAN a class learns that class's training images (FIDS30: 20 to 36
photographs, 1,001 epochs; MNIST: about 3,400 digits, 31 epochs) and draws 600 or 8,000 images, at
an epoch picked by eye (FIDS30, Table 1) or at the last (MNIST); that point is "picked" here.
One CNN is trained on real, on augmented and on synthetic images and followed on real validation
images, which are the report's only held-out set: whatever is chosen by them is named
`..._selected_on_test`.

Controls that the report lacks: real images for as many steps as synthetic ones take, synthetic ones
for as many steps or in the same number as real ones, permuted labels, a real-versus-synthetic
classifier on images as they are and on images that are stored alike. Extensions, not part of preset
paper: generators at the last epoch and at the one of the lowest Fréchet distance (`other_epochs`),
real, augmented and synthetic images together (`combined`), images stored without loss (`png`),
augmentation without the contrast that Keras stretches by accident (`no_stretch`), three generators
of one class at the learning rate and three at ten times it (`learning_rate`).
"""

from __future__ import annotations

import functools
import itertools
import sys
import time

from absl import flags

from replicate.runs.flags import (
    dataset_values,
    define_by_dataset,
    define_choices,
    define_positive,
    define_shared,
)
from replicate.runs.seeds import trial_seed, trial_stream
from replicate.runs.study import Outcome, Stage, Study, alone_if_long, data_provenance, unique
from replicate.stages.arm_names import TOLD_APART

NAME = "fruits_gan"
FRUITS = (
    *("strawberries", "raspberries", "limes", "kiwifruit", "grapes"),
    *("coconuts", "blueberries", "bananas", "apricots", "apples"),
)
CLASSES = {"fids30": FRUITS, "mnist": tuple("0123456789")}  # in the order of the labels
PICKED = dict(zip(FRUITS, (390, 630, 870, 690, 360, 990, 690, 420, 690, 570), strict=True))
PICKED_OF = 1000  # Table 1's epochs count from 0 to this one
# What differs between the data sets (Secs. 4 and 5; authors' code); how often a generator of digits
# is kept is ours, for the report uses the last.
REPORTED = {
    "n_per_class": {"mnist": 5000},
    "epochs": {"fids30": 1001, "mnist": 31},
    "batch_size": {"fids30": 6, "mnist": 128},
    "save_every": {"fids30": 30, "mnist": 5},
    "per_class": {"fids30": 600, "mnist": 8000},
    "classifier_epochs": {"fids30": 48, "mnist": 25},
    "classifier_batch_size": {"fids30": 12, "mnist": 128},
}
IMAGES = {"fids30": 46, "mnist": 4684}  # of the largest class
ARMS = (
    *("real", "augmented", "synthetic"),
    *("real_step_matched", "synthetic_step_matched", "synthetic_size_matched"),
    *("label_shuffled", "real_vs_synthetic", "real_vs_synthetic_alike"),
)
EXTENSIONS = ("other_epochs", "combined", "png", "no_stretch", "learning_rate")
PROBE = "bananas"  # the class of the report's tuning (Sec. 2.2)
PROBE_GENERATORS = 3  # of that class at each learning rate, whatever --generators: for a verdict
LEVELS = (60, 65)  # per cent of validation accuracy whose first epoch is recorded (Sec. 5)
PLOTTED = "0"  # the class whose losses Fig. 7 shows, by iteration
PREVIEW = 10
SELECTION = 500  # images at most by which an epoch is chosen
COMPARED = 600  # images whose pixels are compared with training images
# Root mean square difference of pixels in [0, 1] of the two photographs of a fruit, in both parts,
# that are nearest to each other in the FIDS30 at hand, rounded down. A picture that is nearer to a
# photograph may be a copy and is not shipped; so may a smear be, such as the mean of all coconuts.
TILE_DISTANCES = {
    "strawberries": 0.182,
    "raspberries": 0.194,
    "limes": 0.228,
    "kiwifruit": 0.182,
    "grapes": 0.184,
    "coconuts": 0.259,
    "blueberries": 0.245,
    "bananas": 0.169,
    "apricots": 0.157,
    "apples": 0.151,
}
COPY_DISTANCE = 0.15  # one for all fruits and digits, below the least of these


def define_flags(values: flags.FlagValues) -> None:
    """The study's flags; defaults are the report's values or the choices of the specification."""
    define_shared(values, replicates=5, generators=1)
    define_choices(values, "dataset", tuple(CLASSES), tuple(CLASSES), "data sets")
    for name, text in (
        ("n_per_class", "images of a digit at most, both parts together"),
        ("epochs", "epochs of a generator"),
        ("batch_size", "images a step, generator; half of them real"),
        ("save_every", "epochs from one kept generator to the next"),
        ("per_class", "synthetic images a class"),
        ("classifier_epochs", "epochs of a classifier"),
        ("classifier_batch_size", "images a step, classifier"),
    ):
        define_by_dataset(values, name, REPORTED[name], text)
    define_positive(values, "learning_rate", 2e-4, "Adam's rate, both networks of a GAN (Sec. 2.2)")
    define_positive(values, "latent_dim", 100, "noise dimensions (Sec. 2)")
    define_positive(values, "classifier_learning_rate", 1e-3, "Adam's rate, classifier")
    text = "Adam's rate, networks that tell real from synthetic images"
    define_positive(values, "told_apart_learning_rate", 3e-4, text)
    define_positive(values, "n_classes", 10, "classes of each data set, the first ones")
    text = "how synthetic images are kept before they are used"
    flags.DEFINE_enum("storage", "jpeg", ["jpeg", "png"], text, flag_values=values)
    text = "augmentation stretches the contrast of each image, as Keras did"
    flags.DEFINE_bool("contrast_stretch", True, text, flag_values=values)
    define_choices(values, "arms", ARMS, ARMS, "training sets to compare")
    define_choices(values, "extensions", EXTENSIONS, (), "further arms")


# ------------------------------------------------------------------- which trials there are


def declare(values: flags.FlagValues) -> list:
    """The trials that the flags ask for, one data set after the other.

    Raises:
        ValueError: if a batch cannot be halved, there are not as many classes, or fewer synthetic
            images than real ones are asked for.
    """
    trials = []
    for dataset in values.dataset:
        trials += dataset_trials(checked(dataset_values(STUDY, values, dataset)))
    return unique(trials)


def checked(values):
    """The flags of one data set, if they make sense together."""
    if values.batch_size % 2:
        raise ValueError(
            "Expected an even --batch_size: one half is real, one is generated. "
            f"Received: {values.batch_size}"
        )
    if not 2 <= values.n_classes <= 10:
        raise ValueError(f"Expected --n_classes from 2 to 10. Received: {values.n_classes}")
    largest = IMAGES[values.dataset]
    if values.dataset == "mnist":
        largest = min(largest, values.n_per_class)
    if values.per_class < largest:
        raise ValueError(
            f"Expected --per_class of at least {largest} for {values.dataset}, as many as the "
            f"largest class has real images. Received: {values.per_class}"
        )
    return values


def dataset_trials(values):
    """What is run on one data set."""
    trials = sets(values)
    trials += classifiers(values, values.arms)
    for extension in values.extensions:
        trials += EXTENSION_TRIALS[extension](values)
    return trials


def classes_of(values):
    """Names of the classes that take part."""
    return CLASSES[values.dataset][: values.n_classes]


def common(values, **settings):
    """Settings that every trial carries."""
    if values.dataset == "mnist":
        settings["n_per_class"] = values.n_per_class
    return {"dataset": values.dataset, "seed": values.seed, **settings}


def generator(values, klass, replicate, rate=None):
    """The GAN of one class."""
    settings = common(
        values,
        klass=klass,
        epochs=values.epochs,
        batch_size=values.batch_size,
        gan_learning_rate=rate or values.learning_rate,
        latent_dim=values.latent_dim,
        save_every=values.save_every,
    )
    return STUDY.trial("generator", settings, replicate)


def judge(values):
    """A classifier of real images: extractor of the proxy distances."""
    return STUDY.trial("judge", common(values, **classifier_settings(values)))


def classifier_settings(values):
    """How classifiers are trained."""
    return {
        "n_classes": values.n_classes,
        "epochs": values.classifier_epochs,
        "batch_size": values.classifier_batch_size,
        "learning_rate": values.classifier_learning_rate,
    }


def of_source(values, source, **settings):
    """Settings of what is made from a generator."""
    names = ("klass", "epochs", "gan_learning_rate")
    return common(values, **{name: source.settings[name] for name in names}, **settings)


def selection(values, klass, replicate):
    """The epoch whose images are nearest to the training images."""
    source = generator(values, klass, replicate)
    settings = of_source(values, source, n_images=min(values.per_class, SELECTION))
    if values.storage != "jpeg":  # which trials without the setting have
        settings["storage"] = values.storage
    inputs = {"generator": source, "judge": judge(values)}
    return STUDY.trial("selection", settings, replicate, **inputs)


def synthetic(values, klass, replicate, point="picked", storage=None, rate=None):
    """The synthetic images of one class."""
    source = generator(values, klass, replicate, rate)
    inputs = {"generator": source}
    if point == "lowest_distance":
        inputs["selection"] = selection(values, klass, replicate)
    storage = storage or values.storage
    settings = of_source(values, source, point=point, per_class=values.per_class, storage=storage)
    return STUDY.trial("synthetic", settings, replicate, **inputs)


def evaluation(values, *images, klass="all"):
    """What can be said of one class's set, or of the sets of all classes together."""
    settings = images[0].settings | {"extractor": "classifier", "klass": klass}
    roles = {t.settings["klass"]: t for t in images} if klass == "all" else {"synthetic": images[0]}
    return STUDY.trial("evaluation", settings, images[0].replicate, judge=judge(values), **roles)


def sets(values, point="picked", classes=None, storage=None, rate=None, generators=None):
    """Generators, their sets and what can be said of them."""
    trials = [judge(values)]
    for replicate in range(generators or min(values.generators, values.replicates)):
        drawn = []
        for klass in classes or classes_of(values):
            trials.append(generator(values, klass, replicate, rate))
            if point == "lowest_distance":
                trials.append(selection(values, klass, replicate))
            drawn.append(synthetic(values, klass, replicate, point, storage, rate))
            trials += [drawn[-1], evaluation(values, drawn[-1], klass=klass)]
        if not classes:
            trials.append(evaluation(values, *drawn))
    return trials


def classifiers(values, arms, **changed):
    """Every arm, replicate by replicate."""
    return [
        classifier(values, arm, replicate, **changed)
        for replicate in range(values.replicates)
        for arm in arms
    ]


def classifier(values, arm, replicate, point="picked", storage=None, contrast_stretch=None):
    """One CNN on one training set, followed on real validation images."""
    settings = common(values, arm=arm, **classifier_settings(values))
    if arm in TOLD_APART:
        settings["learning_rate"] = values.told_apart_learning_rate
    inputs = {}
    if arm not in ("real", "augmented"):
        settings["per_class"] = values.per_class
    if arm not in ("real", "augmented", "real_step_matched"):
        storage, which = storage or values.storage, replicate % values.generators
        settings |= {"point": point, "storage": storage}
        inputs = {k: synthetic(values, k, which, point, storage) for k in classes_of(values)}
    if arm in ("augmented", "combined"):
        stretch = values.contrast_stretch if contrast_stretch is None else contrast_stretch
        settings["contrast_stretch"] = stretch
    return STUDY.trial("classifier", settings, replicate, **inputs)


def other_epochs(values):
    """Extension: generators of other epochs than the picked one."""
    points = ("lowest_distance", "last") if values.dataset == "fids30" else ("lowest_distance",)
    trials = []
    for point in points:
        trials += sets(values, point) + classifiers(values, ("synthetic",), point=point)
    return trials


def other_rate(values):
    """Extension: ten times the learning rate, which the report calls too high (Sec. 2.2).

    Of both rates there are `PROBE_GENERATORS` of the one class: generators are the units of that
    comparison, of which a verdict needs more than the one a class that the report has.
    """
    if values.dataset != "fids30":
        return []
    rates = (values.learning_rate, 10 * values.learning_rate)
    probe = {"classes": (PROBE,), "generators": PROBE_GENERATORS}
    return [trial for rate in rates for trial in sets(values, rate=rate, **probe)]


EXTENSION_TRIALS = {
    "other_epochs": other_epochs,
    "combined": lambda v: classifiers(v, ("combined",)),
    "png": lambda v: sets(v, storage="png") + classifiers(v, ("synthetic",), storage="png"),
    "no_stretch": lambda v: classifiers(v, ("augmented",), contrast_stretch=False),
    "learning_rate": other_rate,
}


# ------------------------------------------------------------------- images


def real_data(context, settings, klass=None):
    """The study's real images; of a digit alone, which is quicker, if `klass` is a digit."""
    data = context.dataset(settings["dataset"])
    if settings["dataset"] == "fids30":
        return data
    from replicate.data.study_mnist import COUNTS, study_mnist

    counts = [min(count, settings["n_per_class"]) for count in COUNTS]
    digit = int(klass) if klass in CLASSES["mnist"] else None
    return study_mnist(data, settings["seed"], digit, counts)


def by_class(split, labels):
    """Images and labels of some classes, class after class in canonical order."""
    import numpy as np

    rows = np.concatenate([np.flatnonzero(split.labels == label) for label in labels])
    return split.images[rows], split.labels[rows]


def label_of(settings):
    """The number of a trial's class."""
    return CLASSES[settings["dataset"]].index(settings["klass"])


def training_images(data, settings):
    """The training images of a trial's class."""
    return by_class(data.train, [label_of(settings)])[0]


def shown_rows(images, photographs, klass):
    """Which images of a set its preview shows.

    Args:
        images: uint8 `(n, height, width, channels)`.
        photographs: training images of the class.
        klass: its name.

    Returns:
        `(rows, metrics)`: the first ten that are no nearer to a photograph than the fruit's
        `TILE_DISTANCES`, fewer if there are not as many among the first `COMPARED`; of a digit the
        first ten. How near the nearest of them comes to a training image, and how many images the
        rows were found in; nothing where there are none.
    """
    import numpy as np

    from replicate.evaluation.class_sets import pixel_distances

    distances = pixel_distances(images[:COMPARED], photographs)
    rows = np.flatnonzero(distances >= TILE_DISTANCES.get(klass, 0.0))[:PREVIEW]
    if not len(rows):
        return rows, {}
    nearest = float(distances[rows].min())
    return rows, {"preview_distance_min": nearest, "preview_found_in": int(rows[-1]) + 1}


def guard_strip(outcome, tiles, photographs, klass):
    """Record how near a strip's tiles come to training images, and keep near ones at home.

    A strip with a tile nearer to a photograph than the fruit's `TILE_DISTANCES` is stored as
    `photographs_strip`: artifacts so named are never shipped. Digits may be shown as they are.
    """
    from replicate.evaluation.class_sets import pixel_distances

    nearest = float(pixel_distances(tiles, photographs).min())
    outcome.metrics["tile_distance_min"] = nearest
    if nearest < TILE_DISTANCES.get(klass, 0.0):
        outcome.artifacts["photographs_strip"] = outcome.artifacts.pop("strip")


# ------------------------------------------------------------------- what each trial does


def last_epoch(settings):
    """The last epoch of a generator, as the report counts: from 0."""
    return settings["epochs"] - 1


def picked_epoch(settings):
    """The epoch whose generator the report uses; Table 1's, in proportion where there are fewer."""
    if settings["dataset"] == "mnist":
        return last_epoch(settings)
    return round(PICKED[settings["klass"]] * last_epoch(settings) / PICKED_OF)


def kept_epochs(settings):
    """Epoch whose generator is kept -> its artifact; `weights`, which is released, is the picked.

    Kept are one every so many epochs, the picked one and the last.
    """
    last, picked = last_epoch(settings), picked_epoch(settings)
    every = settings["save_every"]
    names = {epoch: f"weights_e{epoch}" for epoch in range(every, last, every)}
    names |= {last: "weights_last", picked: "weights"}
    return dict(sorted(names.items()))


def run_generators(trials, context):
    """Stage `generator`: train the GAN of a class; losses are means over an epoch's iterations."""
    import numpy as np

    from replicate.stages.perclass_gans import train_gan

    for trial in trials:
        s = trial.settings
        data = real_data(context, s, s["klass"])
        images = training_images(data, s)
        outcome = train_gan(trial, context, images, label_of(s), data, kept_epochs(s))
        if s["klass"] != PLOTTED:
            for name in ("d_loss_ema", "g_loss_ema"):  # as long as there are iterations
                del outcome.curves[name]
        with np.load(outcome.artifacts["strip"]) as strip:
            tiles = np.concatenate(strip["images"])
        guard_strip(outcome, tiles, images, s["klass"])
        yield trial, outcome


def run_selection(trials, context):
    """Stage `selection`: the kept epoch whose images are nearest to the training images.

    Nearest by the Fréchet distance in the judge's features; held-out images have no part in it.
    """
    from replicate.evaluation.frechet import frechet_distance
    from replicate.stages.perclass_gans import draw_images, load_gan

    network = None
    for trial in trials:
        s, label = trial.settings, label_of(trial.settings)
        data = real_data(context, s, s["klass"])
        features = features_of(trial, context)
        real = features(training_images(data, s))
        source = context.input(trial, "generator").trial.settings
        distances, names = {}, kept_epochs(source)
        for epoch, name in names.items():
            network = load_gan(trial, context, name, label, network)
            stream = trial_stream(trial, "selection/z", label)
            images = draw_images(network, s["n_images"], stream, s.get("storage", "jpeg"))
            distances[epoch] = float(frechet_distance(features(images), real))
            context.progress(trial, len(distances) / len(names), f"epoch {epoch}")
        metrics = {
            "epoch": min(distances, key=distances.get),
            "frechet": min(distances.values()),
            "frechet_picked": distances[picked_epoch(source)],
        }
        curves = {"epoch": list(distances), "frechet": list(distances.values())}
        yield trial, Outcome(metrics, curves, {}, data_provenance(data))


def run_synthetic(trials, context):
    """Stage `synthetic`: draw a class's images from the released weights and store them."""
    from replicate.stages.perclass_gans import draw_images, load_gan
    from replicate.stages.synthetic_sets import store_set

    network = None
    for trial in trials:
        s, label = trial.settings, label_of(trial.settings)
        data, source = real_data(context, s, s["klass"]), context.input(trial, "generator")
        epoch = epoch_of(trial, context)
        (name,) = weights_read(trial, context)["generator"]
        network = load_gan(trial, context, name, label, network)
        start = time.monotonic()
        images = draw_images(
            network,
            s["per_class"],
            trial_stream(trial, "synthetic/z", label),
            s["storage"],
            lambda done, trial=trial: context.progress(trial, done, "drawing"),
        )
        seconds = time.monotonic() - start
        metrics = {
            "epoch": epoch,
            "sample_seconds": seconds,
            "data_seconds": seconds + source.metrics["train_seconds"],
        }
        labels, provenance = [label] * len(images), data_provenance(data)
        shown, measured = shown_rows(images, training_images(data, s), s["klass"])
        metrics |= measured
        yield trial, store_set(trial, context, images, labels, provenance, shown, metrics)


def weights_read(trial, context):
    """The artifacts of the generator that images are drawn from; see `Stage`."""
    kept = kept_epochs(context.input(trial, "generator").trial.settings)
    if trial.stage == "selection":
        return {"generator": list(kept.values())}
    return {"generator": [kept[epoch_of(trial, context)]]}


def epoch_of(trial, context):
    """The epoch of the generator that a set is drawn from, counted from 0."""
    source = context.input(trial, "generator").trial.settings
    if trial.settings["point"] == "lowest_distance":
        return int(context.input(trial, "selection").metrics["epoch"])
    return picked_epoch(source) if trial.settings["point"] == "picked" else last_epoch(source)


def judge_of(trial, context):
    """The trained network of a trial's input `judge`."""
    from replicate.training.checkpoints import load_weights

    network = network_of(context.input(trial, "judge").trial)
    load_weights(context.input_path(trial, "judge", "weights"), {"classifier": network})
    return network


def features_of(trial, context):
    """A function from uint8 images to the judge's features `(n, 128)`."""
    from replicate.evaluation.extractors import classifier_features

    return classifier_features(judge_of(trial, context), scale=1 / 255).features


def run_evaluation(trials, context):
    """Stage `evaluation`: distances, precision, recall, diversity, copies, what is recognised."""
    from replicate.stages.evaluations import evaluate_sets

    def real_of(trial):
        data = real_data(context, trial.settings, trial.settings["klass"])
        held_out = by_class(data.test, [label_of(trial.settings)])[0]
        return training_images(data, trial.settings), held_out

    features = functools.partial(features_of, context=context)
    for pooled, members in itertools.groupby(trials, lambda t: t.settings["klass"] == "all"):
        if pooled:
            yield from ((trial, evaluate_pooled(trial, context)) for trial in members)
            continue
        for trial, outcome in evaluate_sets(
            members, context, features_of=features, real_of=real_of, shown=PREVIEW
        ):
            judge_set(trial, outcome, context, *real_of(trial))
            yield trial, outcome


def judge_set(trial, outcome, context, train, held_out):
    """Add what the judge recognises, and how near pixels come to training images."""
    from replicate.data.synthetic import load_synthetic
    from replicate.evaluation.class_sets import closeness, pixel_distances, recognition
    from replicate.runs.files import write_arrays

    s, artifacts = trial.settings, outcome.artifacts
    images = load_synthetic(context.input_path(trial, "synthetic", "set")).images
    recognised = recognition(judge_of(trial, context), images, label_of(s))
    outcome.metrics["recognised"] = recognised.share
    outcome.metrics |= closeness(train, held_out, images[:COMPARED], COPY_DISTANCE)
    if s["dataset"] == "fids30":
        near = pixel_distances(images[:COMPARED], train) < TILE_DISTANCES[s["klass"]]
        outcome.metrics["pixel_copy_share_by_class"] = float(near.mean())
        artifacts["photographs_neighbours"] = artifacts.pop("neighbours")
    else:  # Fig. 6: digits that are well made and badly made
        rows = recognised.extremes
        artifacts["confident"] = context.artifact_dir(trial) / "confident.npz"
        arrays = {"images": images[rows], "probability": recognised.probability[rows]}
        write_arrays(artifacts["confident"], arrays)


def evaluate_pooled(trial, context):
    """What can be said of the sets of all classes together, images of all classes by turns."""
    import numpy as np

    from replicate.evaluation.image_sets import compare_image_sets

    drawn = load_drawn(trial, context)
    images = np.stack(drawn, axis=1).reshape(-1, *drawn[0].shape[1:])
    data = real_data(context, trial.settings)
    real = [by_class(part, range(len(drawn)))[0] for part in (data.train, data.test)]
    sides = map(features_of(trial, context), (*real, images))
    result = compare_image_sets(*sides, seed=trial.settings["seed"])
    return Outcome(result.metrics, {}, {}, data_provenance(data))


def load_drawn(trial, context):
    """The synthetic images of each class that a trial has as input."""
    from replicate.data.synthetic import load_synthetic

    names = [name for name in CLASSES[trial.settings["dataset"]] if name in trial.inputs]
    return [load_synthetic(context.input_path(trial, name, "set")).images for name in names]


def run_judge(trials, context):
    """Stage `judge`: a CNN on the real images, whose features others use."""
    import numpy as np

    from replicate.data.splits import class_rows
    from replicate.stages.arms import classifier_job
    from replicate.stages.judges import judge_outcome
    from replicate.training.classifiers import run_lanes
    from replicate.training.lanes import LaneTrainer

    for trial in trials:
        data, labels = real_data(context, trial.settings), range(trial.settings["n_classes"])
        images, truth = by_class(data.train, labels)
        shown = class_rows(truth, len(labels), first=4)
        pictures = images[shown], truth[shown]
        fids30 = trial.settings["dataset"] == "fids30"  # whose photographs are not shipped
        picture = "photographs_examples" if fids30 else "examples"
        trainer = LaneTrainer(images, truth, *by_class(data.test, labels), lanes=1)
        rows, steps = np.arange(len(images)), len(images) // trial.settings["batch_size"]
        job = classifier_job(trial, functools.partial(network_of, trial), rows, steps, keep=True)
        for _, spec, result in run_lanes(trainer, [trial], lambda _, job=job: job, context):
            given = trial, spec, result, context, data, *pictures
            yield trial, judge_outcome(*given, picture=picture)


def network_of(trial):
    """The untrained CNN of a trial."""
    from replicate.models.classifiers import build_pooled_cnn

    classes = 2 if trial.settings.get("arm", "") in TOLD_APART else trial.settings["n_classes"]
    return build_pooled_cnn(num_classes=classes, seed=trial_seed(trial, "classifier/init"))


def run_classifiers(trials, context):
    """Stage `classifier`: CNNs side by side, followed on the real validation images."""
    by_set = {}
    for trial in trials:
        made_alike = trial.settings["arm"] == "real_vs_synthetic_alike"
        name = trial.settings["dataset"], made_alike, *trial.inputs.values()
        by_set.setdefault(name, []).append(trial)
    for members in by_set.values():
        yield from run_on_one_set(members, context)


def run_on_one_set(trials, context):
    """CNNs that share their resident images."""
    from replicate.data.mixing import Mixture
    from replicate.stages.arms import arm_outcome, run_arms, stored_alike

    first = trials[0].settings
    data = real_data(context, first)
    labels = range(first["n_classes"])
    names = CLASSES[first["dataset"]][: len(labels)]
    parts = (
        by_class(data.train, labels),
        by_class(data.test, labels),
        load_drawn(trials[0], context),
    )
    if first["arm"] == "real_vs_synthetic_alike":  # real digits have no colour
        parts = stored_alike(*parts, first["storage"], grey=first["dataset"] == "mnist")
    mixture, val = Mixture(*parts), parts[1]
    for trial, result in run_arms(trials, context, mixture, val, network_of):
        outcome = arm_outcome(trial, context, result, mixture, val[1], names, LEVELS)
        outcome.data = data_provenance(data)
        if trial.inputs:  # what making its images took
            drawn = [context.input(trial, name).metrics for name in trial.inputs]
            outcome.metrics["data_seconds"] = sum(each["data_seconds"] for each in drawn)
        yield trial, outcome


# ------------------------------------------------------------------- the study


def generator_seconds(trial):
    """Predicted wall time on two cores, as measured in docs/pace_benchmarks.md."""
    s = trial.settings
    count = 35 if s["dataset"] == "fids30" else 0.1 * min(42000, 10 * s["n_per_class"])
    iterations = int(0.8 * count) // (s["batch_size"] // 2) * s["epochs"]
    return 10 + iterations * (0.034 + 0.0075 * s["batch_size"])


def classifier_seconds(trial):
    """Predicted wall time on two cores, 970 images a second (docs/pace_benchmarks.md)."""
    s = trial.settings
    n_real = 28 if s["dataset"] == "fids30" else 0.08 * min(42000, 10 * s["n_per_class"])
    drawn = s.get("per_class", 0)
    each = {"real_step_matched": drawn, "synthetic": drawn}
    each |= dict.fromkeys(TOLD_APART, 2 * n_real)
    each["combined"] = 2 * n_real + drawn
    count = s["n_classes"] * each.get(s.get("arm"), n_real)
    return 2 + s["epochs"] * count / 970


def set_seconds(trial):
    """Predicted wall time on two cores of drawing or measuring sets, by 100 images a second."""
    s = trial.settings
    images = s.get("per_class", 0) * (len(trial.inputs) - 1 if s["klass"] == "all" else 1)
    if trial.stage == "selection":  # of each kept epoch
        images = s["n_images"] * (1 + s["epochs"] // REPORTED["save_every"][s["dataset"]])
    return 2 + images / 100


def set_group(trial):
    """Sets of a data set and a point share a process, unless they are large; tiny ones all do."""
    s = trial.settings
    images = s.get("per_class") or s["n_images"]
    return images > 100 and (s["dataset"], s.get("point"), images > 2000 and s["klass"])


def classifier_group(trial):
    """CNNs on the same resident images share a process; short ones all do."""
    return classifier_seconds(trial) > 5 and (trial.settings["dataset"], *trial.inputs.values())


STUDY = Study(
    name=NAME,
    title="One GAN a class against classical augmentation (MNIST, FIDS30)",
    citation=(
        "Sterzinger, R., Stippel, C., Zogaj, F. (2020). Generation and Evaluation of Unstructured "
        "Synthetic Datasets."
    ),
    datasets=("fids30", "mnist"),
    stages={
        "generator": Stage(
            1, run_generators, generator_seconds, group=alone_if_long(generator_seconds)
        ),
        "judge": Stage(1, run_judge, classifier_seconds, "lanes", group=classifier_group),
        "selection": Stage(1, run_selection, set_seconds, group=set_group, reads=weights_read),
        "synthetic": Stage(1, run_synthetic, set_seconds, group=set_group, reads=weights_read),
        "evaluation": Stage(1, run_evaluation, set_seconds, group=set_group),
        "classifier": Stage(
            1, run_classifiers, classifier_seconds, "lanes", group=classifier_group
        ),
    },
    define_flags=define_flags,
    declare=declare,
    extensions=EXTENSIONS,
    # The release holds one data set's ten generators of 7 MB each; digits are there for everybody.
    unreleased=lambda trial: trial.settings.get("dataset") == "mnist",
)

if __name__ == "__main__":
    sys.exit(STUDY.main())
