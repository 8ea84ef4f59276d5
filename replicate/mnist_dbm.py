"""Lee, Rothenberg and Shah (2017): a conditional DCGAN, a Deep Boltzmann Machine, an SVM and a CNN.

    python -m replicate.mnist_dbm                            the slides' protocol (preset paper)
    python -m replicate.mnist_dbm --max_images=1000          experiment 2 beyond 100 images
    python -m replicate.mnist_dbm --dataset=fashion_mnist    their future work: a harder data set
    python -m replicate.mnist_dbm --preset=lite --plan       print what would run, and for how long

Method (slides). A DCGAN that is told labels learns MNIST for 7 epochs and draws 100 images a label.
Experiment 1: an SVM and a CNN are trained on 100 real or 100 generated images, ten of each digit,
drawn anew in each trial, and tested on the 10,000 real test images; the SVM also on 1,000
(Table 2). Experiment 2: the CNN on 10 real images and then on ten more at a time, real or
generated. A Deep Boltzmann Machine of all digits draws 100 images without labels. Replicate r uses
generator r mod `--generators`; experiment 1 draws from the first set of its generator, Table 2
takes whole sets, a fresh one in each replicate.

Controls that the slides lack: real images as blurred as the generated ones are, or by one pixel
(`blurred_matched`, `blurred`), generated images with permuted labels (`label_shuffled`), the ten
real images of experiment 2 ten times over (`seed_repeated`). Extensions, not part of preset paper:
generators that saw the test images (`leak`) or uniform noise (`uniform`), one Boltzmann machine a
digit as the generator (`dbm_per_class`), experiment 2 up to 1,000 images (`beyond`), other data
sets (`fashion_mnist`; `cifar10`: the Boltzmann machine only).
"""

from __future__ import annotations

import sys

from absl import flags

from replicate.runs.flags import define_choices, define_positive, define_shared
from replicate.runs.seeds import trial_seed, trial_stream
from replicate.runs.study import Outcome, Stage, Study, alone_if_long, data_provenance, unique

NAME = "mnist_dbm"
DATASETS = ("mnist", "fashion_mnist", "cifar10")
COUNTS = {"mnist": 60000, "fashion_mnist": 60000, "cifar10": 50000}
LABELS = 10
CONTROLS = ("blurred_matched", "blurred", "label_shuffled", "seed_repeated")
ARMS = ("real", "generated", "mixed", *CONTROLS)
NEEDS_GENERATED = ("generated", "mixed", "blurred_matched", "label_shuffled")
EXTENSIONS = ("leak", "uniform", "dbm_per_class", "beyond", "fashion_mnist", "cifar10")
KERNELS = ("poly3", "rbf_auto", "rbf_scale")
RATES = {"adadelta": 1.0, "adam": 1e-3}  # the CNN's optimizers
BLUR = 1.0  # pixels, where it is fixed
PREVIEW = 10  # images a label
REFERENCES = 10000  # training images that features are compared with
FEWER = 10  # replicates of extensions
MACHINE_RATE = 1.5e11  # operations a second, training Boltzmann machines (docs/dbm_benchmarks.md)

# Images a step and learning rate of both restricted machines and of joint training (inferred), by
# visible units; what else the recipe fixes stands in `replicate.stages.boltzmann`.
MACHINES = {
    "bernoulli": ((48, 0.05), (48, 0.01), (100, 2e-3)),
    "gaussian": ((100, 5e-4), (100, 1e-4), (100, 8e-5)),
}


def define_flags(values: flags.FlagValues) -> None:
    """The study's flags; defaults are the slides' values or the choices of the specification."""
    define_shared(values, replicates=30, generators=3)
    text = "data set; cifar10 has the Boltzmann machine only"
    flags.DEFINE_enum("dataset", "mnist", list(DATASETS), text, flag_values=values)
    define_positive(values, "epochs", 7, "epochs of the DCGAN (slide 'GAN Setup')")
    define_positive(values, "batch_size", 64, "images a step, DCGAN (slide 'GAN Setup')")
    define_positive(values, "learning_rate", 2e-4, "Adam's rate, DCGAN (inferred)")
    define_positive(values, "latent_dim", 100, "noise dimensions (inferred)")
    define_positive(values, "per_class", 100, "generated images a label (slide 'GAN Setup')")
    define_positive(values, "few", 100, "training images of experiment 1 (Table 1)")
    define_positive(values, "many", 1000, "training images of Table 2")
    define_positive(values, "max_images", 100, "training images at most in experiment 2 (inferred)")
    define_positive(values, "classifier_epochs", 12, "epochs of a CNN (inferred)")
    define_positive(values, "classifier_batch_size", 128, "images a step, CNN (inferred)")
    define_positive(values, "judge_epochs", 12, "epochs of the CNN that compares features")
    define_positive(values, "n_train", 60000, "real training images in use, at most", at_most=60000)
    define_positive(values, "n_test", 10000, "real test images in use", at_most=10000)
    define_positive(values, "gibbs_steps", 1000, "Gibbs steps of a chain before an image is taken")
    define_sizes(values, "hidden", (512, 1024), "hidden units of the Boltzmann machine")
    define_sizes(values, "dbm_epochs", (64, 120, 50), "epochs of both RBMs and of joint training")
    define_sizes(values, "cifar_hidden", (5000, 1000), "--hidden for cifar10")
    define_sizes(values, "cifar_epochs", (120, 180, 1500), "--dbm_epochs for cifar10")
    flags.DEFINE_bool("leak", False, "the same as --extensions=leak", flag_values=values)
    define_choices(values, "arms", ARMS, ARMS, "training sets to compare")
    define_choices(values, "extensions", EXTENSIONS, (), "further arms")


