"""Checkpoints keep their structure, and a checkpoint of another structure is refused."""

import pytest
import torch

import zoo
from functional import training
from zoo.training.run_directory import load_checkpoint, save_checkpoint


def test_a_checkpoint_keeps_the_structure_even_where_leaves_share_memory(tmp_path):
    shared = torch.ones(2)
    state = training.TrainState({"w": shared}, (shared,), {"m": torch.zeros(2)}, torch.tensor(5))
    save_checkpoint(tmp_path / "c.safetensors", state, {})
    back, _ = load_checkpoint(tmp_path / "c.safetensors", state)
    assert isinstance(back, training.TrainState) and isinstance(back.state, tuple)
    assert torch.equal(back.params["w"], shared) and int(back.step) == 5


@pytest.mark.parametrize(
    "template,words",
    [
        ({"w": torch.ones(3)}, "w: expected torch.float32 [3], got torch.float32 [2]"),
        ({"w": torch.ones(2).double()}, "w: expected torch.float64 [2]"),
        ({"v": torch.ones(2)}, "missing v, unknown w"),
    ],
)
def test_a_checkpoint_of_another_structure_names_the_leaf(tmp_path, template, words):
    save_checkpoint(tmp_path / "c.safetensors", {"w": torch.ones(2)}, {})
    with pytest.raises(zoo.ZooError) as error:
        load_checkpoint(tmp_path / "c.safetensors", template)
    assert words in str(error.value) and "c.safetensors" in str(error.value)
