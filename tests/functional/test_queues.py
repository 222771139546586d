"""Queues: the ring against a Python list, and what is enqueued when."""

import pytest
import torch

from functional import queues, random


def numbered(*numbers):
    return torch.tensor(numbers, dtype=torch.float32)[:, None].repeat(1, 2)


# --- naive twin ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size,batch", [(6, 2), (6, 4), (5, 3), (4, 4), (7, 1)])
def test_the_ring_equals_a_list_of_the_last_rows(size, batch):
    queue, kept = queues.empty(size, 2), []
    for step in range(9):
        new = numbered(*range(1 + step * batch, 1 + (step + 1) * batch))
        queue = queues.enqueue(queue, new)
        kept = (kept + new[:, 0].tolist())[-size:]
        assert queues.newest_first(queue)[: len(kept), 0].tolist() == kept[::-1]
        assert int(queue.filled) == len(kept)
        assert int(queue.position) == (step + 1) * batch % size


# --- property --------------------------------------------------------------------------------------------------


def test_rows_that_cross_the_end_wrap_around():
    queue = queues.enqueue(queues.enqueue(queues.empty(4, 2), numbered(1, 2, 3)), numbered(4, 5, 6))
    assert queue.rows[:, 0].tolist() == [5, 6, 3, 4] and int(queue.position) == 2 and int(queue.filled) == 4


def test_enqueue_changes_nothing_in_place_and_keeps_the_dtype():
    queue = queues.random_rows(random.key(0), 4, 2)
    before = queue.rows.clone()
    after = queues.enqueue(queue, numbered(7).double())
    assert torch.equal(queue.rows, before) and not torch.equal(after.rows, before)
    assert after.rows.dtype == torch.float32


def test_queues_under_vmap_equal_a_loop():
    keys = random.split(random.key(0), 3)
    new = random.normal(random.key(1), (3, 3, 2))

    def two(key, rows):
        queue = queues.random_rows(key, 4, 2)
        return queues.enqueue(queues.enqueue(queue, rows), 2 * rows)

    many = torch.func.vmap(two)(keys, new)
    for i in range(3):
        alone = two(keys[i], new[i])
        assert all(torch.equal(a[i], b) for a, b in zip(many, alone, strict=True))


@pytest.mark.parametrize(
    "rows,words",
    [
        (torch.zeros(5, 2), "expected at most 4 rows of 2"),
        (torch.zeros(2, 3), "got [2, 3]"),
        (torch.zeros(2), "rank 2"),
    ],
)
def test_wrong_rows_are_named(rows, words):
    with pytest.raises(ValueError) as raised:
        queues.enqueue(queues.empty(4, 2), rows)
    assert words in str(raised.value)


def test_a_size_of_0_is_refused():
    with pytest.raises(ValueError, match="size: expected a number above 0"):
        queues.empty(0, 2)
