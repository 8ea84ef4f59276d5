"""From trained restricted machines to a deep one (Salakhutdinov and Hinton, 2009, Sec. 3.3)."""

from __future__ import annotations

from itertools import pairwise


def compose(machine, rbms) -> None:
    """Give a deep machine the weights, biases and standardisation of restricted ones.

    Kernels of the lowest and the highest, which were trained with doubled weights, are taken as
    they are, those between halved; the biases of a layer that two of them know are averaged. So the
    input of each unit is the mean of what its two machines gave it.

    Args:
        machine: a `Machine`.
        rbms: an `RBM` for each hidden layer, from below.

    Raises:
        ValueError: if sizes, kinds or doubling do not fit.
    """
    check(machine, rbms)
    for level, rbm in enumerate(rbms):
        between = 0 < level < len(rbms) - 1
        machine.kernels[level].assign(rbm.machine.kernels[0] * (0.5 if between else 1.0))
    machine.biases[0].assign(rbms[0].machine.biases[0])
    machine.biases[-1].assign(rbms[-1].machine.biases[1])
    for level, (below, above) in enumerate(pairwise(rbm.machine for rbm in rbms), 1):
        machine.biases[level].assign(0.5 * (below.biases[1] + above.biases[0]))
    if machine.visible == "gaussian":
        machine.pixel_mean.assign(rbms[0].machine.pixel_mean)
        machine.pixel_scale.assign(rbms[0].machine.pixel_scale)


def check(machine, rbms) -> None:
    """Refuse restricted machines that do not make up a deep one; see `compose`."""
    wanted = list(pairwise(machine.sizes))
    doubled = ["up", *[None] * (len(wanted) - 2), "down"] if len(wanted) > 1 else [None]
    kinds = [machine.visible, *["bernoulli"] * (len(wanted) - 1)]
    expected = list(zip(wanted, doubled, kinds, strict=True))
    received = [(rbm.machine.sizes, rbm.doubled, rbm.visible) for rbm in rbms]
    if received != expected:
        raise ValueError(
            f"Expected RBMs of (sizes, doubled, visible) {expected}. Received: {received}"
        )
