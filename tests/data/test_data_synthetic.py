"""Synthetic sets on disk."""

import json

import numpy as np
import pytest
import safetensors.numpy

from replicate.data import DataCorrupt
from replicate.data.dataset import content_hash
from replicate.data.synthetic import load_synthetic, save_synthetic

CARD = {"spec_key": "ab" * 32, "seed": 3, "generator": "two grey squares"}


def arrays(dtype):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 4, 4, 1), np.uint8)
    if dtype == np.float32:
        images = (images / 255).astype(np.float32)
    return images, np.array([0, 0, 1, 1, 2, 5])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_set_comes_back_bit_for_bit(tmp_path, dtype):
    images, labels = arrays(dtype)
    saved = save_synthetic(tmp_path / "sub" / "set.safetensors", images, labels, CARD)
    loaded = load_synthetic(tmp_path / "sub" / "set.safetensors", sha256=saved.sha256)
    np.testing.assert_array_equal(loaded.images, images)
    np.testing.assert_array_equal(loaded.labels, labels)
    assert loaded.images.dtype == dtype and loaded.labels.dtype == np.int64
    assert loaded.card == saved.card
    assert loaded.card == CARD | {
        "sha256": content_hash(images, labels),
        "shape": [6, 4, 4, 1],
        "dtype": np.dtype(dtype).name,
        "value_range": [float(images.min()), float(images.max())],
        "counts": {"0": 2, "1": 2, "2": 1, "5": 1},
    }


def test_sets_that_are_not_images_with_labels_are_refused(tmp_path):
    images, labels = arrays(np.float32)
    outside, undefined = images.copy(), images.copy()
    outside[0, 0, 0, 0], undefined[0, 0, 0, 0] = 1.01, np.nan
    for bad, bad_labels in (
        (images[..., 0], labels),
        (images, labels[:-1]),
        (images[:0], labels[:0]),
        (images, labels - 1),
        (images, labels.astype(float)),
        (images.astype(np.float64), labels),
        (outside, labels),
        (undefined, labels),
    ):
        with pytest.raises(ValueError, match="Expected .* Received: "):
            save_synthetic(tmp_path / "set", bad, bad_labels, CARD)
    with pytest.raises(ValueError, match="Expected a card without .* Received: .*'sha256'"):
        save_synthetic(tmp_path / "set", images, labels, CARD | {"sha256": "0"})
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_synthetic(tmp_path / "set", images, labels, CARD | {"rng": object()})
    assert list(tmp_path.iterdir()) == []


def test_changed_pixels_are_refused_with_both_hashes(tmp_path):
    path = tmp_path / "set"
    images, labels = arrays(np.uint8)
    saved = save_synthetic(path, images, labels, CARD)
    changed = images.copy()
    changed[0, 0, 0, 0] ^= 1
    safetensors.numpy.save_file(
        {"images": changed, "labels": labels}, path, metadata={"card": json.dumps(saved.card)}
    )
    with pytest.raises(DataCorrupt) as error:
        load_synthetic(path)
    assert f"expected sha256={saved.sha256}" in str(error.value)
    assert f"Received: sha256={content_hash(changed, labels)}" in str(error.value)


def test_another_set_than_the_record_names_is_refused(tmp_path):
    path = tmp_path / "set"
    saved = save_synthetic(path, *arrays(np.uint8), CARD)
    with pytest.raises(DataCorrupt, match=f"expected sha256={'0' * 64}. Received.*{saved.sha256}"):
        load_synthetic(path, sha256="0" * 64)


@pytest.mark.parametrize(
    "damage", ["truncated", "emptied", "no card", "no labels", "card is a list"]
)
def test_damaged_files_are_refused_by_name(tmp_path, damage):
    path = tmp_path / "set"
    images, labels = arrays(np.uint8)
    saved = save_synthetic(path, images, labels, CARD)
    tensors = {"images": images, "labels": labels}
    meta = {"card": json.dumps(saved.card)}
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "emptied":
        path.write_bytes(b"")
    elif damage == "no card":
        safetensors.numpy.save_file(tensors, path)
    elif damage == "no labels":
        safetensors.numpy.save_file({"images": images}, path, metadata=meta)
    else:
        safetensors.numpy.save_file(tensors, path, metadata={"card": "[]"})
    with pytest.raises(DataCorrupt, match=str(path)):
        load_synthetic(path)


def test_write_that_fails_keeps_the_earlier_set(tmp_path, monkeypatch):
    path = tmp_path / "set"
    saved = save_synthetic(path, *arrays(np.uint8), CARD)

    def fail(tensors, name, metadata):
        name.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    with pytest.raises(OSError, match="No space left"):
        save_synthetic(path, *arrays(np.float32), CARD)
    assert load_synthetic(path).sha256 == saved.sha256
    assert list(tmp_path.iterdir()) == [path]
