"""fruits_gan end to end at smoke scale, and what its trials are made of."""

from types import SimpleNamespace

import numpy as np
import pytest
from study_trials import of

from replicate import fruits_gan
from replicate.data.dataset import DataCorrupt, canonical_split
from replicate.data.fids30.files import listed, published_split
from replicate.fruits_gan import (
    ARMS,
    CLASSES,
    COPY_DISTANCE,
    FRUITS,
    NAME,
    REPORTED,
    STUDY,
    TILE_DISTANCES,
    guard_strip,
    kept_epochs,
    run_generators,
    shown_rows,
)
from replicate.runs.context import Context
from replicate.runs.files import project_root
from replicate.runs.flags import dataset_values, parse, preset_values
from replicate.runs.plan import make_plan
from replicate.runs.publish import _shipped as shipped_form
from replicate.runs.store import Store
from replicate.runs.study import Outcome
from replicate.stages.arm_names import TOLD_APART


def planned(*arguments):
    return STUDY.declare(parse(STUDY, list(arguments)))


# ------------------------------------------------------------------- which trials there are


def test_paper_has_a_generator_a_class_and_five_classifiers_an_arm():
    trials = planned()
    for dataset, epochs in (("fids30", 1001), ("mnist", 31)):
        generators = of(trials, "generator", dataset=dataset)
        assert [t.settings["klass"] for t in generators] == list(CLASSES[dataset])
        assert {t.settings["epochs"] for t in generators} == {epochs}
        counts = {arm: len(of(trials, "classifier", arm=arm, dataset=dataset)) for arm in ARMS}
        assert counts == dict.fromkeys(ARMS, 5)
    training = {
        (t.settings["dataset"], t.settings["epochs"], t.settings["batch_size"])
        for t in of(trials, "classifier")
    }
    assert training == {("fids30", 48, 12), ("mnist", 25, 128)}
    assert len({t.key for t in trials}) == len(trials)


def test_flagfiles_of_the_data_sets_hold_the_reported_values():
    """`--help` shows them; the flagfiles must not drift from it."""
    values = preset_values(STUDY, "paper")
    for name, reported in REPORTED.items():
        for dataset, value in reported.items():
            assert dataset_values(STUDY, values, dataset)[name].value == value, (dataset, name)


@pytest.mark.parametrize("preset", ["paper", "lite", "smoke"])
def test_one_data_set_is_a_part_of_the_plan_of_both(preset):
    both = {t.key for t in planned(f"--preset={preset}")}
    parts = []
    for dataset in CLASSES:
        values = parse(STUDY, [f"--preset={preset}", f"--dataset={dataset}"])
        plan, trials = make_plan(STUDY, values)
        assert plan.label == preset
        assert {t.settings["dataset"] for t in trials} == {dataset}
        parts += [t.key for t in trials]
    assert len(parts) == len(both) and set(parts) == both


def test_a_given_flag_holds_for_every_data_set():
    trials = planned("--epochs=40", "--classifier_batch_size=20")
    assert {t.settings["epochs"] for t in of(trials, "generator")} == {40}
    assert {t.settings["batch_size"] for t in of(trials, "classifier")} == {20}
    assert {t.settings["epochs"] for t in of(trials, "classifier")} == {48, 25}


def test_only_what_changes_a_result_is_in_its_settings():
    """Real arms do not wait for generators, and a variant of storage shares them."""
    trials = planned("--dataset=fids30", "--extensions=png,no_stretch")
    for arm in ("real", "augmented", "real_step_matched"):
        assert {tuple(t.inputs) for t in of(trials, "classifier", arm=arm)} == {()}
    assert len(of(trials, "generator")) == 10 and len(of(trials, "synthetic")) == 20
    (plain, other) = (of(trials, "synthetic", storage=s)[0] for s in ("jpeg", "png"))
    assert plain.inputs == other.inputs
    stretched = [t.settings["contrast_stretch"] for t in of(trials, "classifier", arm="augmented")]
    assert sorted(stretched) == [False] * 5 + [True] * 5


