import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.data import DataUnavailable, download
from replicate.evaluation import extractors
from replicate.evaluation.extractors import classifier_features, inception_imagenet

layers = keras.layers
IMAGES = np.random.default_rng(0).integers(0, 256, (23, 16, 16, 3), dtype=np.uint8)
SCALE, OFFSET = [0.01, 0.02, 0.03], [-1.0, 0.5, 2.0]


@pytest.fixture(scope="module")
def network():
    """Untrained, with moving statistics that inference must use."""
    keras.utils.set_random_seed(0)
    stack = []
    for filters in (6, 11):
        stack += [
            layers.Conv2D(filters, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
        ]
    stack += [layers.Flatten(), layers.Dropout(0.5), layers.Dense(10, activation="softmax")]
    model = keras.Sequential([keras.Input((16, 16, 3)), *stack])
    for layer in (model.layers[1], model.layers[4]):
        layer.moving_mean.assign(0.3 + 0 * layer.moving_mean)
        layer.moving_variance.assign(2.0 + 0 * layer.moving_variance)
    return model


def test_classifier_features_are_the_average_of_the_last_map(network):
    x = IMAGES.astype(np.float32) * np.float32(SCALE) + np.float32(OFFSET)
    for layer in network.layers[:6]:
        x = layer(x)
    expected = keras.ops.convert_to_numpy(x).mean(axis=(1, 2))
    extractor = classifier_features(network, SCALE, OFFSET)
    features = extractor.features(IMAGES)
    assert (extractor.name, extractor.dimension) == ("classifier", 11)
    assert features.shape == (23, 11) and features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 7, 22, 23, 1000])
def test_batch_size_does_not_matter(network, batch_size):
    extractor = classifier_features(network, 1 / 255)
    expected = extractor.features(IMAGES, batch_size=64)
    np.testing.assert_allclose(
        extractor.features(IMAGES, batch_size), expected, rtol=1e-5, atol=1e-6
    )


def test_the_classifier_is_left_as_it_was(network):
    before = [np.array(weight) for weight in network.get_weights()]
    classifier_features(network, 1 / 255).features(IMAGES)
    assert network.input_shape == (None, 16, 16, 3) and not network.compiled
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    "images, batch_size",
    [
        (IMAGES / np.float32(255), 8),
        (IMAGES[0], 8),
        (IMAGES[:0], 8),
        (IMAGES[..., :1], 8),
        (IMAGES[:, :8], 8),
        (IMAGES, 0),
    ],
)
def test_refuses_other_images(network, images, batch_size):
    with pytest.raises(ValueError, match=r"Expected uint8 images \(n, 16, 16, 3\).*shape="):
        classifier_features(network, 1 / 255).features(images, batch_size)


def test_refuses_models_and_scales_that_do_not_fit(network):
    flat = keras.Sequential([keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(10)])
    with pytest.raises(ValueError, match="Expected a model with a feature map"):
        classifier_features(flat, 1.0)
    with pytest.raises(ValueError, match="Expected scale: a finite number, or 3, one a channel"):
        classifier_features(network, [1.0, 2.0])
    with pytest.raises(ValueError, match="Received: offset=nan"):
        classifier_features(network, 1.0, float("nan"))


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """Random weights in the file format of Keras' own, and the network that holds them.

    At 75 pixels a side, the least that the network takes: weights do not depend on it.
    """
    keras.utils.set_random_seed(1)
    network = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(75, 75, 3), pooling="avg"
    )
    path = tmp_path_factory.mktemp("weights") / "random_notop.h5"
    network.save(path)
    return path, network, hashlib.md5(path.read_bytes()).hexdigest()


def test_inception_features(stand_in, monkeypatch):
    path, network, md5 = stand_in
    assert extractors.INCEPTION_SIZE == 299
    monkeypatch.setattr(extractors, "INCEPTION_SIZE", 75)
    monkeypatch.setattr(extractors, "INCEPTION_MD5", md5)
    extractor = inception_imagenet(path)
    assert (extractor.name, extractor.dimension) == ("inception_imagenet", 2048)
    images = IMAGES[:4, :, :9]
    features = extractor.features(images, batch_size=2)
    resized = tf.image.resize(images, (75, 75), "bilinear").numpy()
    expected = network(keras.applications.inception_v3.preprocess_input(resized)).numpy()
    assert features.shape == (4, 2048) and expected.std(axis=0).max() > 0
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-5)


HOW_TO = rf"Download {extractors.INCEPTION_FILE} from https://storage.* --inception_weights=<path>"


def test_inception_refuses_other_weights_and_says_how_to_get_them(stand_in, tmp_path):
    with pytest.raises(DataUnavailable, match=f"no file .*nowhere.h5. {HOW_TO}"):
        inception_imagenet(tmp_path / "nowhere.h5")
    with pytest.raises(DataUnavailable, match=rf"random_notop.h5 holds something else.*{HOW_TO}"):
        inception_imagenet(stand_in[0])


def test_inception_without_a_network_says_how_to_get_the_weights(tmp_path, monkeypatch):
    def silence(urls):
        raise DataUnavailable(f"{urls[0]}: no answer within 5 s")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(download, "probe", silence)
    with pytest.raises(DataUnavailable, match=f"no answer within 5 s. {HOW_TO}"):
        inception_imagenet()


def test_inception_reports_a_download_that_fails(tmp_path, monkeypatch):
    def broken(*_, **__):
        raise Exception("URL fetch failure: 403 -- Forbidden")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(download, "probe", lambda urls: None)
    monkeypatch.setattr(keras.utils, "get_file", broken)
    with pytest.raises(DataUnavailable, match=f"download failed .*403 -- Forbidden.*{HOW_TO}"):
        inception_imagenet()


def test_inception_takes_the_weights_that_keras_has_cached(tmp_path, monkeypatch):
    cached = tmp_path / "models" / extractors.INCEPTION_FILE
    cached.parent.mkdir()
    cached.write_bytes(b"half a download")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(download, "probe", None)  # not asked
    with pytest.raises(DataUnavailable, match=f"{cached} holds something else.*{HOW_TO}"):
        inception_imagenet()
