"""cgan_ood end to end at smoke scale, and what its trials are made of."""

import dataclasses

import numpy as np
import pytest
from study_trials import of

from replicate import cgan_ood
from replicate.cgan_ood import (
    EXTENSIONS,
    NAME,
    RATIOS,
    STUDY,
    TABLE_2,
    corrupted,
    in_turn,
    load_sets,
    order_of,
    originals_of,
    real_images,
    synthetic_labels,
)
from replicate.runs.flags import parse, preset_values
from replicate.runs.plan import make_plan
from replicate.runs.store import Store
from replicate.stages.mixes import (
    CLASSES,
    labels_of,
    rare_classes,
    seen_rows,
    training_rows,
    transfer_order,
)


def planned(*arguments):
    return STUDY.declare(parse(STUDY, list(arguments)))


# ------------------------------------------------------------------- which trials there are


def test_paper_trains_the_report_s_networks():
    trials = planned()
    assert {
        name: {t.settings["ratio"] for t in of(trials, "classifier", arm="mix", dataset=name)}
        for name in ("mnist", "fashion_mnist", "cifar10")
    } == {"mnist": set(RATIOS), "fashion_mnist": set(TABLE_2), "cifar10": set(TABLE_2)}
    for dataset, ratios in (("mnist", 11), ("fashion_mnist", 6), ("cifar10", 6)):
        assert len(of(trials, "classifier", arm="mix", dataset=dataset)) == 10 * ratios
    table_1 = {
        (t.settings["dataset"], t.settings["learning_rate"], t.settings["epochs"])
        for t in of(trials, "classifier")
    }
    assert table_1 == {
        ("mnist", 1e-4, 10),
        ("fashion_mnist", 1e-4, 10),
        ("cifar10", 1e-3, 50),
    }
    sizes = {t.settings["dataset"]: t.settings["n_train"] for t in trials}
    assert sizes == {"mnist": 60000, "fashion_mnist": 60000, "cifar10": 50000}
    gans = of(trials, "generator", source="cgan")
    assert len(gans) == 6 and {t.settings["learning_rate"] for t in gans} == {2e-5}
    assert {t.settings["learning_rate_d"] for t in gans} == {1e-4}
    assert len({t.key for t in trials}) == len(trials)


def test_initial_weights_of_the_conditional_gan():
    """Where they are PyTorch's, trials say nothing, as those trained before there was a choice."""
    both = "--dataset=mnist,fashion_mnist"
    for flags, mnist in (((both,), "glorot"), ((both, "--gan_init=torch"), None)):
        gans = of(planned(*flags), "generator", source="cgan")
        found = {(t.settings["dataset"], t.settings.get("init")) for t in gans}
        assert found == {("mnist", mnist), ("fashion_mnist", None)}
        assert {cgan_ood.build_gan(t).init for t in gans} == {mnist or "torch", "torch"}


def test_replicates_are_spread_over_generators():
    trials = planned("--arms=mix", "--ratios=1:1")
    sets = {t.key: (t.settings["dataset"], t.replicate) for t in of(trials, "synthetic")}
    for trial in of(trials, "classifier"):
        dataset = trial.settings["dataset"]
        which = 0 if dataset == "cifar10" else trial.replicate % 3
        assert sets[trial.inputs["synthetic"]] == (dataset, which)


def test_cifar10_s_substitutes_are_named():
    trials = planned("--dataset=cifar10")
    assert not of(trials, "generator")
    (made,) = of(trials, "synthetic")
    assert made.settings["source"] == "stylegan2_ada_own" and len(made.settings["weights"]) == 16
    trials = planned("--dataset=cifar10", "--network=dcgan")
    stages = ("generator", "synthetic", "evaluation", "classifier")
    for stage in stages:
        assert {t.settings["source"] for t in of(trials, stage)} == {"dcgan_substitute"}
    assert len(of(trials, "generator")) == 1


def test_a_choice_without_trials_is_refused_and_the_presets_are_not():
    for preset in ("paper", "lite", "smoke"):
        whole = f"--extensions={','.join(EXTENSIONS)}"
        assert STUDY.declare(preset_values(STUDY, preset))
        assert STUDY.declare(preset_values(STUDY, preset, whole))
    assert planned("--dataset=mnist", "--arms=mix", "--ratios=6:1")
    assert planned("--dataset=fashion_mnist", "--ratios=1:0,6:1", "--extensions=more_ratios")