def test_networks_that_tell_real_from_synthetic_have_a_rate_of_their_own():
    """At the report's 0.001 they stay at chance (log, correction of T16, learning rate)."""
    rates = {t.settings["arm"]: t.settings["learning_rate"] for t in of(planned(), "classifier")}
    assert rates == {arm: 3e-4 if arm in TOLD_APART else 1e-3 for arm in ARMS}
    given = planned("--told_apart_learning_rate=1e-5", "--arms=real,real_vs_synthetic")
    rates = {t.settings["arm"]: t.settings["learning_rate"] for t in of(given, "classifier")}
    assert rates == {"real": 1e-3, "real_vs_synthetic": 1e-5}


def test_other_epochs_of_the_generators():
    trials = planned("--extensions=other_epochs")
    points = {
        dataset: {t.settings["point"] for t in of(trials, "synthetic", dataset=dataset)}
        for dataset in CLASSES
    }
    assert points["fids30"] == {"picked", "last", "lowest_distance"}
    assert points["mnist"] == {"picked", "lowest_distance"}  # the last is the picked one
    drawn = of(trials, "synthetic", point="lowest_distance", klass="limes")[0]
    (chosen,) = of(trials, "selection", klass="limes")
    assert drawn.inputs["selection"] == chosen.key


def test_epochs_that_are_kept():
    table_1 = (390, 630, 870, 690, 360, 990, 690, 420, 690, 570)
    trials = planned()
    for trial, picked in zip(of(trials, "generator", dataset="fids30"), table_1, strict=True):
        names = kept_epochs(trial.settings)
        assert names[picked] == "weights" and names[1000] == "weights_last"
        others = {e: n for e, n in names.items() if n not in ("weights", "weights_last")}
        assert others == {e: f"weights_e{e}" for e in range(30, 1000, 30) if e != picked}
        assert len(names) == 34  # Table 1's epochs are among those that the authors kept
    (first, *_) = of(trials, "generator", dataset="mnist")
    names = kept_epochs(first.settings)
    assert names[30] == "weights" and list(names) == [5, 10, 15, 20, 25, 30]
    scaled = of(planned("--epochs=101"), "generator", klass="strawberries")[0]
    others = {30: "weights_e30", 60: "weights_e60", 90: "weights_e90"}
    assert kept_epochs(scaled.settings) == others | {39: "weights", 100: "weights_last"}
    assert list(kept_epochs(scaled.settings)) == [30, 39, 60, 90, 100]


def test_the_probe_of_the_rate_has_three_generators_at_both():
    """Generators are its units: one a rate, as many as the report has, is no comparison."""
    trials = planned("--dataset=fids30", "--extensions=learning_rate")
    for stage in ("generator", "synthetic", "evaluation"):
        for rate in (2e-4, 2e-3):
            found = of(trials, stage, klass="bananas", gan_learning_rate=rate)
            assert sorted(t.replicate for t in found) == [0, 1, 2], (stage, rate)
    assert len(of(trials, "generator", klass="limes")) == 1
    mine = {t.key for t in of(trials, "generator", klass="bananas", gan_learning_rate=2e-4)}
    several = planned("--dataset=fids30", "--generators=5")
    assert mine < {t.key for t in of(several, "generator", klass="bananas")}
    assert planned("--dataset=mnist", "--extensions=learning_rate") == planned("--dataset=mnist")


def test_an_epoch_is_chosen_by_images_as_they_are_stored():
    """Images kept without loss are compared so; trials that keep JPEG have the keys they had."""
    arguments = "--dataset=fids30", "--extensions=other_epochs"
    plain = of(planned(*arguments), "selection")
    other = of(planned(*arguments, "--storage=png"), "selection")
    assert all("storage" not in t.settings for t in plain)
    assert {t.settings["storage"] for t in other} == {"png"}
    assert not {t.key for t in plain} & {t.key for t in other}


