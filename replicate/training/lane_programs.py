"""What one lane executes: a compiled training loop that many networks of one form share.

A program is traced once for each form of network (same layers, optimizer, loss and batch size).
A network's weights and states are arguments of the trace, so any number of lanes run it side by
side, and a lane computes exactly the same whatever its neighbours do.
"""

import functools
import json

import keras
import numpy as np
import tensorflow as tf

from replicate.training.optimizers import complete_spec, fused_update, make_optimizer

EVAL_BATCH = 500


class Resident:
    """Images and labels held once for all lanes.

    Args:
        images: `(n, height, width, channels)` of any numeric type.
        labels: `(n,)` integers.
        scale: Factor on pixel values, a number or one a channel. None means 1/255 for uint8 images
            and 1 otherwise.
        offset: Added after scaling, a number or one a channel.
    """

    def __init__(self, images, labels, scale=None, offset=0.0):
        if len(images) != len(labels):
            raise ValueError(
                "Expected as many labels as images. "
                f"Received: {len(images)} images, {len(labels)} labels"
            )
        self.scale = np.float32(1 / 255 if images.dtype == np.uint8 else 1)
        if scale is not None:
            self.scale = np.asarray(scale, np.float32)
        self.offset = np.asarray(offset, np.float32)
        self.array = np.asarray(images)
        self.labels = tf.constant(np.asarray(labels), tf.int32)

    @functools.cached_property
    def images(self):
        """The images as a tensor, made at the first use: a fast lane holds them in another form."""
        with tf.init_scope():
            return tf.constant(self.array)

    def scaled(self, images):
        """Returns pixel values as float32 network inputs."""
        x = tf.cast(images, tf.float32)
        x = x if np.all(self.scale == 1) else x * self.scale
        return x if np.all(self.offset == 0) else x + self.offset


def unsupported(model):
    """Returns why a network cannot train in a traced lane, or None if it can.

    Sequential and functional models of Keras' own layers (or of this package's) can; what a model
    computes outside the layers' calls cannot be carried over.
    """
    if type(model).train_step is not keras.Model.train_step:
        return "its class has a train_step of its own"
    if not isinstance(model, keras.Sequential) and type(model).__name__ != "Functional":
        return "it is a subclassed model"
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        return "it has several inputs or outputs"
    if model.losses:
        return "it adds losses (regularizers) of its own"
    for layer in model._flatten_layers(include_self=False):
        if type(layer).__module__.split(".")[0] not in ("keras", "replicate"):
            return f"layer {layer.name!r} is of an unknown class {type(layer).__name__}"
    if any(v.dtype != "float32" for v in model.trainable_variables):
        return "it has trainable weights that are not float32"
    return None


def form_of(model):
    """Returns a string that is equal for networks of the same layers, whatever their weights."""
    names = {layer.name: f"layer_{i}" for i, layer in enumerate(model._flatten_layers())}

    def canonical(value):
        if isinstance(value, dict):
            return {
                k: canonical(v)
                for k, v in value.items()
                if not k.endswith("_initializer") and k != "seed"
            }
        if isinstance(value, list | tuple):
            return [canonical(v) for v in value]
        return names.get(value, value) if isinstance(value, str) else value

    return json.dumps(canonical(json.loads(model.to_json())), sort_keys=True)


def example_losses(labels, outputs, from_logits):
    """Returns the sparse categorical cross-entropy of each image, `(batch,)`."""
    return keras.ops.sparse_categorical_crossentropy(labels, outputs, from_logits=from_logits)


def count_hits(labels, outputs):
    """Returns how many images have their largest output at their label."""
    guess = tf.argmax(outputs, axis=-1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(tf.equal(guess, labels), tf.int32))


class LaneState:
    """All that training changes in one network.

    Args:
        weights: Trainable weights, one variable or a list of tensors.
        slots: The optimizer's two states, each as the weights are.
        rest: Tensors of the other variables: running statistics, states of random layers.
    """

    def __init__(self, weights, slots, rest):
        self.weights, self.slots, self.rest = weights, slots, rest
        self.step = tf.constant(0)

    @property
    def variables(self):
        """All of it as variables, in a fixed order, as `Checkpoints` saves and restores them."""
        found = [_Place(vars(self), "step")]
        for part in (self.weights, *self.slots, self.rest):
            places = isinstance(part, list)
            found += [_Place(part, i) for i in range(len(part))] if places else [part]
        return found


class _Place:
    """Where a tensor is held, as a variable: assigning puts another tensor there."""

    def __init__(self, holder, place):
        self.holder, self.place = holder, place
        self.shape = holder[place].shape

    def numpy(self):
        return self.holder[self.place].numpy()

    def assign(self, value):
        self.holder[self.place] = tf.constant(value)


