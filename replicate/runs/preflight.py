"""What trials load from outside of the workdir, looked for before anything is trained.

Light: images are not read, nothing is downloaded, TensorFlow is not loaded.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from replicate.data.catalogue import CATALOGUE
from replicate.data.inception import INCEPTION_FILE, INCEPTION_MD5, INCEPTION_URL
from replicate.data.official_network import OFFICIAL as NETWORK_SOURCE
from replicate.data.official_network import OFFICIAL_URL as NETWORK_URL
from replicate.data.official_network import official_path
from replicate.data.reach import ABSENT, FETCHABLE, FOUND, reach
from replicate.runs.study import Study
from replicate.runs.trial import Trial

INCEPTION = "InceptionV3"
NETWORK = "NVIDIA's StyleGAN2-ADA"


@dataclasses.dataclass(frozen=True)
class Need:
    """A data set, or a network's weights, that trials load.

    Args:
        name: of the data set, `INCEPTION` or `NETWORK`.
        state: as of `replicate.data.reach`.
        where: where it is; of an absent one what can be done.
        keys: of the trials that load it.
    """

    name: str
    state: str
    where: str
    keys: frozenset[str]

    @property
    def absent(self) -> bool:
        """Whether its trials cannot run."""
        return self.state == ABSENT

    def describe(self) -> str:
        """One line for people."""
        return f"{self.name} is {self.state}: {self.where}"


def needs_of(study: Study, trials: Iterable[Trial], values) -> list[Need]:
    """What trials need, and how it can be had.

    Args:
        study: the study; data sets of its own loaders are not looked for.
        trials: those that are left to run.
        values: the parsed flags.

    Raises:
        ValueError: if `--inception_weights` is needed, and the file holds something else.
        OSError: if it cannot be read.
    """
    if values.executor == "dask":  # whose workers may have other folders than this machine
        return []
    trials = list(trials)
    loading = [trial for trial in trials if study.stages[trial.stage].loads(trial)]
    names = dict.fromkeys(t.settings.get("dataset") for t in loading)
    names = [name for name in names if name in CATALOGUE and name not in study.loaders]
    found = reach(names, values.data_dir, stand_in=values.preset == "smoke")
    needs = [
        Need(each.name, each.state, each.where, _keys(loading, "dataset", each.name))
        for each in found
    ]
    measured = _keys(trials, "extractor", "inception_imagenet")
    if measured:
        needs.append(Need(INCEPTION, *_inception(values.inception_weights), measured))
    sources = [trial for trial in trials if not trial.inputs]
    drawn = _keys(sources, "source", NETWORK_SOURCE)
    if drawn:
        needs.append(Need(NETWORK, *_network(), drawn))
    return needs


def _keys(trials: Iterable[Trial], setting: str, value: str) -> frozenset[str]:
    return frozenset(trial.key for trial in trials if trial.settings.get(setting) == value)


def _network() -> tuple[str, str]:
    """State and place of the official network; one in the cache was checked with the flags."""
    path = official_path()
    if path.is_file():
        return FOUND, str(path)
    if _answers(NETWORK_URL):
        return FETCHABLE, NETWORK_URL
    return ABSENT, (
        f"its host does not answer; put {NETWORK_URL} at {path}, "
        "or choose another network by --network"
    )


def _answers(url: str) -> bool:
    """Whether an address answers."""
    from replicate.data.dataset import DataUnavailable
    from replicate.data.download import probe

    try:
        probe([url])
    except DataUnavailable:
        return False
    return True


def _inception(given: str | None) -> tuple[str, str]:
    """State and place of the weights."""
    home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    path = Path(given).expanduser() if given else home / "models" / INCEPTION_FILE
    advice = f"download {INCEPTION_URL} and pass --inception_weights=<path>"
    if not path.is_file():
        if _answers(INCEPTION_URL):
            return FETCHABLE, INCEPTION_URL
        return ABSENT, f"its host does not answer; {advice}"
    with open(path, "rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    if md5 == INCEPTION_MD5:
        return FOUND, str(path)
    wrong = f"{path} holds something else (MD5 {md5}, not {INCEPTION_MD5})"
    if given:
        raise ValueError(f"Expected Keras' InceptionV3 weights without top. Received: {wrong}")
    return ABSENT, f"{wrong}; remove it, or {advice}"


def runnable(trials: Iterable[Trial], done: Collection[str], needs: Iterable[Need]) -> list[Trial]:
    """Trials that need nothing that is absent, nor an input that waits for it.

    Args:
        trials: those that are left to run, inputs before what needs them.
        done: keys of finished trials.
        needs: as `needs_of` gives them.
    """
    stopped = set().union(*(need.keys for need in needs if need.absent))
    kept = []
    for trial in trials:
        if trial.key in stopped or stopped.intersection(trial.inputs.values()) - set(done):
            stopped.add(trial.key)
        else:
            kept.append(trial)
    return kept


def in_vain(trials: Iterable[Trial], needs: Iterable[Need]) -> bool:
    """Whether what is absent is more than one of several data sets that were asked for.

    A study goes on with the others without being told to, and with success; where there is no
    other, or a network was asked for that is not to be had, a command has failed.
    """
    absent = {need.name for need in needs if need.absent}
    return not absent < {trial.settings.get("dataset") for trial in trials}
