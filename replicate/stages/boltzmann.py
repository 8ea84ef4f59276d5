"""The three trainings of a deep Boltzmann machine as trials, by the public code's recipe.

Both restricted machines, the second on hidden units of the first, then joint training. Rates,
decays and schedules are those of github.com/yell/boltzmann-machines (October 2017), on which the
slides of Lee, Rothenberg and Shah (2017) evidently build (inferred); as there, momentum is
multiplied by the rate (see `replicate.models.boltzmann`). Sparsity targets are those that it
states, of a unit's mean activity. (That code compares them with one sum over the batch, the same
for all units. Compared with each unit's sum they would be a hundredth, which pushes every unit off
and lets the reconstruction error rise.) Schedules are stretched to the number of epochs. What is
new here: joint training may end early, see `levelled_off`.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from replicate.evaluation.images import to_uint8
from replicate.models.boltzmann import DBM, RBM
from replicate.runs.files import write_json
from replicate.runs.seeds import trial_seed, trial_stream
from replicate.runs.study import Outcome
from replicate.training.checkpoints import load_weights
from replicate.training.generator import run_generator_trial
from replicate.training.telemetry import Strip

SHOWN_CHAINS = 10
PATIENCE = 5  # epochs of joint training without a change
UNSEEN = 60  # one image in so many is left out of joint training, as that code's validation set
ANNEALING = {"runs": 100, "betas": 1000}  # to estimate log Z


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What the code fixes for a kind of visible units.

    Args:
        spreads: standard deviation of initial weights, restricted machines.
        decays: weight decay of both restricted machines and of joint training.
        longest_chain: Gibbs steps of the second machine grow from one to this.
        momentum_epochs: epochs in which momentum rises from 0.5 to 0.9, restricted machines; 0
            for five epochs of 0.5.
        last_rate: learning rate to which joint training falls.
        falling: share of its epochs in which it falls.
        max_norm: largest norm of the weights that come up into a unit, joint training.
        tolerance: of mean-field updates.
        sparsity: arguments of `DBM.compile`.
    """

    spreads: tuple[float, float]
    decays: tuple[float, float, float]
    longest_chain: int
    momentum_epochs: int
    last_rate: float
    falling: float
    max_norm: float
    tolerance: float
    sparsity: dict


RECIPES = {
    "bernoulli": Recipe(
        spreads=(1e-3, 5e-3),
        decays=(1e-3, 2e-4, 1e-7),
        longest_chain=6,
        momentum_epochs=0,
        last_rate=5e-6,
        falling=0.8,
        max_norm=6.0,
        tolerance=1e-7,
        sparsity={"sparsity_targets": (0.2, 0.1), "sparsity_costs": (1e-4, 5e-5)},
    ),
    "gaussian": Recipe(
        spreads=(8e-4, 1e-2),
        decays=(0.01, 0.05, 1e-8),
        longest_chain=1,
        momentum_epochs=8,
        last_rate=1e-5,
        falling=1.0,
        max_norm=4.0,
        tolerance=1e-11,
        sparsity={},
    ),
}


def rising(epochs: int, over: int) -> np.ndarray:
    """Momentum of each epoch: from 0.5 to 0.9 `over` some epochs; 0: five of 0.5, then 0.9."""
    if not over:
        return np.where(np.arange(epochs) < 5, 0.5, 0.9)
    return np.geomspace(0.5, 0.9, over)[np.minimum(np.arange(epochs), over - 1)]


