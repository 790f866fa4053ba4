"""Products of matrices."""

from __future__ import annotations

import numpy as np
import pytest

from service.tasks import InvalidInput
from service.tasks.matrices import matrix_multiply


def test_a_product_is_rows_by_columns() -> None:
    a, b = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([[1.0, 0.5], [-1.0, 2.0]])

    assert matrix_multiply(a, b).tolist() == [[-1.0, 4.5], [-1.0, 9.5], [-1.0, 14.5]]


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 5), (1, 100, 1), (64, 64, 64), (2, 0, 3), (0, 2, 3)])
def test_a_product_is_the_sum_over_the_inner_index(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    random = np.random.default_rng(1)
    a, b = random.normal(size=(rows, inner)), random.normal(size=(inner, columns))

    # Every product by itself, without any BLAS
    expected = (a[:, :, np.newaxis] * b[np.newaxis, :, :]).sum(axis=1)

    np.testing.assert_allclose(matrix_multiply(a, b), expected, rtol=1e-12, atol=1e-12)


def test_an_inverse_undoes_a_matrix() -> None:
    # The Hilbert matrix of 3 rows, and its inverse, which is known exactly
    hilbert = np.array([[1 / (i + j + 1) for j in range(3)] for i in range(3)])
    inverse = np.array([[9.0, -36.0, 30.0], [-36.0, 192.0, -180.0], [30.0, -180.0, 180.0]])

    np.testing.assert_allclose(matrix_multiply(hilbert, inverse), np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    ("a", "b", "complaint"),
    [
        (np.ones((2, 3)), np.ones((2, 3)), "a has 3 columns and b has 2 rows"),
        (np.ones((4_000_000, 1)), np.ones((1, 4_000_000)), "more than 4194304 elements"),
        (np.full((1, 1), 1e200), np.full((1, 1), 1e200), "beyond those of double precision"),
        (np.full((1, 2), 1e200), np.array([[1e200], [-1e200]]), "beyond those of double precision"),
    ],
)
def test_what_cannot_be_multiplied_is_the_clients_fault(a, b, complaint: str) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        matrix_multiply(a, b)