def define_sizes(values, name, default, text):
    """Define a comma-separated list flag of as many positive integers as its default has."""

    def allowed(given):
        return len(given) == len(default) and all(g.isdecimal() and int(g) > 0 for g in given)

    flags.DEFINE_list(name, list(map(str, default)), text, flag_values=values)
    message = f"expected {len(default)} positive integers"
    flags.register_validator(name, allowed, message=message, flag_values=values)


# ------------------------------------------------------------------- which trials there are


def declare(values: flags.FlagValues) -> list:
    """The trials that the flags ask for: the protocol, replicate by replicate, then extensions.

    Raises:
        ValueError: if numbers of images do not fit one another.
    """
    check_sizes(values)
    dataset = values.dataset
    if dataset == "cifar10":
        if values.leak:
            raise ValueError("Expected no --leak beside --dataset=cifar10. Received: both")
        return unique(cifar_trials(values))
    trials = protocol_trials(values, dataset)
    for extension in [*values.extensions, *(["leak"] if values.leak else [])]:
        trials += EXTENSION_TRIALS[extension](values)
    return unique(trials)


def check_sizes(values):
    """Refuse what the data or the generated sets cannot give."""
    if values.n_train < max(values.batch_size, 1.25 * values.many):
        raise ValueError(
            f"Expected --n_train of at least a batch of {values.batch_size} and, since classes are "
            f"not of one size, 1.25 times the --many={values.many}. Received: {values.n_train}"
        )
    for name in ("few", "many", "max_images"):
        count = values[name].value
        if count % LABELS or count > LABELS * values.per_class:
            raise ValueError(
                f"Expected --{name} as a multiple of {LABELS}, at most the --per_class="
                f"{values.per_class} generated images of each label. Received: {count}"
            )


def common(values, dataset, **settings):
    """Settings that every trial carries."""
    n_train = min(values.n_train, COUNTS[dataset])
    return {"dataset": dataset, "seed": values.seed, "n_train": n_train, **settings}


def made(values):
    """Number of generators."""
    return min(values.generators, values.replicates)


def points(most, replicate):
    """Training images of experiment 2: by tens, and from 100 by hundreds in ten replicates."""
    tens = range(10, min(most, 100) + 1, 10)
    return [*tens, *range(200, most + 1, 100)] if replicate < FEWER else [*tens]


def protocol_trials(values, dataset):
    """The slides' experiments and our controls on one data set."""
    trials = [judge(values, dataset)]
    needed = set(values.arms) & set(NEEDS_GENERATED)
    for replicate in range(values.replicates):
        if needed:
            trials += set_trials(values, dataset, replicate)
        if needed and replicate < made(values):
            trials.append(blur(values, dataset, replicate))
            trials += evaluations(values, dataset, trials[-2])
        for arm in values.arms:
            trials += arm_trials(values, dataset, arm, replicate)
    return trials + dbm_trials(values, dataset, values.hidden, values.dbm_epochs)


def arm_trials(values, dataset, arm, replicate):
    """One replicate of an arm: experiment 1, Table 2 and the arm's place in experiment 2."""
    trials = []
    if arm != "mixed":
        for n in (values.few,) if arm in CONTROLS else (values.few, values.many):
            trials += classifiers(values, dataset, arm, n, replicate, synthetic)
    if arm in ("real", "mixed"):
        trials += curve_trials(values, dataset, arm, replicate, values.max_images)
    return trials


def curve_trials(values, dataset, arm, replicate, most):
    """One replicate of an arm of experiment 2."""
    return [
        trial
        for n in points(most, replicate)
        for trial in classifiers(values, dataset, arm, n, replicate, synthetic, ("cnn",))
    ]


