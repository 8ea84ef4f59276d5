"""Augmentation against the authors' outputs, a slow re-expression, and what transforms mean."""

from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import scipy.signal
import tensorflow as tf

from replicate.training.ada import POLICIES, adjusted_probability, augment
from replicate.training.ada.draws import Draws
from replicate.training.ada.geometry import ORDER, WAVELET, inverse_maps, margins, warp

FIXTURE = Path(__file__).parents[1] / "models" / "stylegan2_reference.npz"


@pytest.fixture(scope="module")
def reference():
    with np.load(FIXTURE) as file:
        return {name[4:]: array for name, array in file.items() if name.startswith("ada.")}


def nhwc(images):
    return np.transpose(images, (0, 2, 3, 1)).astype(np.float32)


def images_of(count=4, height=8, width=8, channels=3, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return tf.constant(rng.uniform(-1, 1, (count, height, width, channels)).astype(dtype))


def test_every_array_of_the_authors_code(reference):
    names = [*POLICIES["bgc"], "bgc"]
    assert set(reference) == {"in"} | {f"{n}.pct{p}" for n in names for p in (0.3, 0.8)}
    assert reference["in"].shape == (4, 3, 32, 32)
    for key in (key for key in reference if key != "in"):
        policy, percentile = key.split(".pct")
        drawn = augment(nhwc(reference["in"]), 1.0, policy=policy, percentile=float(percentile))
        np.testing.assert_allclose(drawn, nhwc(reference[key]), atol=1e-4, rtol=0, err_msg=key)


def slow_warp(images, inverse):
    """Mirror, put zeros between, filter, interpolate, filter, drop: one image at a time."""
    height, width = images.shape[1:3]
    corners = np.array(
        [[sx * (width - 1) / 2, sy * (height - 1) / 2, 1] for sx in (-1, 1) for sy in (-1, 1)]
    )
    reach = np.einsum("nij,kj->nki", inverse, corners)[..., :2].reshape(-1, 2)
    filters = np.outer(WAVELET, WAVELET) / WAVELET.sum() ** 2
    pads = []
    for axis, side in enumerate((width, height)):
        needed = [(sign * reach[:, axis]).max() + 6 - (side - 1) / 2 for sign in (-1, 1)]
        pads.append([int(np.ceil(np.clip(value, 0, side - 1))) for value in needed])
    (left, right), (top, bottom) = pads
    y, x = np.mgrid[: 2 * (height + 6), : 2 * (width + 6)]
    x, y = (x + 0.5) / 2 - (width + 6) / 2 + 0.25, (y + 0.5) / 2 - (height + 6) / 2 + 0.25
    result = np.empty(images.shape)
    for n, c in np.ndindex(len(images), images.shape[-1]):
        padded = np.pad(images[n, ..., c], ((top, bottom), (left, right)), "reflect")
        spread = np.zeros([2 * side for side in padded.shape])
        spread[::2, ::2] = padded
        big = scipy.signal.convolve(np.pad(spread, ((6, 5), (6, 5))), 4 * filters, "valid")
        source = np.einsum("ij,jyx->iyx", inverse[n], np.stack([x, y, np.ones_like(x)]))
        source_x = 2 * (source[0] + (left - right) / 2) - 0.5 + big.shape[1] / 2 - 0.5
        source_y = 2 * (source[1] + (top - bottom) / 2) - 0.5 + big.shape[0] / 2 - 0.5
        seen = scipy.ndimage.map_coordinates(
            big, [source_y, source_x], order=1, mode="grid-constant", cval=0.0
        )
        result[n, ..., c] = scipy.signal.correlate(seen[1:-1, 1:-1], filters, "valid")[::2, ::2]
    return result


@pytest.mark.parametrize("most", [0.2, 3.0])
def test_warp_of_unlike_maps_against_a_slow_one(most):
    """Images of a batch share their margins; far maps need more than there is to mirror."""
    rng = np.random.default_rng(0)
    images = images_of(5, 6, 9, 2, dtype=np.float64)
    inverse = np.tile(np.eye(3), (5, 1, 1))
    inverse[:, :2] += rng.uniform(-most, most, (5, 2, 3)) * [1, 1, 4]
    out = warp(images, tf.constant(inverse, tf.float32))
    np.testing.assert_allclose(out, slow_warp(images.numpy(), inverse), atol=1e-4)


def test_margins_by_hand():
    half = tf.constant([[[0.5, 0, 0], [0, 0.5, 0], [0, 0, 1]]])
    before, after = margins(half, 9, 17)  # corners at (4, 2) of (8, 4)
    assert [before.numpy().tolist(), after.numpy().tolist()] == [[2, 4], [2, 4]]
    shift = tf.constant([[[1.0, 0, 30.0], [0, 1, -1.5], [0, 0, 1]]])
    before, after = margins(tf.concat([half, shift], 0), 9, 17)
    assert [before.numpy().tolist(), after.numpy().tolist()] == [[2, 8], [16, 5]]


def test_probability_zero_changes_nothing():
    images = images_of(3, 7, 10)
    np.testing.assert_allclose(augment(images, 0.0, seed=[1, 2]), images, atol=1e-5)


def test_equal_seeds_give_equal_images_in_graphs_of_open_batch():
    images = images_of(6)
    spec = [tf.TensorSpec((None, 8, 8, 3)), tf.TensorSpec(()), tf.TensorSpec((2,), tf.int32)]
    run = tf.function(augment, input_signature=spec)
    first = augment(images, 0.7, seed=[3, 4])
    np.testing.assert_allclose(run(images, 0.7, tf.constant([3, 4])), first, atol=1e-5)
    assert np.abs(first - augment(images, 0.7, seed=[3, 5])).max() > 0.1
    same = augment(tf.repeat(images[:1], 6, axis=0), 0.7, seed=[3, 4]).numpy()
    assert len(np.unique(same.round(4), axis=0)) > 3, "images do not have draws of their own"


@pytest.mark.parametrize("policy", ["xflip", "rotate90"])
def test_moves_and_how_often(policy):
    one = images_of(1, 6, 6)[0]
    out = augment(tf.repeat(one[None], 400, axis=0), 0.6, seed=[0, 0], policy=policy).numpy()
    if policy == "xflip":
        known = [one, one[:, ::-1]]
    else:
        known = [np.rot90(one, turns) for turns in range(4)]
    distances = np.abs(out[:, None] - np.stack(known)).max(axis=(2, 3, 4))
    # The wavelet is not quite symmetric, so that mirrored noise is not quite mirrored.
    nearest, next_best = np.sort(distances, axis=1)[:, :2].T
    assert nearest.max() < 0.4 and next_best.min() > 1 and distances.min(axis=0).max() < 0.4
    shares = np.bincount(distances.argmin(axis=1), minlength=len(known)) / 400
    np.testing.assert_allclose(shares[1:], 0.6 / len(known), atol=0.07)


def test_shares_and_spreads_of_the_draws():
    n = 4000
    draws = Draws(n, 0.4, seed=[5, 6])
    turned = np.abs([draws.angle(name) for name in ("rotate", "rotate_after")]) > 0
    np.testing.assert_allclose(turned.any(axis=0).mean(), 0.4, atol=0.03)
    np.testing.assert_allclose(turned.mean(axis=1), 1 - 0.6**0.5, atol=0.03)
    everyone = Draws(n, 1.0, seed=[5, 6])
    for name, spread in (("scale", 0.2), ("saturation", 1.0)):
        logs = np.log2(everyone.factor(name, spread))
        assert abs(logs.mean()) < 0.06 * spread and abs(logs.std() / spread - 1) < 0.05, name
    angles = everyone.angle("hue").numpy()
    assert abs(angles.mean()) < 0.1 and abs(angles.std() - np.pi / 3**0.5) < 0.05
    matrix = np.corrcoef([everyone.uniform(name)[0] for name in POLICIES["bgc"]])
    assert np.abs(matrix - np.eye(len(matrix))).max() < 0.08, "draws depend on one another"


def test_shifts_are_whole_and_in_proportion():
    draws = Draws(500, 1.0, seed=[0, 1])
    whole = inverse_maps(draws, ("xint",), 16, 40).numpy()[:, :2, 2]
    np.testing.assert_array_equal(whole, whole.round())
    assert np.abs(whole).max(axis=0).tolist() == [5, 2]
    fractional = inverse_maps(draws, ("xfrac",), 16, 40).numpy()[:, :2, 2]
    np.testing.assert_allclose(fractional.std(axis=0), [5, 2], rtol=0.1)


def test_two_images_of_grey_are_one():
    """A grey image as one channel and as three equal ones."""
    grey = images_of(3, 6, 6, 1)
    colour = augment(tf.repeat(grey, 3, axis=-1), 1.0, percentile=0.8)
    for channel in range(3):
        out = augment(grey, 1.0, percentile=0.8)
        np.testing.assert_allclose(colour[..., channel : channel + 1], out, atol=1e-4)


def test_gradients_of_first_and_second_order():
    """The pipeline is affine: its gradient is the transpose of its differences, exactly."""
    images, change = images_of(3, seed=1, dtype=np.float64), images_of(3, seed=2, dtype=np.float64)
    weights = images_of(3, seed=3, dtype=np.float64)

    def run(x):
        return augment(x, 0.8, seed=[1, 1])

    @tf.function
    def slopes():
        with tf.GradientTape() as outer:
            outer.watch(weights)
            with tf.GradientTape() as tape:
                tape.watch(images)
                total = tf.reduce_sum(run(images) * weights)
            gradient = tape.gradient(total, images)
            length = tf.reduce_sum(gradient**2)
        return gradient, length, outer.gradient(length, weights)

    gradient, length, second = slopes()
    moved = run(images + change) - run(images)
    assert float(tf.reduce_sum(moved**2)) > 1
    np.testing.assert_allclose(
        tf.reduce_sum(gradient * change), tf.reduce_sum(moved * weights), rtol=1e-6
    )
    # The squared length of J'w has the slope 2 J J'w along w.
    expected = 2 * (run(images + gradient) - run(images))
    np.testing.assert_allclose(second, expected, atol=1e-4)
    np.testing.assert_allclose(tf.reduce_sum(second * weights), 2 * length, rtol=1e-5)


def test_probability_follows_the_sign():
    for mean, expected in ((0.9, 0.3 + 0.0005), (0.1, 0.3 - 0.0005), (0.6, 0.3)):
        new = adjusted_probability(0.3, mean, 0.6, 250, 500_000)
        np.testing.assert_allclose(new, expected, rtol=1e-6)
    assert float(adjusted_probability(0.0001, 0.0, 0.6, 250, 500_000)) == 0.0
    assert float(adjusted_probability(1.0, 1.0, 0.6, 250, 500_000)) > 1.0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"policy": "bgx", "seed": [0, 0]}, r"Received: \['bgx'\]"),
        ({"policy": "xflip,blur", "seed": [0, 0]}, r"Received: \['blur'\]"),
        ({}, "Received: seed=None, percentile=None"),
        ({"seed": [0, 0], "percentile": 0.5}, "percentile=0.5"),
        ({"seed": [0, 0], "channels": 2}, r"Received: shape=\(4, 8, 8, 2\)"),
    ],
)
def test_wrong_arguments_are_refused(arguments, expected):
    images = images_of(channels=arguments.pop("channels", 3))
    with pytest.raises(ValueError, match=expected):
        augment(images, 0.5, **arguments)


def test_policies_are_the_authors():
    assert POLICIES["bg"] == ("xflip", "rotate90", "xint", "scale", "rotate", "aniso", "xfrac")
    assert set(ORDER) - {"rotate_after"} == set(POLICIES["bg"])
    assert POLICIES["bgc"] == POLICIES["bg"] + POLICIES["color"]
    np.testing.assert_array_equal(
        augment(images_of(), 1.0, seed=[0, 0], policy="none"), images_of()
    )
