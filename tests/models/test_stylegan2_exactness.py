"""Outputs of the authors' code, and of a slow NumPy re-expression where those do not reach."""

from pathlib import Path

import numpy as np
import pytest
import stylegan2_numpy as slow
import tensorflow as tf

from replicate.models.stylegan2 import Discriminator, Generator, cifar, from_official, to_official

FIXTURE = Path(__file__).with_name("stylegan2_reference.npz")
EXACT = {"rtol": 0, "atol": 1e-4}


@pytest.fixture(scope="module")
def reference():
    with np.load(FIXTURE) as file:
        return dict(file)


@pytest.fixture(scope="module")
def networks(reference):
    return from_official(reference)


def nchw(images):
    return np.transpose(np.asarray(images), (0, 3, 1, 2))


def nhwc(images):
    return np.transpose(images, (0, 2, 3, 1)).astype(np.float32)


def r1(discriminator, x, c):
    """Squared gradient norm of the summed logits, an image each."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(discriminator(x, c))
    return tf.reduce_sum(tape.gradient(total, x) ** 2, axis=(1, 2, 3))


@pytest.mark.parametrize(("psi", "key"), [(1.0, "out.w"), (0.7, "out.w_psi0.7")])
def test_mapping(reference, networks, psi, key):
    w = networks[0].mapping(reference["in.z"], reference["in.c"], truncation_psi=psi)
    assert w.shape == (6, 8, 64)
    np.testing.assert_allclose(w, reference[key], **EXACT)


@pytest.mark.parametrize(
    ("key", "options"),
    [
        ("out.img_const", {}),
        ("out.img_const", {"noise_mode": "const"}),
        ("out.img_psi0.7", {"truncation_psi": 0.7}),
        ("out.img_none", {"noise_mode": "none"}),
    ],
)
def test_images(reference, networks, key, options):
    images = networks[0](reference["in.z"], reference["in.c"], **options)
    assert images.shape == (6, 32, 32, 3) and images.dtype == tf.float32
    np.testing.assert_allclose(nchw(images), reference[key], **EXACT)


def test_logits(reference, networks):
    logits = networks[1](nhwc(reference["in.x"]), reference["in.cx"])
    np.testing.assert_allclose(logits, reference["out.logits"], **EXACT)


def test_r1_per_image(reference, networks):
    penalty = r1(networks[1], tf.constant(nhwc(reference["in.x"])), reference["in.cx"])
    np.testing.assert_allclose(penalty, reference["out.r1_per_image"], **EXACT)


def test_numpy_oracle_agrees_with_the_authors_code(reference):
    images = slow.generator(reference, reference["in.z"], reference["in.c"])
    np.testing.assert_allclose(images, reference["out.img_const"], **EXACT)
    logits = slow.discriminator(reference, reference["in.x"], reference["in.cx"])
    np.testing.assert_allclose(logits, reference["out.logits"], **EXACT)


def test_round_trip_of_the_official_layout(reference, networks):
    back = to_official(*networks)
    own = {name for name in reference if name[:2] in ("G.", "D.")}
    assert set(back) == {name for name in own if not name.endswith("resample_filter")}
    for name, array in back.items():
        np.testing.assert_array_equal(array, reference[name], err_msg=name)


def shaken(network, seed):
    """Every weight moved, so that zeros and ones do not hide mistakes."""
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        variable.assign_add(0.3 * rng.standard_normal(variable.shape))
    return network


@pytest.mark.parametrize(("clamp", "c_dim"), [(None, 0), (0.4, 3)])
def test_generator_against_numpy(clamp, c_dim):
    generator = Generator(
        (7, 6, 5), z_dim=9, c_dim=c_dim, mapping_widths=(8, 4, 5), embed_dim=3, img_channels=2,
        conv_clamp=clamp,
    )  # fmt: skip
    shaken(generator, 0)
    arrays = to_official(generator, shaken(Discriminator((3, 3)), 1))
    rng = np.random.default_rng(2)
    z = rng.standard_normal((4, 9)).astype(np.float32)
    c = np.eye(c_dim, dtype=np.float32)[[0, 1, 2, 1]] if c_dim else None
    expected = slow.generator(arrays, z, c, clamp=clamp)
    np.testing.assert_allclose(nchw(generator(z, c)), expected, **EXACT)
    bound = np.abs(slow.generator(arrays, z, c)).max()
    assert clamp is None or np.abs(expected).max() < bound, "the clamp did not act"


@pytest.mark.parametrize(
    ("architecture", "clamp", "c_dim", "group", "maps"),
    [("orig", 0.4, 0, 4, 2), ("resnet", None, 3, 3, 1), ("resnet", 0.4, 3, 32, 0)],
)
def test_discriminator_against_numpy(architecture, clamp, c_dim, group, maps):
    discriminator = Discriminator(
        (6, 5, 4), c_dim=c_dim, architecture=architecture, mbstd_group_size=group,
        mbstd_num_channels=maps, conv_clamp=clamp, img_channels=2,
    )  # fmt: skip
    other = Generator((3, 3), z_dim=4, mapping_widths=(4,))
    arrays = to_official(other, shaken(discriminator, 1))
    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (12, 2, 16, 16))
    c = np.eye(c_dim, dtype=np.float32)[rng.integers(0, 3, 12)] if c_dim else None
    expected = slow.discriminator(arrays, x, c, group, clamp)
    np.testing.assert_allclose(discriminator(nhwc(x), c), expected, rtol=1e-5, atol=1e-4)
    built = from_official(arrays, {"mbstd_group_size": group, "conv_clamp": clamp})[1]
    assert (built.architecture, built.mbstd_num_channels) == (architecture, maps)
    np.testing.assert_array_equal(built(nhwc(x), c), discriminator(nhwc(x), c))


def test_cifar_configuration():
    generator, discriminator = cifar()
    conv = 512 * 512 * 9 + 512
    affine = 512 * 512 + 512
    mapping = 11 * 512 + 1024 * 512 + 512 + affine
    synthesis = 512 * 16 + 7 * (conv + 1 + affine) + 4 * (affine + 3 * 512 + 3)
    count = sum(int(np.prod(v.shape)) for v in generator.trainable_variables)
    assert count == mapping + synthesis
    blocks = 6 * conv + 4 * 512 + (513 * 512 * 9 + 512) + (512 * 16 * 512 + 512) + affine
    count = sum(int(np.prod(v.shape)) for v in discriminator.trainable_variables)
    assert count == blocks + 11 * 512 + 8 * affine
    assert (discriminator.architecture, discriminator.mbstd_group_size) == ("orig", 32)
    assert generator.conv_clamp == discriminator.conv_clamp == 256


def test_fixture_network_is_a_reduced_cifar_network(reference):
    networks = cifar(channel_base=256, z_dim=64, w_dim=64)
    shapes = {name: array.shape for name, array in to_official(*networks).items()}
    assert shapes == {
        name: array.shape
        for name, array in reference.items()
        if name[:2] in ("G.", "D.") and not name.endswith("resample_filter")
    }