def judge(values, dataset):
    """A CNN on all real images: extractor of features, and judge of generated labels."""
    settings = common(values, dataset, n_test=values.n_test)
    settings |= cnn_settings(values, "adadelta") | {"epochs": values.judge_epochs}
    return STUDY.trial("judge", settings)


def generator(values, dataset, which, leak=False, noise="gaussian"):
    """A conditional DCGAN."""
    settings = common(
        values,
        dataset,
        leak=leak,
        noise=noise,
        epochs=values.epochs,
        batch_size=values.batch_size,
        learning_rate=values.learning_rate,
        latent_dim=values.latent_dim,
    )
    return STUDY.trial("generator", settings, which)


def synthetic(values, dataset, replicate, leak=False, noise="gaussian"):
    """A set of images drawn by the replicate's DCGAN."""
    source = generator(values, dataset, replicate % made(values), leak, noise)
    settings = common(values, dataset, source="dcgan", leak=leak, noise=noise)
    settings |= {"per_class": values.per_class}
    return STUDY.trial("synthetic", settings, replicate, generator=source)


def set_trials(values, dataset, replicate, **kind):
    """A replicate's set after its generator."""
    source = generator(values, dataset, replicate % made(values), **kind)
    return [source, synthetic(values, dataset, replicate, **kind)]


def blur(values, dataset, which):
    """How far real images are blurred to be as fuzzy as a generator's."""
    drawn = synthetic(values, dataset, which)
    settings = common(values, dataset, **described(drawn))
    return STUDY.trial("blur", settings, which, synthetic=drawn)


def described(drawn):
    """What classifiers, and what else uses a set, say of it."""
    names = ("source", "leak", "noise")
    return {name: drawn.settings[name] for name in names if name in drawn.settings}


def evaluations(values, dataset, drawn):
    """What can be said of a set by its pixels and by the judge's features."""
    settings = common(values, dataset, n_test=values.n_test, **described(drawn))
    inputs = {"pixels": {}, "classifier": {"judge": judge(values, dataset)}}
    return [
        STUDY.trial(
            "evaluation", {**settings, "extractor": name}, drawn.replicate, synthetic=drawn, **more
        )
        for name, more in inputs.items()
    ]


def classifiers(values, dataset, arm, n, replicate, set_of, models=("svm", "cnn"), **kind):
    """SVMs and CNNs of every variant on one training set.

    `set_of(values, dataset, replicate)` is the trial of a generated set: the first one of the
    replicate's generator, but the replicate's own one for Table 2.
    """
    settings = common(values, dataset, arm=arm, n=n, n_test=values.n_test)
    inputs = {}
    if arm in NEEDS_GENERATED:
        own = arm == "generated" and n == values.many
        which = replicate if own else replicate % made(values)
        drawn = set_of(values, dataset, which, **kind)
        settings |= described(drawn)
        inputs = {"synthetic": drawn}
    if arm == "blurred_matched":
        inputs = {"blur": blur(values, dataset, replicate % made(values))}
    if arm == "blurred":
        settings["sigma"] = BLUR
    variants = {
        "svm": [{"kernel": kernel} for kernel in KERNELS],
        "cnn": [cnn_settings(values, optimizer) for optimizer in RATES],
    }
    return [
        STUDY.trial(stage, settings | variant, replicate, **inputs)
        for stage in models
        for variant in variants[stage]
    ]


def cnn_settings(values, optimizer):
    """How a CNN is trained."""
    return {
        "optimizer": optimizer,
        "learning_rate": RATES[optimizer],
        "epochs": values.classifier_epochs,
        "batch_size": values.classifier_batch_size,
    }


def dbm(values, dataset, hidden, epochs, klass="all"):
    """Both restricted machines of a deep one, then itself."""
    visible = "gaussian" if dataset == "cifar10" else "bernoulli"
    units = [int(entry) for entry in hidden]
    settings = common(values, dataset, klass=klass, visible=visible)
    phases = [
        {"epochs": int(count), "batch_size": size, "learning_rate": rate}
        for count, (size, rate) in zip(epochs, MACHINES[visible], strict=True)
    ]
    first, second = ({"layer": k, "units": units[k - 1], **phases[k - 1]} for k in (1, 2))
    below = STUDY.trial("rbm", settings | first)
    above = STUDY.trial("rbm", settings | second, below=below)
    settings |= {"hidden_1": units[0], "hidden_2": units[1], "stop_tolerance": 1e-3, **phases[2]}
    return [below, above, STUDY.trial("dbm", settings, rbm_1=below, rbm_2=above)]