def test_every_synthetic_set_is_evaluated():
    for preset in ("paper", "lite", "smoke"):
        whole = f"--extensions={','.join(EXTENSIONS)}"
        trials = STUDY.declare(preset_values(STUDY, preset, whole))
        made = {t.key: t.settings for t in of(trials, "synthetic")}
        assert {s["sees"] for s in made.values()} == {"all", "few", "long_tail"}
        for extractor in ("classifier", "inception_imagenet"):
            evaluated = of(trials, "evaluation", extractor=extractor)
            assert {t.inputs["synthetic"] for t in evaluated} == set(made)
            for trial in evaluated:
                assert made[trial.inputs["synthetic"]].items() <= trial.settings.items()


def test_inputs_come_before_what_needs_them():
    seen = set()
    for trial in planned("--extensions=inception,same_data"):
        assert set(trial.inputs.values()) <= seen, trial.describe()
        seen.add(trial.key)


def test_every_extension_adds_trials():
    plain = {t.key for t in planned()}
    for extension in EXTENSIONS:
        more = {t.key for t in planned(f"--extensions={extension}")}
        assert more > plain, extension


@pytest.mark.parametrize(
    ("network", "source"),
    [("official", "stylegan2_ada_official"), ("dcgan", "dcgan_substitute")],
)
def test_other_networks_trials_belong_to_the_paper_s_plan(network, source):
    values = parse(STUDY, ["--dataset=cifar10", f"--network={network}"])
    plan, trials = make_plan(STUDY, values)
    assert plan.label == "paper" and len(of(trials, "generator")) == (network == "dcgan")
    assert {t.settings["source"] for t in of(trials, "classifier")} == {source}
    beside = planned("--dataset=cifar10", f"--extensions={network}")
    assert {t.key for t in trials} < {t.key for t in beside}


# ------------------------------------------------------------------- training sets

N = 220  # 22 real images a class, 30 synthetic ones
LABELS = np.concatenate([np.tile(np.arange(10), 22), np.repeat(np.arange(10), 30)])


def one(arm, n_train=60000, extension=None, **settings):
    arguments = ["--dataset=mnist", f"--n_train={n_train}", "--replicates=1"]
    arguments += [f"--extensions={extension}"] if extension else []
    return of(planned(*arguments), "classifier", arm=arm, **settings)[0]


def with_few(arm, n_real, extension):
    """A trial of an arm of few originals, scaled to the rows of this test."""
    trial = one(arm, extension=extension)
    return dataclasses.replace(trial, settings={**trial.settings, "n_real": n_real})


@pytest.mark.parametrize(
    ("trial", "real", "synthetic", "total"),
    [
        (one("mix", ratio="1:0"), 220, 0, 220),
        (one("mix", ratio="0:1"), 0, 220, 220),
        (one("mix", ratio="1:1"), 110, 110, 220),
        (one("mix", ratio="5:1"), 183, 37, 220),
        (one("mix", ratio="10:1"), 200, 20, 220),
        (one("step_matched", ratio="5:1"), 183, 0, 220),
        (one("step_matched", ratio="1:1"), 110, 0, 220),
        (one("label_shuffled"), 0, 300, 300),
        (one("real_vs_synthetic"), 110, 110, 220),
        (one("add", extension="add", ratio="5:1"), 220, 44, 264),
        (one("add_repeated", extension="add", ratio="5:1"), 220, 0, 264),
        (with_few("few", 50, "shortage"), 50, 0, 50),
        (with_few("few_filled", 50, "shortage"), 50, 170, 220),
        (with_few("few_repeated", 50, "shortage"), 50, 0, 220),
        (with_few("transfer", 50, "transfer"), 50, 0, 220),
        (with_few("transfer_real", 220, "transfer"), 220, 0, 220),
    ],
    ids=lambda value: value.describe() if hasattr(value, "describe") else None,
)
def test_training_sets(trial, real, synthetic, total):
    rows = training_rows(trial, LABELS, N)
    counts = np.bincount(rows, minlength=len(LABELS))
    assert (counts[:N] > 0).sum() == real and (counts[N:] > 0).sum() == synthetic
    assert len(rows) == total and counts[N:].max() <= 1
    distinct = np.flatnonzero(counts)  # every class has its share of either kind
    for kind in (distinct[distinct < N], distinct[distinct >= N]):
        per_class = np.bincount(LABELS[kind], minlength=10)
        assert np.ptp(per_class) <= 1


