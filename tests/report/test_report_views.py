"""Selection of numbers: presets never mix, base settings are implied, ambiguity is refused."""

import dataclasses

import pytest
from report_stores import only

from replicate.report.cells import qualified
from replicate.report.config import Selector
from replicate.report.pages import ranked
from replicate.report.views import complete_rows, views_of
from replicate.runs.store import Store

REAL = Selector("classifier", {"arm": "real", "p": 1.0}, "test_accuracy")


def test_presets_never_mix(fake, lay, config):
    store = fake()
    store.add(lay.accuracy([0.98, 0.97, 0.96], "real", 1.0), label="paper")
    store.add(lay.accuracy([0.5], "real", 1.0, epochs=1), label="smoke")
    views = views_of("yours", store.root, config)
    assert [view.label for view in views] == ["paper", "smoke"]
    assert dict(views[0].sample(REAL).values) == {0: 0.98, 1: 0.97, 2: 0.96}
    assert dict(views[1].sample(REAL).values) == {0: 0.5}


def test_time_side_by_side_counts_once(fake, lay, config):
    """Two seconds each: two that end together, one a second later, one an hour later."""
    store = fake()
    results = lay.accuracy([0.98, 0.97, 0.96, 0.95], "real", 1.0)
    store.add(results, missing=[trial.key for trial, _ in results])
    for end, (trial, values) in zip(("00:10", "00:10", "00:11", "59:59"), results, strict=True):
        record = store.record(trial, values, "package")
        made = dataclasses.replace(record, created=f"2024-01-01T00:{end}Z")
        Store(store.root).write(made)
    (view,) = views_of("yours", store.root, config)
    assert view.elapsed_seconds == 5.0


def test_shared_trials_count_for_both_presets(fake, lay, config):
    store = fake()
    store.add(lay.accuracy([0.98, 0.97, 0.96], "real", 1.0), label="paper")
    store.add(lay.accuracy([0.98], "real", 1.0), label="lite")
    paper, lite = views_of("yours", store.root, config)
    assert (paper.sample(REAL).n, lite.sample(REAL).n) == (3, 1)


def test_a_plan_without_records_comes_last(fake, lay, config):
    store = fake()
    paper = lay.accuracy([0.9], "real", 1.0)
    store.add(paper, label="paper", missing=[paper[0][0].key])
    store.add(lay.accuracy([0.8], "real", 1.0, epochs=2), label="lite")
    assert [view.label for view in views_of("yours", store.root, config)] == ["lite", "paper"]


@pytest.mark.parametrize(("paper", "leads"), [(["real"], "lite"), (["real", "synthetic"], "paper")])
def test_a_begun_plan_does_not_hide_a_whole_one(fake, lay, config, paper, leads):
    """C1 compares the arms, C2 is of synthetic ones alone: half of the claims lead."""
    store = fake()
    both = [result for arm in paper for result in lay.accuracy([0.9], arm, 1.0)]
    store.add(both, label="paper")
    whole = lay.accuracy([0.8], "real", 1.0, epochs=2)
    store.add(whole + lay.accuracy([0.7], "synthetic", 1.0, epochs=2), label="lite")
    views = views_of("yours", store.root, config)
    asked = ranked(only(config, "C1", "C2"), views, "yours")
    assert [view.label for view in asked] == [leads, *({"lite", "paper"} - {leads})]
    assert ranked(only(config, "C1", "C2"), views, "shipped") == []


def test_base_settings_are_implied(view, lay):
    results = lay.accuracy([0.98], "real", 1.0) + lay.accuracy([0.97], "real", 1.0, init="keras")
    made = view(results)
    assert dict(made.sample(REAL).values) == {0: 0.98}
    assert dict(made.sample(REAL.at(init="keras")).values) == {0: 0.97}
    other = Selector("classifier", {"arm": "real"}, "test_accuracy", differs=("init",))
    assert dict(made.sample(other).values) == {0: 0.97}


def test_ambiguous_selection_gives_no_number(view, lay):
    results = lay.accuracy([0.98], "real", 1.0) + lay.accuracy([0.9], "real", 1.0, epochs=7)
    sample = view(results).sample(REAL)
    assert sample.n == 0
    assert sample.problem == "ambiguous: the selected trials differ in epochs (5, 7)"


def test_points_are_found_up_to_rounding(view, lay):
    made = view(lay.accuracy([0.9], "real", 0.1 + 0.2) + lay.accuracy([0.8], "real", 0.05))
    selector = Selector("classifier", {"arm": "real"}, "test_accuracy")
    assert made.points(selector, "p") == pytest.approx([0.05, 0.3])
    assert made.sample(selector.at(p=0.3)).n == 1