def dbm_trials(values, dataset, hidden, epochs):
    """The Boltzmann machine of all classes and three draws of its grid."""
    trials = dbm(values, dataset, hidden, epochs)
    settings = common(values, dataset, source="dbm", klass="all")
    settings |= {"per_class": values.per_class, "gibbs_steps": values.gibbs_steps}
    draws = range(min(3, values.replicates))
    return trials + [STUDY.trial("dbm_samples", settings, r, dbm_0=trials[-1]) for r in draws]


def cifar_trials(values):
    """The slides' Boltzmann machine of CIFAR-10."""
    return dbm_trials(values, "cifar10", values.cifar_hidden, values.cifar_epochs)


def labelled_dbm_set(values, dataset, replicate):
    """A labelled set of ten Boltzmann machines, one a class."""
    machines = {
        f"dbm_{label}": dbm(values, dataset, values.hidden, values.dbm_epochs, str(label))[-1]
        for label in range(LABELS)
    }
    settings = common(values, dataset, source="dbm", klass="each")
    settings |= {"per_class": values.per_class, "gibbs_steps": values.gibbs_steps}
    return STUDY.trial("dbm_samples", settings, replicate, **machines)


def dbm_per_class_trials(values, dataset):
    """Extension: Tables 1 and 2 with the images of one Boltzmann machine a class."""
    trials = [judge(values, dataset)]
    for label in range(LABELS):
        trials += dbm(values, dataset, values.hidden, values.dbm_epochs, str(label))
    for replicate in range(min(FEWER, values.replicates)):
        drawn = labelled_dbm_set(values, dataset, replicate)
        trials.append(drawn)
        if not replicate:
            trials += evaluations(values, dataset, drawn)
        for n in (values.few, values.many):
            trials += classifiers(values, dataset, "generated", n, replicate, labelled_dbm_set)
    return trials


def variant_trials(values, dataset, **kind):
    """Extension: Tables 1 and 2 with other generators."""
    trials = []
    for replicate in range(min(FEWER, values.replicates)):
        trials += set_trials(values, dataset, replicate, **kind)
        for n in (values.few, values.many):
            trials += classifiers(values, dataset, "generated", n, replicate, synthetic, **kind)
    return trials


def beyond_trials(values, dataset):
    """Extension: experiment 2 up to all generated images."""
    trials = []
    for replicate in range(min(FEWER, values.replicates)):
        trials += set_trials(values, dataset, replicate)
        for arm in ("real", "mixed"):
            trials += curve_trials(values, dataset, arm, replicate, LABELS * values.per_class)
    return trials


EXTENSION_TRIALS = {
    "leak": lambda v: variant_trials(v, v.dataset, leak=True),
    "uniform": lambda v: variant_trials(v, v.dataset, noise="uniform"),
    "dbm_per_class": lambda v: dbm_per_class_trials(v, v.dataset),
    "beyond": lambda v: beyond_trials(v, v.dataset),
    "fashion_mnist": lambda v: protocol_trials(v, "fashion_mnist"),
    "cifar10": cifar_trials,
}


# ------------------------------------------------------------------- images and networks


def run_generators(trials, context):
    """Stage `generator`: train a conditional DCGAN; losses are means over an epoch's steps."""
    import numpy as np

    from replicate.models.summary import layer_rows
    from replicate.runs.files import write_json
    from replicate.training.generator import run_generator_trial
    from replicate.training.optimizers import FusedAdam

    for trial in trials:
        s = trial.settings
        data = context.dataset(s["dataset"])
        images, labels = real_images(data, s)
        if s["leak"]:
            images = np.concatenate([images, data.test.images])
            labels = np.concatenate([labels, data.test.labels])
        network = build_dcgan(trial)
        optimizers = (FusedAdam(s["learning_rate"], beta_1=0.5, epsilon=1e-8) for _ in range(2))
        network.compile(*optimizers)
        outcome = run_generator_trial(
            trial,
            context,
            network,
            images / np.float32(255),
            labels,
            order_of(trial, len(images)),
            data,
            strip=strip_of(trial, network),
            log=True,
        )
        outcome.artifacts["summary"] = context.artifact_dir(trial) / "summary.json"
        networks = {name: getattr(network, name) for name in ("generator", "discriminator")}
        rows = {name: layer_rows(part) for name, part in networks.items()}
        write_json(outcome.artifacts["summary"], rows)
        yield trial, outcome


def real_images(data, settings):
    """The real training images, uint8, and labels in use."""
    return data.train.images[: settings["n_train"]], data.train.labels[: settings["n_train"]]


def order_of(trial, n):
    """Epoch -> permutation of n images without what does not fill a batch (base code)."""
    whole = n - n % trial.settings["batch_size"]
    return lambda epoch: trial_stream(trial, "generator/order", epoch).permutation(n)[:whole]


