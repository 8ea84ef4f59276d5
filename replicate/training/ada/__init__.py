"""Adaptive discriminator augmentation of Karras et al. (2020), in every order of gradient on a CPU.

    images = augment(images, probability=0.3, seed=[7, step])

`augment` transforms geometry and colour of each image with a probability; `adjusted_probability`
moves that probability so that the discriminator is right on real images as often as wanted.
Source: "Training Generative Adversarial Networks with Limited Data", Sec. 3 and App. B; borders,
constants and order of the transformations as in the authors' PyTorch code.
"""

from replicate.training.ada.pipeline import POLICIES, augment, check_policy
from replicate.training.ada.probability import adjusted_probability

__all__ = ["POLICIES", "adjusted_probability", "augment", "check_policy"]
