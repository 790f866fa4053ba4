"""Pipelines: a log is read, counted and added up; pictures are found, shrunk and packed."""

from __future__ import annotations

from loadtests.scenarios import pictures
from loadtests.scenarios.answers import Answer, is_so, unpacked, with_summary
from loadtests.scenarios.asking import Asking, scenario

#: Lines of the log by status.
LINES = {200: 900, 404: 80, 500: 20}
PICTURES = 3

_LOG = b"".join(
    b'192.0.2.7 - - [10/Oct/2025:13:55:36 +0000] "GET /page/%d HTTP/1.1" %d 512\n' % (number, status)
    for status, lines in LINES.items()
    for number in range(lines)
)


def log_statistics(user: Asking) -> None:
    """How often each status occurs in a log of a thousand lines."""

    def check(answer: Answer) -> None:
        (first,), _ = with_summary(answer.lines)
        rows = {row["key"]: row["count"] for row in first["item"]["rows"]}
        is_so(rows == {str(status): lines for status, lines in LINES.items()}, "the counts are wrong")

    path = "/v1/pipelines/log_statistics?format=combined&key=status"
    user.ask(path, check, body=_LOG, headers={"Content-Type": "text/plain"}, lines=True)


def image_gallery(user: Asking) -> None:
    """Three pictures of a form, back as an archive."""

    def check(answer: Answer) -> None:
        images = unpacked(answer.content)
        is_so(len(images) == PICTURES, "pictures are missing")
        for image in images:
            pictures.check(image, "JPEG", (64, 48))

    fields = [("images", f"{number}.jpg", "image/jpeg", pictures.JPEG) for number in range(PICTURES)]
    kind, body = pictures.form(fields, width=64)
    user.ask("/v1/pipelines/image_gallery", check, body=body, headers={"Content-Type": kind})


class Pipelines(Asking):
    """A log that is counted, or a gallery that is packed."""

    tasks = scenario("pipelines", log=log_statistics, gallery=image_gallery)
