import numpy as np

from replicate.data.__main__ import main
from replicate.data.synthetic import load_synthetic
from replicate.runs.context import Context
from replicate.runs.store import Store
from replicate.runs.trial import Trial
from replicate.stages.synthetic_sets import store_set

SETTINGS = {"dataset": "cifar10", "seed": 3, "klass": "cat", "point": "half", "epochs": 100}


def test_a_set_s_card_says_what_made_it(tmp_path, capsys):
    trial = Trial("cifar_dcgan", "synthetic", 1, SETTINGS, 2, {"generator": "ab" * 32})
    images = np.arange(4 * 4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 4, 3)
    outcome = store_set(trial, Context(Store(tmp_path)), images, [3] * 4, {})
    path = outcome.artifacts["set"]
    card = load_synthetic(path).card
    assert Trial.from_spec(card["spec"]) == trial
    assert (card["key"], card["seed"]) == (trial.key, 3)

    assert main(["synthetic", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) < 100 + len(str(path))
    text = "\n".join(lines)
    for shown in ("klass=cat", "epochs=100", "point=half", "inputs  generator abababab"):
        assert shown in text
    assert "{" not in text
