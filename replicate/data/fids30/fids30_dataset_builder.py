"""TensorFlow Datasets builder of FIDS30: `tfds.builder("fids30")` once this module is imported."""

from __future__ import annotations

from pathlib import Path

import tensorflow_datasets as tfds

from replicate.data.fids30.files import listed, published_split
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


class Builder(tfds.core.GeneratorBasedBuilder):
    """FIDS30 at 64x64: the published split of ten classes, and the other twenty.

    Labels 0 to 9 are the study's ten classes in its order, which make up splits `train` and
    `test`; 10 to 29 are the others by name, which make up split `other`. A manual folder is
    preferred to the download. What was missing stands in the metadata as `deviations`.
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
        self.info.metadata["deviations"] = list(found.deviations())
        others = [
            f"{name}/{file.name}"
            for name in OTHER_CLASSES
            for file in sorted((found.folder / name).glob("*"))
            if file.is_file()
        ]
        parts = {"train": found.present("train"), "test": found.present("test"), "other": others}
        return {part: self._generate_examples(found.folder, files) for part, files in parts.items()}

    def _generate_examples(self, folder: Path, files: list[str]):
        for file in files:
            image = read_rgb(folder / file, SIZE)
            yield file, {"image": image, "label": file.split("/")[0], "file": file}


def _photographs(dl_manager: tfds.download.DownloadManager) -> Path:
    """The manual folder if there is one, else the folder of the downloaded archive."""
    try:
        given = Path(dl_manager.manual_dir)
    except AssertionError:  # how TFDS says that there is none
        given = Path(dl_manager.download_and_extract(URL))
    first = Path(listed("train")[0]).parent.name
    return next((folder.parent for folder in sorted(given.rglob(first))), given)
