"""absl flags shared by the studies, and presets as flagfiles.

Each study parses its own `FlagValues`, so that two studies can be imported together. The preset's
flagfile `paper_configs/<study>.<preset>.cfg` is inserted before the command line, so that a flag
given by the user wins. What a preset sets for one of several data sets stands in
`paper_configs/<study>.<dataset>.<preset>.cfg`, see `dataset_values`.
"""

from __future__ import annotations

import importlib.util
import math
import os
import re
import textwrap
from pathlib import Path

from absl import flags

from replicate.runs.environment import usable_cores
from replicate.runs.files import check_folder, check_workdir, project_root
from replicate.runs.study import SOURCES

PRESETS = ("paper", "lite", "quick", "smoke")
# Flags that say where and how to run; none changes a trial.
INFRASTRUCTURE = (
    "preset",
    "workdir",
    "data_dir",
    "plan",
    "executor",
    "scheduler",
    "workers",
    "lanes",
    "reuse_shipped",
    "inception_weights",
    "stages",
    "flagfile",
    "undefok",
    "help",
    "helpfull",
    "helpshort",
    "helpxml",
)


def define_positive(
    values, name: str, default: int | float, text: str, at_most: float = math.inf
) -> None:
    """Define an integer or float flag that must be positive, and not above a bound."""
    define = flags.DEFINE_integer if isinstance(default, int) else flags.DEFINE_float
    define(name, default, text, flag_values=values)
    bound = "" if at_most == math.inf else f" of at most {at_most}"
    flags.register_validator(
        name,
        lambda value: 0 < value <= at_most,
        message=f"expected a positive number{bound}",
        flag_values=values,
    )


def define_by_dataset(values, name: str, reported: dict[str, int], text: str) -> None:
    """Define a positive integer flag whose default is the preset's value for each data set.

    Args:
        values: the study's `flags.FlagValues`.
        name: the flag; None until `dataset_values` fills it in.
        reported: data set -> value of preset paper, for the help text.
        text: what it is.
    """
    stated = ", ".join(f"{dataset} {value}" for dataset, value in reported.items())
    flags.DEFINE_integer(name, None, f"{text} (paper: {stated})", flag_values=values)
    flags.register_validator(
        name,
        lambda value: value is None or value > 0,
        message="expected a positive number",
        flag_values=values,
    )


def define_choices(values, name: str, allowed, default, text: str) -> None:
    """Define a comma-separated list flag whose entries must be among `allowed`.

    It may be empty only if it is so by default.
    """
    flags.DEFINE_list(
        name, list(default), f"{text}; any of {', '.join(allowed)}", flag_values=values
    )
    flags.register_validator(
        name,
        lambda chosen: set(chosen) <= set(allowed) and (bool(chosen) or not default),
        message=f"expected any of {', '.join(allowed)}",
        flag_values=values,
    )


def define_shares(values, name: str, default, text: str) -> None:
    """Define a comma-separated list flag of numbers in (0, 1]."""

    def allowed(texts):
        try:
            return bool(texts) and all(0 < float(entry) <= 1 for entry in texts)
        except ValueError:
            return False

    flags.DEFINE_list(name, list(map(str, default)), f"{text}, in (0, 1]", flag_values=values)
    flags.register_validator(name, allowed, message="expected shares in (0, 1]", flag_values=values)


def define_inception_weights(values) -> None:
    """Define where the extension `inception` finds its network's weights."""
    flags.DEFINE_string(
        "inception_weights",
        None,
        "file of Keras' InceptionV3 weights without top, for --extensions=inception "
        "(default: Keras' cache, else a download)",
        flag_values=values,
    )
    flags.register_validator(
        "inception_weights",
        lambda path: path is None or os.path.isfile(path),
        message="expected a file",
        flag_values=values,
    )


def define_shared(values, *, replicates: int, generators: int) -> None:
    """Define the flags that every study has.

    Args:
        values: the study's `flags.FlagValues`.
        replicates: default number of classifiers a point.
        generators: default number of independent generators.
    """
    text = flags.DEFINE_string
    flags.DEFINE_enum("preset", "paper", list(PRESETS), "a set of settings", flag_values=values)
    text("workdir", "runs", "folder of your records, weights and sets", flag_values=values)
    text(
        "data_dir",
        None,
        "folder of data sets prepared by TFDS (else $TFDS_DATA_DIR)",
        flag_values=values,
    )
    flags.DEFINE_bool("plan", False, "print what would run, then stop", flag_values=values)
    flags.DEFINE_integer("seed", 0, "base seed of every stream", lower_bound=0, flag_values=values)
    define_positive(values, "replicates", replicates, "classifiers a point")
    define_positive(values, "generators", generators, "independent generators")
    flags.DEFINE_enum(
        "executor", "local", ["local", "dask"], "where workers run", flag_values=values
    )
    text("scheduler", None, "address of a Dask scheduler, tcp://host:port", flag_values=values)
    flags.register_validator(
        "scheduler",
        lambda address: address is None or re.fullmatch(r"(\w+://)?[^/\s]+:\d+", address),
        message="expected tcp://host:port",
        flag_values=values,
    )
    define_positive(
        values, "workers", 1, "processes side by side on this machine, which share its cores"
    )
    flags.DEFINE_integer(
        "lanes",
        0,
        "classifiers trained side by side; 0: one a core",
        lower_bound=0,
        flag_values=values,
    )
    flags.DEFINE_list("stages", [], "run only these stages (default: all)", flag_values=values)
    flags.DEFINE_bool(
        "reuse_shipped",
        False,
        "take shipped records and weights where your workdir has none",
        flag_values=values,
    )


