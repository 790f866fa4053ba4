"""What a pipeline gives, put together as one result, in no more memory than that may take."""

from __future__ import annotations

from typing import Any, Protocol

from service.errors import NotSerializable, ResultNotJson, StageFailed, TaskFailed
from service.pipelines.run import Item
from service.tasks.pipelines import Pipeline
from service.tasks.strict_json import Encoded, dumps


class Results(Protocol):
    """Takes items one by one."""

    #: How many it has.
    count: int

    def add(self, item: Item) -> None:
        """Take an item; raises ``StageFailed`` for an unfit one, ``NotSerializable`` when it is too much."""
        ...

    def value(self) -> Any:
        """Return all of them together; there are no more."""
        ...


def results_of(pipeline: Pipeline, most: int) -> Results:
    """Return what collects the results of one run, in up to ``most`` bytes."""
    if pipeline.media_type is not None:
        return Joined(pipeline.steps[-1].name, pipeline.media_type, most)
    return Listed(pipeline.steps[-1].name, most)


class Joined:
    """Bytes, one after the other."""

    def __init__(self, stage: str, media_type: str, most: int) -> None:
        """``stage`` is the last one's name."""
        self.count = 0
        self._stage = stage
        self._media_type = media_type
        self._most = most
        self._content = bytearray()

    def add(self, item: Item) -> None:
        """Take bytes."""
        try:
            value = promised_bytes(item.value, self._media_type)
        except TaskFailed as error:
            raise StageFailed(self._stage, item.number, error) from error
        check_size(len(self._content) + len(value), self._most)
        self._content += value
        self.count += 1

    def value(self) -> bytearray:
        """Return the bytes."""
        return self._content


class Listed:
    """A list, kept as the JSON that it becomes: as objects the items could take many times as much."""

    def __init__(self, stage: str, most: int) -> None:
        """``stage`` is the last one's name."""
        self.count = 0
        self._stage = stage
        self._most = most
        self._content = bytearray(b"[")

    def add(self, item: Item) -> None:
        """Take a value that has a form in JSON."""
        try:
            encoded = dumps(item.value)
        except Exception as error:  # code of the user's runs here
            raise StageFailed(self._stage, item.number, ResultNotJson.because(error)) from error
        if self.count:
            encoded = b"," + encoded
        check_size(len(self._content) + len(encoded) + len(b"]"), self._most)
        self._content += encoded
        self.count += 1

    def value(self) -> Encoded:
        """Return the list."""
        self._content += b"]"
        return Encoded(bytes(self._content))


def promised_bytes(value: Any, media_type: str) -> bytes:
    """Return the bytes that a last stage gave; raises ``TaskFailed`` for anything else."""
    if not isinstance(value, bytes | bytearray | memoryview):
        said = f"it gave {type(value).__name__}, and the pipeline promises {media_type}"
        raise TaskFailed("TypeError", said)
    return bytes(value)


def check_size(size: int, most: int) -> None:
    """Raise ``NotSerializable`` if a result is larger than may be kept."""
    if size > most:
        raise NotSerializable("result", f"it has more than the {most} bytes that are kept")
