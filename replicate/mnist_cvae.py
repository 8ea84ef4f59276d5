"""Crossman (2024): a beta-CVAE on MNIST, and LeNets on real, synthetic and mixed digits.

    python -m replicate.mnist_cvae                     the report's protocol (preset paper)
    python -m replicate.mnist_cvae --preset=lite       fewer epochs, points and repeats
    python -m replicate.mnist_cvae --plan              print what would run, and for how long

Method (Sec. II and the author's code). A conditional beta-VAE learns all 60,000 training digits for
50 epochs; 6,000 digits a class are drawn from it once. LeNets with sigmoids train for five epochs
on a share p of the real set (Fig. 6), of the synthetic set (Fig. 7), of both at a fixed total (Fig.
8), or on the whole real set plus a share p of the synthetic one (Fig. 9) or of itself (Fig. 10),
and are tested on the 10,000 real test digits; ten networks a point. Replicate r uses generator r
mod `--generators`.

Controls that the report lacks: real only with as many steps as the doubled set (`step_matched`),
synthetic digits with permuted labels (`label_shuffled`), agreement of a real-trained classifier
with the requested labels. Extensions, not part of preset paper: other betas (`beta`), Keras'
initial weights (`init_keras`), one generator a digit (`per_digit`), generators that see only the
share of the real set that the classifier sees (`fraction`).
"""

from __future__ import annotations

import sys

from absl import flags

from replicate.runs.flags import define_choices, define_positive, define_shared, define_shares
from replicate.runs.seeds import epoch_order, trial_seed, trial_stream
from replicate.runs.study import Outcome, Stage, Study, alone_if_long, unique

NAME = "mnist_cvae"
ARMS = ("real", "synthetic", "mix", "add_synthetic", "add_real", "step_matched", "label_shuffled")
SWEEPS = ARMS[:5]
NEEDS_SYNTHETIC = ("synthetic", "mix", "add_synthetic", "label_shuffled")
EXTENSIONS = ("beta", "init_keras", "per_digit", "fraction")
BETAS = (0.25, 4.0)
FRACTIONS = (0.05, 0.25, 0.5)
POINTS = tuple(round(0.05 * step, 2) for step in range(1, 21))
EXAMPLE_DIGITS = (5, 9, 6, 2)  # Fig. 1
PREVIEW_PER_CLASS = 10


def define_flags(values: flags.FlagValues) -> None:
    """The study's flags; defaults are the report's and the author's values."""
    define_shared(values, replicates=10, generators=3)
    define_positive(values, "epochs", 50, "epochs of the generator (Sec. II)")
    define_positive(values, "batch_size", 100, "images a step, generator (Sec. II)")
    define_positive(values, "learning_rate", 3e-4, "Adam's rate, generator (Sec. II)")
    define_positive(values, "beta", 1.0, "weight of the KL divergence (Sec. II)")
    define_positive(values, "latent_dim", 20, "latent dimensions (Sec. II)")
    define_positive(values, "per_class", 6000, "synthetic images a digit (Sec. II)")
    define_positive(values, "classifier_epochs", 5, "epochs of a classifier (Sec. II)")
    define_positive(values, "classifier_batch_size", 20, "images a step, classifier (Sec. II)")
    define_positive(values, "classifier_learning_rate", 1e-3, "Adam's rate, classifier (Sec. II)")
    define_positive(values, "n_train", 60000, "real training images in use", at_most=60000)
    define_positive(values, "n_test", 10000, "real test images in use", at_most=10000)
    schemes = ["torch", "keras"]
    flags.DEFINE_enum(
        "init", "torch", schemes, "default initial weights of which framework", flag_values=values
    )
    define_choices(values, "arms", ARMS, ARMS, "training sets to compare")
    define_choices(values, "extensions", EXTENSIONS, (), "further arms")
    define_shares(values, "points", POINTS, "shares p of the sweeps")


# ------------------------------------------------------------------- which trials there are


def declare(values: flags.FlagValues) -> list:
    """The trials that the flags ask for: protocol first, replicate by replicate, then extensions.

    Raises:
        ValueError: if more images are asked for than there are, a share of less than one, or
            mixtures of real images alone.
    """
    check_sizes(values)
    trials = []
    for replicate in range(values.replicates):
        trials += replicate_trials(values, replicate, points=[float(p) for p in values.points])
    for extension in values.extensions:
        for replicate in range(values.replicates):
            trials += EXTENSION_TRIALS[extension](values, replicate)
    return unique(trials)


