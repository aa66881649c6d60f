"""Cholesky factors in blocks, with right-hand sides, at the speed of matrix products.

NumPy has a Cholesky factor and no triangular solve; SciPy has both and weighs 100 MB. Blocks make most of the work
products of matrices, which is several times as fast as `numpy.linalg.cholesky` on one thread.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK = 64


def whitened(
    matrix: NDArray[np.float64], sides: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The factor L of a symmetric positive matrix (its upper half is left as it was), and the solution of L x = sides.

    The matrix is overwritten. Raises `numpy.linalg.LinAlgError` when it is not positive.
    """
    size = len(matrix)
    solved = np.ascontiguousarray(sides.T)
    for start in range(0, size, BLOCK):
        end = min(start + BLOCK, size)
        if start:
            known = matrix[start:end, :start].T
            matrix[start:, start:end] -= matrix[start:, :start] @ known
            solved[:, start:end] -= solved[:, :start] @ known
        corner = np.linalg.cholesky(matrix[start:end, start:end])
        across = np.linalg.inv(corner).T
        matrix[start:end, start:end] = corner
        matrix[end:, start:end] = matrix[end:, start:end] @ across
        solved[:, start:end] = solved[:, start:end] @ across
    return matrix, solved.T
