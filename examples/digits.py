"""A study whose data set, generator and classifier are its own: 8 x 8 digits, in under a minute.

    python -m examples.digits
    python -m replicate.report --configs=examples --study=digits --out=runs/digits_report

A small variational autoencoder learns scikit-learn's digits; perceptrons learn from real digits,
from drawn ones, or from both, and are tested on real ones. `docs/own_study.md` explains each part.
"""

import sys

from replicate.runs.flags import define_positive, define_shared
from replicate.runs.seeds import epoch_order, trial_seed, trial_stream
from replicate.runs.study import Stage, Study, unique

NAME = "digits"
N_TRAIN, N_TEST = 1000, 797
ARMS = ("real", "real_twice", "synthetic", "both", "shuffled")


def load_digits(data_dir):
    """Scikit-learn's 1,797 digits: the first 1,000 to learn from, the others to test on."""
    import numpy as np
    from sklearn import datasets

    from replicate.data import from_arrays

    found = datasets.load_digits()  # float64 (1797, 8, 8), 0 to 16
    images = np.round(found.images[..., None] * 255 / 16).astype(np.uint8)
    train = images[:N_TRAIN], found.target[:N_TRAIN]
    test = images[N_TRAIN:], found.target[N_TRAIN:]
    return from_arrays(NAME, train, test, class_names="0123456789")


def define_flags(values):
    """The flags of this study, beside those that every study has."""
    define_shared(values, replicates=6, generators=6)
    define_positive(values, "epochs", 40, "epochs of a generator")
    define_positive(values, "classifier_epochs", 10, "epochs of a classifier")


def declare(values):
    """Its trials: inputs before what needs them."""
    common = {"dataset": NAME, "seed": values.seed, "n_train": N_TRAIN}
    learn = {**common, "epochs": values.epochs, "batch_size": 50}
    fit = {**common, "epochs": values.classifier_epochs, "batch_size": 20, "n_test": N_TEST}
    trials = []
    for replicate in range(values.replicates):
        source = STUDY.trial("generator", learn, replicate % values.generators)
        drawn = STUDY.trial("synthetic", learn, source.replicate, generator=source)
        trials += [source, drawn]
        for arm in ARMS:
            inputs = {} if arm.startswith("real") else {"synthetic": drawn}
            trials.append(STUDY.trial("classifier", {**fit, "arm": arm}, replicate, **inputs))
    return unique(trials)


def run_generators(trials, context):
    """Stage `generator`: train, resumable epoch by epoch."""
    import keras

    from examples.digits_networks import DigitVAE
    from replicate.training.generator import run_generator_trial

    data = context.dataset(NAME)
    images = data.train.images.astype("float32") / 255
    for trial in trials:
        model = DigitVAE(seed=trial_seed(trial, "init"), noise_seed=trial_seed(trial, "noise"))
        model.compile(keras.optimizers.Adam(2e-3))
        labels, order = data.train.labels, epoch_order(trial, len(images), "order")
        yield trial, run_generator_trial(trial, context, model, images, labels, order, data)


def run_synthetic(trials, context):
    """Stage `synthetic`: as many images as there are real ones, with the same labels."""
    from examples.digits_networks import DigitVAE
    from replicate.evaluation.images import to_uint8
    from replicate.stages.synthetic_sets import store_set
    from replicate.training.checkpoints import load_weights

    for trial in trials:
        model, labels = DigitVAE(), context.dataset(NAME).train.labels
        load_weights(context.input_path(trial, "generator", "weights"), model.inference_layers())
        z = trial_stream(trial, "z").standard_normal((len(labels), model.latent_dim), "float32")
        images, source = to_uint8(model.generate(z, labels)), context.input(trial, "generator")
        yield trial, store_set(trial, context, images, labels, source.data, range(40))


def run_classifiers(trials, context):
    """Stage `classifier`: perceptrons side by side over real images, then drawn ones."""
    import numpy as np

    from examples.digits_networks import build_perceptron
    from replicate.training.classifiers import ClassifierJob, run_classifier_trials

    def job(trial, labels, n):  # the first n images are real
        arm, rows = trial.settings["arm"], np.arange(len(labels))
        real, drawn = rows[:n], rows[n:]
        return ClassifierJob(
            build=lambda: build_perceptron(trial_seed(trial, "classifier/init")),
            rows={"real": real, "real_twice": np.tile(real, 2), "both": rows}.get(arm, drawn),
            order=lambda epoch: trial_stream(trial, "classifier/order", epoch),
            optimizer={"name": "adam", "learning_rate": 1e-3},
            labels=trial_stream(trial, "labels").permutation(labels) if arm == "shuffled" else None,
        )

    yield from run_classifier_trials(trials, context, context.dataset(NAME), job)


STUDY = Study(
    name=NAME,
    title="Digits of 8 x 8 pixels, drawn and real",
    citation="An example",
    datasets=(NAME,),
    loaders={NAME: load_digits},
    stages={
        "generator": Stage(1, run_generators, lambda trial: 3.0),
        "synthetic": Stage(1, run_synthetic, lambda trial: 0.2),
        "classifier": Stage(1, run_classifiers, lambda trial: 0.5, "lanes", lambda trial: "all"),
    },
    define_flags=define_flags,
    declare=declare,
    module="examples.digits",
)

if __name__ == "__main__":
    sys.exit(STUDY.main())
