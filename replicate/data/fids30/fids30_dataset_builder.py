"""TensorFlow Datasets builder of FIDS30: `tfds.builder("fids30")` once this module is imported."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import tensorflow_datasets as tfds

from replicate.data.dataset import DataCorrupt
from replicate.data.fids30.files import published_split
from replicate.data.fids30.folder import SIZE, surveyed
from replicate.data.image_files import read_rgb

URL = "http://data.vicos.si/datasets/FIDS30/FIDS30.zip"
OTHER_CLASSES = (
    "acerolas",
    "avocados",
    "blackberries",
    "cantaloupes",
    "cherries",
    "figs",
    "grapefruits",
    "guava",
    "lemons",
    "mangos",
    "olives",
    "oranges",
    "passionfruit",
    "peaches",
    "pears",
    "pineapples",
    "plums",
    "pomegranates",
    "tomatoes",
    "watermelons",
)
OTHER_IMAGES = 971 - 356  # of the whole collection, without those of the ten classes
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp")


class Builder(tfds.core.GeneratorBasedBuilder):
    """FIDS30 at 64x64: the published split of ten classes, and the other twenty.

    Labels 0 to 9 are the study's ten classes in its order, which make up splits `train` and
    `test`; 10 to 29 are the others by name, which make up split `other`. A manual folder is
    preferred to the download if class folders lie in it. What was missing, and what was left out
    as no image, stands in the metadata as `deviations`.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "A folder with one folder for each class (apples, apricots, ...) and the photographs in "
        "it under their original names. Without it the archive is downloaded."
    )

    def _info(self) -> tfds.core.DatasetInfo:
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(SIZE, SIZE, 3), encoding_format="png"),
                "label": tfds.features.ClassLabel(names=[*published_split(), *OTHER_CLASSES]),
                "file": tfds.features.Text(),
            }
        )
        return self.dataset_info_from_configs(
            features=features,
            supervised_keys=("image", "label"),
            homepage="https://www.vicos.si/resources/fids30/",
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        found = surveyed(_photographs(dl_manager))
        others, lines = other_files(found.folder)
        self.info.metadata["deviations"] = [*found.deviations(), *lines]
        parts = {"train": found.present("train"), "test": found.present("test"), "other": others}
        return {part: self._generate_examples(found.folder, files) for part, files in parts.items()}

    def _generate_examples(self, folder: Path, files: list[str]):
        for file in files:
            image = read_rgb(folder / file, SIZE)
            yield file, {"image": image, "label": file.split("/")[0], "file": file}


def other_files(folder: Path) -> tuple[list[str], list[str]]:
    """`<class>/<file>` of the images of the other twenty classes, and what to say of them.

    Hidden files are passed over; other files whose name is not that of an image are named.
    """
    files = [
        f"{name}/{file.name}"
        for name in OTHER_CLASSES
        for file in sorted((folder / name).glob("*"))
        if file.is_file() and not file.name.startswith(".")
    ]
    images = [file for file in files if file.lower().endswith(IMAGE_SUFFIXES)]
    strays = [file for file in files if file not in images]
    absent = [name for name in OTHER_CLASSES if not (folder / name).is_dir()]
    lines = []
    if absent or len(images) != OTHER_IMAGES:
        there = len(OTHER_CLASSES) - len(absent)
        lines.append(
            f"fids30: split other has {len(images)} of {OTHER_IMAGES} images and {there} of "
            f"{len(OTHER_CLASSES)} classes" + f"; absent: {', '.join(absent)}" * bool(absent)
        )
    if strays:
        lines.append(
            f"fids30: {len(strays)} files of the other classes are no images by their names and "
            f"are not used: {', '.join(strays[:5])}" + ", ..." * (len(strays) > 5)
        )
    return images, lines


def _photographs(dl_manager: tfds.download.DownloadManager) -> Path:
    """The class folders of the manual folder if there are any, else of the downloaded archive.

    The manual folder may be one that all data sets share: other things in it are no fault.

    Raises:
        DataCorrupt: if a manual folder has no class folder and the archive cannot be had.
    """
    given = _manual_folder(dl_manager)
    if given and (found := _parent_of_classes(given)):
        return found
    if given:
        logging.info("fids30: no class folder in %s, so the archive is downloaded", given)
    try:
        archive = Path(dl_manager.download_and_extract(URL))
    except Exception as error:
        if given is None:
            raise
        raise DataCorrupt(f"{_refusal(given)}. Downloading {URL} failed: {error}") from error
    return _parent_of_classes(archive) or archive


def _manual_folder(dl_manager: tfds.download.DownloadManager) -> Path | None:
    try:
        return Path(dl_manager.manual_dir)
    except AssertionError:  # how TFDS says that there is none, or that it is empty
        return None


def _parent_of_classes(root: Path) -> Path | None:
    """The folder, `root` or one in it, that has most of the ten class folders; None without any."""
    counts = {
        Path(folder): len(published_split().keys() & set(names))
        for folder, names, _ in os.walk(root)
    }
    best = max(counts, key=counts.get, default=root)
    return best if counts.get(best) else None


def _refusal(folder: Path) -> str:
    """What is wrong with a folder without class folders."""
    try:
        surveyed(folder)
    except DataCorrupt as error:
        return str(error)
    return f"fids30: no class folder in {folder}"
