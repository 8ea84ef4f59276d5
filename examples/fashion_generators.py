"""A sixth study: which generator's images train the better classifier of clothing?

    python -m examples.fashion_generators --preset=smoke
    python -m replicate.report --configs=examples --study=fashion_generators --out=runs/fashion

A beta-CVAE and a conditional GAN learn Fashion-MNIST, a LeNet from either's images, tested on real
ones. Everything else (records, resume, plan, lanes, report) is the package's.
"""

import sys

from replicate.runs.flags import define_positive, define_shared
from replicate.runs.seeds import epoch_order, trial_seed, trial_stream
from replicate.runs.study import Stage, Study, unique


def define_flags(values):
    """The flags of this study, beside those that every study has."""
    define_shared(values, replicates=10, generators=3)
    define_positive(values, "epochs", 50, "epochs of a generator")
    define_positive(values, "classifier_epochs", 5, "epochs of a classifier")
    define_positive(values, "n_train", 60000, "real images, and as many synthetic ones")
    define_positive(values, "n_test", 10000, "real test images")


def declare(values):
    """Its trials: inputs before what needs them."""
    trials = []
    common = {"dataset": "fashion_mnist", "seed": values.seed, "n_train": values.n_train}
    fit = {"epochs": values.classifier_epochs, "batch_size": 20, "n_test": values.n_test}
    for replicate in range(values.replicates):
        trials.append(STUDY.trial("classifier", {**common, **fit, "arm": "real"}, replicate))
        for kind in ("cvae", "cgan"):
            settings = {**common, "kind": kind, "epochs": values.epochs, "batch_size": 100}
            source = STUDY.trial("generator", settings, replicate % values.generators)
            drawn = STUDY.trial("synthetic", settings, source.replicate, generator=source)
            fitted = {**common, **fit, "arm": kind}
            net = STUDY.trial("classifier", fitted, replicate, synthetic=drawn)
            trials += [source, drawn, net]
    return unique(trials)


def build(trial):
    """The untrained generator, and the factor and offset from [0, 1] to its images' range."""
    from replicate.models.cgan import CGAN
    from replicate.models.cvae import BetaCVAE
    from replicate.training.optimizers import FusedAdam

    seeds = {name: trial_seed(trial, name) for name in ("seed", "noise_seed")}
    if trial.settings["kind"] == "cvae":
        model = BetaCVAE(**seeds)
        model.compile(FusedAdam(3e-4))
        return model, 1, 0
    model = CGAN(**seeds)
    model.compile(FusedAdam(2e-5, beta_1=0.5), FusedAdam(1e-4, beta_1=0.5))
    return model, 2, -1


def run_generators(trials, context):
    """Stage `generator`: train, resumable epoch by epoch."""
    from replicate.training.generator import run_generator_trial

    for trial in trials:
        data, n = context.dataset("fashion_mnist"), trial.settings["n_train"]
        model, factor, offset = build(trial)
        images = (data.train.images[:n] / 255 * factor + offset).astype("float32")

        labels, order = data.train.labels[:n], epoch_order(trial, n, "order")
        yield trial, run_generator_trial(trial, context, model, images, labels, order, data)


def run_synthetic(trials, context):
    """Stage `synthetic`: draw as many images as there are real ones, stored as bytes like them."""
    import numpy as np

    from replicate.evaluation.images import to_uint8
    from replicate.stages.synthetic_sets import store_set
    from replicate.training.checkpoints import load_weights

    for trial in trials:
        source = context.input(trial, "generator")
        model, factor, offset = build(source.trial)
        load_weights(context.input_path(trial, "generator", "weights"), model.inference_layers())
        labels = np.arange(trial.settings["n_train"]) % 10
        z = trial_stream(trial, "z").standard_normal((len(labels), model.latent_dim), "float32")
        parts = [slice(i, i + 1000) for i in range(0, len(labels), 1000)]
        images = np.concatenate([np.asarray(model.generate(z[p], labels[p])) for p in parts])
        images = to_uint8((images - offset) / factor)
        yield trial, store_set(trial, context, images, labels, source.data, range(40))


def run_classifiers(trials, context):
    """Stage `classifier`: LeNets side by side, on real or on synthetic images."""
    import numpy as np

    from replicate.models.lenet import build_lenet
    from replicate.training.classifiers import ClassifierJob, run_classifier_trials

    def job(trial, labels, n):  # the first n images are real
        return ClassifierJob(
            build=lambda: build_lenet(seed=trial_seed(trial, "init")),
            rows=np.arange(n) if trial.settings["arm"] == "real" else np.arange(n, len(labels)),
            order=lambda epoch: trial_stream(trial, "order", epoch),
            optimizer={"name": "adam"},
        )

    yield from run_classifier_trials(trials, context, context.dataset("fashion_mnist"), job)


STUDY = Study(
    name="fashion_generators",
    title="Two generators on Fashion-MNIST",
    citation="An example",
    datasets=("fashion_mnist",),
    stages={
        "generator": Stage(1, run_generators, lambda trial: 60.0 * trial.settings["epochs"]),
        "synthetic": Stage(1, run_synthetic, lambda trial: 10.0),
        "classifier": Stage(1, run_classifiers, lambda trial: 15.0, "lanes", lambda trial: "all"),
    },
    define_flags=define_flags,
    declare=declare,
    module="examples.fashion_generators",
)

if __name__ == "__main__":
    sys.exit(STUDY.main())
