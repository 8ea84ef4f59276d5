"""Hyperparameters of StyleGAN2's training. Light to import."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How the networks are trained; the defaults are those of the `cifar` configuration.

    Args:
        learning_rate: of both networks' Adam.
        beta_1: decay of Adam's first moment.
        beta_2: decay of Adam's second moment.
        epsilon: added to Adam's bias-corrected root.
        gamma: weight of the R1 penalty; 0 for none.
        d_interval: steps from one R1 penalty to the next.
        g_interval: what the generator's Adam is compensated for. The authors' code does so for its
            path-length penalty every 4 steps even where that has weight 0, as here.
        ema_kimg: thousands of images in which a weight's share of the average halves.
        ema_ramp: bounds that by this share of the images seen; 0 for no bound.
        policy: augmentation, see `replicate.training.ada.check_policy`.
        augment_p: probability of augmentation at the start.
        ada_target: mean sign of the discriminator's outputs on real images that the probability is
            steered to; 0 keeps the probability as it is.
        ada_interval: steps from one adjustment of the probability to the next.
        ada_kimg: thousands of images in which the probability can go from 0 to 1.

    Raises:
        ValueError: if a number is out of range.
    """

    learning_rate: float = 0.0025
    beta_1: float = 0.0
    beta_2: float = 0.99
    epsilon: float = 1e-8
    gamma: float = 0.01
    d_interval: int = 16
    g_interval: int = 4
    ema_kimg: float = 500.0
    ema_ramp: float = 0.05
    policy: str = "bgc"
    augment_p: float = 0.0
    ada_target: float = 0.6
    ada_interval: int = 4
    ada_kimg: float = 500.0

    def __post_init__(self):
        least = {field.name: 0 for field in dataclasses.fields(self) if field.type != "str"}
        least |= {"d_interval": 1, "g_interval": 1, "ada_interval": 1}
        positive = ("learning_rate", "epsilon", "ada_kimg")
        wrong = {
            name: value
            for name, bound in least.items()
            if not (value := getattr(self, name)) >= bound or (name in positive and value == 0)
        }
        wrong |= {
            name: value for name in ("beta_1", "beta_2") if (value := getattr(self, name)) >= 1
        }
        if wrong:
            raise ValueError(
                "Expected betas in [0, 1), positive rates and intervals, and nothing negative. "
                f"Received: {wrong}"
            )
