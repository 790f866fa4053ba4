"""Tasks that recognize handwritten digits.

8 x 8 pixels ─> 64 hidden units (ReLU) ─> 10 digits (softmax)

The model is a file of four arrays, made by ``training/train_digits.py``. It recognizes 439 of the 450 digits
that were held out from its training: 97.6 %.
"""

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.tasks.arrays import ArrayForm
from service.tasks.images import opaque, open_image, shrink
from service.tasks.invalid_input import InvalidInput
from service.tasks.registry import task

#: Pixels across, and the value of a pixel that is all ink.
SIDE, INK = 8, 16

#: Digits in one call.
MAX_IMAGES = 10_000

#: Difference between ink and paper, of 255, below which a picture counts as empty.
_FAINT = 40

_MODEL = Path(__file__).with_name("digits.npz")

Images = Annotated[
    npt.NDArray[np.float64],
    ArrayForm(shape=(None, SIDE, SIDE), ge=0, le=INK, max_size=MAX_IMAGES * SIDE * SIDE),
]


@dataclass(frozen=True, slots=True)
class Digit:
    """What a picture shows."""

    digit: int
    #: Probability of that digit according to the model, from 0.1 to 1.
    confidence: float


@task(timeout=30)
def classify_digits(images: Images) -> list[Digit]:
    """Recognize handwritten digits, each of 8 x 8 pixels from 0 (paper) to 16 (ink), upright and filling it.

    Takes up to 10000 at once, as nested lists or a .npy file. Of 450 digits held out from training
    (Optical Recognition of Handwritten Digits, UCI) 439 are recognized (97.6 %).
    """
    chances = _chances(images.reshape(-1, SIDE * SIDE))
    best = chances.argmax(axis=1)
    confidences = chances[np.arange(len(best)), best]
    return [Digit(*found) for found in zip(best.tolist(), confidences.tolist(), strict=True)]


@task(timeout=30)
def classify_digit_image(image: bytes) -> Digit:
    """Recognize the one handwritten digit on a picture, dark on light or light on dark.

    The digit is found as what differs from the picture's edge, so there should be nothing else, and
    some of the edge free. Printed digits and photographs are recognized less well than classify_digits tells.
    """
    (digit,) = classify_digits(_scan(image)[np.newaxis])
    return digit


def _chances(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return a row of ten probabilities for each row of 64 pixels."""
    model = _model()
    hidden = np.maximum(pixels / INK @ model["hidden"] + model["hidden_bias"], 0)
    scores = hidden @ model["output"] + model["output_bias"]
    # The largest is taken off because exp() of a large score is too large.
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))


@functools.cache
def _model() -> dict[str, npt.NDArray[np.float32]]:
    with np.load(_MODEL, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _scan(data: bytes) -> npt.NDArray[np.float64]:
    """Find the digit, and bring it to the form of the model's data: 8 x 8 pixels, as high as they go."""
    grey = np.asarray(opaque(shrink(open_image(data), 512, 512)).convert("L"), dtype=np.float64)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    ink = np.abs(grey - np.median(edge))
    if ink.max() < _FAINT:
        raise InvalidInput("the image shows no digit")
    ink /= ink.max()
    rows, columns = (np.flatnonzero((ink > 1 / 4).any(axis=axis)) for axis in (1, 0))
    return _fit(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]) * INK


def _fit(ink: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Centre the ink in a square, and take the mean of each pixel's part of it."""
    side = max(ink.shape)
    square = np.zeros((side, side), np.float32)
    top, left = ((side - length) // 2 for length in ink.shape)
    square[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    small = Image.fromarray(square).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.clip(np.asarray(small, dtype=np.float64), 0, 1)
