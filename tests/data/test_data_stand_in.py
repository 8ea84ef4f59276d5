"""The drawn stand-in data set."""

import numpy as np
import pytest

from replicate.data import CATALOGUE, load
from replicate.data.stand_in import draw_stand_in

LARGE = (("train", 2000), ("test", 500))


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_stand_in_has_the_shape_and_classes_and_says_what_it_is(name):
    entry = CATALOGUE[name]
    drawn, again = draw_stand_in(entry), draw_stand_in(entry)
    assert drawn.route == "stand_in" and entry.title in drawn.deviations[0]
    for split, count in (("train", 280), ("test", 76)) if name == "fids30" else LARGE:
        part = getattr(drawn, split)
        assert part.images.shape == (count, *entry.image_shape) and part.images.dtype == np.uint8
        assert len(set(np.bincount(part.labels)) | {count // 10}) <= 2
        assert set(part.labels) == set(range(10))
        assert part.sha256 == getattr(again, split).sha256
    train = {image.tobytes() for image in drawn.train.images}
    assert not any(image.tobytes() in train for image in drawn.test.images)


def test_stand_ins_differ_between_data_sets():
    assert (
        draw_stand_in(CATALOGUE["mnist"]).train.sha256
        != draw_stand_in(CATALOGUE["fashion_mnist"]).train.sha256
    )


def test_stand_in_is_the_same_on_every_machine():
    pinned = "7ca1e9b9b2aab11c7e44d4ca0bde6fc7d78bb5ba566c7620abcb430c948e0614"
    assert draw_stand_in(CATALOGUE["mnist"]).train.sha256 == pinned


def test_small_network_learns_the_stand_in():
    import keras

    keras.utils.set_random_seed(0)
    data = draw_stand_in(CATALOGUE["cifar10"])
    network = keras.Sequential(
        [
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(16, 5, strides=2, activation="relu"),
            keras.layers.Conv2D(32, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss, metrics=["accuracy"])
    network.fit(data.train.images, data.train.labels, batch_size=50, epochs=2, verbose=0)
    _, accuracy = network.evaluate(data.test.images, data.test.labels, verbose=0)
    assert accuracy > 0.5  # chance is 0.1


def test_load_prefers_real_data_to_the_stand_in(world):
    world.write_package()
    assert load("shapes", stand_in=True).route == "package"
