"""StyleGAN2-ADA in Keras, and a reader of the official network files that runs nothing in them.

Karras et al. (2020), "Training Generative Adversarial Networks with Limited Data". Reading and
converting official files needs neither TensorFlow nor PyTorch, so names are imported when used.
"""

from importlib import import_module

_MODULES = {
    "Discriminator": "discriminator",
    "Generator": "generator",
    "UnsafePickle": "pickle_machine",
    "cifar": "presets",
    "from_official": "official",
    "load_converted": "files",
    "load_network": "files",
    "read_official_pickle": "official_pickle",
    "to_official": "official",
    "write_converted": "files",
}
__all__ = sorted(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
