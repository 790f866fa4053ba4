"""Counting."""

from __future__ import annotations

import pytest

from service.tasks.arithmetic import sum_of_squares


@pytest.mark.parametrize(("n", "total"), [(0, 0), (1, 0), (2, 1), (5, 30), (1000, 332_833_500)])
def test_sum_of_squares(n: int, total: int) -> None:
    assert sum_of_squares(n) == total
