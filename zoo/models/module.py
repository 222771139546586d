"""An encoder as a `torch.nn.Module`, for code that needs one: fine-tuning, export, other training loops."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from functional import augmentations, tree
from functional.base import BatchStats, Encoder, Params


class EncoderModule(nn.Module):
    """The encoder with its weights as parameters, its statistics as buffers, and its preprocessing in `forward`.

    The state dict has the names of `model.safetensors`. In train mode the running statistics are updated in place, as
    in any module. An encoder with random layers (dropout) needs explicit keys in train mode, which a module cannot
    pass.
    """

    def __init__(
        self,
        encoder: Encoder,
        params: Params,
        batch_stats: BatchStats,
        *,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.encoder, self.mean, self.std = encoder, tuple(mean), tuple(std)
        _hold(self, params, lambda x: nn.Parameter(x.clone()))
        _hold(self, batch_stats, torch.clone)
        self.eval()

    def forward(self, images: Tensor) -> Float[Tensor, "batch feature_dim"]:
        """Features of images `[B, C, H, W]`, uint8 or floating point in 0..1, of the size that the encoder takes."""
        x = augmentations.normalize(None, augmentations.to_float(images), mean=self.mean, std=self.std)
        params, buffers = dict(self.named_parameters()), dict(self.named_buffers())
        features, batch_stats = self.encoder.apply(
            tree.unflatten(params), tree.unflatten(buffers), x, train=self.training
        )
        if self.training:
            for name, value in tree.flatten(batch_stats).items():
                buffers[name].copy_(value)
        return features


def _hold(module: nn.Module, leaves: Params, hold: Callable[[Tensor], Tensor]) -> None:
    """Register every leaf as a parameter or buffer of the module, or of a submodule, under the leaf's own name."""
    for name, value in leaves.items():
        if isinstance(value, dict):
            if name not in dict(module.named_children()):
                module.add_module(name, nn.Module())
            _hold(module.get_submodule(name), value, hold)
        elif isinstance(held := hold(value), nn.Parameter):
            module.register_parameter(name, held)
        else:
            module.register_buffer(name, held)