def test_mixes_of_a_replicate_share_their_images():
    rows = {r: set(training_rows(one("mix", ratio=r), LABELS, N)) for r in ("1:1", "5:1", "10:1")}
    matched = set(training_rows(one("step_matched", ratio="5:1"), LABELS, N))
    for kind in (lambda row: row < N, lambda row: row >= N):
        parts = {ratio: set(filter(kind, found)) for ratio, found in rows.items()}
        small, large = sorted((parts["1:1"], parts["5:1"]), key=len)
        assert small < large
    assert matched == {row for row in rows["5:1"] if row < N}


def test_long_tails_and_their_filling():
    arms = {
        arm: training_rows(one(arm, extension="imbalance"), LABELS, N)
        for arm in ("long_tail", "long_tail_filled", "long_tail_repeated")
    }
    tail = np.bincount(LABELS[arms["long_tail"]], minlength=10)
    assert sorted(tail, reverse=True) == [22, 13, 8, 5, 3, 2, 1, 1, 1, 1]  # 22 * 100 ** (-k / 9)
    originals = set(arms["long_tail"])
    for arm in ("long_tail_filled", "long_tail_repeated"):
        np.testing.assert_array_equal(np.bincount(LABELS[arms[arm]]), np.full(10, 22))
        assert {row for row in arms[arm] if row < N} == originals
    assert (arms["long_tail_filled"] >= N).sum() == 220 - tail.sum()
    assert arms["long_tail_repeated"].max() < N
    for rows in arms.values():  # whatever they are filled with, the same classes are rare
        assert set(rare_classes(rows, LABELS, N)) == set(np.flatnonzero(tail <= 2))


def test_transfer_is_synthetic_first():
    trial = with_few("transfer", 50, "transfer")
    assert trial.settings["epochs"] == 20
    rows = training_rows(trial, LABELS, N)
    order = transfer_order(trial, rows, N)
    first, last = order(9), order(10)
    np.testing.assert_array_equal(np.sort(first), np.arange(N, 2 * N))
    np.testing.assert_array_equal(np.sort(last), np.sort(rows))
    assert not np.array_equal(order(8), first)


def test_labels_of_the_controls():
    assert labels_of(one("mix", ratio="1:1"), LABELS, N) is None
    kinds = labels_of(one("real_vs_synthetic"), LABELS, N)
    np.testing.assert_array_equal(kinds, np.repeat([0, 1], [N, 300]))
    shuffled = labels_of(one("label_shuffled"), LABELS, N)
    np.testing.assert_array_equal(np.bincount(shuffled[N:]), np.full(10, 30))
    assert np.mean(shuffled[N:] == LABELS[N:]) < 0.25


def test_generators_of_same_data_see_what_their_classifiers_see():
    """And make as many steps as those that see everything."""
    trials = planned("--dataset=mnist", "--extensions=same_data")
    labels = np.tile(np.arange(10), 300)
    for sees, arm in (("few", "few_filled"), ("long_tail", "long_tail_filled")):
        for generator in of(trials, "generator", sees=sees):
            (user,) = (
                t
                for t in of(trials, "classifier", sees=sees, arm=arm)
                if t.replicate == generator.replicate
            )
            rows = training_rows(user, np.concatenate([labels, labels]), len(labels))
            seen = seen_rows(generator, labels)
            assert set(seen) == {row for row in rows if row < len(labels)}
            epoch = order_of(generator, labels)(0)
            assert len(epoch) == len(labels) and set(epoch) == set(seen)
    (whole,) = (t for t in of(trials, "generator", sees="all") if t.replicate == 0)
    np.testing.assert_array_equal(np.sort(order_of(whole, labels)(3)), np.arange(len(labels)))


