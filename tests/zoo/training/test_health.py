"""What counts as a collapse of the features, for few of them and for many."""

import warnings

import pytest
import torch

from functional import metrics
from zoo.training.health import warn_of_collapse


def line_of(features):
    """The metrics of an epoch with these features."""
    return {
        "epoch": 1,
        "feature_std": metrics.feature_std(features).item(),
        "effective_rank": metrics.effective_rank(features).item(),
    }


def draw(dim, *, mean, seed=0):
    """Features that vary by 1 in each dimension, around one mean."""
    noise = torch.randn(256, dim, generator=torch.Generator().manual_seed(seed))
    return noise + mean


@pytest.mark.parametrize("dim", [2, 3, 4, 8, 16, 64, 512])
@pytest.mark.parametrize("mean", [0.0, 3.0, 10.0])
def test_features_that_vary_in_all_dimensions_are_healthy(dim, mean):
    """A mean of up to 10 times the spread: that of an autoencoder in its first epochs."""
    features = draw(dim, mean=mean)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not warn_of_collapse(line_of(features), dim, "")


def test_the_first_epochs_of_an_autoencoder_of_few_latents_are_healthy():
    """As measured on MNIST; all four ended with an effective rank of more than half the number of latents."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dim, std, rank in ((4, 0.0411, 1.377), (4, 0.0327, 1.31), (2, 0.0655, 1.29), (2, 0.0203, 1.103)):
            assert not warn_of_collapse({"epoch": 1, "feature_std": std, "effective_rank": rank}, dim, "")
        for std in (0.0, 1.0):  # of a single feature, only the sign counts
            assert not warn_of_collapse({"epoch": 1, "feature_std": std, "effective_rank": 1.0}, 1, "")


@pytest.mark.parametrize("dim", [2, 4, 16, 64, 512])
@pytest.mark.parametrize("how", ["a point", "a line", "nothing"])
def test_features_without_information_are_reported(dim, how):
    noise = draw(dim, mean=0.0)
    features = {
        "a point": 1000 + noise,
        "a line": noise[:, :1] * torch.linspace(1, 2, dim) + 1e-3 * noise,
        "nothing": 0 * noise,
    }[how]
    with pytest.warns(UserWarning, match="epoch 1: the encoder has collapsed: .* Do that"):
        assert warn_of_collapse(line_of(features), dim, "Do that")


def test_many_features_are_judged_by_a_rank_of_one_and_a_half():
    for dim in (58, 64, 512, 4096):
        assert not warn_of_collapse({"epoch": 1, "feature_std": 0.5, "effective_rank": 1.51}, dim, "")
        with pytest.warns(UserWarning, match=r"feature_std 0.5, effective_rank 1.49"):
            assert warn_of_collapse({"epoch": 1, "feature_std": 0.5, "effective_rank": 1.49}, dim, "")


def test_outputs_of_a_method_that_are_all_alike_are_reported():
    line = {"epoch": 1, "feature_std": 0.5, "effective_rank": 9.0, "projection_std": 0.05}
    with pytest.warns(UserWarning, match="the method has collapsed: .*projection_std 0.05"):
        assert warn_of_collapse(line, 4, "")
