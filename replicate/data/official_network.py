"""NVIDIA's StyleGAN2-ADA of CIFAR-10: its address, its name as a source, its place. Light."""

from pathlib import Path

from replicate.data.places import cache_root

OFFICIAL = "stylegan2_ada_official"  # setting `source` of the sets that it draws
# As in replicate.models.stylegan2.files, which imports nothing but models.
OFFICIAL_URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/cifar10.pkl"


def official_path() -> Path:
    """Where the cache has the network's file, or would have it."""
    return cache_root() / "stylegan2" / OFFICIAL_URL.rpartition("/")[2]