def check_sizes(values):
    """Refuse what the data or the synthetic set cannot give."""
    if 10 * values.per_class < values.n_train:
        raise ValueError(
            f"Expected at least as many synthetic images as --n_train={values.n_train}, which the "
            f"mixtures replace. Received: --per_class={values.per_class} for ten digits"
        )
    small = [p for p in values.points if round(float(p) * values.n_train) < 1]
    if small:
        raise ValueError(
            f"Expected --points of at least one image of --n_train={values.n_train}. "
            f"Received: --points={','.join(small)}"
        )
    only_mixed = set(values.arms) & set(NEEDS_SYNTHETIC) == {"mix"}
    if only_mixed and all(float(p) == 1 for p in values.points):
        raise ValueError(
            "Expected --points with a share below 1 for the arm mix, which at 1 has no synthetic "
            f"image that its generators are trained for. Received: "
            f"--points={','.join(values.points)}, --arms={','.join(values.arms)}"
        )


def replicate_trials(values, replicate, points, arms=None, scope="all", **changed):
    """One replicate of the sweeps, with the generator, set and single runs that it needs."""
    arms = values.arms if arms is None else arms
    which = replicate % values.generators
    judge = single(values, "real", 0)
    trials = [judge]
    chain = []
    if set(arms) & set(NEEDS_SYNTHETIC):
        chain = synthetic_chain(values, which, judge, scope=scope, **changed)
        trials += chain
    if which == replicate == 0 and "synthetic" in arms and scope == "all" and not changed:
        trials.append(single(values, "synthetic", 0, chain[-1]))
    for arm in arms:
        for p in points if arm in SWEEPS else [1.0]:
            if (arm, p) != ("mix", 1.0):
                source = chain[-1] if arm in NEEDS_SYNTHETIC else None
                trials.append(classifier(values, arm, p, replicate, source))
    return trials


def common(values, **settings):
    """Settings that every trial carries."""
    return {"dataset": "mnist", "seed": values.seed, "n_train": values.n_train, **settings}


def synthetic_chain(values, replicate, judge, scope="all", **changed):
    """The generators of a synthetic set, then the set."""
    beta = changed.get("beta", values.beta)
    settings = common(
        values,
        epochs=values.epochs,
        batch_size=values.batch_size,
        learning_rate=values.learning_rate,
        latent_dim=values.latent_dim,
        init=values.init,
        scope=scope,
        beta=beta,
    )
    settings |= {"p": changed["p"]} if scope == "fraction" else {}
    each = [{"digit": digit} for digit in range(10)] if scope == "per_digit" else [{}]
    generators = [STUDY.trial("generator", {**settings, **e}, replicate) for e in each]
    roles = {f"generator_{index}": trial for index, trial in enumerate(generators)}
    names = ("dataset", "seed", "n_train", "epochs", "scope", "beta", "init", "p")
    described = {name: settings[name] for name in names if name in settings}
    described |= {"per_class": values.per_class}
    return [
        *generators,
        STUDY.trial("synthetic", described, replicate, judge=judge, **roles),
    ]


def classifier(values, arm, p, replicate, synthetic=None, stage="classifier", init=None):
    """One LeNet on one training set."""
    settings = common(
        values,
        arm=arm,
        p=p,
        epochs=values.classifier_epochs * (2 if arm == "step_matched" else 1),
        batch_size=values.classifier_batch_size,
        learning_rate=values.classifier_learning_rate,
        init=init or values.init,
        n_test=values.n_test,
    )
    if synthetic is None:
        return STUDY.trial(stage, settings, replicate)
    described = {name: synthetic.settings[name] for name in ("scope", "beta", "per_class")}
    return STUDY.trial(stage, settings | described, replicate, synthetic=synthetic)


def single(values, arm, replicate, synthetic=None):
    """The single runs of Figs. 4 and 5; the real one also judges synthetic labels."""
    return classifier(values, arm, 1.0, replicate, synthetic, stage="single")


def beta_trials(values, replicate):
    """Extension: other weights of the KL divergence."""
    return [
        trial
        for beta in BETAS
        for trial in replicate_trials(values, replicate, [1.0], ["synthetic"], beta=beta)
    ]


def init_keras_trials(values, replicate):
    """Extension: the real sweep with Keras' initial weights in the classifier."""
    points = [float(p) for p in values.points]
    return [classifier(values, "real", p, replicate, init="keras") for p in points]


def per_digit_trials(values, replicate):
    """Extension: one generator a digit, the report's future work."""
    return replicate_trials(values, replicate, [1.0], ["synthetic"], scope="per_digit")


def fraction_trials(values, replicate):
    """Extension: the generator sees no more real images than the classifier."""
    trials = []
    for p in FRACTIONS:
        chain = synthetic_chain(
            values, replicate % values.generators, single(values, "real", 0), "fraction", p=p
        )
        mixed = classifier(values, "mix", p, replicate % values.generators, chain[-1])
        trials += [*chain, mixed]
    return trials


