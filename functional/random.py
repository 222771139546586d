"""Explicit random keys: the same numbers as `jax.random` from the same keys, on every device and at every batch size.

A key is an int32 tensor `[..., 2]`. Every function is pure: the same key gives the same numbers, and no function
returns an updated key. Use a key once; for more numbers `split` it, or `fold_in` a counter:

    >>> key_params, key_data = split(key(0))
    >>> uniform(key_data, (3,))
    tensor([0.0073, 0.0209, 0.5814])

Leading dimensions of a key are a batch: keys `[B, 2]` draw what a loop over the keys would, in one call. The same holds
under `torch.func.vmap`.

The generator is Threefry-2x32 (`functional.kernels.threefry2x32`) in counter mode: number i of a key is the block
cipher applied to the counter i under that key. Results equal jax.random's (threefry2x32, the partitionable layout that
is the default since jax 0.5) bit for bit, except for `normal`, which is within 4 units in the last place.

References:
    Salmon, Moraes, Dror, Shaw. Parallel random numbers: as easy as 1, 2, 3. SC 2011, section 3.2 (Threefry).
    Claessen, Palka. Splittable pseudorandom number generators using cryptographic hashing. Haskell 2013.
    JEP 263 and JEP 9263, https://docs.jax.dev/en/latest/jep/263-prng.html (keys as arguments, splitting).

Note:
    The 32-bit lanes are int32, as torch has no unsigned addition or shift on the CPU. `bits(...).view(torch.uint32)`
    is jax's uint32.
"""

import math

import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from functional.base import Key
from functional.checks import check_key
from functional.kernels import threefry2x32