def rbm_schedule(settings, steps: int) -> dict:
    """How a restricted machine is trained: arguments of `RBM.compile`.

    Args:
        settings: `visible`, `layer`, `epochs`, `learning_rate` of an rbm trial. Where the chain
            grows, the rate is divided by its length.
        steps: steps an epoch.
    """
    recipe, epochs = RECIPES[settings["visible"]], settings["epochs"]
    longest = recipe.longest_chain if settings["layer"] == 2 else 1
    chain = [1 + longest * epoch // epochs for epoch in range(epochs)]
    rates = settings["learning_rate"] / np.array(chain)
    return {
        "steps_per_epoch": steps,
        "learning_rates": rates.tolist(),
        "momenta": (rates * rising(epochs, recipe.momentum_epochs)).tolist(),
        "gibbs_steps": chain,
        "l2": recipe.decays[settings["layer"] - 1],
    }


def dbm_schedule(settings, steps: int) -> dict:
    """How a deep machine is trained: arguments of `DBM.compile`.

    Args:
        settings: `visible`, `epochs`, `learning_rate` of a dbm trial.
        steps: steps an epoch.
    """
    recipe, falling = RECIPES[settings["visible"]], falling_epochs(settings)
    rates = np.geomspace(settings["learning_rate"], recipe.last_rate, falling)
    return {
        "steps_per_epoch": steps,
        "learning_rates": rates.tolist(),
        "momenta": (rates * rising(falling, 10)).tolist(),
        "l2": recipe.decays[2],
        "mean_field_updates": 50,
        "mean_field_tolerance": recipe.tolerance,
        **recipe.sparsity,
    }


def falling_epochs(settings) -> int:
    """Epochs of joint training in which the learning rate falls."""
    return max(1, round(RECIPES[settings["visible"]].falling * settings["epochs"]))


def levelled_off(errors: list[float], settings) -> bool:
    """Whether joint training is over: at the last rate, and the error has stood still since.

    Args:
        errors: mean reconstruction error of each epoch so far.
        settings: `stop_tolerance`, the largest change from one epoch to the next, as a share, that
            counts as none; and those of `falling_epochs`.

    Returns:
        Whether the last `PATIENCE` changes were none, up or down, all of them at the last rate.
    """
    last = np.array(errors[falling_epochs(settings) - 1 :])
    changes = np.abs(np.diff(last) / last[:-1])[-PATIENCE:]
    return len(changes) == PATIENCE and bool((changes <= settings["stop_tolerance"]).all())


def run_rbm_trial(trial, context, images, data) -> Outcome:
    """Train a restricted machine; see `run_generator_trial` for what is stored.

    Args:
        trial: settings `klass`, `visible`, `layer` (1 or 2), `units`, `epochs`, `batch_size`,
            `learning_rate`; the second machine's input `below` is the first.
        context: the worker's context.
        images: real images uint8 `(n, height, width, channels)`.
        data: the data set, for the record.
    """
    values = images / np.float32(255)
    if trial.settings["layer"] == 2:
        values = _load_rbm(trial, context, "below", values.shape[1:]).features(values)
    machine = build_rbm(trial, values.shape[1:])
    if machine.visible == "gaussian":
        machine.adapt(values)
    size, order = _steps(trial, len(values))
    machine.compile(**rbm_schedule(trial.settings, len(order(0)) // size))
    told_none = np.zeros(len(values), np.int64)
    return run_generator_trial(
        trial, context, machine, values, told_none, order, data, step_size=size
    )


def run_dbm_trial(trial, context, images, data) -> Outcome:
    """Train a deep machine from its restricted ones.

    Args:
        trial: settings `klass`, `visible`, `hidden_1`, `hidden_2`, `epochs`, `batch_size` (also the
            number of chains), `learning_rate`, `stop_tolerance`; inputs `rbm_1` and `rbm_2`.
        context: the worker's context.
        images: real images uint8 `(n, height, width, channels)`; the last sixtieth is left out.
        data: the data set, for the record.

    Returns:
        As `run_generator_trial`, with `epochs_trained`, the scores of `_fit` before and after joint
        training, and the artifacts `strip` (the persistent chains as training goes) and `summary`.
    """
    seen = _seen(len(images))
    values, unseen = np.split(images / np.float32(255), [seen])
    size, order = _steps(trial, len(values))
    machine = build_dbm(trial, values.shape[1:], size)
    first = _load_rbm(trial, context, "rbm_1", values.shape[1:])
    second = _load_rbm(trial, context, "rbm_2", (first.hidden,))
    machine.start_from([first, second], values[:size])
    machine.compile(**dbm_schedule(trial.settings, len(order(0)) // size), lots=_lots(context))
    fit = {f"{name}_before": value for name, value in _fit(machine, unseen).items()}
    shown = min(SHOWN_CHAINS, size)
    strip = Strip(
        lambda: to_uint8(machine.sample(shown, gibbs_steps=1, start="chains")),
        every=max(1, trial.settings["epochs"] // 10),
    )
    outcome = run_generator_trial(
        trial,
        context,
        machine,
        values,
        np.zeros(len(values), np.int64),
        order,
        data,
        step_size=size,
        strip=strip,
        log=True,
        enough=lambda means: levelled_off(means["reconstruction_error"], trial.settings),
    )
    outcome.metrics["epochs_trained"] = len(outcome.curves["reconstruction_error"])
    outcome.metrics |= fit | _fit(machine, unseen)
    outcome.artifacts["summary"] = context.artifact_dir(trial) / "summary.json"
    write_json(outcome.artifacts["summary"], {"dbm": machine_rows(machine)})
    return outcome


def _fit(machine: DBM, images: np.ndarray) -> dict[str, float]:
    """How likely images that joint training left out are to a machine: a guess, likely too high.

    The restricted machines that it starts from have seen these images. Log Z is annealed from
    random states, which may miss the states of the images (chains that start there stay grey); it
    is then too low, the bound by it too high, and the error tells nothing of it.

    Args:
        machine: the machine.
        images: float32 `(n, height, width, channels)` in [0, 1].

    Returns:
        `bound`, the mean variational bound of their log probability in nats (of standardised pixels
        a density) with the estimate of log Z in its place, and `log_partition_error`, the standard
        error of that estimate; nothing without images.
    """
    if not len(images):
        return {}
    estimate, error = machine.log_partition(**ANNEALING)
    bound = machine.variational_bound(images, estimate).mean()
    return {"bound": float(bound), "log_partition_error": error}


def trained_dbm(trial, context, role, images) -> DBM:
    """The machine of an input, from its released float16 weights, with the chains that trained it.

    Args:
        trial: has the input.
        context: the worker's context.
        role: which input is the machine.
        images: the images that it was trained from, as of `run_dbm_trial`.
    """
    source = context.input(trial, role).trial
    size, _ = _steps(source, _seen(len(images)))
    machine = build_dbm(source, images.shape[1:], size)
    load_weights(context.input_path(trial, role, "weights"), machine.inference_layers())
    return machine


def draw_images(trial, source, machine: DBM, start="chains", count=None) -> np.ndarray:
    """Images of a trained machine: one of each chain, every so many steps.

    Args:
        trial: settings `per_class`, the number of images, and `gibbs_steps`.
        source: the machine's trial.
        machine: the machine, see `trained_dbm`.
        start: `"chains"`, the persistent ones of its training go on; or `"random"` states, from
            which chains may stay in one grey state for longer than that.
        count: number of images in place of `per_class`.

    Returns:
        uint8 `(count, height, width, channels)`.
    """
    s, seed = trial.settings, trial_seed(trial, "dbm_samples/noise", *_place(source))
    return to_uint8(machine.sample(count or s["per_class"], s["gibbs_steps"], seed, start))


def build_rbm(trial, below: tuple[int, ...]) -> RBM:
    """The untrained machine of an rbm trial on visible units of the shape `below`."""
    s = trial.settings
    first = s["layer"] == 1
    return RBM(
        below,
        s["units"],
        visible=s["visible"] if first else "bernoulli",
        doubled="up" if first else "down",
        spread=RECIPES[s["visible"]].spreads[s["layer"] - 1],
        **_seeds(trial),
    )


def build_dbm(trial, image_shape: tuple[int, ...], chains: int) -> DBM:
    """The untrained machine of a dbm trial."""
    s = trial.settings
    return DBM(
        image_shape,
        (s["hidden_1"], s["hidden_2"]),
        visible=s["visible"],
        chains=chains,
        max_norm=RECIPES[s["visible"]].max_norm,
        **_seeds(trial),
    )


def machine_rows(machine: DBM) -> list[list]:
    """Layers of a deep machine: name, units, and parameters with those of the weights below."""
    sizes = machine.machine.sizes
    names = ["visible", *(f"hidden_{level}" for level in range(1, len(sizes)))]
    below = [0, *sizes[:-1]]
    return [
        [n, [size], size * (1 + under)] for n, size, under in zip(names, sizes, below, strict=True)
    ]


def _seen(n: int) -> int:
    """Images of n that joint training sees."""
    return n - n // UNSEEN


def _place(trial) -> tuple[int, int]:
    """Numbers that tell a replicate's machines apart: class (10: all) and layer (0: deep)."""
    klass = trial.settings["klass"]
    return 10 if klass == "all" else int(klass), trial.settings.get("layer", 0)


def _seeds(trial) -> dict[str, int]:
    """Seeds of a machine's weights and noise."""
    names = {"seed": "init", "noise_seed": "noise"}
    return {
        name: trial_seed(trial, f"{trial.stage}/{s}", *_place(trial)) for name, s in names.items()
    }


def _steps(trial, n: int):
    """Images a step, and epoch -> order of n images: whole batches only."""
    size = min(trial.settings["batch_size"], n)
    name, place = f"{trial.stage}/order", _place(trial)
    return size, lambda epoch: trial_stream(trial, name, *place, epoch).permutation(n)[
        : n - n % size
    ]


def _lots(context) -> int:
    """Parts of a batch for as many cores; one on a graphics processor, which fills up by itself."""
    return 1 if tf.config.list_physical_devices("GPU") else max(1, context.threads["inter"])


def _load_rbm(trial, context, role, below) -> RBM:
    """The trained machine of an input, from its released float16 weights."""
    machine = build_rbm(context.input(trial, role).trial, below)
    load_weights(context.input_path(trial, role, "weights"), machine.inference_layers())
    return machine