def test_a_set_is_compared_with_what_its_generator_saw():
    from replicate.data.catalogue import CATALOGUE
    from replicate.data.stand_in import draw_stand_in

    data = draw_stand_in(CATALOGUE["mnist"])
    sizes = ("--n_train=300", "--n_test=100", "--generators=2", "--replicates=2")
    trials = planned("--dataset=mnist", *sizes, "--extensions=same_data")
    by_key = {t.key: t for t in trials}
    compared = {}
    for trial in of(trials, "evaluation"):
        generator = by_key[by_key[trial.inputs["synthetic"]].inputs["generator"]]
        images, labels = real_images(data, trial.settings)["train"]
        train, held_out = originals_of(trial, data)
        np.testing.assert_array_equal(train, images[seen_rows(generator, labels)])
        np.testing.assert_array_equal(held_out, data.test.images[:100])
        compared[trial.settings["sees"], trial.replicate] = train
    sizes = {sees: len(train) for (sees, _), train in compared.items()}
    assert sizes["all"] == 300 and sizes["few"] == 100 and sizes["long_tail"] < 100
    for sees in ("few", "long_tail"):
        assert not np.array_equal(compared[sees, 0], compared[sees, 1])


@pytest.mark.parametrize("count", [100, 57])
def test_the_first_images_compared_are_of_all_classes(count):
    """Diversity takes as many images as there are originals; stored sets are sorted by class."""
    labels = synthetic_labels({"n_train": 30, "n_test": count})[30:]
    rows = in_turn(labels)
    assert sorted(rows) == list(range(count))
    np.testing.assert_array_equal(labels[rows], np.arange(count) % 10)


def test_synthetic_sets_are_balanced():
    labels = synthetic_labels({"n_train": 60, "n_test": 25})
    np.testing.assert_array_equal(np.bincount(labels[:60]), np.full(10, 6))
    np.testing.assert_array_equal(np.bincount(labels[60:]), [3] * 5 + [2] * 5)


def test_more_images_than_there_are_is_refused():
    from replicate.data.catalogue import CATALOGUE
    from replicate.data.stand_in import draw_stand_in

    data = draw_stand_in(CATALOGUE["mnist"])
    real = real_images(data, {"n_train": 70, "n_test": 30})
    assert [len(real[name][1]) for name in ("train", "test")] == [70, 30]
    with pytest.raises(ValueError, match="at least 600 test images of mnist. Received: 500"):
        real_images(data, {"n_train": 70, "n_test": 600})


