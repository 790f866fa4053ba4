"""What users take for a right answer, and for a wrong one."""

from __future__ import annotations

import io
import random
import zipfile

import pytest
from PIL import Image

from loadtests.scenarios import answers, pace, pictures
from loadtests.scenarios.answers import Answer, Refused, Unexpected, Wrong
from service.tasks import arithmetic


def answer(status=200, *lines):
    return Answer(status, {}, lines)


@pytest.mark.parametrize("n", [0, 1, 2, 5, 1000, 12_000])
def test_sums_of_squares_are_the_services(n):
    assert answers.sum_of_squares(n) == arithmetic.sum_of_squares(n)


def test_the_expected_status_is_right():
    answers.check_status(answer(202), 202)


@pytest.mark.parametrize("status", [429, 503])
def test_no_room_is_told_apart(status):
    with pytest.raises(Refused, match=str(status)):
        answers.check_status(answer(status), 200)


def test_another_status_is_told_with_the_problem():
    body = b'{"type":"/problems/validation","status":422}'

    with pytest.raises(Unexpected, match=r"status 422 in place of 200 \(/problems/validation\)"):
        answers.check_status(answer(422, body), 200)
    with pytest.raises(Unexpected, match=r"status 500 in place of 200$"):
        answers.check_status(answer(500, b"<html>"), 200)


ENTRIES = [{"index": 1, "result": 7}, {"index": 0, "result": 5}]


def test_entries_may_come_in_any_order():
    answers.check_results(ENTRIES, [5, lambda result: result > 6])


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (ENTRIES[:1], "results are missing"),
        ([*ENTRIES, ENTRIES[0]], "twice"),
        ([*ENTRIES, {"index": 2, "result": 1}], "not asked for"),
        ([ENTRIES[0], {"index": 0, "result": 6}], "a result is wrong"),
        ([ENTRIES[0], {"index": 0, "error": {}}], "an entry has an error"),
        ([{"result": 6}], "not asked for"),
    ],
)
def test_other_entries_are_wrong(entries, said):
    with pytest.raises(Wrong, match=said):
        answers.check_results(entries, [5, 7])


def test_a_summary_counts_everything_as_succeeded():
    answers.check_summary({"total": 2, "succeeded": 2, "failed": 0, "wall": 0.1}, 2)

    with pytest.raises(Wrong):
        answers.check_summary({"total": 2, "succeeded": 1, "failed": 1}, 2)
    with pytest.raises(Wrong):
        answers.check_summary({}, 2)


def test_lines_are_objects():
    assert answers.ndjson([b'{"item":1}', b""]) == [{"item": 1}]

    with pytest.raises(Wrong, match="no JSON"):
        answers.ndjson([b'{"item":'])
    with pytest.raises(Wrong, match="no object"):
        answers.ndjson([b"[1]"])


def test_the_last_line_of_a_stream_is_its_summary():
    lines = [b'{"item":1}', b'{"item":2}', b'{"summary":{"items":2}}']

    assert answers.with_summary(lines) == ([{"item": 1}, {"item": 2}], {"items": 2})
    with pytest.raises(Wrong, match="the last line is no summary"):
        answers.with_summary(lines[:2])


def test_events_have_names_and_data():
    lines = [
        b"event: item",
        b"data: 2",
        b"",
        b": a comment",
        b"event: summary",
        b'data: {"items":1}',
        b"",
        b"",
    ]

    assert list(answers.events(lines)) == [("item", 2), ("summary", {"items": 1})]


def test_an_event_that_breaks_off_is_wrong():
    with pytest.raises(Wrong, match="breaks off"):
        list(answers.events([b"event: item", b"data: 2"]))


class TestPictures:
    def thumbnail(self, change=lambda image: image, kind="JPEG"):
        image = Image.open(io.BytesIO(pictures.JPEG))
        image.thumbnail((128, 96))
        output = io.BytesIO()
        change(image).save(output, kind)
        return output.getvalue()

    def test_a_thumbnail_is_right(self):
        pictures.check(self.thumbnail(), "JPEG", (128, 96))

    def test_another_picture_is_wrong(self):
        others = {
            "no JPEG": self.thumbnail(kind="PNG"),
            "the size": self.thumbnail(lambda image: image.resize((96, 96))),
            "the colours": self.thumbnail(lambda image: image.rotate(180)),
            "no picture": self.thumbnail()[:300],
        }
        for said, content in others.items():
            with pytest.raises(Wrong, match=said):
                pictures.check(content, "JPEG", (128, 96))

    def test_pixels_are_inverted_or_not(self):
        with Image.open(io.BytesIO(pictures.PNG)) as image:
            output = io.BytesIO()
            image.point(lambda value: 255 - value).save(output, "PNG")
        pictures.check_inverted(output.getvalue())

        with pytest.raises(Wrong, match="pixels"):
            pictures.check_inverted(pictures.PNG)


class TestPace:
    def test_over_time_users_ask_as_often_as_they_should(self):
        random.seed(3)
        now = 100.0
        user = pace.Pace(5.0, now)
        for _ in range(2000):
            now += user.wait(now)

        assert (now - 100.0) / 2000 == pytest.approx(0.2, rel=0.1)

    def test_who_waited_for_an_answer_catches_up(self):
        random.seed(3)
        now = 100.0
        user = pace.Pace(5.0, now)
        for _ in range(2000):
            now += user.wait(now) + (1.0 if random.random() < 0.05 else 0.0)  # now and then an answer is late

        assert (now - 100.0) / 2000 == pytest.approx(0.2, rel=0.1)

    def test_who_is_far_behind_does_not_ask_for_what_is_long_past(self):
        random.seed(3)
        user = pace.Pace(5.0, 0.0)

        immediate = 0
        while user.wait(1000.0) == 0.0:
            immediate += 1

        assert immediate < 2 * pace.BEHIND * 5


def test_the_files_of_an_archive_are_taken_out():
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("one", b"1")
        archive.writestr("two", b"2")

    assert answers.unpacked(packed.getvalue()) == [b"1", b"2"]


@pytest.mark.parametrize(
    "damage",
    [lambda packed: b"PK", lambda packed: packed.replace(b"one!", b"two!")],
    ids=["cut off", "changed"],
)
def test_what_is_no_whole_archive_is_wrong(damage):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("name", b"one!")

    with pytest.raises(Wrong, match=r"no archive|damaged"):
        answers.unpacked(damage(packed.getvalue()))
