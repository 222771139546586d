r"""Contrastive losses: two views of an image agree, and differ from the other images of the batch.

Every loss takes rows `[B, D]`, normalises them to unit length, and gives one value per anchor, so that the mean over
the batch is the caller's choice. The similarity is the cosine over the temperature, $s(x, y) = x^\top y / \tau$.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from functional.base import Features
from functional.checks import check_positive, check_rank, check_same_shape
from functional.numerics import l2_normalize


def nt_xent(a: Features, b: Features, *, temperature: float) -> Float[Tensor, " two_batch"]:
    r"""Normalised temperature-scaled cross-entropy: find the other view of an image among all other views (SimCLR).

    $$\ell_i = -\log \frac{\exp(s(z_i, z_{p(i)}))}{\sum_{k \ne i} \exp(s(z_i, z_k))},
    \qquad z = [a; b], \quad s(x, y) = x^\top y / \tau$$

    where $p(i)$ is the other view of image i, and k runs over the $2B - 1$ other rows.

    Args:
        a: one view of each image, `[B, D]`, B >= 1.
        b: the other view of each, row by row, `[B, D]`.
        temperature: $\tau$ > 0; .5 in the paper's CIFAR-10 study, .1 to .2 for larger sets. No default: published
            implementations disagree.

    Returns:
        `[2B]`: the losses of the rows of `a`, then those of `b`, in at least float32. Between 0 and
        $\log(2B - 1) + 2 / \tau$; rows that are all alike give $\log(2B - 1)$.

    Raises:
        ValueError: if the shapes differ, the rank is not 2, or the temperature is not above 0.

    Example:
        >>> a = torch.eye(3)
        >>> nt_xent(a, a, temperature=0.5)  # log(1 + 4 exp(-2)) each
        tensor([0.4327, 0.4327, 0.4327, 0.4327, 0.4327, 0.4327])

    References:
        Chen, Kornblith, Norouzi, Hinton. A simple framework for contrastive learning of visual representations.
        arXiv:2002.05709, equation 1 and algorithm 1.

    Note:
        The paper's loss is the mean of these 2B values. The authors' code adds the means over `a` and over `b`, which
        is twice that: a learning rate tuned with it is for twice our gradient. Default temperatures elsewhere: 1.0
        in the authors' code, .5 in lightly, .07 in pytorch-metric-learning.
    """
    check_rank("a", a, "batch dim")
    check_same_shape(a=a, b=b)
    check_positive("temperature", temperature)
    z = l2_normalize(torch.cat([a, b]))
    s = z @ z.T / temperature
    positive = (z * z.roll(len(a), dims=0)).sum(1) / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    return torch.logsumexp(s.masked_fill(itself, -torch.inf), dim=1) - positive
