"""A trial is a pure function of its specification; its key is the hash of that specification."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

Scalar = str | int | float | bool | None
# Settings that tell trials of a stage apart for people, in the order in which they are shown.
SHOWN = (
    *("dataset", "klass", "digit", "point", "sees", "layer"),
    *("arm", "n", "ratio", "p", "beta", "extractor"),
)


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces, finite numbers only.

    Raises:
        ValueError: if a number is not finite.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _checked_settings(settings: Mapping[str, Scalar]) -> dict[str, Scalar]:
    for name, value in settings.items():
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise TypeError(
                "Expected settings to be text, numbers, booleans or None. "
                f"Received: {name}={value!r} ({type(value).__name__})"
            )
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"Expected settings to be finite. Received: {name}={value!r}")
    return dict(settings)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One unit of work: a generator, a synthetic set, or one classifier.

    The preset is not a part of it: a preset is a set of settings and of replicate counts, so two
    presets that ask for the same work share its trial.

    Args:
        study: module name of the study, e.g. `"mnist_cvae"`.
        stage: name of the step within the study, e.g. `"classifier"`.
        stage_version: raised whenever the meaning of the stage changes.
        settings: everything that the result depends on, as JSON scalars.
        replicate: index 0..n-1, shared by all arms and points, so that differences are paired.
        inputs: role -> key of the trial that produces it.

    Raises:
        TypeError: if a setting is not a JSON scalar.
        ValueError: if a setting is not finite or `replicate` is negative.
    """

    study: str
    stage: str
    stage_version: int
    settings: dict[str, Scalar]
    replicate: int = 0
    inputs: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        object.__setattr__(self, "settings", _checked_settings(self.settings))
        if self.replicate < 0:
            raise ValueError(f"Expected replicate >= 0. Received: replicate={self.replicate}")

    @property
    def spec(self) -> dict[str, Any]:
        """The specification as a plain dictionary, as records store it."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def key(self) -> str:
        """SHA-256 of the canonical JSON of the specification, as 64 hexadecimal digits."""
        return hashlib.sha256(canonical_json(self.spec).encode()).hexdigest()

    @property
    def card(self) -> dict[str, Any]:
        """What a file that the trial made says of its making: name, key and specification."""
        return {"trial": self.describe(), "key": self.key, "spec": self.spec}

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Trial:
        """The trial of a stored specification."""
        return cls(**spec)

    def __hash__(self):
        return hash(self.key)

    @property
    def title(self) -> str:
        """A short human name without the key, e.g. `classifier dataset=mnist arm=mix p=0.5 #3`."""
        shown = [f"{name}={self.settings[name]}" for name in SHOWN if name in self.settings]
        return " ".join([self.stage, *shown, f"#{self.replicate}"])

    def describe(self) -> str:
        """The title and the beginning of the key, e.g. `judge dataset=mnist #0 (1a2b3c4d)`."""
        return f"{self.title} ({self.key[:8]})"


def spec_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Lines `name: expected x, received y` for every setting in which two specs differ."""

    def flat(spec):
        rows = {k: v for k, v in spec.items() if not isinstance(v, Mapping)}
        for group in ("settings", "inputs"):
            rows |= {f"{group}.{k}": v for k, v in spec.get(group, {}).items()}
        return rows

    a, b = flat(ours), flat(theirs)
    missing = "nothing"
    return [
        f"{name}: expected {a.get(name, missing)!r}, received {b.get(name, missing)!r}"
        for name in sorted(a.keys() | b.keys())
        if a.get(name, missing) != b.get(name, missing)
    ]
