import keras
import numpy as np
import pytest
import tensorflow as tf

from replicate.models.normalization import BatchNormalization


def pair(channels, **options):
    """Our layer and Keras' own, with the same weights that are not those of the start."""
    layers = BatchNormalization(**options), keras.layers.BatchNormalization(**options)
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.5, 2, channels).astype(np.float32) for _ in range(4)]
    for layer in layers:
        layer.build((None, 3, 3, channels))
        layer.set_weights(weights)
    return layers


def run(layer, x, training):
    """Outputs, gradients by input and trained weights, and all weights afterwards."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=training)
        total = tf.reduce_sum(y**3)
    slopes = tape.gradient(total, [x, layer.gamma.value, layer.beta.value])
    return [y, *slopes, *layer.get_weights()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("trainable", [True, False])
def test_everything_is_as_of_keras(training, trainable):
    x = tf.constant(np.random.default_rng(1).normal(3, 2, (4, 3, 5, 6)).astype(np.float32))
    found = []
    for layer in pair(6, momentum=0.7, epsilon=1e-5):
        layer.trainable = trainable
        found.append(run(layer, x, training))
    for ours, theirs in zip(*found, strict=True):
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=3e-6)


def test_training_takes_the_one_operation_and_vectors_do_not():
    def operations(shape):
        layer = BatchNormalization()
        layer.build(shape)
        graph = tf.function(lambda x: layer(x, training=True))
        graph = graph.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph
        return {operation.type for operation in graph.get_operations()}

    assert "FusedBatchNormV3" in operations((2, 3, 3, 4))
    assert "FusedBatchNormV3" not in operations((2, 4))
