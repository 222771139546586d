"""Names and options of a recipe are looked up before any data is read, and similar names are listed."""

import pytest

import zoo
from zoo.training.catalogue import catalogue, check_names

AUTOENCODER = {"method": "autoencoder", "encoder": "s5", "encoder_options": {}}


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"method": "simclear"}, "unknown method 'simclear'; did you mean 'simclr'"),
        ({"encoder": "resnet9"}, "unknown encoder 'resnet9'; did you mean 'resnet8'"),
        ({"optimizer": "adamww"}, "did you mean 'adamw'"),
        ({"views": [("random_crop", {})]}, "did you mean 'random_resized_crop'"),
        ({"method_options": {"temperatur": 0.1}}, "did you mean 'temperature'"),
        ({"encoder_options": {"depth": 3}}, "unknown option of encoder 'resnet8': 'depth'"),
        ({"encoder_options": {"compute_dtype": "bfloat16"}}, "unknown option of encoder 'resnet8': 'compute_dtype'"),
        ({"method_options": {"decoder": ("s5_decoder", {})}}, "unknown option of method 'simclr': 'decoder'"),
        ({**AUTOENCODER, "method_options": {"decoder": ("s5_decodr", {})}}, "did you mean 's5_decoder'"),
        ({**AUTOENCODER, "method_options": {"decoder": ("s5_decoder", {"widht": 2})}}, "did you mean 'width'"),
        ({**AUTOENCODER, "method_options": {"decoder": ("s5_decoder", {"out_channels": 3})}}, "option of decoder"),
        ({**AUTOENCODER, "method_options": {"decoder": "s5_decoder"}}, "expected a pair (name, options), got 's5_dec"),
        ({"method_options": {"views": 3}}, "unknown option of method 'simclr': 'views'"),
        ({"method": "supervised", "method_options": {"classes": 3}}, "unknown option of method 'supervised'"),
        ({"method_options": {"temperature": ("cosin", {"value": 0.1})}}, "did you mean 'cosine'"),
        ({"method_options": {"temperature": ("cosine", {"value": 0.1, "epoch": 3})}}, "did you mean 'epochs'"),
        ({"optimizer_options": {"mask": "exclude_bias"}}, "did you mean 'exclude_bias_and_norm'"),
        ({"optimizer_options": {"frozen_epochs": 1}}, "'frozen_epochs' is for parameter_groups"),
        ({"parameter_groups": [("projector.*", {"momentun": 0.9})]}, "unknown option of optimizer 'adamw': 'momentun'"),
        ({"parameter_groups": [("projector.*", {"schedule": "step"})]}, "expected cosine or constant, got 'step'"),
        ({"parameter_groups": [("projector.*", {"learning_rate": 0})]}, "learning_rate: expected a number above 0"),
        ({"parameter_groups": [("projector.*", {"frozen_epochs": -1})]}, "expected a number of 0 or more, or 'all'"),
        ({"precision": "bf16"}, "unknown precision 'bf16'; did you mean 'bfloat16'"),
        (
            {"start": "torchvision:resnet81"},
            "unknown start 'torchvision:resnet81'; did you mean 'torchvision:resnet18'",
        ),
    ],
)
def test_unknown_names_are_refused_before_data_are_read(recipe, tmp_path, changes, words):
    wrong = recipe.replace(**changes)  # a recipe may hold any name
    with pytest.raises(zoo.ZooError) as error:
        check_names(wrong, catalogue())
    assert words in str(error.value)
    with pytest.raises(zoo.ZooError) as error:
        zoo.pretrain(wrong, data=tmp_path / "no such data.npz", out=tmp_path / "run")
    assert words in str(error.value) and not (tmp_path / "run").exists()


def test_known_names_pass(recipe):
    check_names(recipe, catalogue())
    check_names(recipe.replace(start="torchvision:resnet18", precision="auto"), catalogue())
