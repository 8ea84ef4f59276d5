"""The TOML file of a study: complete, consistent, by its own margin rule, refused when wrong."""

import ast
import shutil
import tomllib

import pytest

from replicate.report import config_check
from replicate.report.claim_tests import TESTS
from replicate.report.config import load, load_all
from replicate.report.figure_kinds import KINDS
from replicate.runs.files import project_root

REPORT = project_root() / "replicate" / "report"


def test_every_reported_cell_is_there(config):
    sizes = {}
    for cell in config.cells:
        sizes[cell.block] = sizes.get(cell.block, 0) + 1
    assert sizes == {
        "text.single": 2, "fig2": 50, "fig6": 20, "fig7": 20, "fig8": 19, "fig9": 20, "fig10": 20,
    }  # fmt: skip
    by_point = {(cell.block, cell.label): cell for cell in config.cells}
    red = by_point["fig6", "p = 1"]
    assert (red.reported, red.sd, red.n) == (0.98041, 0.00224769, 10)
    assert by_point["fig7", "p = 1"].reported == 0.96027
    assert by_point["fig2", "epoch = 50"].reported == 90.0049
    assert by_point["text.single", "arm = real, p = 1"].reported == 0.9823


def test_margins_follow_the_one_rule(config):
    for cell in config.cells:
        if cell.block == "fig2":
            assert cell.margin == pytest.approx(0.02 * cell.reported, abs=0.005)
        else:
            assert cell.margin == pytest.approx(max(0.005, 0.1 * (1 - cell.reported)), abs=5e-5)


def test_claims_and_figures_are_complete(config):
    claims = [claim for claim in config.claims if not claim.control]
    assert [claim.id for claim in claims] == [f"C{i}" for i in range(1, 13)]
    assert {c.id for c in claims if c.primary} == {"C1", "C5", "C7", "C8", "C9"}
    redrawn = [f"fig{i}" for i in range(1, 11)]
    assert [figure["id"] for figure in config.figures] == [*redrawn, "beyond", "compared"]
    assert all(gap["tag"] in ("S", "C", "I", "F") for gap in config.log["gaps"])


def test_verdicts_only_at_paper(config):
    assert [config.kind(label) for label in ("paper", "lite", "smoke", "paper-1a2b")] == [
        "verdict", "indicative", "none", "none",
    ]  # fmt: skip


SINGLE = 'source = { stage = "single"'
WRONG = [
    ('series = "mix" }', 'series = "mixx" }', "a series of the file in [[claims]] C5", "(mix?)"),
    ('{ series = "mix" }', '{ serie = "mix" }', "series = ", "{'serie': 'mix'}"),
    ("margin = 0.0050 }", "margin = 0.0 }", "margin > 0 in [[cells]] text.single, row 1", "0.0"),
    ("margin = 0.0050 }", 'margin = "1" }', "a number as margin in [[cells]] text", "'1'"),
    ("margin = 0.0050 }", "margn = 0.0050 }", "a field 'margin' in [[cells]] text", "margn"),
    ('id = "C2"', 'id = "C1"', "distinct ids in [[claims]]", "'C1' twice"),
    ('id = "K1"', 'id = "C1"', "distinct ids in [[claims]] and [[controls]]", "C1 twice"),
    ('paper = "verdict"', 'paper = "yes"', "one of verdict, ", "verdicts.paper='yes'"),
    ("paper = ", "papre = ", "in [rules] verdicts", "'papre' (paper?)"),
    ("alpha = 0.05", "alpha = 5", "alpha between 0 and 1 in [rules]", "5"),
    ("reported_cost =", "costs =", "in [study]", "'costs'"),
    ("reported_cost =", "# ", "a field 'reported_cost' in [study]", "id, module"),
    ('authors = ["John Crossman"]', 'authors = "J"', "a list as authors in [study]", "'J'"),
    ("primary = true", "primry = true", "in [[claims]] C1", "'primry' (primary?)"),
    ("primary = true", 'primary = "yes"', "true or false as primary in [[claims]] C1", "'yes'"),
    ("estimand = ", "# ", "a field 'estimand' in [[claims]] C1", "id, primary"),
    ("above = 0.95", "margin = 0.95", "in [[claims]] C2, test 1 (threshold)", "'margin'"),
    (", above = 0.95", "", "one of the fields above, below in [[claims]] C2", "none"),
    ('"threshold"', '"treshold"', "a test among", "'treshold' (threshold?)"),
    ("[[claims]]", "[[claim]]", "in the file", "'claim' (claims?)"),
    ("metric =", "metrik =", "in [series] real", "'metrik' (metric?)"),
    ("by = [", "bye = [", "in [[extras]]", "'bye' (by?)"),
    ('by = ["', '# ["', "a field 'by' in [[extras]]", "id, "),
    (SINGLE, 'sorce = { stage = "single"', "in [[figures]]", "'sorce' (source?)"),
    (SINGLE, '# { stage = "single"', "a field 'source' in [[figures]]", "id"),
    ('artifact = "', 'artefact = "', "in [[figures]] fig1, source", "'artefact' (artifact?)"),
    ('kind = "sweep"', 'kind = "swep"', "a kind among", "'swep' (sweep?)"),
    ('reported = "fig6"', 'reported = "fig66"', "a name in [cells] of the file", "'fig66' (fig6?)"),
    ('series = "synthetic"\n', 'series = "drawn"\n', "a name in [series] of the file", "'drawn'"),
    ("gaps = [", "gap = [", "in [log]", "'gap' (gaps?)"),
    ("provenance = ", "# ", "a field 'provenance' in [[cells]]", "id, where"),
]


