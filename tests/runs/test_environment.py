import subprocess
import sys
from types import SimpleNamespace

import pytest

from replicate.runs.environment import environment

BUILD = {"cuda_version": "12.5.1", "cudnn_version": "9"}


def tensorflow(gpus, tf32=True):
    """What a record asks of TensorFlow."""
    return SimpleNamespace(
        config=SimpleNamespace(
            list_physical_devices=lambda kind: [SimpleNamespace(name=gpu) for gpu in gpus],
            experimental=SimpleNamespace(
                get_device_details=lambda device: {"device_name": f"NVIDIA {device.name}"},
                tensor_float_32_execution_enabled=lambda: tf32,
            ),
        ),
        sysconfig=SimpleNamespace(get_build_info=lambda: BUILD),
    )


def keras(policy):
    return SimpleNamespace(
        config=SimpleNamespace(dtype_policy=lambda: SimpleNamespace(name=policy))
    )


@pytest.mark.parametrize("tf32", [True, False])
def test_a_record_names_graphics_processors_and_what_they_compute_in(monkeypatch, tf32):
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow(["A100", "A100"], tf32))
    monkeypatch.setitem(sys.modules, "keras", keras("mixed_bfloat16"))
    found = environment({})
    assert found["gpus"] == ["NVIDIA A100", "NVIDIA A100"]
    assert (found["cuda"], found["cudnn"], found["tf32"]) == ("12.5.1", "9", tf32)
    assert found["precision"] == "mixed_bfloat16"


def test_a_record_says_that_there_was_no_graphics_processor(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", tensorflow([]))
    monkeypatch.setitem(sys.modules, "keras", keras("float32"))
    found = environment({})
    assert (found["gpus"], found["precision"]) == ([], "float32")
    assert not {"cuda", "cudnn", "tf32"} & found.keys()


def test_a_record_of_a_stage_without_tensorflow_does_not_load_it():
    code = (
        "import sys; from replicate.runs.environment import environment; found = environment({}); "
        "sys.exit('tensorflow' in sys.modules or 'gpus' in found)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