@pytest.mark.parametrize("storage", ["jpeg", "png"])
def test_the_images_that_choose_an_epoch_are_drawn_as_stored(storage, monkeypatch):
    asked = []

    def draw_images(network, count, rng, storage):
        asked.append(storage)
        return np.zeros((count, 64, 64, 3), np.uint8)

    monkeypatch.setattr("replicate.stages.perclass_gans.draw_images", draw_images)
    monkeypatch.setattr("replicate.stages.perclass_gans.load_gan", lambda *_: None)
    few = canonical_split(np.zeros((4, 64, 64, 3), np.uint8), np.zeros(4, np.int64))
    data = SimpleNamespace(train=few, name="fids30", route="", split_hashes={}, deviations=())
    monkeypatch.setattr(fruits_gan, "real_data", lambda *_: data)
    monkeypatch.setattr(fruits_gan, "data_provenance", lambda _: {})
    rng = np.random.default_rng(0)
    monkeypatch.setattr(fruits_gan, "features_of", lambda *_: lambda x: rng.random((len(x), 2)))
    trials = planned("--preset=smoke", "--dataset=fids30", f"--storage={storage}")
    trial = of(trials, "selection")[0]
    source = of(trials, "generator", klass=trial.settings["klass"])[0]
    context = SimpleNamespace(
        input=lambda *_: SimpleNamespace(trial=source), progress=lambda *_: None
    )
    next(fruits_gan.run_selection([trial], context))
    assert set(asked) == {storage}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch_size=7"], "an even --batch_size"),
        (["--n_classes=11"], "--n_classes from 2 to 10. Received: 11"),
        (["--per_class=45"], "at least 46 for fids30"),
        (["--dataset=mnist", "--per_class=4000"], "at least 4684 for mnist"),
        (["--dataset=fids30,cifar10"], "expected any of fids30, mnist"),
        (["--epochs=0"], "flag --epochs=0: expected a positive number"),
        (["--storage=gif"], "--storage=gif"),
        (["--extensions=rmsprop"], "expected any of other_epochs"),
    ],
)
def test_bad_flags_are_one_clear_line(arguments, message, capsys, tmp_path):
    assert STUDY.main([f"--workdir={tmp_path / 'runs'}", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


# ------------------------------------------------------------------- bad photographs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of photographs that are all empty files."""
    for name in listed("train") + listed("test"):
        path = tmp_path / "fids30" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setenv("REPLICATE_FIDS30_DIR", str(tmp_path / "fids30"))
    return tmp_path / "fids30"


def train_first(tmp_path, dataset="fids30"):
    trial = of(planned("--preset=smoke", f"--dataset={dataset}"), "generator")[0]
    return next(run_generators([trial], Context(Store(tmp_path / "runs"), stand_in=True)))


def test_a_folder_without_class_folders_is_refused(folder, tmp_path):
    for name in published_split():
        (folder / name).rename(tmp_path / name)
    with pytest.raises(DataCorrupt, match="expected class folders strawberries, .* an empty"):
        train_first(tmp_path)


def test_a_photograph_that_cannot_be_decoded_is_named(folder, tmp_path):
    first = published_split()["strawberries"]["train"][0]
    with pytest.raises(DataCorrupt, match=f"strawberries/{first}: cannot identify"):
        train_first(tmp_path)


def test_a_class_too_small_for_the_batch_is_named(tmp_path, monkeypatch):
    few = canonical_split(np.zeros((3, 64, 64, 3), np.uint8), np.zeros(3, np.int64))
    data = SimpleNamespace(train=few)
    monkeypatch.setattr(fruits_gan, "real_data", lambda *_: data)
    with pytest.raises(ValueError, match="at least 4 training images of class strawberries.*: 3"):
        train_first(tmp_path)


# ------------------------------------------------------------------- copies of photographs


@pytest.mark.parametrize(
    ("klass", "shift", "name"),
    [
        ("apples", 0.9 * TILE_DISTANCES["apples"], "photographs_strip"),
        ("apples", 1.1 * TILE_DISTANCES["apples"], "strip"),
        ("coconuts", 1.1 * TILE_DISTANCES["apples"], "photographs_strip"),
        ("coconuts", 1.1 * TILE_DISTANCES["coconuts"], "strip"),
        ("7", 0.0, "strip"),
    ],
)
def test_strips_that_are_near_to_photographs_are_not_shipped(klass, shift, name):
    photographs = np.random.default_rng(0).integers(0, 180, (4, 8, 8, 3)).astype(np.uint8)
    tiles = photographs[2:3] + np.uint8(round(255 * shift))
    outcome = Outcome(artifacts={"strip": "strip.npz"})
    guard_strip(outcome, tiles, photographs, klass)
    assert outcome.artifacts == {name: "strip.npz"}
    assert outcome.metrics["tile_distance_min"] == pytest.approx(shift, abs=0.5 / 255)


@pytest.mark.parametrize(
    ("klass", "near", "rows"),
    [("apples", 3, range(3, 13)), ("7", 3, range(10)), ("apples", 12, range(12, 14)),
     ("apples", 14, ())],
)  # fmt: skip
def test_a_preview_leaves_out_what_is_near_to_a_photograph(klass, near, rows):
    photographs = np.random.default_rng(0).integers(0, 180, (4, 8, 8, 3)).astype(np.uint8)
    images = np.repeat(photographs[2:3], 14, axis=0)
    images[near:] += np.uint8(60)
    found, metrics = shown_rows(images, photographs, klass)
    assert found.tolist() == list(rows)
    shift = 60 / 255 if klass == "apples" else 0.0
    expected = {"preview_distance_min": shift, "preview_found_in": max(rows) + 1} if rows else {}
    assert metrics == pytest.approx(expected)


def test_no_two_photographs_of_a_fruit_are_nearer_than_its_limit():
    """Limits are those of the photographs at hand, rounded down; where none is, nothing is said."""
    from replicate.data.fids30.files import find
    from replicate.data.loading import load

    folder = find()
    if not folder or not folder.is_dir():
        pytest.skip("no photographs at hand")
    data = load("fids30")
    assert tuple(TILE_DISTANCES) == FRUITS and min(TILE_DISTANCES.values()) > COPY_DISTANCE
    for label, limit in enumerate(TILE_DISTANCES.values()):
        images = [fruits_gan.by_class(part, [label])[0] for part in (data.train, data.test)]
        pixels = np.concatenate(images).reshape(-1, 64 * 64 * 3) / 255
        nearest = min(
            np.sqrt(((pixels[i + 1 :] - pixels[i]) ** 2).mean(axis=1)).min()
            for i in range(len(pixels) - 1)
        )
        assert limit == pytest.approx(nearest, abs=0.001) and limit <= nearest


# What records of FIDS30 may come with: none of it shows a photograph.
SHIPPED = {
    "generator": {"batch_loss", "strip", "summary", "weights"},
    "synthetic": {"preview", "set"},
    "judge": {"batch_loss", "confusion", "summary", "weights"},
    "evaluation": set(),
    "selection": set(),
    "classifier": {"confusion"},
}


def committed_fruit():
    """The records of FIDS30 that come with the project."""
    records = Store(project_root() / "results").latest(NAME).values()
    return [record for record in records if record.trial.settings["dataset"] == "fids30"]


def test_what_is_committed_of_fruit_has_names_that_show_no_photograph():
    records = committed_fruit()
    assert records
    for record in records:
        assert set(record.artifacts) <= SHIPPED[record.trial.stage], record.trial.describe()
        files = {entry["file"] for entry in record.artifacts.values()}
        folder = project_root() / "results" / "artifacts" / record.key
        there = {path.name for path in folder.rglob("*")} if folder.is_dir() else set()
        assert there <= files - {"set.safetensors"}, (record.trial.describe(), there)


def test_committed_pictures_of_fruit_are_far_enough_from_photographs():
    distances = {"preview": "preview_distance_min", "strip": "tile_distance_min"}
    seen = set()
    for record in committed_fruit():
        for picture in distances.keys() & set(record.artifacts):
            limit = TILE_DISTANCES[record.trial.settings["klass"]]
            assert record.metrics[distances[picture]] >= limit, record.trial.describe()
            seen.add(picture)
    assert seen == set(distances)


# ------------------------------------------------------------------- all of it


# Every arm on one data set; what differs on the other, which takes the same paths otherwise.
PARTS = (
    ("--preset=smoke", "--dataset=fids30"),
    (
        *("--preset=smoke", "--dataset=mnist", "--extensions="),
        "--arms=synthetic,real_vs_synthetic_alike",
    ),
)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("fruits")
    for part in PARTS:
        assert STUDY.main([f"--workdir={workdir}", *part]) == 0
    return workdir


@pytest.fixture(scope="module")
def records(smoke):
    return Store(smoke).latest(NAME)


def test_smoke_runs_every_stage(records):
    trials = [trial for part in PARTS for trial in planned(*part)]
    assert {key for key, r in records.items() if r.done} == {t.key for t in trials}
    assert {t.key for t in trials} < {t.key for t in planned("--preset=smoke")}
    assert {t.stage for t in trials} == set(STUDY.stages)
    for record in records.values():
        assert all(np.isfinite(value) for value in record.metrics.values()), record.trial
        assert record.data["name"] == record.trial.settings["dataset"]


def test_real_digits_are_told_apart_by_no_mark_of_storage(smoke, records, monkeypatch):
    """The arm's own images: no colour on MNIST; real ones stored as drawn ones."""
    from replicate.data.image_files import jpeg_round_trip
    from replicate.stages import arms

    context, seen = Context(Store(smoke), stand_in=True), []

    def caught(trials, context, mixture, held_out, build):
        seen.append((mixture, held_out))
        return iter(())

    monkeypatch.setattr(arms, "run_arms", caught)
    for part in PARTS:
        trial = of(planned(*part), "classifier", arm="real_vs_synthetic_alike")[0]
        assert list(fruits_gan.run_classifiers([trial], context)) == []
        mixture, (held_out, _) = seen.pop()
        real = fruits_gan.by_class(fruits_gan.real_data(context, trial.settings).train, (0, 1))[0]
        np.testing.assert_array_equal(
            mixture.images[mixture.real], arms.grey_levels(jpeg_round_trip(real))
            if trial.settings["dataset"] == "mnist" else jpeg_round_trip(real),
        )  # fmt: skip
        grey = all((x == x[..., :1]).all() for x in (mixture.images, held_out))
        assert grey == (trial.settings["dataset"] == "mnist")


def test_no_shipped_artifact_holds_a_photograph(records):
    """What shows real fruit is named so that it stays in the workdir; real digits are shipped."""
    seen, shipped = set(), set()
    for record in records.values():
        seen |= set(record.artifacts)
        artifacts = set(shipped_form(record).artifacts)
        shipped |= artifacts
        if record.trial.settings["dataset"] == "fids30":
            assert not artifacts & {"examples", "neighbours", "confident"}
    assert seen - shipped == {
        "photographs_examples",
        "photographs_neighbours",
        "weights_last",
    }
    assert {"examples", "neighbours", "confident", "weights", "preview"} <= shipped


def test_sets_are_drawn_at_their_point_and_stored_as_jpeg(smoke, records):
    """Anyone can draw a set again from the float16 weights of that point."""
    from replicate.data.synthetic import load_synthetic
    from replicate.runs.seeds import trial_stream
    from replicate.stages.perclass_gans import draw_images, load_gan

    context = Context(Store(smoke), stand_in=True)
    drawn = {
        r.trial.settings["point"]: r
        for r in records.values()
        if r.trial.stage == "synthetic" and r.trial.settings["klass"] == FRUITS[0]
    }
    assert (drawn["picked"].metrics["epoch"], drawn["last"].metrics["epoch"]) == (0, 1)
    stored = {p: load_synthetic(Store(smoke).artifact(r, "set")) for p, r in drawn.items()}
    assert (stored["picked"].images != stored["last"].images).any()
    trial = drawn["last"].trial
    network = load_gan(trial, context, "weights_last", 0)
    again = draw_images(network, 46, trial_stream(trial, "synthetic/z", 0), "jpeg")
    np.testing.assert_array_equal(again, stored["last"].images)


def test_the_lowest_distance_is_the_lowest_of_the_kept_epochs(records):
    chosen = [r for r in records.values() if r.trial.stage == "selection"]
    assert len(chosen) == 2
    for record in chosen:
        distances = dict(zip(record.curves["epoch"], record.curves["frechet"], strict=True))
        assert record.metrics["frechet"] == min(distances.values())
        assert distances[record.metrics["epoch"]] == record.metrics["frechet"]


def test_what_is_recorded_of_a_generator(records):
    (record,) = [
        r
        for r in records.values()
        if r.trial.stage == "generator" and r.trial.settings["klass"] == "0"
    ]
    n_train, epochs = record.metrics["n_train"], record.trial.settings["epochs"]
    assert record.metrics["n_iterations"] == n_train // 4 * epochs
    assert len(record.curves["g_loss_ema"]) == record.metrics["n_iterations"]
    assert len(record.curves["g_loss"]) == epochs
    assert record.metrics["train_seconds"] > 0