@pytest.mark.parametrize("old, new, expected, received", WRONG)
def test_a_wrong_file_is_refused_by_its_entry(config, tmp_path, old, new, expected, received):
    text = config.path.read_text()
    assert old in text
    path = tmp_path / "mnist_cvae.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError) as refused:
        load(path)
    told = str(refused.value)
    assert told.startswith(f"{path}: Expected ") and "\n" not in told
    before, after = told.split(". Received: ")
    assert expected in before and received in after


A, B = {"series": "real"}, {"series": "both"}


@pytest.mark.parametrize(
    "test, expected",
    [
        ({"name": "paired_difference", "a": A, "b": B, "margin": 0, "below": 0}, "margin or below"),
        ({"name": "gain", "a": A, "b": B, "c": A, "above": 0}, "c and d, or neither"),
        ({"name": "ratio", "a": A, "above": 1}, "b, or b0, b1, ..."),
        ({"name": "sign_test", "a": A}, "one of the fields b, above, below"),
        ({"name": "monotone", "a": A, "direction": "up"}, 'direction "rising" or "falling"'),
        ({"name": "accuracy_difference", "a": A, "b": B}, "n_test, or arms a and b over images"),
        ({"name": "equivalence", "a": A, "margin": True}, "a number as margin"),
        ({"name": "threshold", "a": "real", "above": 0}, 'an arm { series = "..." }'),
        ({"name": ["threshold"], "a": A}, "a test among"),
        ("threshold", "a test among"),
    ],
)
def test_a_wrong_test_of_a_claim_is_refused(test, expected):
    raw = tomllib.loads((project_root() / "examples" / "digits.toml").read_text())
    raw["claims"][1]["tests"].append(test)
    with pytest.raises(ValueError, match="claims]] D2, test 2") as refused:
        config_check.check(raw)
    assert str(refused.value).startswith(f"Expected {expected}")


def test_counts_of_images_are_those_of_metrics():
    raw = tomllib.loads((project_root() / "paper_configs" / "fruits_gan.toml").read_text())
    entry = next(e for e in raw["extras"] if e["id"] == "recall_fids30")
    entry["n_test"]["recall_lime_last"] = entry["n_test"].pop("recall_limes_last")
    with pytest.raises(ValueError, match="Expected n_test of the metrics in .*recall_fids30") as e:
        config_check.check(raw)
    assert str(e.value).endswith("'recall_lime_last' (recall_limes_last?)")


def test_what_is_no_toml_is_refused(config, tmp_path):
    (tmp_path / "wrong.toml").write_text("[study")
    with pytest.raises(ValueError, match="Expected TOML. Received: .*wrong.toml"):
        load(tmp_path / "wrong.toml")


def words_read(names, *files):
    """Fields that modules read of variables of such names: `entry["kind"]`, `test.get("at")`."""
    found = set()
    for path in (path for file in files for path in REPORT.glob(file)):
        for node in ast.walk(ast.parse(path.read_text())):
            of, word = None, None
            if isinstance(node, ast.Subscript):
                of, word = node.value, node.slice
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                of, word = node.func.value if node.func.attr == "get" else None, node.args[0]
            if isinstance(of, ast.Name) and of.id in names and isinstance(word, ast.Constant):
                found.add(word.value)
    return {word for word in found if isinstance(word, str)}


def words_of(*specs):
    return {word for spec in specs for word in spec.split() if word != "|"}


def test_the_fields_that_are_allowed_are_those_that_are_read():
    tests = words_of(*config_check.TESTS.values()) | {"name", "n_test", *config_check.TEST_WORDS}
    assert words_read({"test"}, "claim_tests.py", "accuracy_tests.py", "figure_arms.py") <= tests
    figures = words_of(*config_check.FIGURES.values()) | {*config_check.FIGURE}
    tables = {"entry", "panel", "row", "line", "arm", "fact", "box", "arrow", "told"}
    read = words_read(tables, "figure*.py")
    assert read <= figures
    elsewhere = "id title stage settings artifact curve series name real synthetic"
    assert figures - read <= words_of(elsewhere)  # read by other names
    extras = words_of(config_check.ONE_METRIC, config_check.METRICS)
    assert words_read({"entry"}, "tables.py") == extras
    assert set(config_check.TESTS) == set(TESTS)
    assert {kind.split(".")[0] for kind in config_check.FIGURES} == set(KINDS)


def test_a_file_has_the_name_of_its_module(config, tmp_path):
    shutil.copy(config.path, tmp_path / "mnist_cave.toml")
    with pytest.raises(ValueError, match="Expected module = 'mnist_cave'.*Received: 'mnist_cvae'"):
        load_all(tmp_path)


@pytest.mark.parametrize("folder", ["paper_configs", "examples"])
def test_every_file_that_comes_along_is_in_order(folder):
    paths = sorted((project_root() / folder).glob("*.toml"))
    assert paths and [config.path for config in load_all(project_root() / folder)] == paths


def test_unknown_study_is_named(config):
    with pytest.raises(ValueError, match="Expected studies among .*, mnist_dbm. Received: cifar$"):
        load_all(config.path.parent, ["cifar"])
    assert [c.module for c in load_all(config.path.parent, ["mnist_cvae"])] == ["mnist_cvae"]
