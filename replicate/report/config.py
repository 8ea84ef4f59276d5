"""What a study reports and how it is judged: `paper_configs/<study>.toml`, read and checked."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from replicate.report.config_check import check, check_row
from replicate.report.digitised import read_rows
from replicate.runs.trial import Trial

ROW_FIELDS = frozenset(
    ("reported", "sd", "margin", "n", "note", "tag", "epoch", "metric", "label", "unscored")
    + ("alternatives", "best_over", "n_test", "line")
)
REFERENCE_FIELDS = frozenset({"series", "value"})


@dataclasses.dataclass(frozen=True)
class Selector:
    """Which trials a number comes from, and which of their numbers.

    Args:
        stage: name of the stage.
        settings: settings that a trial must have; the study's base settings are implied.
        metric: name of the metric; empty where a curve is read.
        curve: name of a curve, one number an epoch.
        epoch: which number of the curve, from 1.
        differs: settings that must not have their base value.
        free: settings whose base value is not implied.
        best_over: one setting with values: the largest number over them, replicate by replicate.
        needs: what its trials need that may not be here, for the reason why they were not run.
    """

    stage: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metric: str = ""
    curve: str = ""
    epoch: int = 0
    differs: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    best_over: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    needs: str = ""

    def at(self, **settings: Any) -> Selector:
        """The same selector with further settings."""
        return dataclasses.replace(self, settings={**self.settings, **settings})


@dataclasses.dataclass(frozen=True)
class InputsUnused:
    """Numbers that rest on no input of their trials, such as a set that they are tested on besides.

    Args:
        stage: name of the stage.
        settings: setting -> values, one of which a trial must have.
        numbers: names of metrics and curves, with `*` for any part of a name.
    """

    stage: str
    settings: Mapping[str, tuple[Any, ...]]
    numbers: tuple[str, ...]

    def holds(self, trial: Trial, number: str) -> bool:
        """Whether it is about a number of a trial."""
        return (
            trial.stage == self.stage
            and all(trial.settings.get(name) in kept for name, kept in self.settings.items())
            and any(fnmatch.fnmatchcase(number, pattern) for pattern in self.numbers)
        )


@dataclasses.dataclass(frozen=True)
class Cell:
    """One reported number.

    Args:
        block: id of the figure or table that it is a part of.
        where: where the report gives it.
        label: its row, e.g. `"p = 0.05"`.
        selector: what we compare with it.
        reported: the number.
        margin: largest distance that counts as equal; NaN where the number is not scored.
        n: how many runs it rests on.
        sd: reported sample SD over those runs; None if not given.
        tag: `"F"` if it was used to choose an open setting: shown, never scored.
        provenance: how the number is known.
        unscored: why no verdict can be given, whatever is measured; else empty.
        alternatives: of a cell tagged `"F"`, settings of what could have been chosen instead.
        n_test: of an accuracy, number of images that it was measured on, where they are so few
            that their sampling counts; 0 elsewhere.
        line: the curve that it is a point of; empty for a number by itself.
    """

    block: str
    where: str
    label: str
    selector: Selector
    reported: float
    margin: float
    n: int
    sd: float | None
    tag: str
    provenance: str
    unscored: str = ""
    alternatives: tuple[Mapping[str, Any], ...] = ()
    n_test: int = 0
    line: str = ""


@dataclasses.dataclass(frozen=True)
class Series:
    """A named family of numbers: over one setting, over a list of metrics, or a single point.

    Args:
        name: as tests and figures refer to it.
        label: as readers see it.
        selector: what all its points share; the metric may hold `{x}`.
        x: what tells the points apart; empty for a single point. Of a curve, what its numbers
            stand for, counted from 1: `"epoch"`, or `"image"` of the held-out set.
        over: the points in order; empty to take those that the plan holds.
    """

    name: str
    label: str
    selector: Selector
    x: str
    over: tuple[Any, ...] = ()

    def at(self, point: Any) -> Selector:
        """The selector of a point: `{x}` in the metric filled in, else the setting `x`."""
        if not self.x:
            return self.selector
        if self.selector.curve:
            return dataclasses.replace(self.selector, epoch=point)
        if "{x}" in self.selector.metric:
            metric = self.selector.metric.format(x=point)
            return dataclasses.replace(self.selector, metric=metric)
        return self.selector.at(**{self.x: point})


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim, in our words, and the tests that decide it (all must hold).

    `unscored` says why no verdict can be given, whatever is measured; else it is empty.
    """

    id: str
    primary: bool
    control: bool
    statement: str
    where: str
    reported: str
    on_reported: str
    estimand: str
    tests: tuple[Mapping[str, Any], ...]
    unscored: str = ""


@dataclasses.dataclass(frozen=True)
class StudyConfig:
    """Everything that the report knows of a study besides its records."""

    path: Path
    study: Mapping[str, Any]
    rules: Mapping[str, Any]
    base: Mapping[str, Any]
    series: Mapping[str, Series]
    cells: tuple[Cell, ...]
    blocks: Mapping[str, str]
    claims: tuple[Claim, ...]
    extras: tuple[Mapping[str, Any], ...]
    figures: tuple[Mapping[str, Any], ...]
    log: Mapping[str, Any]
    inputs_unused: tuple[InputsUnused, ...] = ()

    @property
    def module(self) -> str:
        """The study's module name, as in its records."""
        return self.study["module"]

    def kind(self, label: str) -> str:
        """What a plan of this label may say: `"verdict"`, `"indicative"` or `"none"`."""
        return self.rules["verdicts"].get(label, "none")

    def uses_inputs(self, trial: Trial, number: str) -> bool:
        """Whether a number of a trial rests on the trial's inputs."""
        return not any(entry.holds(trial, number) for entry in self.inputs_unused)


