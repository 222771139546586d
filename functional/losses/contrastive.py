r"""Contrastive losses: two views of an image agree, and differ from the other images of the batch.

Every loss takes rows `[B, D]`, normalises them to unit length and returns one value per anchor; the caller takes the
mean over the batch. The similarity is the cosine divided by the temperature, $s(x, y) = x^\top y / \tau$.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from functional.base import Features
from functional.checks import check_integer, check_positive, check_rank, check_same_length, check_same_shape
from functional.numerics import l2_normalize


def nt_xent(a: Features, b: Features, *, temperature: float | Tensor) -> Float[Tensor, " two_batch"]:
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
        $\log(2B - 1) + 2 / \tau$; rows that are all equal give $\log(2B - 1)$.

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
        is twice that, so a learning rate tuned with it assumes twice our gradient. Default temperatures elsewhere: 1.0
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


def decoupled_contrastive(a: Features, b: Features, *, temperature: float | Tensor) -> Float[Tensor, " two_batch"]:
    r"""Decoupled contrastive loss: `nt_xent` with the positive pair left out of the denominator.

    $$\ell_i = -s(z_i, z_{p(i)}) + \log \sum_{k \ne i,\, p(i)} \exp(s(z_i, z_k)),
    \qquad z = [a; b], \quad s(x, y) = x^\top y / \tau$$

    where $p(i)$ is the other view of image i, and k runs over the $2B - 2$ views of other images. In `nt_xent` the
    gradient of a pair that already agrees shrinks, most of all in small batches; here it does not.

    Args:
        a: one view of each image, `[B, D]`, B >= 2.
        b: the other view of each, row by row, `[B, D]`.
        temperature: $\tau$ > 0.

    Returns:
        `[2B]`: the losses of the rows of `a`, then those of `b`, in at least float32. They can be negative, down to
        $\log(2B - 2) - 2 / \tau$; rows that are all equal give $\log(2B - 2)$.

    Raises:
        ValueError: if the shapes differ, the rank is not 2, there is only one image, or the temperature is not above 0.

    Example:
        >>> a = torch.eye(3)
        >>> decoupled_contrastive(a, a, temperature=0.5)  # log 4 - 2 each
        tensor([-0.6137, -0.6137, -0.6137, -0.6137, -0.6137, -0.6137])

    References:
        Yeh, Hong, Hsu, Liu, Chen, LeCun. Decoupled contrastive learning. arXiv:2110.06848, equation 6.

    Note:
        The paper sums the 2B values; lightly's `DCLLoss` is their mean, with a default temperature of .1. The paper's
        weighted form (DCLW) is a different loss and is not included.
    """
    check_rank("a", a, "batch dim")
    check_same_shape(a=a, b=b)
    check_positive("temperature", temperature)
    if len(a) < 2:
        raise ValueError(f"a: expected 2 images or more, got shape {list(a.shape)}; the negatives are the other images")
    z = l2_normalize(torch.cat([a, b]))
    s = z @ z.T / temperature
    positive = (z * z.roll(len(a), dims=0)).sum(1) / temperature
    same_image = torch.eye(len(a), dtype=torch.bool, device=z.device).repeat(2, 2)
    return torch.logsumexp(s.masked_fill(same_image, -torch.inf), dim=1) - positive


def info_nce(
    query: Features, positive: Features, negatives: Float[Tensor, "negatives dim"], *, temperature: float | Tensor
) -> Float[Tensor, " batch"]:
    r"""InfoNCE with a shared set of negatives: find the positive of a query among them (MoCo).

    $$\ell_i = -\log \frac{\exp(s(q_i, p_i))}{\exp(s(q_i, p_i)) + \sum_{k=1}^{K} \exp(s(q_i, n_k))},
    \qquad s(x, y) = x^\top y / \tau$$

    Args:
        query: `[B, D]`.
        positive: the positive of each query, row by row, `[B, D]`.
        negatives: `[K, D]`, the same for every query, such as MoCo's queue.
        temperature: $\tau$ > 0; .07 in the paper.

    Returns:
        `[B]`, in at least float32, between 0 and $\log(K + 1) + 2 / \tau$.

    Raises:
        ValueError: if the shapes of query and positive differ, a rank is not 2, the negatives have a different
            dimension, or the temperature is not above 0.

    Example:
        >>> query = torch.eye(3)[:1]
        >>> info_nce(query, query, torch.eye(3)[1:], temperature=0.5)  # log(1 + 2 exp(-2))
        tensor([0.2395])

    References:
        He, Fan, Wu, Xie, Girshick. Momentum contrast for unsupervised visual representation learning.
        arXiv:1911.05722, equation 1. The name is from van den Oord, Li, Vinyals, arXiv:1807.03748, equation 4.

    Note:
        MoCo v3 uses the other positives of the batch as negatives: `mocov3`.
    """
    check_rank("query", query, "batch dim")
    check_same_shape(query=query, positive=positive)
    check_rank("negatives", negatives, "negatives dim")
    if negatives.shape[1] != query.shape[1]:
        raise ValueError(f"negatives: expected [K, {query.shape[1]}] like the queries, got {list(negatives.shape)}")
    check_positive("temperature", temperature)
    q, p, n = l2_normalize(query), l2_normalize(positive), l2_normalize(negatives)
    s_positive = (q * p).sum(1) / temperature
    s_negative = q @ n.T / temperature
    return torch.logsumexp(torch.cat([s_positive[:, None], s_negative], dim=1), dim=1) - s_positive


def mocov3(query: Features, key: Features, *, temperature: float | Tensor) -> Float[Tensor, " batch"]:
    r"""The loss of MoCo v3: find the key of a query among the keys of the batch; one direction of the symmetric loss.

    $$\ell_i = -2 \tau \log \frac{\exp(s(q_i, k_i))}{\sum_{j=1}^{B} \exp(s(q_i, k_j))},
    \qquad s(x, y) = x^\top y / \tau$$

    Args:
        query: predictions from one view, `[B, D]`.
        key: projections of the other view by the momentum encoder, row by row, `[B, D]`; pass `key.detach()`.
        temperature: $\tau$ > 0; 1 for ResNets in the authors' code, .2 for vision transformers.

    Returns:
        `[B]`, in at least float32, between 0 and $2 \tau \log B + 4$.

    Raises:
        ValueError: if the shapes differ, the rank is not 2, or the temperature is not above 0.

    Example:
        >>> query = torch.eye(3)
        >>> mocov3(query, query, temperature=0.5)  # log(1 + 2 exp(-2)) each
        tensor([0.2395, 0.2395, 0.2395])

    References:
        Chen, Xie, He. An empirical study of training self-supervised vision transformers. arXiv:2104.02057,
        algorithm 1.

    Note:
        The factor $2 \tau$ keeps the scale of the gradient across temperatures. stable-pretraining omits it and halves
        the sum over both directions, which is $1 / (4 \tau)$ of the authors' loss.
    """
    check_rank("query", query, "batch dim")
    check_same_shape(query=query, key=key)
    check_positive("temperature", temperature)
    s = l2_normalize(query) @ l2_normalize(key).T / temperature
    return 2 * temperature * (torch.logsumexp(s, dim=1) - s.diagonal())


def supervised_contrastive(
    z: Features, labels: Int[Tensor, " batch"], *, temperature: float | Tensor
) -> Float[Tensor, " batch"]:
    r"""Supervised contrastive loss: all rows of a class are each other's positives.

    $$\ell_i = -\frac{1}{|P(i)|} \sum_{p \in P(i)}
    \log \frac{\exp(s(z_i, z_p))}{\sum_{k \ne i} \exp(s(z_i, z_k))}, \qquad s(x, y) = x^\top y / \tau$$

    where $P(i)$ are the other rows with the label of row i. For two views of each image pass `torch.cat([a, b])` and
    `torch.cat([labels, labels])`; with a different label for every image, this equals `nt_xent(a, b)`.

    Args:
        z: `[B, D]`.
        labels: integers `[B]`; only their equality matters.
        temperature: $\tau$ > 0; .1 in the paper.

    Returns:
        `[B]`, in at least float32; 0 for a row that is alone in its class.

    Raises:
        TypeError: if the labels are not integers.
        ValueError: if the ranks are not 2 and 1, the lengths differ, or the temperature is not above 0.

    Example:
        >>> z = torch.eye(3)[[0, 0, 1, 2]]
        >>> supervised_contrastive(z, torch.tensor([7, 7, 5, 4]), temperature=0.5)  # log(1 + 2 exp(-2)), then alone
        tensor([0.2395, 0.2395, 0.0000, 0.0000])

    References:
        Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan. Supervised contrastive learning.
        arXiv:2004.11362, equation 2.

    Note:
        This is the paper's $L^{out}$, the mean over positives outside the logarithm. $L^{in}$ (equation 3) has it
        inside, is at most as large by Jensen's inequality, and trained worse in the paper (section 3.2). The authors'
        code multiplies by $\tau / .07$. The paper sums over the rows; pytorch-metric-learning's `SupConLoss` is the
        mean over the rows whose loss is above 0.
    """
    check_rank("z", z, "batch dim")
    check_rank("labels", labels, "batch")
    check_integer("labels", labels)
    check_same_length(z=z, labels=labels)
    check_positive("temperature", temperature)
    z = l2_normalize(z)
    s = z @ z.T / temperature
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    positives = (labels[:, None] == labels) & ~itself
    count = positives.sum(1)
    s_positive = torch.where(positives, s, 0).sum(1) / count.clamp_min(1)
    s_all = torch.logsumexp(s.masked_fill(itself, -torch.inf), dim=1)
    return torch.where(count > 0, s_all - s_positive, 0)
