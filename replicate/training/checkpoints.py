"""Checkpoints that lose nothing, and released weights.

A checkpoint is one safetensors file with every variable of the networks, averages and optimizers
(`.variables`, which holds seed-generator state that `.keras` and `.weights.h5` leave out), further
arrays such as loss histories, the step, and the specification of the trial. It is written whole or
not at all; the last two are kept.
"""

from __future__ import annotations

import json
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from replicate.runs.files import write_atomic
from replicate.runs.trial import Trial, spec_differences

KEEP = 2


def _named(owners: Mapping[str, Any]) -> dict[str, Any]:
    """Variables by owner and position: Keras counts names up within a process."""
    return {
        f"{owner}/{index}": variable
        for owner, holder in owners.items()
        for index, variable in enumerate(holder.variables)
    }


class Checkpoints:
    """The checkpoints of one trial.

    Args:
        folder: where they lie; made at the first save.
        trial: the trial; a checkpoint of another specification is refused.
        owners: name -> object with `.variables` (network, optimizer, average, lane).

    Attributes:
        earlier_seconds: wall time of the work that `restore` found done, by all processes before.
    """

    def __init__(self, folder: Path, trial: Trial, owners: Mapping[str, Any]):
        self.folder, self.trial, self.owners = Path(folder), trial, owners
        self.earlier_seconds, self._start = 0.0, time.monotonic()

    def paths(self) -> list[Path]:
        """Existing checkpoints, oldest first."""
        found = [p for p in self.folder.glob("step-*.safetensors")]
        return sorted(found, key=lambda p: int(re.findall(r"\d+", p.name)[0]))

    def save(self, step: int, arrays: Mapping[str, np.ndarray] | None = None) -> Path:
        """Write the state after `step`, then drop all but the last two.

        Args:
            step: how far the work is, in the caller's units (epochs or steps).
            arrays: further arrays to keep, e.g. loss histories.
        """
        tensors = {
            f"variable/{name}": np.asarray(variable.numpy(), order="C")
            for name, variable in _named(self.owners).items()
        }
        for name, array in (arrays or {}).items():
            tensors[f"array/{name}"] = np.asarray(array, order="C")
        seconds = self.earlier_seconds + time.monotonic() - self._start
        metadata = {
            "step": str(step),
            "spec": json.dumps(self.trial.spec),
            "seconds": f"{seconds:.3f}",
        }
        path = self.folder / f"step-{step}.safetensors"
        write_atomic(path, lambda temporary: save_file(tensors, temporary, metadata))
        for old in self.paths()[:-KEEP]:
            old.unlink()
        return path

    def restore(self) -> tuple[int, dict[str, np.ndarray]]:
        """Load the newest readable checkpoint into the variables.

        Returns:
            The step and the further arrays; `(0, {})` if there is none.

        Raises:
            ValueError: if it belongs to another specification, listing what differs, or holds
                other variables than the networks have.
        """
        for path in reversed(self.paths()):
            try:
                with safe_open(path, "np") as file:
                    metadata = file.metadata()
                    tensors = {name: file.get_tensor(name) for name in file.keys()}
            except (SafetensorError, OSError) as error:
                warnings.warn(
                    f"Expected a checkpoint. Received: {path} ({error}); it is left out, and work "
                    "goes on from the one before it, or from the start",
                    stacklevel=2,
                )
                continue
            self._check_spec(path, json.loads(metadata["spec"]))
            self._assign(path, tensors)
            self.earlier_seconds = float(metadata.get("seconds", 0.0))
            arrays = {
                name.removeprefix("array/"): array
                for name, array in tensors.items()
                if name.startswith("array/")
            }
            return int(metadata["step"]), arrays
        return 0, {}

    def _check_spec(self, path: Path, spec: dict) -> None:
        differences = spec_differences(self.trial.spec, spec)
        if differences:
            raise ValueError(
                f"Expected a checkpoint of this trial in {path}. Received one with other "
                "settings:\n  " + "\n  ".join(differences)
            )

    def _assign(self, path: Path, tensors: dict[str, np.ndarray]) -> None:
        variables = {f"variable/{name}": v for name, v in _named(self.owners).items()}
        stored = {name: t for name, t in tensors.items() if name.startswith("variable/")}
        _check_shapes(path, variables, stored)
        for name, variable in variables.items():
            variable.assign(stored[name])


def _check_shapes(path: Path, variables: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    received = {name: tensor.shape for name, tensor in tensors.items()}
    if expected != received:
        odd = sorted(set(expected.items()) ^ set(received.items()))[:4]
        raise ValueError(
            f"Expected {path} to hold weights of the networks' names and shapes. Differing: {odd}"
        )


def save_weights(path: Path, layers: Mapping[str, Any], card: Mapping[str, str]) -> None:
    """Write inference weights as float16 safetensors with a card.

    Args:
        path: file to write, whole or not at all.
        layers: name -> Keras layer or model.
        card: what the weights are: text by name, stored as the file's metadata.

    Raises:
        ValueError: if a weight is not finite or too large for float16.
    """
    tensors = {}
    for name, variable in _weights(layers).items():
        with np.errstate(over="ignore"):
            half = np.asarray(variable.numpy()).astype(np.float16)  # scalars too stay arrays
        if not np.isfinite(half).all():
            raise ValueError(f"Expected weights within float16's range. Received: {name}")
        tensors[name] = half
    metadata = {"card": json.dumps(dict(card), sort_keys=True)}  # one entry: their order is random
    write_atomic(path, lambda temporary: save_file(tensors, temporary, metadata))


def load_weights(path: Path, layers: Mapping[str, Any]) -> dict[str, str]:
    """Load inference weights into layers; returns the card.

    Raises:
        ValueError: if names or shapes differ from the layers' own.
    """
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        card = json.loads((file.metadata() or {}).get("card", "{}"))
    variables = _weights(layers)
    _check_shapes(path, variables, tensors)
    for name, variable in variables.items():
        variable.assign(tensors[name].astype(np.float32))
    return card


def _weights(layers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{owner}/{index}/{weight.name}": weight
        for owner, layer in layers.items()
        for index, weight in enumerate(layer.weights)
    }
