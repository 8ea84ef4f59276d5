"""Classifier lanes: many small networks train side by side at the machine's speed.

Every lane is a thread that runs a compiled loop of some hundred training steps a call; TensorFlow
computes without Python's lock, so two lanes keep two cores busy where one small network cannot.
All lanes share one resident array of images: a mix of real and synthetic images is a set of
indices, nothing is copied. Set TensorFlow's threads before it starts, as
`replicate.runs.worker.thread_profile` says.

A lane's result is the same bit for bit whatever the other lanes do, however many there are, and in
whichever order jobs come (under the same thread profile). A job may have checkpoints: a lane writes
one at the end of an epoch if the last is a minute old, so most classifiers, done in less, write
none. A lane that was killed goes on from there, to the same result bit for bit.
"""

import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from replicate.training.checkpoints import Checkpoints
from replicate.training.fast_lenet import FastLeNetProgram
from replicate.training.lane_programs import (
    EVAL_BATCH,
    GraphProgram,
    KerasProgram,
    Resident,
    example_losses,
    form_of,
    unsupported,
)
from replicate.training.optimizers import complete_spec

CHUNK_STEPS = 200
CURVES = {"train_loss", "train_accuracy", "batch_loss", "test_loss_curve", "test_accuracy_curve"}


@dataclasses.dataclass(frozen=True)
class LaneJob:
    """One classifier to train.

    Attributes:
        key: Names the job in its result; any hashable value.
        build: Makes the seeded, untrained network: `(batch, height, width, channels)` to
            `(batch, classes)`.
        indices: Epoch (from 0) to that epoch's order of resident images, `(n,)` integers; the
            order is taken as it is, in batches, the last one smaller if it must be.
        batch_size: Images in a batch.
        epochs: Number of epochs.
        optimizer: See `replicate.training.optimizers`.
        from_logits: Whether the network ends in logits rather than in a softmax.
        labels: Labels of all resident images, where this job has others (shuffled ones, say).
        dropout_seed: Seeds every random layer; None keeps the network's own states.
        record_batch_loss: Whether the result keeps the loss of every batch.
        evaluate_each_epoch: Whether the test curves have a point for each epoch.
        eval_images: Test images, where this job has others than the trainer's, of their kind.
        eval_labels: Their labels.
        keep_weights: Whether the result holds the final weights.
        epoch_data: Epoch (from 0) to images `(n, height, width, channels)` of the trainer's kind
            and labels `(n,)`, in the resident ones' place in that epoch; `indices` are theirs.
        probes_at: Epoch (from 1) to the names of the trainer's probe sets that the network is
            tested on after that epoch.
        checkpoints: Owners of variables to the `Checkpoints` that hold them; `indices`,
            `epoch_data` and `probes_at` then depend on the epoch alone, and the network is built.
            None: a lane that is stopped starts again. They are left to the caller to remove.
    """

    key: Any
    build: Callable[[], Any]
    indices: Callable[[int], np.ndarray]
    batch_size: int
    epochs: int
    optimizer: dict[str, Any] = dataclasses.field(default_factory=lambda: {"name": "adam"})
    from_logits: bool = True
    labels: np.ndarray | None = None
    dropout_seed: int | None = None
    record_batch_loss: bool = False
    evaluate_each_epoch: bool = False
    eval_images: np.ndarray | None = None
    eval_labels: np.ndarray | None = None
    keep_weights: bool = True
    epoch_data: Callable[[int], tuple[np.ndarray, np.ndarray]] | None = None
    probes_at: Callable[[int], Iterable[str]] = lambda epoch: ()
    checkpoints: Callable[[dict[str, Any]], Checkpoints] | None = None

    def __post_init__(self):
        if self.batch_size < 1 or self.epochs < 1:
            raise ValueError(
                "Expected batch_size and epochs of at least 1. "
                f"Received: batch_size={self.batch_size}, epochs={self.epochs}"
            )
        if (self.eval_images is None) != (self.eval_labels is None):
            raise ValueError(
                "Expected eval_images and eval_labels together. Received: only one of them"
            )
        complete_spec(self.optimizer)