def key(seed: int, device: torch.device | str | None = None) -> Key:
    """The key of a seed, `[2]`.

    Args:
        seed: 0 <= seed < 2**63. The high 32 bits are the first lane, the low ones the second.
        device: of the key and of everything drawn from it.

    Raises:
        TypeError: if the seed is not an int.
        ValueError: if it is out of range.

    Note:
        jax keeps the high lane only with `jax_enable_x64`; below 2**32 both agree.

    Example:
        >>> key(42)
        tensor([ 0, 42], dtype=torch.int32)
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(
            f"seed: expected an int, got {type(seed).__name__}; fold a tensor in with fold_in(key(0), data)"
        )
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed: expected 0 <= seed < 2**63, got {seed}")
    return _to_int32(torch.tensor([seed >> 32, seed & 0xFFFFFFFF], device=device))


def split(key: Key, n: int = 2) -> Int32[Tensor, "*batch n 2"]:
    """`n` new keys, independent of each other and of the old one, `[..., n, 2]`.

    Example:
        >>> key_views, key_dropout = split(key(0))
    """
    check_key(key)
    return threefry2x32(key[..., None, :], _counter((n,), key))


def fold_in(key: Key, data: int | Tensor) -> Int32[Tensor, "*broadcast 2"]:
    """The key of `(key, data)`: one key per step, image or view, without splitting in advance.

    Args:
        key: `[..., 2]`.
        data: an int, 0 <= data < 2**32, or an integer tensor that broadcasts against the keys' batch dimensions;
            a tensor's values are taken modulo 2**32.

    Returns:
        `[..., 2]` with the broadcast batch dimensions.

    Raises:
        ValueError: if an int is out of range.
        TypeError: if `data` is neither an int nor an integer tensor.

    Example:
        >>> fold_in(key(0), torch.arange(4)).shape  # one key per image
        torch.Size([4, 2])
    """
    check_key(key)
    if isinstance(data, Tensor) and not (data.is_floating_point() or data.is_complex()):
        low = _to_int32(data)
    elif isinstance(data, int):
        if not 0 <= data < 2**32:
            raise ValueError(f"data: expected 0 <= data < 2**32, got {data}")
        low = _to_int32(torch.tensor(data, device=key.device))
    else:
        raise TypeError(
            f"data: expected an int or an integer tensor, got {getattr(data, 'dtype', type(data).__name__)}"
        )
    return threefry2x32(key, low)


def bits(key: Key, shape: tuple[int, ...]) -> Int32[Tensor, "..."]:
    """32 random bits per element, int32 `[..., *shape]` (all patterns equally likely, so half are negative).

    Example:
        >>> bits(key(0), (2,))
        tensor([-224768089,  -91998574], dtype=torch.int32)
    """
    check_key(key)
    first, second = threefry2x32(key[..., None, :], _counter(shape, key)).unbind(-1)
    return (first ^ second).reshape((*key.shape[:-1], *shape))


def uniform(key: Key, shape: tuple[int, ...] = (), *, minval: float = 0.0, maxval: float = 1.0) -> Float[Tensor, "..."]:
    """Uniform on `[minval, maxval)`, float32 `[..., *shape]`, in steps of 2**-23 of the range.

    Where float32 is coarser than these steps, as from 1000 to 1001, a value can be rounded to `maxval`.

    Example:
        >>> uniform(key(0), (2,), minval=-1.0)
        tensor([0.8953, 0.9572])
    """
    unit = _unit(bits(key, shape))
    if (minval, maxval) == (0, 1):
        return unit
    low, high = torch.tensor([minval, maxval], dtype=torch.float32, device=unit.device)
    # XLA multiplies and adds with one rounding. The product of two float32 is exact in float64, so this does the same.
    return torch.maximum(low, (unit.double() * (high - low).double() + low.double()).float())


def normal(key: Key, shape: tuple[int, ...] = ()) -> Float[Tensor, "..."]:
    r"""Standard normal, float32 `[..., *shape]`, as $\sqrt 2 \, \mathrm{erf}^{-1}(u)$ with $u$ uniform on (-1, 1).

    Note:
        The inverse error function is the polynomial that XLA uses (Giles, Approximating the erfinv function, 2012):
        at most 4 units in the last place from jax.random.normal, where `torch.erfinv` is up to 46 away.

    Example:
        >>> normal(key(0), (2,))
        tensor([1.6226, 2.0253])
    """
    if key.is_meta:  # a tensor without values, on which the polynomial is slow
        check_key(key)
        return key.new_empty((*key.shape[:-1], *shape), dtype=torch.float32)
    open_unit = uniform(key, shape, minval=-1 + 2**-24)  # the smallest float32 above -1: the ends are excluded
    return _erfinv(open_unit) * math.sqrt(2)


def bernoulli(key: Key, p: float | Tensor = 0.5, shape: tuple[int, ...] = ()) -> Bool[Tensor, "..."]:
    """True with probability `p`, bool `[..., *shape]`; a tensor `p` broadcasts against that shape.

    Example:
        >>> bernoulli(key(0), 0.5, (4,))
        tensor([False, False,  True,  True])
    """
    return uniform(key, shape) < p


def randint(key: Key, shape: tuple[int, ...], minval: int, maxval: int) -> Int64[Tensor, "..."]:
    """Integers uniform on `minval <= x < maxval`, int64 `[..., *shape]`.

    Args:
        key: `[..., 2]`.
        shape: of the draw of one key.
        minval: -2**31 <= minval.
        maxval: minval < maxval < 2**31. It is excluded: `randint(key, (), 0, n)` is any index into n items.

    Raises:
        ValueError: if the range is empty or does not fit 32 bits.

    Note:
        Values are jax's, whose dtype is int32. Two draws of 32 bits are combined, which makes the bias negligible up
        to a range of 2**16. Above that, jax's product of 2**16 with itself wraps to 0, so only the second draw counts
        and the bias is up to range / 2**32. This is kept to equal jax.

    Example:
        >>> randint(key(0), (5,), 0, 10)
        tensor([9, 0, 2, 3, 1])
    """
    if not -(2**31) <= minval < maxval < 2**31:
        raise ValueError(f"expected -2**31 <= minval < maxval < 2**31, got minval {minval}, maxval {maxval}")
    key_high, key_low = split(key).unbind(-2)
    high, low = _to_int64(bits(key_high, shape)), _to_int64(bits(key_low, shape))
    span = maxval - minval
    multiplier = ((2**16 % span) ** 2 & 0xFFFFFFFF) % span
    mixed = ((high % span) * multiplier + low % span) & 0xFFFFFFFF
    return minval + mixed % span


def permutation(key: Key, n: int) -> Int64[Tensor, "*batch n"]:
    """The numbers 0 to n - 1 in random order, int64 `[..., n]`.

    Note:
        Sorts by random bits, as jax does, in enough rounds to make ties harmless: 1 up to n = 1,625, then 2.

    Example:
        >>> permutation(key(0), 5)
        tensor([0, 1, 4, 3, 2])
    """
    check_key(key)
    order = torch.arange(n, device=key.device).expand(*key.shape[:-1], n)
    rounds = math.ceil(3 * math.log(max(1, n)) / math.log(2**32 - 1))
    for _ in range(rounds):
        key, subkey = split(key).unbind(-2)
        unsigned_order = bits(subkey, (n,)) ^ -(2**31)  # int32 sorts like uint32 once the sign bit is flipped
        order = order.gather(-1, torch.sort(unsigned_order, dim=-1, stable=True).indices)
    return order.clone() if rounds == 0 else order


def _counter(shape: tuple[int, ...], key: Tensor) -> Tensor:
    """The row-major position of every element, flat: the low lane of the counter, whose high lane is 0."""
    n = math.prod(shape)
    if n >= 2**31:
        raise ValueError(f"shape: expected fewer than 2**31 elements, got {list(shape)}; draw in parts, one key each")
    return torch.arange(n, dtype=torch.int32, device=key.device)


def _unit(random_bits: Tensor) -> Tensor:
    """Random bits to [0, 1): the highest 23 of them, in steps of 2**-23."""
    return ((random_bits >> 9) & 0x7FFFFF).float() * 2**-23


def _to_int32(x: Tensor) -> Tensor:
    """The low 32 bits of integers, as int32 lanes."""
    low = x.to(torch.int64) & 0xFFFFFFFF
    return (low - ((low >> 31) << 32)).to(torch.int32)


def _to_int64(lanes: Tensor) -> Tensor:
    """int32 lanes read as unsigned."""
    return lanes.to(torch.int64) & 0xFFFFFFFF


# Giles's coefficients for |w| < 5 and beyond, highest power first.
_ERFINV_CENTRE = (2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087)
_ERFINV_CENTRE += (-0.00125372503, -0.00417768164, 0.246640727, 1.50140941)
_ERFINV_TAIL = (-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773)
_ERFINV_TAIL += (-0.0076224613, 0.00943887047, 1.00167406, 2.83297682)


def _erfinv(x: Tensor) -> Tensor:
    w = -torch.log1p(-x * x)
    central = w < 5
    w = torch.where(central, w - 2.5, w.clamp_min(5).sqrt() - 3)
    p = torch.where(central, _ERFINV_CENTRE[0], _ERFINV_TAIL[0]).to(w)
    for centre, tail in zip(_ERFINV_CENTRE[1:], _ERFINV_TAIL[1:], strict=True):
        p = torch.where(central, centre, tail).to(w) + p * w
    return p * x