def test_corrupted_digits_do_not_depend_on_the_trial():
    """Every network meets the same noise; each severity has its own."""
    images = np.full((4, 28, 28, 1), 128, np.uint8)
    first, again = (corrupted(images, np.arange(4), seed=0) for _ in range(2))
    assert list(first) == [f"mnist_c_{severity}" for severity in range(1, 6)]
    for name, (noisy, labels) in first.items():
        np.testing.assert_array_equal(noisy, again[name][0])
        np.testing.assert_array_equal(labels, np.arange(4))
    assert np.any(corrupted(images, np.arange(4), seed=1)["mnist_c_5"][0] != first["mnist_c_5"][0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--n_train=60001"], "at most 60000"),
        (["--dataset=mnist,imagenet"], "expected any of mnist"),
        (["--ratios=3:1"], "expected any of 1:0"),
        (["--network=/no/such"], "expected a file"),
        ([f"--network={__file__}"], "Expected an official pickle or safetensors"),
        (["--arms=step_matched", "--ratios=2:1"], "Received: --arms=step_matched"),
        (["--arms=mix", "--ratios=6:1", "--dataset=cifar10"], "Received: --arms=mix"),
        (["--ratios=1:0,7:1", "--dataset=fashion_mnist"], "Received: --ratios=7:1"),
        (["--extensions=add", "--ratios=6:1", "--dataset=mnist"], "Received: --extensions=add"),
        (["--extensions=add,official", "--dataset=mnist"], "Received: --extensions=official"),
        (["--extensions=same_data", "--dataset=cifar10"], "Received: --extensions=same_data"),
    ],
)
def test_bad_flags_are_one_clear_line(arguments, message, capsys, tmp_path):
    assert STUDY.main([f"--workdir={tmp_path / 'runs'}", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


# ------------------------------------------------------------------- a network of one's own


SMALLEST = {"channel_max": 8, "z_dim": 16, "w_dim": 16}


def write_network(path, card, **sizes):
    """A small untrained StyleGAN2-ADA as this package writes its own."""
    from replicate.models.stylegan2 import cifar, to_official, write_converted

    write_converted(path, to_official(*cifar(**SMALLEST, **sizes)), {}, card)
    return path


@pytest.fixture(scope="module")
def given_network(tmp_path_factory):
    """One of CIFAR-10's classes and images."""
    return write_network(
        tmp_path_factory.mktemp("network") / "given.safetensors", {"source": "a test"}
    )


def origin(*arguments):
    """What the settings of the planned synthetic sets of CIFAR-10 say of their network."""
    (made,) = of(planned("--dataset=cifar10", *arguments), "synthetic")
    return {name: made.settings.get(name) for name in ("source", "weights")}


def test_a_given_network_is_named_by_its_content(given_network, tmp_path):
    """Even if its licence says that it is NVIDIA's: the official one comes by its own route."""
    from replicate.models.stylegan2.files import LICENCE, load_network, sha256_of, write_converted

    network = load_network(given_network)
    licensed = tmp_path / "licensed.safetensors"
    write_converted(licensed, network.arrays, network.config, {"licence": LICENCE})
    for path in (given_network, licensed):
        named = {"source": "stylegan2_ada_given", "weights": sha256_of(path)[:16]}
        assert origin(f"--network={path}") == named
    assert sha256_of(given_network) != sha256_of(licensed)
    assert origin("--network=official") == {"source": "stylegan2_ada_official", "weights": None}


def test_the_shipped_network_is_our_own_however_it_is_given(tmp_path):
    from replicate.stages.stylegan2_sets import shipped_network

    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(shipped_network().read_bytes())
    own = origin()
    assert own["source"] == "stylegan2_ada_own" == origin(f"--network={copy}")["source"]
    assert own == origin(f"--network={copy}") == origin(f"--network={shipped_network()}")


WRONG_SIZES = [
    ({"c_dim": 0}, "classes 0, resolution 32, channels 3"),
    ({"c_dim": 7}, "classes 7, resolution 32, channels 3"),
    ({"resolution": 16}, "classes 10, resolution 16, channels 3"),
    ({"img_channels": 1}, "classes 10, resolution 32, channels 1"),
]


@pytest.mark.parametrize(("sizes", "found"), WRONG_SIZES)
def test_a_network_of_other_images_is_refused_at_once(sizes, found, capsys, tmp_path, monkeypatch):
    path = write_network(tmp_path / "wrong.safetensors", {}, **sizes)
    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path / "cache"))
    cached = tmp_path / "cache" / "stylegan2" / "cifar10.pkl"  # where a download would be
    cached.parent.mkdir(parents=True)
    cached.write_bytes(path.read_bytes())
    for asked in (f"--network={path}", "--network=official", "--extensions=official"):
        flags = [f"--workdir={tmp_path / 'runs'}", "--dataset=cifar10", asked]
        assert STUDY.main([*flags, "--plan"]) == 2
        err = capsys.readouterr().err
        assert "Expected a network of CIFAR-10 (classes 10, resolution 32, channels 3)" in err
        assert f"({found})" in err and err.count("\n") == 1


def test_the_official_network_is_the_one_in_the_cache(given_network, tmp_path, monkeypatch):
    from replicate.stages.stylegan2_sets import network_file

    monkeypatch.setenv("REPLICATE_CACHE", str(tmp_path))
    cached = tmp_path / "stylegan2" / "cifar10.pkl"
    cached.parent.mkdir()
    cached.write_bytes(given_network.read_bytes())
    (trial,) = of(planned("--dataset=cifar10", "--network=official"), "synthetic")
    for given in ("official", "own", None):
        assert network_file(trial, given) == cached
    (trial,) = of(planned("--dataset=cifar10", f"--network={given_network}"), "synthetic")
    assert network_file(trial, str(given_network)) == str(given_network)
    with pytest.raises(FileNotFoundError, match="SHA-256 starts with"):
        network_file(trial, "official")


