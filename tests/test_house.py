"""Imports go one way: studies -> (data, models, training, evaluation, runs); report -> runs."""

import ast
from pathlib import Path

from replicate.runs.study import SOURCES

PACKAGE = Path(__file__).parents[1] / "replicate"
ALLOWED = {
    "data": {"data", "runs"},
    "evaluation": {"evaluation", "models", "data"},
    "models": {"models"},
    "report": {"report", "evaluation", "runs"},
    "runs": {"runs", "data"},
    "stages": {"stages", "data", "models", "training", "evaluation", "runs"},
    "training": {"training", "models", "runs", "data"},
}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        yield from (name for name in names if name.startswith("replicate."))


def test_imports_go_one_way():
    wrong = []
    for area, allowed in ALLOWED.items():
        for path in (PACKAGE / area).rglob("*.py"):
            for name in imports(path):
                if name.split(".")[1] not in allowed:
                    wrong.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert not wrong, wrong


def test_nothing_imports_a_study():
    for path in PACKAGE.rglob("*.py"):
        for name in imports(path):
            assert name.split(".")[1] not in SOURCES, f"{path} imports {name}"


def test_every_area_is_listed():
    areas = {p.name for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert areas == set(ALLOWED)