def build_dcgan(trial):
    """The untrained networks of a generator trial."""
    from replicate.models.conditional_dcgan import ConditionalDCGAN

    return ConditionalDCGAN(
        latent_dim=trial.settings["latent_dim"],
        num_classes=LABELS,
        noise=trial.settings["noise"],
        seed=trial_seed(trial, "generator/init"),
        noise_seed=trial_seed(trial, "generator/noise"),
    )


def strip_of(trial, network):
    """One fixed noise a label, drawn again as training goes."""
    import numpy as np

    from replicate.evaluation.images import to_uint8
    from replicate.training.telemetry import Strip

    noise = network.draw_noise(trial_stream(trial, "generator/strip"), LABELS)
    return Strip(lambda: to_uint8(np.asarray(network.generate(noise, np.arange(LABELS)))), every=1)


def run_synthetic(trials, context):
    """Stage `synthetic`: draw 100 images a label, kept as 8-bit like the real ones."""
    networks = {}  # the sets of a generator share it
    for trial in trials:
        images = draw(trial, context, networks)
        yield trial, stored(trial, context, images, labels_of(trial))


def labels_of(trial):
    """Labels of a set, class by class."""
    import numpy as np

    return np.repeat(np.arange(LABELS), trial.settings["per_class"])


def draw(trial, context, networks):
    """Images uint8 `(n, 28, 28, 1)` from the released float16 weights.

    A network that was built already is taken from `networks`: generator's key -> network.
    """
    import numpy as np

    from replicate.evaluation.images import to_uint8
    from replicate.training.checkpoints import load_weights

    source = context.input(trial, "generator").trial
    if source.key not in networks:
        networks.clear()  # one at a time
        networks[source.key] = build_dcgan(source)
        weights = context.input_path(trial, "generator", "weights")
        load_weights(weights, networks[source.key].inference_layers())
    network, labels = networks[source.key], labels_of(trial)
    noise = network.draw_noise(trial_stream(trial, "synthetic/noise"), len(labels))
    parts = [
        to_uint8(np.asarray(network.generate(noise[i : i + 500], labels[i : i + 500])))
        for i in range(0, len(labels), 500)
    ]
    return np.concatenate(parts)


def stored(trial, context, images, labels):
    """A stored set, with how sharp it is beside as many real images."""
    import numpy as np

    from replicate.evaluation.images import high_frequency_energy
    from replicate.stages.synthetic_sets import store_set

    data = context.dataset(trial.settings["dataset"])
    shown = np.concatenate([np.flatnonzero(labels == k)[:PREVIEW] for k in range(LABELS)])
    shown = shown if len(shown) > PREVIEW else range(min(100, len(images)))  # without labels
    outcome = store_set(trial, context, images, labels, data_provenance(data), shown)
    real = high_frequency_energy(real_images(data, trial.settings)[0][: len(images)])
    ratio = outcome.metrics["high_frequency_energy"] / real
    outcome.metrics |= {"high_frequency_energy_real": real, "high_frequency_ratio": ratio}
    return outcome


def run_blur(trials, context):
    """Stage `blur`: the blur that makes real images as fuzzy as a generated set."""
    import numpy as np

    from replicate.data.splits import class_rows
    from replicate.evaluation.blur import blurred, matching_blur
    from replicate.evaluation.images import high_frequency_energy
    from replicate.runs.files import write_arrays

    for trial in trials:
        data = context.dataset(trial.settings["dataset"])
        images, labels = real_images(data, trial.settings)
        record = context.input(trial, "synthetic")
        sample = images[: record.metrics["n_images"]]
        target = record.metrics["high_frequency_energy"]
        sigma = matching_blur(sample, target)
        metrics = {
            "sigma": sigma,
            "high_frequency_energy": high_frequency_energy(blurred(sample, sigma)),
            "high_frequency_energy_fixed": high_frequency_energy(blurred(sample, BLUR)),
            "high_frequency_energy_real": high_frequency_energy(sample),
            "high_frequency_energy_generated": target,
        }
        sharp = images[class_rows(labels, LABELS, first=1)]
        shown = {"sharp": sharp, "blurred": blurred(sharp, sigma), "fixed": blurred(sharp, BLUR)}
        path = context.artifact_dir(trial) / "preview.npz"
        write_arrays(path, {**shown, "labels": np.arange(LABELS)})
        yield trial, Outcome(metrics, {}, {"preview": path}, data_provenance(data))


# ------------------------------------------------------------------- Boltzmann machines


def machine_images(trial, context):
    """Real images uint8 of a machine's class, or of all, and the data set."""
    s = trial.settings
    data = context.dataset(s["dataset"])
    images, labels = real_images(data, s)
    return images if s["klass"] == "all" else images[labels == int(s["klass"])], data