def test_a_network_s_set_is_drawn_class_by_class_and_resumed(given_network, tmp_path):
    from replicate.models.stylegan2 import from_official, load_network
    from replicate.models.stylegan2.sampling import sample
    from replicate.runs.context import Context
    from replicate.runs.seeds import trial_seed
    from replicate.stages.stylegan2_sets import draw_stylegan2

    sizes = ("--n_train=20", "--n_test=10")
    trials = planned("--dataset=cifar10", *sizes, f"--network={given_network}")
    (trial,) = of(trials, "synthetic")
    labels = synthetic_labels(trial.settings)
    context = Context(Store(tmp_path), network=str(given_network))
    images, card = draw_stylegan2(trial, context, labels, cut=20)
    assert images.shape == (30, 32, 32, 3) and card == {"source": "a test"}
    generator, _ = from_official(*load_network(given_network)[:2])
    for part, rows in ((1, [6, 7]), (0, [23])):  # class 3 of either part
        expected = sample(generator, [3] * len(rows), trial_seed(trial, "synthetic/z", part, 3))
        np.testing.assert_array_equal(images[rows], expected)
    kept = context.checkpoint_dir(trial) / "train-3.npy"
    np.save(kept, np.zeros_like(images[:2]))
    again, _ = draw_stylegan2(trial, context, labels, cut=20)
    assert not again[[6, 7]].any()  # taken as it was drawn before
    np.testing.assert_array_equal(np.delete(again, [6, 7], 0), np.delete(images, [6, 7], 0))
    context.network = None
    with pytest.raises(FileNotFoundError, match="SHA-256 starts with"):
        draw_stylegan2(trial, context, labels, cut=20)


# ------------------------------------------------------------------- end to end


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("cgan")
    assert STUDY.main([f"--workdir={workdir}", "--preset=smoke"]) == 0
    return workdir


def records_of(smoke, stage, **settings):
    found = {r.trial: r for r in Store(smoke).latest(NAME).values() if r.done}
    return [found[trial] for trial in of(found, stage, **settings)]


def test_smoke_runs_every_stage(smoke):
    records = Store(smoke).latest(NAME)
    assert {key for key, r in records.items() if r.done} == {
        t.key for t in STUDY.declare(preset_values(STUDY, "smoke"))
    }
    for record in records.values():
        assert all(np.isfinite(value) for value in record.metrics.values()), record.trial
        assert record.data["name"] == record.trial.settings["dataset"]


def test_what_is_recorded_of_a_classifier(smoke):
    (record,) = records_of(smoke, "classifier", dataset="mnist", arm="mix", ratio="5:1")
    tests = ("original", "synthetic", *(f"mnist_c_{severity}" for severity in range(1, 6)))
    m = record.metrics
    assert {f"{key}_{name}" for key in ("accuracy", "nll", "ece") for name in tests} <= set(m)
    assert m["gap_original_synthetic"] == m["accuracy_original"] - m["accuracy_synthetic"]
    with np.load(Store(smoke).artifact(record, "confusion")) as matrices:
        assert set(matrices) == {"original", "synthetic", "mnist_c_5"}
        for name, matrix in matrices.items():
            assert matrix.sum() == 100
            assert matrix.trace() / 100 == pytest.approx(m[f"accuracy_{name}"])
        recalls = matrices["original"].diagonal() / matrices["original"].sum(axis=1)
    assert m["balanced_accuracy_original"] == pytest.approx(recalls.mean())
    assert record.data["mnist_c"].startswith("drawn by the formula")
    (cifar,) = records_of(smoke, "classifier", dataset="cifar10", arm="mix", ratio="5:1")
    assert not any("mnist_c" in name for name in cifar.metrics)
    (tail,) = records_of(smoke, "classifier", dataset="mnist", arm="long_tail")
    assert 0 <= tail.metrics["tail_recall_original"] <= 1


def test_only_the_synthetic_images_change_with_their_scale(smoke):
    """Originals reach the network in [0, 1] as ever, synthetic images in [-1, 1] as they are drawn.

    Those to train on and those to test on, so that all have one type.
    """
    from replicate.runs.context import Context

    context = Context(Store(smoke), stand_in=True)
    (record,) = records_of(smoke, "classifier", dataset="mnist", arm="mix", ratio="5:1")
    settings = {**record.trial.settings, "scale": "signed"}
    signed = dataclasses.replace(record.trial, settings=settings)
    before, labels, tests, _ = load_sets(record.trial, context)
    after, labels_after, tests_after, _ = load_sets(signed, context)
    np.testing.assert_array_equal(labels, labels_after)
    np.testing.assert_allclose(after[:200], before[:200] / 255.0, atol=1e-6)
    np.testing.assert_allclose(after[200:], before[200:] / 127.5 - 1, atol=1e-6)
    assert after[200:].min() < -0.1 and before.dtype == np.uint8
    assert list(tests) == list(tests_after) and "mnist_c_5" in tests
    for name, (images, truth) in tests_after.items():
        np.testing.assert_array_equal(truth, tests[name][1])
        drawn = name in ("synthetic", "source/synthetic")
        expected = tests[name][0] / 127.5 - 1 if drawn else tests[name][0] / 255.0
        np.testing.assert_allclose(images, expected, atol=1e-6)
        assert images.dtype == after.dtype == np.float32 and tests[name][0].dtype == np.uint8


