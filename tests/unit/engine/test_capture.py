"""What a call of a job prints is caught, and nothing else is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Self

import pytest

from service.engine.capture import Capture
from service.tasks.progress import emitter


class Call:
    """A call in the thread that makes it; what is captured of it stands in ``lines``."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __enter__(self) -> Self:
        self._token = emitter.set(self._emit)
        self._capture = Capture(1)
        return self

    def __exit__(self, *_: object) -> None:
        self._capture.close()
        emitter.reset(self._token)

    def _emit(self, kind: str, data: Any) -> None:
        assert kind == "log"
        self.lines.append((data["stream"], data["line"]))


def in_a_thread(function: Callable[[], object]) -> None:
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


class Other:
    """A thread that was there before, and does as it is told."""

    def __init__(self) -> None:
        self._told = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self._work: Callable[[], object] | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while self._told.acquire() and (work := self._work):
            work()
            self._done.release()

    def do(self, work: Callable[[], object]) -> None:
        self._work = work
        self._told.release()
        assert self._done.acquire(timeout=10)

    def close(self) -> None:
        self._work = None
        self._told.release()
        self._thread.join()


@pytest.fixture
def other() -> Iterator[Other]:
    with closing(Other()) as made:
        yield made


def test_both_streams_are_caught_and_put_back(capsys: pytest.CaptureFixture[str]) -> None:
    own = sys.stdout, sys.stderr

    with Call() as call:
        print("one")
        print("two", file=sys.stderr)

    assert (sys.stdout, sys.stderr) == own
    assert call.lines == [("stdout", "one"), ("stderr", "two")]
    assert capsys.readouterr() == ("", "")


def test_bytes_are_caught_also_when_a_letter_is_cut_in_two() -> None:
    letters = "süß\n".encode()

    with Call() as call:
        for byte in letters:
            sys.stdout.buffer.write(bytes([byte]))
        sys.stdout.buffer.write(b"\xff\n")

    assert call.lines == [("stdout", "süß"), ("stdout", "\\xff")]


def test_a_stream_can_be_used_as_any_other(capfd: pytest.CaptureFixture[str]) -> None:
    own = sys.stdout

    with Call() as call:
        stream: Any = sys.stdout
        stream.reconfigure(line_buffering=True)
        stream.writelines(["a\n", "b\n"])
        print("c", flush=True)
        looks = stream.writable(), stream.isatty(), stream.encoding, stream.name, stream.fileno()

    assert looks == (True, False, "utf-8", "<stdout>", own.fileno())
    assert [line for _, line in call.lines] == ["a", "b", "c"]


def test_without_a_stream_of_its_own_the_process_captures_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdout", None)

    with Call() as call:
        print("one")
        stream = sys.stdout
        with pytest.raises(OSError, match="fileno"):
            stream.fileno()
    print("late", file=stream)

    assert call.lines == [("stdout", "one")]
    assert sys.stdout is None


def test_threads_of_the_call_are_caught_and_earlier_ones_are_not(
    other: Other, capsys: pytest.CaptureFixture[str]
) -> None:
    with Call() as call:
        in_a_thread(lambda: print("of the call"))
        other.do(lambda: print("of somebody else"))

    assert call.lines == [("stdout", "of the call")]
    assert capsys.readouterr().out == "of somebody else\n"


def test_what_comes_late_goes_to_the_processs_own_stream(capsys: pytest.CaptureFixture[str]) -> None:
    with Call() as call:
        stream = sys.stdout
    print("late", file=stream)

    assert call.lines == []
    assert capsys.readouterr().out == "late\n"


@pytest.mark.parametrize("first_ends_first", [True, False])
def test_calls_in_several_threads_may_overlap(
    other: Other, capsys: pytest.CaptureFixture[str], *, first_ends_first: bool
) -> None:
    own = sys.stdout
    first, second = Call(), Call()

    def say_both() -> None:
        print("of the first")
        other.do(lambda: print("of the second"))

    first.__enter__()
    other.do(second.__enter__)
    say_both()
    if first_ends_first:
        first.__exit__()
        other.do(lambda: print("again"))
        other.do(second.__exit__)
    else:
        other.do(second.__exit__)
        print("again")
        first.__exit__()

    assert sys.stdout is own
    say_both()
    again = [("stdout", "again")]
    assert first.lines == [("stdout", "of the first"), *(again * (not first_ends_first))]
    assert second.lines == [("stdout", "of the second"), *(again * first_ends_first)]
    assert capsys.readouterr().out == "of the first\nof the second\n"