def run_rbms(trials, context):
    """Stage `rbm`: contrastive divergence on images, or on the first machine's hidden units."""
    from replicate.stages.boltzmann import run_rbm_trial

    for trial in trials:
        yield trial, run_rbm_trial(trial, context, *machine_images(trial, context))


def run_dbms(trials, context):
    """Stage `dbm`: joint training with mean-field updates and persistent chains."""
    from replicate.stages.boltzmann import run_dbm_trial

    for trial in trials:
        yield trial, run_dbm_trial(trial, context, *machine_images(trial, context))


def run_dbm_samples(trials, context):
    """Stage `dbm_samples`: the chains of joint training go on, odd and even layers in turns.

    Some images of chains that start anew from random states are kept beside them. Images of a
    machine of all classes have no labels; they count as label 0.
    """
    import numpy as np

    from replicate.runs.files import write_arrays
    from replicate.stages.boltzmann import draw_images, trained_dbm

    for trial in trials:
        parts, anew = [], []
        for role in sorted(trial.inputs):
            source = context.input(trial, role).trial
            machine = trained_dbm(trial, context, role, machine_images(source, context)[0])
            parts.append(draw_images(trial, source, machine))
            anew.append(draw_images(trial, source, machine, "random", PREVIEW))
        labels = np.repeat(np.arange(len(parts)), trial.settings["per_class"])
        outcome = stored(trial, context, np.concatenate(parts), labels)
        outcome.artifacts["random_start"] = context.artifact_dir(trial) / "random_start.npz"
        told = {"labels": np.repeat(np.arange(len(anew)), len(anew[0]))}
        write_arrays(outcome.artifacts["random_start"], {"images": np.concatenate(anew), **told})
        yield trial, outcome


# ------------------------------------------------------------------- classifiers and evaluation


def run_judge(trials, context):
    """Stage `judge`: the CNN on all real images."""
    from replicate.data.splits import class_rows
    from replicate.stages.judges import judge_outcome

    for trial in trials:
        data = context.dataset(trial.settings["dataset"])
        images, labels = real_images(data, trial.settings)
        shown = class_rows(labels, LABELS, first=PREVIEW)
        pictures = images[shown], labels[shown]
        for _, spec, result in train_cnns([trial], [(images, labels)], context, keep=True):
            yield trial, judge_outcome(trial, spec, result, context, data, *pictures, network="cnn")


def cnn_of(trial, image_shape):
    """The untrained CNN of a trial."""
    from replicate.models.classifiers import build_mnist_cnn

    return build_mnist_cnn(image_shape, LABELS, trial_seed(trial, "cnn/init"))