def test_reasons_for_absence(view, lay):
    results = lay.accuracy([0.98, 0.97], "real", 1.0)
    failing = [(results[0][0], RuntimeError("out of memory")), results[1]]
    made = view(failing, missing=[results[1][0].key])
    assert made.sample(REAL).problem == "1 of 2 failed: out of memory"
    assert made.sample(REAL.at(p=0.5)).problem == "not part of the plan paper"
    assert view(results, "other", missing=[t.key for t, _ in results]).sample(
        REAL
    ).problem == "0 of 2 done"  # fmt: skip


def test_stand_in_data_is_seen_through_inputs(fake, lay, config):
    store = fake()
    maker, draws = lay.generator(0), lay.synthetic(0)
    learner = lay.classifier("synthetic", 1.0)
    store.add([(maker, {"loss": 1.0})], route="stand_in", label="lite")
    store.add([(maker, {}), (draws, {}), (learner, {"test_accuracy": 0.9})], route="package")
    made = views_of("yours", store.root, config)[0]
    sample = made.sample(REAL.at(arm="synthetic"))
    assert sample.n == 1 and sample.stand_in


def test_records_of_different_images_give_no_verdict_together(fake, lay, config):
    store, results = fake(), lay.accuracy([0.98, 0.97, 0.96], "real", 1.0)
    store.add(results[:2], sha256={"train": "a"}, label="lite")
    made = store.add(results, sha256={"train": "b"})
    sample = views_of("yours", made.root, config)[0].sample(REAL)
    assert sample.n == 3 and sample.mixed == "mnist (classifier)"
    assert qualified(sample, "verdict", 3)[0] == "none"
    alike = dataclasses.replace(sample, contents=frozenset(list(sample.contents)[:1]))
    assert qualified(alike, "verdict", 3)[0] == ""


def test_curves_give_the_number_of_an_epoch(view, lay):
    made = view([(lay.generator(0), {"train_loss": [183.0, 136.0]})])
    selector = Selector("generator", curve="train_loss", epoch=2)
    assert dict(made.sample(selector).values) == {0: 136.0}
    beyond = Selector("generator", curve="train_loss", epoch=3)
    assert made.sample(beyond).n == 0


def test_pairs_are_complete_replicates(view, lay):
    real = lay.accuracy([0.98, 0.97, 0.96], "real", 1.0)
    mixed = lay.accuracy([0.95, 0.94, 0.93], "mix", 0.5)
    made = view(real + mixed, missing=[real[1][0].key])
    samples = [made.sample(REAL), made.sample(REAL.at(arm="mix", p=0.5))]
    replicates, table, groups = complete_rows(samples)
    assert replicates == [0, 2]
    assert table == [[0.98, 0.95], [0.96, 0.93]]
    assert groups == [lay.synthetic(0).key, lay.synthetic(2).key]


def test_sets_of_one_generator_are_one_group(view, lay):
    from replicate.runs.trial import Trial

    maker = lay.generator(0)
    sets = [Trial(lay.STUDY, "synthetic", 1, {}, r, {"generator": maker.key}) for r in range(3)]
    settings = {"arm": "synthetic", "p": 1.0}
    learners = [
        Trial(lay.STUDY, "classifier", 1, settings, r, {"synthetic": drawn.key})
        for r, drawn in enumerate(sets)
    ]
    results = [(trial, {"test_accuracy": 0.9}) for trial in [maker, *sets, *learners]]
    sample = view(results).sample(Selector("classifier", settings, "test_accuracy"))
    assert dict(sample.groups) == dict.fromkeys(range(3), maker.key)
    assert sample.one_generator


def test_the_best_of_several_points_is_taken_replicate_by_replicate(view, lay):
    results = [
        result
        for p, values in {0.25: [0.5, 0.8, 0.6], 0.5: [0.7, 0.6, 0.9], 1.0: [0.99, 0.99]}.items()
        for result in lay.accuracy(values, "real", p)
    ]
    selector = Selector("classifier", {"arm": "real"}, "test_accuracy")
    best = dataclasses.replace(selector, best_over={"p": [0.25, 0.5, 0.75]})
    made = view(results)
    assert dict(made.sample(best).values) == {0: 0.7, 1: 0.8, 2: 0.9}  # 0.75 is not planned
    named = {r: lay.classifier("real", p, r).key for r, p in enumerate((0.5, 0.25, 0.5))}
    assert made.sample(best).keys == named
    both = dataclasses.replace(selector, best_over={"p": [0.5, 1.0]})
    assert dict(made.sample(both).values) == {0: 0.99, 1: 0.99}
    absent = dataclasses.replace(selector, best_over={"p": [0.75]})
    assert made.sample(absent).problem == "not part of the plan paper"
    missing = view(results, "other", missing=[results[0][0].key])
    assert dict(missing.sample(best).values) == {1: 0.8, 2: 0.9}
