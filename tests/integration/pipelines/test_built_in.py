"""The built-in pipelines in processes of their own."""

from __future__ import annotations

import gzip
import io
import os
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.engine.local import LocalEngine
from service.errors import StageFailed, TaskFailed
from service.pipelines.run import Item, PipelineRun, Skipped
from service.tasks import registry
from service.tasks.testing import run_pipeline
from tests.films import film

Run = Callable[..., PipelineRun]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalEngine]:
    registry.load()
    engine = LocalEngine(processes=8, cpu_slots=2, runtime_dir=tmp_path_factory.mktemp("run"))
    yield engine
    engine.close()


@pytest.fixture
def run(engine: LocalEngine) -> Iterator[Run]:
    """Start pipelines by name; they are closed at the end of the test."""
    runs: list[PipelineRun] = []

    def start(name: str, *, skip: bool = False, **arguments: Any) -> PipelineRun:
        pipeline = registry.get(name).pipeline
        assert pipeline is not None
        deadline = time.monotonic() + 50
        runs.append(PipelineRun(engine, pipeline, arguments, deadline=deadline, skip=skip))
        return runs[-1]

    yield start
    for each in runs:
        each.close()


def values(run: PipelineRun) -> list[Any]:
    with closing(run):
        return [result.value for result in run if isinstance(result, Item)]


def expected(name: str, **arguments: Any) -> list[Any]:
    pipeline = registry.get(name).pipeline
    assert pipeline is not None
    return run_pipeline(pipeline, **arguments)


def picture(colour: tuple[int, int, int], size: tuple[int, int] = (300, 200)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def archive(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, data in files.items():
            made.writestr(name, data)
    return out.getvalue()


def pictures(count: int) -> dict[str, bytes]:
    return {f"{number:03}.png": picture((number, 0, 0)) for number in range(count)}


def opened(data: bytes) -> dict[str, Image.Image]:
    with zipfile.ZipFile(io.BytesIO(data)) as found:
        assert found.testzip() is None
        return {name: Image.open(io.BytesIO(found.read(name))) for name in found.namelist()}


def access_log(lines: int) -> bytes:
    request = '%s - - [10/Oct/2000:13:55:36 -0700] "GET /%d HTTP/1.1" %d %d "-" "curl/8.0"\n'
    return "".join(
        request % ("::1", number % 700, 500 if number % 10 == 0 else 200, number % 997)
        for number in range(lines)
    ).encode()


class TestQueue:
    """A producer and a consumer, each in its process."""

    def test_each_item_is_consumed_in_order(self, run: Run) -> None:
        assert values(run("process_queue_communication")) == [f"Consumed: Item {n}" for n in range(5)]

    def test_the_first_is_there_long_before_the_last_is_produced(self, run: Run) -> None:
        queue = run("process_queue_communication", items=500)

        assert next(queue) == Item(0, "Consumed: Item 0")
        assert queue.report()[0].items_out < 500


class TestLogStatistics:
    """Lines counted by several processes."""

    @pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["text", "gzip"])
    def test_processes_count_as_one_would(self, run: Run, pack: Callable[[bytes], bytes]) -> None:
        log = pack(access_log(50_000))
        arguments: dict[str, Any] = {"log": log, "key": "path", "value": "bytes"}

        assert values(run("log_statistics", **arguments)) == expected("log_statistics", **arguments)

    def test_the_report_tells_how_many_pieces_went_where(self, run: Run) -> None:
        counting = run("log_statistics", log=access_log(30_000))

        assert len(list(counting)) == 1
        read, count, total = counting.report()
        assert read.items_out == count.items_in == count.items_out == total.items_in > 5
        assert total.items_out == 1

    def test_an_empty_log_has_statistics_too(self, run: Run) -> None:
        (found,) = values(run("log_statistics", log=b""))

        assert (found.lines, found.rows) == (0, [])

    def test_gzip_that_breaks_off_is_told_by_the_producer(self, run: Run) -> None:
        log = gzip.compress(access_log(50_000))[:-20]

        with pytest.raises(StageFailed) as failed:
            values(run("log_statistics", log=log))

        assert failed.value.stage == "read_log"
        assert isinstance(failed.value.cause, TaskFailed)
        assert failed.value.cause.exception == "InvalidInput"
        assert "breaks off" in failed.value.cause.message


class TestGallery:
    """Pictures shrunk by two processes."""

    def test_an_archive_of_thumbnails_has_the_order_of_the_pictures(self, run: Run) -> None:
        found = opened(b"".join(values(run("image_gallery", images=archive(pictures(60)), width=30))))

        assert list(found) == [f"{number:03}.jpg" for number in range(60)]
        assert {each.size for each in found.values()} == {(30, 20)}
        assert [each.resize((1, 1)).tobytes()[0] for each in found.values()] == pytest.approx(
            range(60), abs=3
        )

    def test_the_same_archive_is_made_each_time(self, run: Run) -> None:
        images = archive(pictures(10))

        made = b"".join(values(run("image_gallery", images=images, format="png")))

        assert made == b"".join(expected("image_gallery", images=images, format="png"))

    def test_a_picture_that_is_none_ends_it_and_is_named(self, run: Run) -> None:
        images = archive(pictures(3) | {"b.png": b"none"} | {"c.png": picture((0, 0, 0))})

        with pytest.raises(StageFailed, match=r"'b.png': the image is none of") as failed:
            values(run("image_gallery", images=images))

        assert (failed.value.stage, failed.value.item) == ("shrink_picture", 3)

    def test_a_picture_that_is_none_can_be_left_out(self, run: Run) -> None:
        images = archive({"a.png": picture((0, 0, 0)), "b.png": b"none", "c.png": picture((9, 0, 0))})

        results = list(run("image_gallery", skip=True, images=images))

        left_out = [result.error.item for result in results if isinstance(result, Skipped)]
        made = b"".join(result.value for result in results if isinstance(result, Item))
        assert (left_out, list(opened(made))) == ([1], ["a.jpg", "c.jpg"])


@pytest.fixture(scope="module")
def clip() -> bytes:
    return film((640, 360), [(5 * number, 0, 0) for number in range(50)])


class TestVideo:
    """Frames made JPEG by two processes."""

    def test_frames_are_those_of_the_task_in_their_order(self, run: Run, clip: bytes) -> None:
        found = values(run("video_thumbnails", video=clip, every=0.0, width=640))

        assert found == list(registry.get("video_frames").function(clip, every=0.0, width=640))
        assert len(found) == 50

    def test_what_is_no_video_is_told_by_the_producer(self, run: Run, clip: bytes) -> None:
        with pytest.raises(StageFailed, match="none of MP4, MOV") as failed:
            values(run("video_thumbnails", video=b"no video" + clip))

        assert failed.value.stage == "decode_frames"


def test_no_process_and_no_descriptor_is_left(run: Run) -> None:
    assert values(run("log_statistics", log=access_log(10)))
    before = len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))

    for _ in range(3):
        assert values(run("log_statistics", log=access_log(10)))
        with pytest.raises(StageFailed):
            values(run("image_gallery", images=b"none"))

    assert len(list(Path(f"/proc/{os.getpid()}/fd").iterdir())) <= before
