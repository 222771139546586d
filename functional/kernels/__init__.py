"""Operations that torch, or its compiler, runs slowly or wrongly as they are usually written.

Each file holds one operation and, at its top, why it exists: a custom operator that a compiler sees as one node, or a
detour around a kernel of one processor. The result is always that of the plain operation; only time, memory or a
crash depend on the path taken. Code elsewhere calls the operation in one line and reads as if there were no detour.
"""

from functional.kernels.pooling import max_pool2d as max_pool2d
from functional.kernels.sampling import bilinear_sample as bilinear_sample