@dataclasses.dataclass(frozen=True)
class Probed:
    """A network on one probe set after one epoch.

    Attributes:
        loss: Mean cross-entropy.
        accuracy: Fraction right.
        predictions: Class given to each image, `(n,)` int64.
        outputs: The network's outputs, `(n, classes)` float32.
    """

    loss: float
    accuracy: float
    predictions: np.ndarray
    outputs: np.ndarray


@dataclasses.dataclass
class LaneResult:
    """What one job gave.

    Attributes:
        job: The job.
        route: "fast", "graph" or "keras": how it was trained.
        train_loss: Mean loss over the images of each epoch, `(epochs,)`, float64.
        train_accuracy: Share of hits during each epoch (dropout on), `(epochs,)`, float64.
        batch_loss: Loss of every batch, float32, or None.
        test_loss_curve: Test loss after each epoch, empty unless asked for.
        test_accuracy_curve: Test accuracy after each epoch, empty unless asked for.
        test_loss: Mean test loss of the final network; NaN without test images.
        test_accuracy: Fraction right of the final network; NaN without test images.
        predictions: Class given to each test image, `(n,)` int64, or None.
        weights: Final weights in the order of `model.get_weights()`, or None.
        probes: (name of a probe set, epoch from 1) to what the network made of it.
        wall_seconds: Time in the lane, neighbours included, and in lanes of earlier processes up
            to their checkpoints.
        error: The exception that ended the job, or None; then nothing else is filled in.
    """

    job: LaneJob
    route: str = ""
    train_loss: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    train_accuracy: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))
    batch_loss: np.ndarray | None = None
    test_loss_curve: list[float] = dataclasses.field(default_factory=list)
    test_accuracy_curve: list[float] = dataclasses.field(default_factory=list)
    test_loss: float = float("nan")
    test_accuracy: float = float("nan")
    predictions: np.ndarray | None = None
    weights: list[np.ndarray] | None = None
    probes: dict[tuple[str, int], Probed] = dataclasses.field(default_factory=dict)
    wall_seconds: float = 0.0
    error: BaseException | None = None

    def arrays(self) -> dict[str, np.ndarray]:
        """What was measured up to some epoch, as a checkpoint keeps it."""
        found = {name: getattr(self, name) for name in CURVES if getattr(self, name) is not None}
        for (name, epoch), probed in self.probes.items():
            found |= {_probe_path(name, epoch, part): v for part, v in vars(probed).items()}
        return found

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Takes what `arrays` gave, probes in the order in which they were taken."""
        for name in CURVES & arrays.keys():
            listed = isinstance(getattr(self, name), list)
            setattr(self, name, arrays[name].tolist() if listed else arrays[name])
        parts = [field.name for field in dataclasses.fields(Probed)]
        for epoch in range(1, len(self.train_loss) + 1):
            for name in self.job.probes_at(epoch):
                values = [arrays[_probe_path(name, epoch, part)] for part in parts]
                self.probes[name, epoch] = Probed(*(v if v.ndim else v.item() for v in values))


def _probe_path(name, epoch, part):
    return f"probe/{name}/{epoch}/{part}"


class LaneTrainer:
    """Trains jobs in lanes over resident images.

    Args:
        images: `(n, height, width, channels)`, real and synthetic together, uint8 or float32.
        labels: `(n,)` integers.
        eval_images: Test images in the same range of pixel values, or None.
        eval_labels: Their labels.
        lanes: Networks trained side by side.
        scale: Factor on pixel values, a number or one a channel. None means 1/255 for uint8
            images and 1 otherwise.
        offset: Added after scaling, a number or one a channel.
        fast: Whether networks with a faster equivalent of their own are trained by it.
        probes: Name to images and labels of further test sets, see `LaneJob.probes_at`.
        checkpoint_seconds: A lane whose job has checkpoints writes one at the end of an epoch if
            the last is as old as this. No result depends on it.

    Raises:
        ValueError: If the scale is told by the type, and test images are uint8 and the resident
            ones are not, or the reverse.
    """

    def __init__(
        self,
        images,
        labels,
        eval_images=None,
        eval_labels=None,
        lanes=2,
        scale=None,
        offset=0.0,
        fast=True,
        probes=None,
        checkpoint_seconds=60.0,
    ):
        if lanes < 1:
            raise ValueError(f"Expected at least one lane. Received: lanes={lanes}")
        self.data = Resident(images, labels, scale, offset)
        self._scale_by_type = scale is None
        self.test = None
        if eval_images is not None:
            self.test = self._alike("test images", eval_images, eval_labels)
        self.probes = {
            name: self._alike(f"test images of {name!r}", *arrays)
            for name, arrays in (probes or {}).items()
        }
        self.lanes = lanes
        self.fast = fast
        self.checkpoint_seconds = checkpoint_seconds
        self._programs = {}
        self._programs_lock = threading.Lock()
        self._stopped = threading.Event()

    def run(self, jobs: Iterable[LaneJob]) -> Iterator[LaneResult]:
        """Trains all jobs and yields each result as its lane ends.

        A job that fails yields a result with its `error`; the others go on. Networks are built in
        the calling thread, one ahead of the lanes. Closing the iterator stops the lanes.
        """
        self._stopped.clear()
        pool = concurrent.futures.ThreadPoolExecutor(self.lanes, thread_name_prefix="lane")
        pending = set()
        try:
            for job in jobs:
                pending.add(pool.submit(self._guarded, job, *_build(job)))
                if len(pending) > self.lanes:
                    done, pending = concurrent.futures.wait(
                        pending, return_when=concurrent.futures.FIRST_COMPLETED
                    )
                    yield from (future.result() for future in done)
            for future in concurrent.futures.as_completed(pending):
                yield future.result()
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)

    def _guarded(self, job, model, error):
        """Runs a job; any exception becomes its result."""
        try:
            if error is not None:
                raise error
            return self._train(job, model)
        except Exception as exception:
            return LaneResult(job, error=exception)

    def _train(self, job, model):
        """Trains one network from its last checkpoint, or from the start, to its last epoch."""
        start = saved = time.perf_counter()
        if job.dropout_seed is not None:
            _seed_random_layers(model, job.dropout_seed)
        program = self._program(job, model)
        state = program.start(model)
        labels = self._labels(job)
        test = self._test(job)
        result = LaneResult(job, program.route)
        checkpoints = job.checkpoints and job.checkpoints(program.owners(state))
        first, measured = checkpoints.restore() if checkpoints else (0, {})
        result.restore(measured)
        for epoch in range(first, job.epochs):
            trained = self._epoch(program, state, job, epoch, labels)
            self._measure(result, program, state, epoch, test, trained)
            if checkpoints and time.perf_counter() - saved >= self.checkpoint_seconds:
                checkpoints.save(epoch + 1, result.arrays())
                saved = time.perf_counter()
        if test is not None:
            result.test_loss, result.test_accuracy, result.predictions, _ = _evaluate(
                program, state, test, job.from_logits
            )
        if job.keep_weights:
            result.weights = program.weights(state)
        result.wall_seconds = time.perf_counter() - start
        if checkpoints:
            result.wall_seconds += checkpoints.earlier_seconds
        return result

    def _measure(self, result, program, state, epoch, test, trained):
        """Adds what one epoch gave and the tests after it to a result."""
        job, (losses, hits, sizes) = result.job, trained
        result.train_loss = np.append(result.train_loss, np.average(losses, weights=sizes))
        result.train_accuracy = np.append(result.train_accuracy, hits.sum() / sizes.sum())
        if job.record_batch_loss:
            before = [] if result.batch_loss is None else [result.batch_loss]
            result.batch_loss = np.concatenate([*before, losses])
        if job.evaluate_each_epoch and test is not None:
            loss, accuracy, *_ = _evaluate(program, state, test, job.from_logits)
            result.test_loss_curve.append(loss)
            result.test_accuracy_curve.append(accuracy)
        for name in job.probes_at(epoch + 1):
            probed = Probed(*_evaluate(program, state, self.probes[name], job.from_logits))
            result.probes[name, epoch + 1] = probed

    def _epoch(self, program, state, job, epoch, labels):
        """Trains one epoch; returns loss, hits and size of each batch."""
        images = None
        if job.epoch_data is not None:
            drawn = self._alike("images of an epoch", *job.epoch_data(epoch))
            images, labels = drawn.images, drawn.labels
        order = self._order(job, epoch, len(labels))
        whole = len(order) // job.batch_size
        batches = order[: whole * job.batch_size].reshape(whole, job.batch_size)
        chunks = [batches[i : i + CHUNK_STEPS] for i in range(0, whole, CHUNK_STEPS)]
        if len(order) % job.batch_size:
            chunks.append(order[None, whole * job.batch_size :])
        losses, hits = [], []
        for chunk in chunks:
            if self._stopped.is_set():
                raise InterruptedError(f"Lanes were stopped. Received: job {job.key!r} unfinished")
            chunk_losses, chunk_hits = program.train(state, chunk, labels, images)
            losses.append(chunk_losses)
            hits.append(chunk_hits)
        sizes = np.concatenate([np.full(len(chunk), chunk.shape[1]) for chunk in chunks])
        return np.concatenate(losses), np.concatenate(hits), sizes

    def _order(self, job, epoch, count):
        """Returns one epoch's indices, checked: on a GPU a wrong one would read zeros."""
        order = np.asarray(job.indices(epoch))
        if order.ndim != 1 or not len(order) or order.min() < 0 or order.max() >= count:
            raise ValueError(
                f"Expected a non-empty vector of indices in [0, {count}) for job {job.key!r}. "
                f"Received: indices({epoch})={order!r}"
            )
        return order.astype(np.int32)

    def _labels(self, job):
        """Returns the job's labels of all resident images."""
        if job.labels is None:
            return self.data.labels
        if len(job.labels) != len(self.data.labels):
            raise ValueError(
                f"Expected one label for each of {len(self.data.labels)} resident images. "
                f"Received: {len(job.labels)} labels for job {job.key!r}"
            )
        return tf.constant(np.asarray(job.labels), tf.int32)

    def _test(self, job):
        """Returns the job's test set, or None."""
        if job.eval_images is None:
            return self.test
        return self._alike("test images", job.eval_images, job.eval_labels)

    def _alike(self, what, images, labels):
        """Returns images that go into a network with the resident ones' scale and offset."""
        kept = self.data.array.dtype
        if self._scale_by_type and (images.dtype == np.uint8) != (kept == np.uint8):
            raise ValueError(
                f"Expected {what} of the resident kind, whose scale they get: {kept}. "
                f"Received: {images.dtype}"
            )
        return Resident(images, labels)

    def _program(self, job, model):
        """Returns the compiled program of the job's form, made at its first use."""
        if unsupported(model):
            return KerasProgram(model, job, self.data)
        spec = complete_spec(job.optimizer)
        form = form_of(model), tuple(spec.items()), job.from_logits, job.batch_size
        form += (job.epoch_data is None,)
        with self._programs_lock:
            if form not in self._programs:
                # Fast path: networks with a hand-made equivalent; any other by gradient tape.
                kind = GraphProgram
                if self.fast and FastLeNetProgram.suits(model, job, self.data):
                    kind = FastLeNetProgram
                self._programs[form] = kind(model, job, self.data)
            return self._programs[form]


def _build(job):
    """Returns the job's network and no error, or no network and the error."""
    try:
        return job.build(), None
    except Exception as exception:
        return None, exception


def _seed_random_layers(model, seed):
    """Starts every random layer's stream of masks at a state given by the seed and its place."""
    for i, layer in enumerate(model._flatten_layers()):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            word = np.random.SeedSequence((seed, i)).generate_state(1)[0] >> 1
            generator.state.assign([word, 0])


def _evaluate(program, state, test, from_logits):
    """Returns mean loss, fraction right, and the class and the outputs given to each test image."""
    loss, parts = 0.0, []
    for first in range(0, len(test.labels), EVAL_BATCH):
        labels = test.labels[first : first + EVAL_BATCH]
        outputs = program.outputs(state, test.images[first : first + EVAL_BATCH])
        loss += float(tf.reduce_sum(example_losses(labels, outputs, from_logits)))
        parts.append(np.array(outputs))
    outputs = np.concatenate(parts)
    guesses = np.argmax(outputs, axis=-1)
    hits = int(np.count_nonzero(guesses == test.labels.numpy()))
    return loss / len(guesses), hits / len(guesses), guesses, outputs