def format_setting(value: Any) -> str:
    """A setting as people write it: `0.05`, `1`, `keras`."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def format_settings(settings: Mapping[str, Any]) -> str:
    """Settings in one line, e.g. `arm = real, p = 0.05`."""
    return ", ".join(f"{name} = {format_setting(value)}" for name, value in settings.items())


def _cells(block: Mapping[str, Any], folder: Path) -> list[Cell]:
    cells = []
    for number, row in enumerate(read_rows(block, folder), 1):
        check_row(row, block, f"[[cells]] {block['id']}, row {number}")
        point = {name: value for name, value in row.items() if name not in ROW_FIELDS}
        epoch = row.get("epoch", 0)
        selector = Selector(
            block["stage"],
            {**block.get("settings", {}), **point},
            row.get("metric", block.get("metric", "")),
            block.get("curve", ""),
            epoch,
            best_over=row.get("best_over", {}),
            needs=block.get("needs", ""),
        )
        label = row.get("label") or format_settings(point | ({"epoch": epoch} if epoch else {}))
        unscored = row.get("unscored", block.get("unscored", ""))
        cells.append(
            Cell(
                block=block["id"],
                where=block["where"],
                label=label,
                selector=selector,
                reported=row["reported"],
                margin=math.nan if unscored else row["margin"],
                n=row.get("n", block.get("n", 1)),
                sd=row.get("sd"),
                tag=row.get("tag", block.get("tag", "")),
                provenance=block["provenance"],
                unscored=unscored,
                alternatives=tuple(row.get("alternatives", ())),
                n_test=row.get("n_test", block.get("n_test", 0)),
                line=row.get("line", ""),
            )
        )
    return cells


def _claim(entry: Mapping[str, Any], control: bool) -> Claim:
    return Claim(
        id=entry["id"],
        primary=entry.get("primary", False),
        control=control,
        statement=entry["statement"],
        where=entry["where"],
        reported=entry["reported"],
        on_reported=entry["on_reported"],
        estimand=entry["estimand"],
        tests=tuple(entry["tests"]),
        unscored=entry.get("unscored", ""),
    )


def _series(name: str, entry: Mapping[str, Any]) -> Series:
    selector = Selector(
        entry["stage"],
        entry.get("settings", {}),
        entry.get("metric", ""),
        entry.get("curve", ""),
        best_over=entry.get("best_over", {}),
        needs=entry.get("needs", ""),
    )
    over = tuple(entry.get("over", range(1, entry.get("count", 0) + 1)))
    return Series(name, entry["label"], selector, entry.get("x", ""), over)


def _inputs_unused(entry: Mapping[str, Any]) -> InputsUnused:
    settings = {name: tuple(values) for name, values in entry["settings"].items()}
    return InputsUnused(entry["stage"], settings, tuple(entry["numbers"]))


def load(path: str | Path) -> StudyConfig:
    """Read and check a study's file.

    Args:
        path: `paper_configs/<study>.toml`.

    Returns:
        The checked configuration.

    Raises:
        ValueError: if the file is no TOML, or an entry lacks a field, has an unknown one, or names
            what is not there; the message names the file and the entry.
    """
    path = Path(path)
    try:
        raw = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"Expected TOML. Received: {path} ({error})") from error
    try:
        check(raw)
        return StudyConfig(
            path=path,
            study=raw["study"],
            rules=raw["rules"],
            base=raw.get("base", {}),
            series={name: _series(name, entry) for name, entry in raw.get("series", {}).items()},
            cells=tuple(
                cell for block in raw.get("cells", []) for cell in _cells(block, path.parent)
            ),
            blocks={block["id"]: block["what"] for block in raw.get("cells", [])},
            inputs_unused=tuple(_inputs_unused(entry) for entry in raw.get("inputs_unused", [])),
            claims=tuple(_claim(entry, False) for entry in raw.get("claims", []))
            + tuple(_claim(entry, True) for entry in raw.get("controls", [])),
            extras=tuple(raw.get("extras", [])),
            figures=tuple(raw.get("figures", [])),
            log=raw.get("log", {}),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def load_all(folder: str | Path, studies: list[str] | None = None) -> list[StudyConfig]:
    """Every study's configuration, in order of module name.

    Args:
        folder: `paper_configs/`.
        studies: module names to keep; all if None or empty.

    Raises:
        ValueError: if a named study has no file, there is none at all, or a file is not named as
            the module that it is about.
    """
    found = {path.stem: path for path in sorted(Path(folder).glob("*.toml"))}
    if not found:
        raise ValueError(f"Expected a file <study>.toml in {folder}. Received: none")
    unknown = sorted(set(studies or []) - found.keys())
    if unknown:
        raise ValueError(
            f"Expected studies among {', '.join(found)}. Received: {', '.join(unknown)}"
        )
    configs = [load(found[name]) for name in studies or found]
    for config in configs:
        if config.module != config.path.stem:
            raise ValueError(
                f"{config.path}: Expected module = {config.path.stem!r}, the file's name, in "
                f"[study]. Received: {config.module!r}"
            )
    return configs