def training_set(trial, context):
    """Images uint8 `(n, height, width, 1)` and labels that a classifier is trained on.

    Ten labels have equal shares; smaller draws of a replicate are the start of larger ones, and
    arms share the replicate's draws.
    """
    import numpy as np

    from replicate.data.splits import class_sample
    from replicate.data.synthetic import load_synthetic
    from replicate.evaluation.blur import blurred

    s = trial.settings
    arm, n = s["arm"], s["n"]
    real, labels = real_images(context.dataset(s["dataset"]), s)

    def of(images, labels, name, count):
        rng = trial_stream(trial, f"subset/{name}")
        rows = class_sample(labels, LABELS, count // LABELS, rng)
        return images[rows], labels[rows]

    parts = []
    if arm in ("real", "blurred", "blurred_matched"):
        parts.append(of(real, labels, "real", n))
    if arm in ("mixed", "seed_repeated"):
        seed = of(real, labels, "real", LABELS)
        parts += [seed] * (1 if arm == "mixed" else n // LABELS)
    if "synthetic" in trial.inputs and n > LABELS * len(parts):
        drawn = load_synthetic(context.input_path(trial, "synthetic", "set"))
        parts.append(of(drawn.images, drawn.labels, "generated", n - LABELS * len(parts)))
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    if arm == "label_shuffled":
        labels = trial_stream(trial, "label_shuffle").permutation(labels)
    if arm == "blurred_matched":
        images = blurred(images, context.input(trial, "blur").metrics["sigma"])
    return (blurred(images, s["sigma"]) if arm == "blurred" else images), labels


def held_out_images(data, settings):
    """Real test images and labels."""
    return data.test.images[: settings["n_test"]], data.test.labels[: settings["n_test"]]


def run_svms(trials, context):
    """Stage `svm`: support vector machines, as many at a time as there are cores."""
    import concurrent.futures
    import time

    from replicate.models.svm import ImageSVM

    def run(trial):
        start = time.perf_counter()
        data = context.dataset(trial.settings["dataset"])
        images, labels = training_set(trial, context)
        machine = ImageSVM(trial.settings["kernel"]).fit(images, labels)
        metrics = {
            "test_accuracy": machine.accuracy(*held_out_images(data, trial.settings)),
            "train_accuracy": machine.accuracy(images, labels),
            "n_support": machine.support_count,
        }
        seconds = time.perf_counter() - start
        return trial, Outcome(metrics, data=data_provenance(data), wall_seconds=seconds)

    context.dataset(trials[0].settings["dataset"])  # once, not in every thread
    with concurrent.futures.ThreadPoolExecutor(context.threads["intra"]) as pool:
        for done, result in enumerate(pool.map(run, trials), 1):
            context.progress(result[0], done / len(trials), "SVMs")
            yield result


def run_cnns(trials, context):
    """Stage `cnn`: CNNs side by side; each is tested once, after its last epoch."""
    from replicate.training.classifiers import lane_outcome

    data = context.dataset(trials[0].settings["dataset"])
    sets = [training_set(trial, context) for trial in trials]
    for trial, spec, result in train_cnns(trials, sets, context):
        yield trial, lane_outcome(trial, spec, result, context, data)


def train_cnns(trials, sets, context, keep=False):
    """Train a CNN a trial on its own images; yields as `run_lanes` does.

    The sets lie one after another in one resident array, so that all networks share a program and
    the test images, whatever their sizes.
    """
    import numpy as np

    from replicate.training.classifiers import ClassifierJob, run_lanes
    from replicate.training.lanes import LaneTrainer

    images, labels = (np.concatenate(arrays) for arrays in zip(*sets, strict=True))
    ends = np.cumsum([len(part) for part, _ in sets])
    rows = {
        trial.key: np.arange(end - len(part), end)
        for trial, (part, _), end in zip(trials, sets, ends, strict=True)
    }
    settings = trials[0].settings
    test = held_out_images(context.dataset(settings["dataset"]), settings)
    trainer = LaneTrainer(images, labels, *test, lanes=context.threads["inter"])

    def job(trial):
        s = trial.settings
        return ClassifierJob(
            build=lambda: cnn_of(trial, images.shape[1:]),
            rows=rows[trial.key],
            order=lambda epoch: trial_stream(trial, "cnn/order", epoch),
            optimizer={"name": s["optimizer"], "learning_rate": s["learning_rate"]},
            keep=keep,
        )

    yield from run_lanes(trainer, trials, job, context)


def run_evaluation(trials, context):
    """Stage `evaluation`: sets beside real images, by pixels and by the judge's features."""
    from replicate.stages.evaluations import evaluate_sets

    by_pixels = [trial for trial in trials if trial.settings["extractor"] == "pixels"]
    by_features = [trial for trial in trials if trial.settings["extractor"] == "classifier"]
    for trial in by_pixels:
        yield trial, pixel_outcome(trial, context)
    if not by_features:
        return

    def real_of(trial):
        data = context.dataset(trial.settings["dataset"])
        return real_images(data, trial.settings)[0][:REFERENCES], held_out_images(
            data, trial.settings
        )[0]

    for trial, outcome in evaluate_sets(
        by_features, context, features_of=lambda t: features_of(t, context), real_of=real_of
    ):
        outcome.metrics["label_agreement"] = label_agreement(trial, context)
        yield trial, outcome


def judge_of(trial, context):
    """The trained judge of an evaluation trial."""
    from replicate.training.checkpoints import load_weights

    shape = context.dataset(trial.settings["dataset"]).train.images.shape[1:]
    network = cnn_of(context.input(trial, "judge").trial, shape)
    load_weights(context.input_path(trial, "judge", "weights"), {"classifier": network})
    return network


def features_of(trial, context):
    """Function from images to the judge's features."""
    from replicate.evaluation.extractors import classifier_features

    return classifier_features(judge_of(trial, context), 1 / 255).features


def label_agreement(trial, context):
    """Share of a set's images that the judge gives the label they were drawn with."""
    import numpy as np

    from replicate.data.synthetic import load_synthetic

    drawn = load_synthetic(context.input_path(trial, "synthetic", "set"))
    scores = judge_of(trial, context).predict(drawn.images / np.float32(255), verbose=0)
    return float(np.mean(scores.argmax(axis=1) == drawn.labels))


def pixel_outcome(trial, context):
    """Closeness to training images (L12) and correlations between pixels (L10) of a set."""
    import numpy as np

    from replicate.data.synthetic import load_synthetic
    from replicate.evaluation.features import pixel_features
    from replicate.evaluation.neighbours import copy_share, nearest_neighbours
    from replicate.evaluation.pixel_correlation import pixel_correlations
    from replicate.runs.files import write_arrays

    data = context.dataset(trial.settings["dataset"])
    real, _ = real_images(data, trial.settings)
    drawn = load_synthetic(context.input_path(trial, "synthetic", "set")).images
    held_out = held_out_images(data, trial.settings)[0][: len(drawn)]
    train, *sets = (pixel_features(images) for images in (real, held_out, drawn))
    ideal, found = (nearest_neighbours(pixels, train) for pixels in sets)
    metrics = {
        "nearest_median": float(np.median(found.distances)),
        "nearest_median_heldout": float(np.median(ideal.distances)),
        "copy_share": copy_share(found.distances, ideal.distances),
        **pixel_correlations(train, *sets),
    }
    closest = np.argsort(found.distances, kind="stable")[:PREVIEW]
    path = context.artifact_dir(trial) / "neighbours.npz"
    pairs = {"synthetic": drawn[closest], "real": real[found.indices[closest]]}
    write_arrays(path, {**pairs, "distance": found.distances[closest]})
    return Outcome(metrics, {}, {"neighbours": path}, data_provenance(data))


# ------------------------------------------------------------------- the study


def generator_seconds(trial):
    """Predicted wall time on two cores: 2.9 ms an image (docs/pace_benchmarks.md)."""
    s = trial.settings
    images = s["n_train"] + (10000 if s["leak"] else 0)
    return 5 + s["epochs"] * images * 2.9e-3


def cnn_seconds(trial):
    """Predicted wall time on two cores: 0.3 ms to train on an image (docs/pace_benchmarks.md)."""
    s = trial.settings
    return 0.5 + 1e-4 * s["n_test"] + 3e-4 * s["epochs"] * s.get("n", s["n_train"])


def svm_seconds(trial):
    """Predicted wall time on two cores."""
    return 0.2 + 2e-7 * trial.settings["n"] * trial.settings["n_test"]


def machine_seconds(trial):
    """Predicted wall time on two cores, from the operations of its matrix products."""
    s = trial.settings
    visible = {"cifar10": 3072}.get(s["dataset"], 784)
    images = s["n_train"] * (1 if s["klass"] == "all" else 1 / LABELS)
    if trial.stage == "rbm":
        wide, chain = (visible, 1) if s["layer"] == 1 else (s["units"] / 2, 3)
        return 5 + s["epochs"] * images * 2 * wide * s["units"] * (4 + 2 * chain) / MACHINE_RATE
    products = 6 * visible * s["hidden_1"] + 60 * s["hidden_1"] * s["hidden_2"]
    return 5 + s["epochs"] * images * 2 * products / MACHINE_RATE


def machine_group(trial):
    """Machines of single classes share a process, and short ones do, layer by layer."""
    s = trial.settings
    if s["klass"] != "all":
        return s.get("layer"), s["dataset"]
    return trial.key if machine_seconds(trial) > 120 else s.get("layer")


def samples_seconds(trial):
    """Predicted wall time on two cores of a set of a Boltzmann machine."""
    s = trial.settings
    return 3 + len(trial.inputs) * s["per_class"] * s["gibbs_steps"] * 1e-4


def classifier_group(trial):
    """Five replicates share a process, and their test images."""
    return trial.settings["dataset"], trial.replicate // 5


STUDY = Study(
    name=NAME,
    title="A DCGAN's and a Boltzmann machine's digits for classifiers of few images (MNIST)",
    citation="Lee, W., Rothenberg, Z., Shah, J. (2017). An Analysis of Synthetic Dataset Creation.",
    datasets=DATASETS,
    stages={
        "generator": Stage(
            1,
            run_generators,
            generator_seconds,
            group=alone_if_long(generator_seconds),
        ),
        "judge": Stage(1, run_judge, cnn_seconds, "lanes"),
        "synthetic": Stage(1, run_synthetic, lambda t: 2.0, group=lambda t: "all"),
        "blur": Stage(1, run_blur, lambda t: 5.0, "plain", lambda t: "all"),
        "evaluation": Stage(1, run_evaluation, lambda t: 60.0, group=lambda t: "all"),
        "rbm": Stage(1, run_rbms, machine_seconds, "operations", machine_group),
        "dbm": Stage(2, run_dbms, machine_seconds, "operations", machine_group),
        "dbm_samples": Stage(2, run_dbm_samples, samples_seconds, group=lambda t: "all"),
        "svm": Stage(1, run_svms, svm_seconds, "plain", classifier_group),
        "cnn": Stage(1, run_cnns, cnn_seconds, "lanes", classifier_group),
    },
    define_flags=define_flags,
    declare=declare,
    extensions=EXTENSIONS,
    # The release holds the first generator of 14 MB; the others' seeds are in their records.
    unreleased=lambda trial: trial.stage == "generator" and trial.replicate > 0,
)

if __name__ == "__main__":
    sys.exit(STUDY.main())