class GraphProgram:
    """General lane: any supported network, by gradient tape, with one fused optimizer update.

    Args:
        model: A network of the form; its weights are not used.
        job: A `LaneJob`, for optimizer, loss and batch size.
        data: `Resident` images.
    """

    route = "graph"

    def __init__(self, model, job, data):
        self.model = model
        self.data = data
        self.from_logits = job.from_logits
        self.spec = complete_spec(job.optimizer)
        self.shapes = [tuple(v.shape) for v in model.trainable_variables]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.batch_size = job.batch_size
        self._whole = tf.function(self._train)
        self._partial = tf.function(self._train, reduce_retracing=True)
        self._outputs = tf.function(self._forward, reduce_retracing=True)

    def start(self, model):
        """Returns the training state of a freshly built network."""
        flat = np.concatenate(
            [keras.ops.convert_to_numpy(v).ravel() for v in model.trainable_variables]
        )
        return LaneState(
            weights=tf.Variable(flat),
            slots=[tf.Variable(tf.zeros_like(flat)) for _ in range(2)],
            rest=[tf.identity(v.value) for v in model.non_trainable_variables],
        )

    def owners(self, state):
        """Returns what a checkpoint holds of a state, by the route, which must not change."""
        return {self.route: state}

    def train(self, state, batches, labels, images=None):
        """Trains on consecutive batches.

        Args:
            state: What `start` returned; it is advanced.
            batches: `(steps, batch)` int32 indices of images.
            labels: `(n,)` int32 labels of all images.
            images: A tensor of images in place of the resident ones.

        Returns:
            Mean loss and number of hits of each batch, each `(steps,)`.
        """
        function = self._whole if batches.shape[1] == self.batch_size else self._partial
        state.rest, losses, hits = function(
            state.weights.handle,
            [slot.handle for slot in state.slots],
            state.rest,
            state.step,
            tf.constant(batches),
            labels,
            self.data.images if images is None else images,
        )
        state.step += len(batches)
        return losses.numpy(), hits.numpy()

    def outputs(self, state, images):
        """Returns the network's outputs for raw images, in inference mode."""
        trainable, rest = self.variables(state)
        return self._outputs(trainable, rest, images)

    def variables(self, state):
        """Returns the trainable and the other variables' values."""
        return self._unflatten(state.weights.value()), state.rest

    def weights(self, state):
        """Returns all weights in the order of `model.get_weights()`."""
        trainable, rest = self.variables(state)
        values = {id(v): a for v, a in zip(self.model.trainable_variables, trainable, strict=True)}
        values |= {id(v): a for v, a in zip(self.model.non_trainable_variables, rest, strict=True)}
        return [values[id(v)].numpy() for v in self.model.weights]

    def _train(self, weights, slots, rest, first, batches, labels, images):
        steps = tf.shape(batches)[0]

        def body(i, rest, losses, hits):
            index = batches[i]
            x = self.data.scaled(tf.gather(images, index))
            y = tf.gather(labels, index)
            flat = tf.raw_ops.ReadVariableOp(resource=weights, dtype=tf.float32)
            flat = tf.ensure_shape(flat, [sum(self.sizes)])
            with tf.GradientTape() as tape:
                tape.watch(flat)
                outputs, rest = self.model.stateless_call(
                    self._unflatten(flat), rest, x, training=True
                )
                loss = tf.reduce_mean(example_losses(y, outputs, self.from_logits))
            gradient = tape.gradient(loss, flat)
            step = tf.cast(first + i + 1, tf.float32)
            fused_update(self.spec, step, weights, slots, gradient)
            hits = hits.write(i, count_hits(y, outputs))
            return i + 1, [tf.convert_to_tensor(v) for v in rest], losses.write(i, loss), hits

        _, rest, losses, hits = tf.while_loop(
            lambda i, *_: i < steps,
            body,
            (0, rest, tf.TensorArray(tf.float32, steps), tf.TensorArray(tf.int32, steps)),
            parallel_iterations=1,
        )
        return rest, losses.stack(), hits.stack()

    def _forward(self, trainable, rest, images):
        outputs, _ = self.model.stateless_call(
            trainable, rest, self.data.scaled(images), training=False
        )
        return outputs

    def _unflatten(self, flat):
        parts = tf.split(flat, self.sizes)
        return [tf.reshape(part, shape) for part, shape in zip(parts, self.shapes, strict=True)]


class KerasProgram:
    """Fallback lane: Keras' own training step, for networks that cannot be traced as a lane."""

    route = "keras"

    def __init__(self, model, job, data):
        self.job = job
        self.data = data

    def start(self, model):
        """Compiles the network and returns it as its own state."""
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=self.job.from_logits)
        model.compile(optimizer=make_optimizer(self.job.optimizer), loss=loss, metrics=["accuracy"])
        return model

    def owners(self, model):
        """Returns what a checkpoint holds of a built network; see `GraphProgram.owners`."""
        model.optimizer.build(model.trainable_variables)
        return {self.route: model, "optimizer": model.optimizer}

    def train(self, model, batches, labels, images=None):
        """Trains on consecutive batches; see `GraphProgram.train`."""
        images = self.data.images if images is None else images
        losses, hits = [], []
        for index in batches:
            x = self.data.scaled(tf.gather(images, index))
            model.reset_metrics()
            logs = model.train_on_batch(x, tf.gather(labels, index), return_dict=True)
            losses.append(logs["loss"])
            hits.append(round(float(logs["accuracy"]) * len(index)))
        return np.array(losses, np.float32), np.array(hits, np.int32)

    def outputs(self, model, images):
        """Returns the network's outputs for raw images, in inference mode."""
        return model(self.data.scaled(images), training=False)

    def weights(self, model):
        """Returns all weights in the order of `model.get_weights()`."""
        return model.get_weights()
