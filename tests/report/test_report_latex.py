"""Tables as LaTeX: escaped, whole, and understood by a LaTeX parser where one is installed."""

import re
import shutil
import subprocess

import pytest

from replicate.report.latex_files import to_latex
from replicate.report.tables import Table

TABLE = Table(
    "cells_1",
    "Accuracy_mean & 5 % of $x$ {a}",
    ("point", "reported", "p < 0.05"),
    (("50 % & more_of^it", "0.98\n0.97", "#1 {x} ~ \\y"), ("second", "0.5", "±1")),
)


def test_every_row_and_column_is_there_and_escaped():
    text = to_latex(TABLE)
    assert r"\begin{longtable}" in text and r"\label{tab:cells_1}" in text
    assert r"Accuracy\_mean \& 5 \% of \$x\$ \{a\}" in text
    assert r"50 \% \& more\_of\textasciicircum" in text and "0.98; 0.97" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    cells = [re.split(r"(?<!\\)&", line) for line in body if "multicolumn" not in line]
    assert {len(row) for row in cells if len(row) > 1} == {3}
    assert any(row[0].strip() == "second" and "±1" in row[2] for row in cells)


def test_an_empty_table_is_still_a_table():
    text = to_latex(Table("none", "Nothing", ("a", "b"), ()))
    assert r"\end{longtable}" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex on this machine")
def test_latex_compiles_it(tmp_path):
    document = (
        r"\documentclass{article}\usepackage{longtable,booktabs}\usepackage[utf8]{inputenc}"
        r"\begin{document}" + to_latex(TABLE) + r"\end{document}"
    )
    (tmp_path / "t.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
