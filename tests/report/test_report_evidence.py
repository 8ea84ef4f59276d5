"""Every claim stands on the page, by kind before study, and leads to figures and records."""

import csv
import dataclasses
import re
from urllib.parse import unquote

import pytest

from replicate.report.claim_entries import (
    LISTED,
    ArmEntry,
    SideEntry,
    anchor,
    figures_of,
    named,
    series_in,
)
from replicate.report.config import load_all
from replicate.report.evidence import of_samples
from replicate.report.pages import SECTIONS, _environment
from replicate.report.views import Sample
from replicate.runs.files import project_root
from replicate.runs.store import Store

CLAIMS = [f"mnist_cvae-C{n}" for n in range(1, 13)]


@pytest.fixture(scope="module")
def studies():
    return {each.module: each for each in load_all(project_root() / "paper_configs")}


@pytest.fixture(scope="module")
def rows(filled):
    """The records of claims, by claim and side."""
    found = {}
    with open(filled / "report" / "mnist_cvae" / "claim_records.csv") as file:
        for row in csv.DictReader(file):
            found.setdefault((row["claim"], row["side"]), []).append(row)
    return found


def test_every_claim_has_an_anchor_of_its_own(studies):
    claims = [(name, claim) for name, study in studies.items() for claim in study.claims]
    assert len([claim for _, claim in claims if not claim.control]) == 71
    anchors = [anchor(name, claim) for name, claim in claims]
    assert len(set(anchors)) == len(anchors) and "cgan_ood-S13-substitute" in anchors
    assert all(re.fullmatch(r"[\w-]+", each) for each in anchors)


def test_claims_come_before_numbers_choices_figures_and_log(filled):
    page, text = (filled / "REPORT.html").read_text(), (filled / "REPORT.md").read_text()
    assert re.findall(r'<section id="(\w+)"', page) == list(SECTIONS)
    assert re.findall(r'^# <a id="(\w+)">', text, flags=re.MULTILINE) == list(SECTIONS)
    order = ["claims", "controls", "numbers", "arms", "choices", "figures", "log"]
    assert list(SECTIONS)[-7:] == order
    parts = re.findall(r'<h3 id="mnist_cvae-(\w+)">mnist_cvae: ', page)
    assert parts == order == re.findall(r'^## <a id="mnist_cvae-(\w+)">', text, re.MULTILINE)
    names = re.findall(r' id="([^"]+)"', page)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["REPORT.html", "REPORT.md"])
def test_all_claims_then_controls_are_listed_and_counted(filled, name):
    page = (filled / name).read_text()
    found = re.findall(r'<(?:tbody|a) id="(mnist_cvae-[A-Z]\d+)">', page)
    assert found == [*CLAIMS, "mnist_cvae-K1"]
    assert "12 claims and 151 reported numbers of 1 study; 1 control of ours" in page


@pytest.mark.parametrize("side, n", [("shipped", 3), ("yours", 2)])
def test_records_exist_and_give_the_printed_number(filled, rows, side, n):
    store = Store(filled.parent / {"shipped": "results", "yours": "runs"}[side])
    records, means = store.latest("mnist_cvae"), {}
    for row in rows["C1", side]:
        assert records[row["key"]].metrics["test_accuracy"] == float(row["value"])
        assert records[row["key"]].trial.replicate == int(row["replicate"])
        assert row["key"] in (filled / unquote(row["file"])).read_text()
        means.setdefault(row["arm"], []).append(float(row["value"]))
    real, synthetic = means["real only, p = 1"], means["synthetic only, p = 1"]
    assert len(real) == len(synthetic) == n
    with open(filled / "report" / "mnist_cvae" / "claim_tests.csv") as file:
        tests = [row for row in csv.DictReader(file) if (row["claim"], row["side"]) == ("C1", side)]
    assert float(tests[0]["effect"]) == pytest.approx((sum(real) - sum(synthetic)) / n)
    row = (filled / "REPORT.html").read_text().split('id="mnist_cvae-C1"')[1].split("</tbody>")[0]
    assert f"{side}: {2 * n} records" in row
    assert all(each["key"][:8] in row for each in rows["C1", side])


def test_links_out_of_the_page_lead_to_files(filled, rows):
    page = (filled / "REPORT.html").read_text()
    links = set(re.findall(r'href="([^"#][^"]*)"', page)) - {"data:,"}
    listed = {row["file"] for (_, side), some in rows.items() for row in some}
    assert len(links) == 1 + 4 and links == listed  # one shipped file, one a record of yours
    assert all((filled / unquote(link)).is_file() for link in links)


@pytest.mark.parametrize("n", [LISTED, LISTED + 1])
def test_many_records_are_left_to_the_csv_file(n):
    arm = ArmEntry("real", "0.9", tuple((f"{i:08x}", "0.9", f"{i}.json") for i in range(n)))
    side = SideEntry("yours", "paper", "supported", "", (), n, (arm,))
    template = _environment().get_template("claims.html.j2")
    shown = str(template.module.records(side, {"module": "mnist_cvae"}))
    assert shown.count(".json") == (n if n == LISTED else 0)
    assert ("report/mnist_cvae/claim_records.csv" in shown) == (n > LISTED)
    assert f"yours: {n} records" in shown and f"mean 0.9, n = {n}" in shown


