"""`python -m replicate.models.stylegan2`: convert an official network; draw samples; train one."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from replicate.models.stylegan2.files import (
    LICENCE,
    convert,
    load_network,
    official_network,
    sha256_of,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, or 1 if a file is missing, refused or does not fit."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments[:1] == ["train"]:  # has its own flags, and its own parts of the package
        return import_module("replicate.stages.train_stylegan2").main(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def _convert(options: argparse.Namespace) -> int:
    network = convert(options.source, options.target)
    print(f"{network.card['sha256']}  {options.source}")
    print(f"{sha256_of(options.target)}  {options.target}")
    print(f"{len(network.arrays)} arrays; {network.config}")
    print(LICENCE)
    return 0


def _sample(options: argparse.Namespace) -> int:
    network = load_network(options.network or official_network())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from PIL import Image

    from replicate.models.stylegan2.official import from_official
    from replicate.models.stylegan2.sampling import class_numbers, sample, sheet

    generator, _ = from_official(network.arrays, network.config)
    classes = class_numbers(options.classes, generator.c_dim)
    labels = [label for label in classes for _ in range(options.n)]
    images = sample(generator, labels, options.seed, options.truncation_psi, options.noise_mode)
    picture = sheet(images, options.n)
    Image.fromarray(picture[..., 0] if picture.shape[-1] == 1 else picture).save(options.target)
    print(f"{options.target}: {options.n} images of each of the classes {classes}")
    return 0


def _curves(options: argparse.Namespace) -> int:
    draw = import_module("replicate.training.stylegan2_curves").draw_curves
    draw(Path(options.folder), Path(options.target))
    print(options.target)
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise argparse.ArgumentTypeError(f"Expected 1 to 10000. Received: {text}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m replicate.models.stylegan2",
        description=f"Official StyleGAN2-ADA networks without running code of the file; {LICENCE}.",
    )
    commands = parser.add_subparsers(required=True)
    conversion = commands.add_parser("convert", help="official pickle to safetensors")
    conversion.set_defaults(run=_convert)
    conversion.add_argument("source", help="network file of stylegan2-ada-pytorch, .pkl")
    conversion.add_argument("target", help="file to write, .safetensors")
    sampling = commands.add_parser("sample", help="draw images, a band of rows for each class")
    sampling.set_defaults(run=_sample)
    sampling.add_argument(
        "--network", help="official .pkl or converted file; default: the official CIFAR-10 network"
    )
    sampling.add_argument("--classes", help="such as cat,dog or 3,5; default: all")
    sampling.add_argument("--n", type=_count, default=64, help="images of each class")
    sampling.add_argument("--seed", type=int, default=0, help="seed of the latents")
    sampling.add_argument("--truncation_psi", type=float, default=1.0, help="1: no truncation")
    sampling.add_argument("--noise_mode", choices=("const", "random", "none"), default="const")
    sampling.add_argument("target", help="picture to write, .png")
    drawing = commands.add_parser("curves", help="draw the curves of a training")
    drawing.set_defaults(run=_curves)
    drawing.add_argument("folder", help="folder of the training")
    drawing.add_argument("target", help="picture to write, .png or .svg")
    commands.add_parser("train", help="train a network on images; see train --help", add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
