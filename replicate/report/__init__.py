"""The report: reads the store and `paper_configs/*.toml`, writes REPORT.md and REPORT.html."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Write the report.

    Args:
        argv: command-line arguments without the program's name; `None` takes `sys.argv[1:]`.

    Returns:
        The exit status, 0 on success.
    """
    from replicate.report.cli import main as run

    return run(argv)