def test_points_read_from_the_same_records_are_their_mean():
    samples = [Sample({0: v, 1: v + 2, 2: 9.0}, keys={0: "a", 1: "b", 2: "c"}) for v in (1.0, 3.0)]
    (found,) = of_samples("recall", "klass", ["cat", "dog"], samples, [0, 1])
    assert (found.arm, found.mean) == ("recall, mean over 2 values of klass", 3.0)
    assert found.records == ((0, "a", 2.0), (1, "b", 4.0))
    other = Sample({0: 5.0}, keys={0: "d"})
    apart = of_samples("recall", "klass", ["cat", "dog"], [samples[0], other])
    assert [(each.arm, len(each.records)) for each in apart] == [("cat", 3), ("dog", 1)]


def test_names_of_figures_and_tables_are_understood():
    found = named("Sections 4 and 5; Figures 4 to 6, 8 and 10; Table 2; Figure 12 (a)")
    assert found == {("Figure", n) for n in (4, 5, 6, 8, 10, 12)} | {("Table", 2)}


@pytest.mark.parametrize(
    "study, claim, figures",
    [
        ("mnist_cvae", "C1", ("fig4", "fig5", "fig6", "fig7")),  # named
        ("mnist_cvae", "C2", ("fig7",)),  # shows its series; a line for reference does not count
        ("cifar_dcgan", "H1", ("fig8",)),  # shows its metric of the same trials
        ("cifar_dcgan", "K6", ("fig8", "compared")),  # listed in a panel
        ("cifar_dcgan", "K7", ("fig7", "fig8", "compared")),
        ("mnist_dbm", "L4", ("fig4", "learning_curves")),
    ],
)
def test_claims_lead_to_the_figures_that_show_them(studies, study, claim, figures):
    found = next(each for each in studies[study].claims if each.id == claim)
    assert figures_of(studies[study], found) == figures


def test_every_claim_leads_to_a_figure(studies):
    assert not [
        claim.id
        for config in studies.values()
        for claim in config.claims
        if claim.tests and not figures_of(config, claim)
    ]


def test_a_figure_of_the_base_settings_does_not_show_an_arm_that_departs_from_them(studies):
    """Figure 8 is of ten generators and of pixels in one scale; nothing in its entry says so."""
    config = studies["cifar_dcgan"]
    (figure,) = (f for f in config.figures if f["id"] == "fig8")
    assert figure["source"]["settings"] == {"arm": "synthetic"}
    only = dataclasses.replace(config, figures=(figure,))
    some = config.claims[0]
    for series, shown in (
        ("synthetic_on_real", ("fig8",)),
        ("joint_on_real", ()),
        ("other_scale_on_real", ()),
    ):
        test = {"name": "threshold", "a": {"series": series}, "above": 0.0}
        claim = dataclasses.replace(some, where="our control", tests=(test,))
        assert figures_of(only, claim) == shown, series


def sources_in(entry):
    """`(stage, settings)` of the trials that a figure's entry reads by itself."""
    if source := entry.get("source"):
        settings = source.get("settings", {})
        yield source["stage"], settings
        for arm in entry.get("arms", ()):
            yield source["stage"], settings | arm["settings"]
    for name in ("rows", "panels"):
        for part in entry[name] if isinstance(entry.get(name), list) else ():
            yield from sources_in(part)


def shows(config, figure, claim, test, series):
    """Whether a figure shows trials of a test's arm, whatever number of theirs."""
    for panel in figure.get("panels", ()):
        listed = claim.id in panel.get("claims", ())
        if listed and (not panel.get("tests") or test.get("label") in panel["tests"]):
            return True
    arm = config.series[series].selector
    drawn = [config.series[name].selector for name in series_in(figure)]
    drawn = [*((each.stage, each.settings) for each in drawn), *sources_in(figure)]
    implied = {**config.base, **arm.settings}.items()
    return any(s == arm.stage and {**config.base, **own}.items() <= implied for s, own in drawn)


def is_shown(config, claim):
    """Whether the figures that a claim leads to show all of its arms."""
    linked = figures_of(config, claim)
    figures = [figure for figure in config.figures if figure["id"] in linked]
    return all(
        any(shows(config, figure, claim, test, arm["series"]) for figure in figures)
        for test in claim.tests
        for arm in test.values()
        if isinstance(arm, dict)
    )


def test_every_arm_of_a_claim_is_in_a_figure_that_it_leads_to(studies):
    claims = [(name, claim) for name, config in studies.items() for claim in config.claims]
    left_out = {(name, each.id) for name, each in claims if not is_shown(studies[name], each)}
    assert not left_out
