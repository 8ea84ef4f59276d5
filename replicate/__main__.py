"""`python -m replicate`: the studies, their state, the data found, and what to run next."""

from __future__ import annotations

import os
import sys

from replicate.data import inventory
from replicate.runs.files import project_root, python_command
from replicate.runs.flags import presets_of
from replicate.runs.plan import protocol_keys
from replicate.runs.store import Store
from replicate.runs.study import SOURCES, Study, load_study

DEFAULT = "runs"  # workdir
USAGE = """usage: python -m replicate [workdir]

Prints the studies with their state in workdir (default: runs), the data found, and what to run
next. Each study has a command of its own: python -m replicate.mnist_cvae --help"""


def state(planned: dict[str, set[str]], mine: set[str], theirs: set[str]) -> str:
    """Per preset: trials done by you, planned, and shipped."""
    shown = []
    for preset, keys in planned.items():
        shipped = f" ({len(keys & theirs)} shipped)" if keys & theirs else ""
        shown.append(f"{preset} {len(keys & mine)}/{len(keys)}{shipped}")
    return ", ".join(shown)


def next_command(
    study: Study, planned: dict[str, set[str]], mine: set[str], workdir: str
) -> str | None:
    """The command of the first preset of a study that is not finished, or None."""
    where = [] if workdir == DEFAULT else [f"--workdir={workdir}"]
    for preset in ("quick", "lite", "paper"):
        if planned.get(preset, set()) - mine:
            return python_command(study.module, f"--preset={preset}", *where)
    return None


def overview(workdir: str) -> str:
    """The text of the overview."""
    store, shipped = Store(workdir), Store(project_root() / "results")
    rows = ["Studies (trials done / planned in " + workdir + ")", ""]
    following = None
    for name, citation in SOURCES.items():
        rows.append(f"  {name:<12} {citation}")
        study = load_study(f"replicate.{name}")
        rows.append(f"               {study.title}")
        planned = {preset: protocol_keys(study, preset) for preset in presets_of(study)}
        mine, theirs = store.done_keys(name), shipped.done_keys(name)
        rows.append("               " + state(planned, mine, theirs))
        following = following or next_command(study, planned, mine, workdir)
    rows += ["", "Data"]
    for found in inventory():
        where = f"{found.route}: {found.path}" if found.route else "not found here"
        cached = ", cached" if found.cached else ""
        rows.append(f"  {found.name:<14} {where}{cached}")
    report = python_command("replicate.report", f"--workdir={workdir}")
    rows += ["", "Next", f"  {following or report}"]
    return "\n".join(rows)


def main(arguments: list[str]) -> int:
    """Print the overview; returns the exit code."""
    if any(argument.startswith("-") for argument in arguments) or len(arguments) > 1:
        print(USAGE)
        return 0 if set(arguments) & {"-h", "--help"} else 2
    workdir = arguments[0] if arguments else DEFAULT
    if arguments and not os.path.isdir(workdir):
        print(f"Expected a workdir. Received: {workdir!r}, which is no folder", file=sys.stderr)
        return 2
    try:
        print(overview(workdir))
    except (OSError, ValueError) as error:
        print(f"replicate: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
