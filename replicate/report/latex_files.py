"""Any table of the report as LaTeX."""

from __future__ import annotations

import pandas as pd

from replicate.report.tables import Table


def to_latex(table: Table) -> str:
    """A table as a `longtable` for a document that loads `longtable` and `booktabs`.

    Text is escaped, line breaks within a cell become "; ", and the title is the caption.

    Args:
        table: the table; its id becomes the label `tab:<id>`.
    """
    rows = [[cell.replace("\n", "; ") for cell in row] for row in table.rows]
    frame = pd.DataFrame(rows, columns=list(table.columns), dtype=str)
    caption = escaped(table.title)
    return frame.to_latex(
        index=False,
        escape=True,
        longtable=True,
        caption=caption,
        label=f"tab:{table.id}",
        column_format="l"
        + f"p{{{0.8 / max(1, len(table.columns) - 1):.2f}\\linewidth}}" * (len(table.columns) - 1),
    )


def escaped(text: str) -> str:
    """A title with the characters escaped that LaTeX reads as commands."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(special.get(c, c) for c in text)