def test_a_step_matched_control_makes_as_many_steps(smoke):
    n = 200
    labels = np.tile(np.arange(10), 2 * n // 10)
    made = {
        arm: {
            (len(record.curves["train_loss"]), len(training_rows(record.trial, labels, n)))
            for record in records_of(smoke, "classifier", dataset="mnist", arm=arm)
        }
        for arm in ("mix", "transfer", "transfer_real", "step_matched")
    }
    assert made["mix"] == made["step_matched"] == {(2, n)}
    assert made["transfer"] == made["transfer_real"] == {(4, n)}


def test_held_out_images_are_in_no_training_set(smoke):
    """Neither original nor synthetic ones: a classifier's rows end before the images to test on."""
    from replicate.runs.context import Context

    context = Context(Store(smoke), stand_in=True)
    (record,) = records_of(smoke, "classifier", dataset="mnist", arm="mix", ratio="5:1")
    images, _, tests, _ = load_sets(record.trial, context)
    trained_on = {image.tobytes() for image in images}
    for name in ("original", "synthetic"):
        assert not trained_on & {image.tobytes() for image in tests[name][0]}


def test_sets_are_the_released_weights_own(smoke):
    """Anyone can draw a set again from the float16 weights, and its card says from which."""
    from replicate.data.synthetic import load_synthetic
    from replicate.runs.context import Context

    context = Context(Store(smoke), stand_in=True)
    for record in records_of(smoke, "synthetic"):
        stored = load_synthetic(Store(smoke).artifact(record, "set"))
        assert stored.images.dtype == np.uint8 and stored.card["key"] == record.key
        np.testing.assert_array_equal(stored.labels, synthetic_labels(record.trial.settings))
        again = cgan_ood.draw(record.trial, context, stored.labels)
        assert np.mean(again != stored.images) < 0.001  # rounding at the edge of a grey level
        assert np.abs(again.astype(int) - stored.images).max() <= 1


def test_pictures_of_the_judge(smoke):
    (record,) = records_of(smoke, "judge", dataset="mnist")
    with np.load(Store(smoke).artifact(record, "mnist_c")) as bundle:
        assert bundle["images"].shape == (60, 28, 28, 1)
        np.testing.assert_array_equal(bundle["labels"], np.tile(np.arange(10), 6))
        clean, *noisy = np.split(bundle["images"].astype(float), 6)
    errors = [np.abs(part - clean).mean() for part in noisy]
    assert errors == sorted(errors) and errors[0] > 1
    with np.load(Store(smoke).artifact(record, "examples")) as bundle:
        np.testing.assert_array_equal(bundle["labels"], np.repeat(np.arange(CLASSES), 4))


def test_held_out_images_reach_no_generator(monkeypatch):
    from replicate.data import load
    from replicate.runs.context import Context
    from replicate.training import generator

    data = load("mnist")
    seen = []

    def keep(trial, context, model, images, labels, order, *rest, **more):
        seen.append({image.tobytes() for image in np.rint((images + 1) * 127.5).astype(np.uint8)})
        raise InterruptedError  # what comes after training is not of interest

    monkeypatch.setattr(generator, "run_generator_trial", keep)
    trials = of(planned("--dataset=mnist", "--generators=1", "--replicates=1"), "generator")
    with pytest.raises(InterruptedError):
        list(cgan_ood.run_generators(trials, Context(Store("nowhere"))))
    held_out = {image.tobytes() for image in data.test.images}
    assert len(held_out) == 10_000 and len(seen[0]) > 59_000 and not seen[0] & held_out
    real = real_images(data, trials[0].settings)
    assert {image.tobytes() for image in real["test"][0]} == held_out