EXTENSION_TRIALS = {
    "beta": beta_trials,
    "init_keras": init_keras_trials,
    "per_digit": per_digit_trials,
    "fraction": fraction_trials,
}


# ------------------------------------------------------------------- what each trial does


def subset(trial, name, n):
    """The replicate's permutation of n rows; its first rows are the share at any p."""
    return trial_stream(trial, f"subset/{name}").permutation(n)


def run_generators(trials, context):
    """Stage `generator`: fit the beta-CVAE; losses are per image, as in Fig. 2."""
    import numpy as np

    from replicate.training.generator import run_generator_trial
    from replicate.training.optimizers import FusedAdam

    for trial in trials:
        data = context.dataset(trial.settings["dataset"])
        labels = data.train.labels[: trial.settings["n_train"]]
        rows = generator_rows(trial, labels)
        model = build_generator(trial)
        model.compile(FusedAdam(trial.settings["learning_rate"], epsilon=1e-8))
        images = data.train.images[rows] / np.float32(255)
        order = epoch_order(trial, len(rows), "generator/order")
        outcome = run_generator_trial(trial, context, model, images, labels[rows], order, data)
        yield trial, outcome


def generator_rows(trial, labels):
    """Rows that a generator sees: all, those of its digit, or its classifiers' share."""
    import numpy as np

    scope = trial.settings["scope"]
    if scope == "per_digit":
        return np.flatnonzero(labels == trial.settings["digit"])
    count = round(trial.settings.get("p", 1.0) * len(labels))
    return subset(trial, "real", len(labels))[:count] if scope == "fraction" else np.arange(count)


def build_generator(trial):
    """The untrained network of a generator trial."""
    from replicate.models.cvae import BetaCVAE

    s = trial.settings
    return BetaCVAE(
        latent_dim=s["latent_dim"],
        beta=s["beta"],
        init=s["init"],
        seed=trial_seed(trial, "generator/init", s.get("digit", 0)),
        noise_seed=trial_seed(trial, "generator/noise", s.get("digit", 0)),
    )


def run_synthetic(trials, context):
    """Stage `synthetic`: draw the set once, z ~ N(0, I), grey levels kept as floats."""
    for trial in trials:
        images, labels = draw(trial, context)
        yield trial, describe_set(trial, context, images, labels)


def draw(trial, context):
    """Images float32 `(n, 28, 28, 1)` in [0, 1] and labels, from the released float16 weights."""
    import numpy as np

    from replicate.training.checkpoints import load_weights

    per_class = trial.settings["per_class"]
    labels = np.repeat(np.arange(10), per_class)
    images = np.empty((len(labels), 28, 28, 1), np.float32)
    roles = [role for role in trial.inputs if role.startswith("generator")]
    for index, role in enumerate(sorted(roles, key=lambda r: int(r.split("_")[1]))):
        source = context.input(trial, role).trial
        network = build_generator(source)
        load_weights(context.input_path(trial, role, "weights"), network.inference_layers())
        rows = np.arange(len(labels)) if len(roles) == 1 else np.flatnonzero(labels == index)
        z = trial_stream(trial, "synthetic/z", index).standard_normal(
            (len(rows), network.latent_dim)
        )
        for start in range(0, len(rows), 1000):
            part = rows[start : start + 1000]
            batch = z[start : start + 1000].astype(np.float32)
            images[part] = network.generate(batch, labels[part])
            context.progress(trial, (start + 1000) / len(rows), "drawing")
    return images, labels


def describe_set(trial, context, images, labels):
    """Store the set and what can be said of it without training on it."""
    import numpy as np

    from replicate.data.synthetic import save_synthetic
    from replicate.evaluation.images import high_frequency_energy, to_uint8
    from replicate.models.lenet import build_lenet
    from replicate.runs.files import write_arrays
    from replicate.training.checkpoints import load_weights

    judge = build_lenet()
    load_weights(context.input_path(trial, "judge", "weights"), {"classifier": judge})
    predicted = np.argmax(judge.predict(images, batch_size=1000, verbose=0), axis=1)
    folder = context.artifact_dir(trial)
    paths = {"set": folder / "set.safetensors", "preview": folder / "preview.npz"}
    save_synthetic(paths["set"], images, labels, trial.card)
    per_class = trial.settings["per_class"]
    rows = np.concatenate([k * per_class + np.arange(PREVIEW_PER_CLASS) for k in range(10)])
    preview = {"images": to_uint8(images[rows]), "labels": labels[rows]}
    write_arrays(paths["preview"], preview)
    metrics = {
        "label_agreement": float(np.mean(predicted == labels)),
        "high_frequency_energy": high_frequency_energy(images),
        "n_images": len(images),
    }
    return Outcome(metrics, artifacts=paths, data=context.input(trial, "judge").data)


