"""The cipher: known answers of its authors, and for a compiler the same lanes in batches as in loops."""

import numpy as np
import pytest
import torch

from functional.kernels import threefry, threefry2x32


def lanes(*numbers):
    return torch.from_numpy(np.array(numbers, np.uint32).view(np.int32))


def pattern(x):
    return x.view(torch.int32).numpy().view(np.uint32).tolist()


# Known answers of Random123 1.14.0, tests/kat_vectors, threefry2x32 with 20 rounds: counter, key, result.
RANDOM123 = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize("counter,key,result", RANDOM123)
def test_cipher_passes_the_known_answers_of_random123(counter, key, result):
    x0, x1 = threefry._rounds(lanes(*key), *lanes(*counter))
    assert pattern(torch.stack([x0, x1])) == list(result)


def test_a_counter_is_encrypted_alone_or_among_others():
    key, counters = lanes(1, 2), torch.arange(threefry._BLOCK + 3, dtype=torch.int32)  # more than one block
    together = threefry2x32(key, counters)
    for i in (0, 1, threefry._BLOCK - 1, threefry._BLOCK, len(counters) - 1):
        assert torch.equal(threefry2x32(key, counters[i]), together[i])
    assert threefry2x32(key.to("meta"), counters.to("meta")).shape == together.shape


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("keys,counters", [((), ()), ((), (5,)), ((3, 1), (5,)), ((3,), ()), ((3,), (2, 3))])
def test_a_compiled_program_has_the_same_lanes(keys, counters):
    key = torch.arange(2 * max(1, *keys, 0), dtype=torch.int32).reshape(*keys, 2)
    low = torch.arange(torch.Size(counters).numel(), dtype=torch.int32).reshape(counters)
    compiled = torch.compile(threefry2x32, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(key, low), threefry2x32(key, low))
