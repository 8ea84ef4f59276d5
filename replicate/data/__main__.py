"""`python -m replicate.data`: what data is found; fetch a data set; describe a synthetic set."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence

from replicate.data.catalogue import CATALOGUE, FOLDER_ROUTES, ROUTES, lookup
from replicate.data.inventory import inventory
from replicate.runs.files import check_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns 0, 1 if data cannot be had, or 2 for a wrong argument."""
    options = _parser().parse_args(arguments)
    try:
        check_folder("data_dir", options.data_dir)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    if options.command is None:
        print(overview(options.data_dir, options.verbose))
        return 0
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from replicate.data.dataset import DataError

    try:
        return _fetch(options) if options.command == "fetch" else _synthetic(options)
    except (DataError, FileNotFoundError) as error:
        print(error, file=sys.stderr)
        return 1
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2


def overview(data_dir: str | None = None, verbose: bool = False) -> str:
    """A table of the catalogue: route, size, counts, pinned hashes and place of each data set.

    Args:
        data_dir: Folder of prepared TFDS data, as in `load`.
        verbose: Whether to print whole hashes.
    """
    lines = []
    for found in inventory(data_dir):
        entry = CATALOGUE[found.name]
        counts = " + ".join(f"{entry.counts[split]:,}" for split in entry.counts)
        shape = "x".join(map(str, entry.image_shape))
        lines.append(f"{found.name:14} {entry.title}, {counts} images, {shape}")
        if found.route is None:
            lines.append(
                f"  not here; `python -m replicate.data fetch {found.name}` tries to get it"
            )
            if entry.registry:
                lines.append(f"  registry    {entry.registry}, {entry.registry.megabytes} MB")
        else:
            cached = ", cached" if found.cached else ""
            lines.append(f"  {found.route:11} {found.bytes / 1e6:.1f} MB{cached}, {found.path}")
        for split, digest in entry.sha256.items():
            lines.append(f"  {split:11} sha256 {digest if verbose else digest[:12]} (pinned)")
    return "\n".join(lines)


def _fetch(options: argparse.Namespace) -> int:
    lookup(options.name)
    from replicate.data.loading import load

    start = time.monotonic()
    routes = [options.route] if options.route else None
    dataset = load(options.name, data_dir=options.data_dir, routes=routes)
    seconds = time.monotonic() - start
    print(f"{dataset.name}: route {dataset.route}, {dataset.source}, {seconds:.1f} s")
    for split in ("train", "test"):
        part = getattr(dataset, split)
        state = "as pinned" if part.sha256 == CATALOGUE[dataset.name].sha256[split] else "DIFFERS"
        digest = part.sha256 if options.verbose else part.sha256[:12]
        print(f"  {split:5} {part.images.shape} {part.images.dtype}  sha256 {digest} ({state})")
    return 0


def _synthetic(options: argparse.Namespace) -> int:
    from replicate.data.synthetic import describe

    print(describe(options.path))
    return 0


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--data_dir", default=argparse.SUPPRESS, help="folder of prepared TFDS data"
    )
    common.add_argument(
        "--verbose", action="store_true", default=argparse.SUPPRESS, help="whole hashes"
    )
    parser = argparse.ArgumentParser(
        prog="python -m replicate.data",
        description="Without a command: what data is found on this machine, by which route.",
        parents=[common],
    )
    parser.set_defaults(data_dir=None, verbose=False)
    commands = parser.add_subparsers(dest="command")
    fetch = commands.add_parser("fetch", parents=[common], help="get a data set into the cache")
    fetch.add_argument("name", help=", ".join(CATALOGUE))
    fetch.add_argument("--route", choices=(*ROUTES, *FOLDER_ROUTES), help="this route only")
    synthetic = commands.add_parser("synthetic", help="verify and describe a synthetic set")
    synthetic.add_argument("path", help="file written by save_synthetic")
    return parser


if __name__ == "__main__":
    sys.exit(main())
