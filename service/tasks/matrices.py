"""Tasks on matrices."""

import numpy as np

from service.tasks.arrays import MAX_SIZE, Matrix
from service.tasks.invalid_input import InvalidInput
from service.tasks.registry import task


@task(timeout=60)
def matrix_multiply(a: Matrix, b: Matrix) -> Matrix:
    """Multiply two matrices, in double precision and by one thread.

    a has as many columns as b has rows. The product has at most 4194304 elements, as a and b have.
    """
    if a.shape[1] != b.shape[0]:
        raise InvalidInput(f"a has {a.shape[1]} columns and b has {b.shape[0]} rows")
    if a.shape[0] * b.shape[1] > MAX_SIZE:
        raise InvalidInput(f"the product would have more than {MAX_SIZE} elements")
    with np.errstate(over="ignore", invalid="ignore"):
        product = a @ b
    if not np.isfinite(product).all():
        raise InvalidInput("the product has numbers beyond those of double precision")
    return product