def training_rows(trial, labels_real, n_synthetic):
    """Rows of a trial's training set in the real images followed by the synthetic ones.

    Subsets are uniform, without replacement and not stratified, as in the author's code.
    """
    import numpy as np

    arm, n = trial.settings["arm"], len(labels_real)
    count = round(trial.settings["p"] * n)
    real = subset(trial, "real", n)
    synthetic = n + subset(trial, "synthetic", n_synthetic)
    parts = {
        "real": [real[:count]],
        "step_matched": [real],
        "synthetic": [synthetic[:count]],
        "label_shuffled": [synthetic[:count]],
        "mix": [real[:count], synthetic[: n - count]],
        "add_synthetic": [real, synthetic[:count]],
        "add_real": [real, real[:count]],
    }
    return np.concatenate(parts[arm])


def run_classifiers(trials, context):
    """Stages `single` and `classifier`: train LeNets side by side and test them on real digits."""
    from replicate.training.classifiers import ClassifierJob, run_classifier_trials

    data = context.dataset(trials[0].settings["dataset"])

    def job(trial, labels, n_real):
        s = trial.settings
        rows = training_rows(trial, labels[:n_real], len(labels) - n_real)
        return ClassifierJob(
            build=lambda: lenet(trial),
            rows=rows,
            labels=shuffled(trial, labels) if s["arm"] == "label_shuffled" else None,
            order=lambda epoch: trial_stream(trial, "classifier/order", epoch),
            optimizer={"name": "adam_torch", "learning_rate": s["learning_rate"]},
            keep=trial.stage == "single",
        )

    for trial, outcome in run_classifier_trials(trials, context, data, job):
        if (trial.stage, trial.settings["arm"]) == ("single", "real"):
            outcome.artifacts["examples"] = save_examples(trial, context, data)
        yield trial, outcome


def save_examples(trial, context, data):
    """Four real digits, labelled as those of Fig. 1."""
    import numpy as np

    from replicate.runs.files import write_arrays

    rows = [int(np.argmax(data.train.labels == digit)) for digit in EXAMPLE_DIGITS]
    arrays = {"images": data.train.images[rows], "labels": data.train.labels[rows]}
    path = context.artifact_dir(trial) / "examples.npz"
    write_arrays(path, arrays)
    return path


def lenet(trial):
    """The untrained classifier of a trial."""
    from replicate.models.lenet import build_lenet

    s = trial.settings
    seed = trial_seed(trial, "classifier/init")
    return build_lenet(init=s["init"], seed=seed)


def shuffled(trial, labels):
    """Labels in random order: a control that must fall to chance."""
    return trial_stream(trial, "label_shuffle").permutation(labels)


# ------------------------------------------------------------------- the study


def generator_seconds(trial):
    """Predicted wall time on two cores: 110 ms a step of 100 images."""
    s = trial.settings
    share = 0.1 if s["scope"] == "per_digit" else s.get("p", 1.0)
    return 15 + s["epochs"] * s["n_train"] * share * 1.1e-3


def synthetic_seconds(trial):
    """Predicted wall time on two cores."""
    return 2 + 0.003 * trial.settings["per_class"]


def synthetic_group(trial):
    """Small sets share a process."""
    return trial.key if trial.settings["per_class"] > 1000 else "small"


def classifier_seconds(trial):
    """Predicted wall time on two cores, at 20,000 images a second over all lanes."""
    s = trial.settings
    share = {"mix": 1, "add_synthetic": 1 + s["p"], "add_real": 1 + s["p"]}.get(s["arm"], s["p"])
    return 0.5 + share * s["n_train"] * s["epochs"] / 20000


def classifier_group(trial):
    """Networks that share their resident images share a process; small sets share one anyhow."""
    small = trial.settings["n_train"] <= 10000
    return "small" if small else trial.inputs.get("synthetic", "real only")


STUDY = Study(
    name=NAME,
    title="A beta-CVAE's digits as training data for LeNets (MNIST)",
    citation="Crossman, J. (2024). Synthetic Data Project.",
    datasets=("mnist",),
    stages={
        "generator": Stage(
            1, run_generators, generator_seconds, group=alone_if_long(generator_seconds, 300)
        ),
        "single": Stage(1, run_classifiers, classifier_seconds, "lanes"),
        "synthetic": Stage(1, run_synthetic, synthetic_seconds, group=synthetic_group),
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
