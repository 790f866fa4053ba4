"""Handwritten digits, none of which the model was trained on."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from service.tasks import InvalidInput, digits
from service.tasks.digits import INK, classify_digit_image, classify_digits


@pytest.fixture(scope="module")
def held_out() -> tuple[np.ndarray, list[int]]:
    """Images, and what they show, as ``training/train_digits.py`` held them out."""
    with np.load(Path(__file__).with_name("digits_held_out.npz"), allow_pickle=False) as arrays:
        return arrays["images"].astype(float), arrays["digits"].tolist()


def drawn(image: np.ndarray, *, light: bool, side: int = 160) -> Image.Image:
    """A digit written large, with a free edge."""
    small = Image.fromarray((image * (255 / INK)).astype(np.uint8))
    large = ImageOps.expand(small.resize((side, side), Image.Resampling.BICUBIC), side // 4)
    return large if light else ImageOps.invert(large)


def encoded(picture: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    picture.save(out, kind)
    return out.getvalue()


def test_as_many_are_recognized_as_is_documented(held_out: tuple[np.ndarray, list[int]]) -> None:
    images, shown = held_out
    stated = re.search(r"Of (\d+) digits .* UCI\) (\d+) are", str(classify_digits.__doc__), re.DOTALL)
    assert stated

    found = classify_digits(images)

    right = sum(entry.digit == digit for entry, digit in zip(found, shown, strict=True))
    assert (len(shown), right) == (int(stated[1]), int(stated[2]))
    assert right / len(shown) > 0.97


def test_what_the_model_is_sure_of_is_right_more_often(held_out: tuple[np.ndarray, list[int]]) -> None:
    images, shown = held_out

    found = classify_digits(images)

    assert all(0.1 <= entry.confidence <= 1 for entry in found)
    sure = [
        entry.digit == digit for entry, digit in zip(found, shown, strict=True) if entry.confidence > 0.95
    ]
    unsure = [
        entry.digit == digit for entry, digit in zip(found, shown, strict=True) if entry.confidence <= 0.95
    ]
    assert len(sure) > len(shown) / 2
    assert np.mean(sure) > 0.99 > np.mean(unsure)


def test_digits_are_recognized_one_by_one_as_all_at_once(held_out: tuple[np.ndarray, list[int]]) -> None:
    images, _ = held_out

    assert [classify_digits(image[np.newaxis])[0].digit for image in images[:20]] == [
        entry.digit for entry in classify_digits(images[:20])
    ]
    assert classify_digits(images[:0]) == []


@pytest.mark.parametrize("light", [True, False])
def test_digits_on_pictures_are_recognized(held_out: tuple[np.ndarray, list[int]], *, light: bool) -> None:
    images, shown = held_out

    found = [classify_digit_image(encoded(drawn(image, light=light))).digit for image in images]

    assert np.mean(np.array(found) == shown) > 0.94


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "BMP"])
def test_the_format_of_the_picture_does_not_matter(held_out: tuple[np.ndarray, list[int]], kind: str) -> None:
    images, _ = held_out
    picture = drawn(images[0], light=False)

    assert classify_digit_image(encoded(picture, kind)).digit == classify_digit_image(encoded(picture)).digit


@pytest.mark.parametrize("colour", ["white", "black", (120, 130, 140)])
def test_an_empty_picture_shows_no_digit(colour: str | tuple[int, int, int]) -> None:
    with pytest.raises(InvalidInput, match="shows no digit"):
        classify_digit_image(encoded(Image.new("RGB", (50, 50), colour)))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3000, 2), (2, 2)])
def test_a_picture_of_any_size_is_no_failure(size: tuple[int, int]) -> None:
    picture = Image.new("L", size, 255)
    picture.putpixel((size[0] - 1, size[1] - 1), 0)

    with contextlib.suppress(InvalidInput):
        assert classify_digit_image(encoded(picture)).digit in range(10)


def test_the_model_is_read_without_unpickling_anything() -> None:
    model = digits._model()

    assert {name: (array.shape, array.dtype.name) for name, array in model.items()} == {
        "hidden": ((64, 64), "float32"),
        "hidden_bias": ((64,), "float32"),
        "output": ((64, 10), "float32"),
        "output_bias": ((10,), "float32"),
    }
