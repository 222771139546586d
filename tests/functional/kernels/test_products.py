"""Inner products: equal to `a @ b.T`, whichever kernel computes them."""

import re

import pytest
import torch

from functional import random
from functional.kernels import inner_products


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rows,others,dim", [(7, 5, 3), (1, 1, 1), (64, 33, 130)])
def test_they_equal_the_matrix_product(rows, others, dim, dtype):
    a, b = (random.normal(random.key(n), (n, dim)).to(dtype) for n in (rows, others))
    products = inner_products(a, b)
    assert products.dtype == dtype
    torch.testing.assert_close(products.double(), a.double() @ b.double().T, atol=2e-5, rtol=torch.finfo(dtype).eps * 8)


def test_arguments_other_than_matrices_are_named():
    for arguments, words in (((torch.ones(3), torch.ones(2, 3)), "a: "), ((torch.ones(2, 3), torch.ones(3)), "b: ")):
        with pytest.raises(ValueError, match="^" + re.escape(words)):
            inner_products(*arguments)
