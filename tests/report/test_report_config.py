"""The TOML file of a study: complete, consistent, by its own margin rule, refused when wrong."""

import pytest

from replicate.report.config import load, load_all


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
    assert [figure["id"] for figure in config.figures] == [*redrawn, "compared"]
    assert all(gap["tag"] in ("S", "C", "I", "F") for gap in config.log["gaps"])


def test_verdicts_only_at_paper(config):
    assert [config.kind(label) for label in ("paper", "lite", "smoke", "paper-1a2b")] == [
        "verdict", "indicative", "none", "none",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('series = "mix" }', 'series = "mixx" }', "Received: C5 a.series='mixx'"),
        ("margin = 0.0050 }", "margin = 0.0 }", "Expected margin > 0"),
        ('id = "C2"', 'id = "C1"', "Expected claims with distinct ids"),
        ('paper = "verdict"', 'paper = "yes"', "Received: verdicts.paper='yes'"),
        ("[study]", "[study", "Expected TOML"),
        ("provenance", "source", "Expected a field 'provenance'"),
    ],
)
def test_a_wrong_file_is_refused(config, tmp_path, old, new, message):
    text = config.path.read_text()
    assert old in text
    path = tmp_path / "wrong.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        load(path)


def test_unknown_study_is_named(config):
    with pytest.raises(ValueError, match="Expected studies among .*, mnist_dbm. Received: cifar$"):
        load_all(config.path.parent, ["cifar"])
    assert [c.module for c in load_all(config.path.parent, ["mnist_cvae"])] == ["mnist_cvae"]