def flag_values(study) -> flags.FlagValues:
    """A fresh `FlagValues` with the study's flags."""
    values = flags.FlagValues()
    study.define_flags(values)
    return values


def preset_path(study_name: str, preset: str, module: str = "") -> Path:
    """Where the flagfile of a preset lies, or should lie.

    Args:
        study_name: the study, followed by `.<dataset>` for what a preset sets for a data set.
        preset: one of `PRESETS`.
        module: name of the study's module, beside which the flagfiles of a study outside of the
            project's `paper_configs/` are looked for.

    Raises:
        ValueError: if there is no such module.
    """
    name = f"{study_name}.{preset}.cfg"
    path = project_root() / "paper_configs" / name
    if path.exists() or not module:
        return path
    beside = _file_of(module).with_name(name)
    return path if module.startswith("replicate.") else beside


def _file_of(module: str) -> Path:
    """The file of a study's module.

    Raises:
        ValueError: if there is none.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # no such package; a script that is running
        spec = None
    if spec is None or spec.origin is None:
        raise ValueError(
            "Expected the importable name of the study's module as Study(module=...). "
            f"Received: {module!r}, which cannot be found"
        )
    return Path(spec.origin)


def presets_of(study) -> list[str]:
    """The presets that a study has a flagfile for."""
    return [name for name in PRESETS if preset_path(study.name, name, study.module).exists()]


def _given(name: str, arguments: list[str]) -> list[str]:
    """The values that a command line gives to one flag, in order, every other flag ignored."""
    found = []
    for index, argument in enumerate(arguments):
        flag, _, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and flag == name:
            found += [value] if "=" in argument else arguments[index + 1 : index + 2]
    return found


def _preset_of(arguments: list[str]) -> str:
    """The preset that the command line, or a flagfile that it names, asks for."""
    values = flags.FlagValues()
    flags.DEFINE_enum("preset", "paper", list(PRESETS), "", flag_values=values)
    asked = _given("preset", values.read_flags_from_files(arguments))
    values(["", *(f"--preset={preset}" for preset in asked)])
    return values.preset


def _refuse_presets_of_others(study, arguments: list[str]) -> None:
    """Refuse another study's preset as a flagfile: some of its flags may exist here, too."""
    for path in _given("flagfile", arguments):
        owner = Path(path).name.partition(".")[0]
        if path.endswith(".cfg") and owner in set(SOURCES) - {study.name}:
            raise flags.Error(
                f"flag --flagfile={path}: expected flags of {study.name}; "
                f"received a preset of {owner}"
            )


def parse(study, arguments: list[str]) -> flags.FlagValues:
    """Parse a study's command line on top of its preset.

    Args:
        study: the `Study`.
        arguments: the command line without the program's name.

    Returns:
        The parsed flags.

    Raises:
        flags.Error: if a flag is unknown, its value is not allowed, or a flagfile is a preset of
            another study.
        FileNotFoundError: if the preset has no flagfile, or `--data_dir` is no folder.
        ValueError: if the study's module cannot be found.
    """
    _refuse_presets_of_others(study, arguments)
    preset = _preset_of(arguments)
    values = flag_values(study)
    path = preset_path(study.name, preset, study.module)
    if not path.exists():
        presets = ", ".join(presets_of(study)) or "none yet"
        raise FileNotFoundError(
            f"Expected one of the presets of {study.name} ({presets}). "
            f"Received: --preset={preset}, and no file {path}"
        )
    insert = f"--flagfile={path}"
    rest = values([study.module, insert, *arguments])[1:]
    if rest:
        received = textwrap.shorten(" ".join(rest), 80, placeholder=" ...")
        raise flags.Error(f"expected flags only; received {received!r}")
    _check_where_to_run(values)
    return values


def _check_where_to_run(values) -> None:
    """Refuse flags of where to run that do not fit together, or name no folder."""
    if values.executor == "dask" and not values.scheduler:
        raise flags.Error("flag --executor=dask: expected --scheduler=tcp://host:port beside it")
    if values.scheduler and values.executor != "dask":
        raise flags.Error(
            f"flag --scheduler={values.scheduler}: expected --executor=dask beside it"
        )
    if values.executor == "dask" and values.workers > 1:
        raise flags.Error(
            f"flag --workers={values.workers}: expected with --executor=local only; "
            "a Dask cluster has as many workers as were started"
        )
    if values.workers > usable_cores():
        raise flags.Error(
            f"flag --workers={values.workers}: expected at most one a core, {usable_cores()} here"
        )
    check_folder("data_dir", values.data_dir)
    check_workdir(values.workdir)


def preset_values(study, preset: str, *extra: str) -> flags.FlagValues:
    """A preset's own flags, without a command line."""
    return parse(study, [f"--preset={preset}", *extra])


def dataset_values(study, values: flags.FlagValues, dataset: str) -> flags.FlagValues:
    """The flags as they hold for one data set, which `dataset` then names.

    Flags without a value are filled in from `paper_configs/<study>.<dataset>.<preset>.cfg`; one
    that was given holds for every data set.
    """
    filled = flag_values(study)
    path = preset_path(f"{study.name}.{dataset}", values.preset, study.module)
    filled(["", f"--flagfile={path}"])
    for name in values:
        if values[name].value is not None:
            filled[name].value = values[name].value
    filled["dataset"].value = dataset
    return filled


def overrides(study, values: flags.FlagValues) -> dict[str, object]:
    """Flags that differ from the preset's own, without those that only say where to run."""
    base = preset_values(study, values.preset)
    return {
        name: values[name].value
        for name in values
        if name not in INFRASTRUCTURE and values[name].value != base[name].value
    }
