"""Pictures that are sent and come back changed."""

from __future__ import annotations

from loadtests.scenarios import pictures
from loadtests.scenarios.answers import Answer
from loadtests.scenarios.asking import Asking, scenario


def thumbnail(user: Asking) -> None:
    """A JPEG as the body, its thumbnail back."""

    def check(answer: Answer) -> None:
        pictures.check(answer.content, "JPEG", (128, 96))

    path, headers = "/v1/tasks/thumbnail?width=128", {"Content-Type": "image/jpeg"}
    user.ask(path, check, body=pictures.JPEG, headers=headers)


def image_filter(user: Asking) -> None:
    """A PNG in a form, inverted back, pixel by pixel."""

    def check(answer: Answer) -> None:
        pictures.check_inverted(answer.content)

    files = [("image", "picture.png", "image/png", pictures.PNG)]
    kind, body = pictures.form(files, filter="invert", format="png")
    user.ask("/v1/tasks/image_filter", check, body=body, headers={"Content-Type": kind})


class Uploads(Asking):
    """A picture as the body or in a form."""

    tasks = scenario("uploads", body=thumbnail, form=image_filter)
