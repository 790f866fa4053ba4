"""What a pipeline takes and gives."""

import base64
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from service.errors import ConfigurationError
from service.tasks import Pipeline, contract, registry, strict_json
from service.tasks.arrays import Array
from service.tasks.contract import Contract, InvalidArguments


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's pipelines reach another test."""
    monkeypatch.setattr(registry, "_tasks", {})


class Total(BaseModel):
    lines: int


def lines(text: str, most: Annotated[int, Field(ge=1)] = 100) -> Iterator[str]:
    yield from text.splitlines()[:most]


def length(line: str) -> int:
    return len(line)


def lengths(line: str) -> Iterator[int]:
    yield len(line)


def in_all(numbers: Iterable[str]) -> Total:
    return Total(lines=len(list(numbers)))


def print_line(line: str) -> None: ...


def encoded(line: str) -> bytes:
    return line.encode()


def as_array(line: str) -> Array:
    raise NotImplementedError


def untyped(line):
    return line


def contract_of(produce: Callable[..., Any], *stages: Callable[..., Any], **options: Any) -> Contract:
    Pipeline("it", produce, *stages, **options)
    return contract.build(registry.get("it"))


def test_its_arguments_are_its_producers() -> None:
    terms = contract_of(lines, length)

    assert terms.validate_json(b'{"text": "a", "most": 2}') == {"text": "a", "most": 2}
    assert set(terms.arguments["properties"]) == {"text", "most"}
    assert terms.arguments["required"] == ["text"]
    with pytest.raises(InvalidArguments) as caught:
        terms.validate_json(b'{"most": 0}')
    assert [said["loc"] for said in caught.value.errors] == [["text"], ["most"]]


@pytest.mark.parametrize(
    ("last", "schema"),
    [
        (length, {"type": "integer"}),
        (lengths, {"type": "integer"}),
        (print_line, {}),
        (untyped, {}),
    ],
)
def test_its_result_is_one_item_of_its_last_stage(last: Callable[..., Any], schema: dict[str, Any]) -> None:
    assert contract_of(lines, last).result == schema


def test_its_result_may_be_the_only_one() -> None:
    result = contract_of(lines, in_all).result

    assert (result["title"], result["properties"]["lines"]["type"]) == ("Total", "integer")


def test_bytes_with_a_media_type_are_described_as_those_of_a_task() -> None:
    def task(text: str) -> bytes:
        return text.encode()

    as_a_task = contract.build(registry.Task("task", task, 1, None, "text/plain"))

    assert contract_of(lines, encoded, media_type="text/plain").result == as_a_task.result != {}


def test_so_are_those_that_have_no_type_hint() -> None:
    assert contract_of(lines, untyped, media_type="text/plain").result["format"] == "binary"


def test_its_arrays_are_sent_as_lists() -> None:
    assert not contract_of(lines, as_array).returns_array


def upload(data: bytes, n: int = 1) -> Iterator[str]:
    yield data.decode()


def uploads(data: bytes | list[bytes], n: int = 1) -> Iterator[str]:
    yield from (each.decode() for each in ([data] if isinstance(data, bytes) else data))


def bounded(data: Annotated[bytes | Annotated[list[bytes], Field(max_length=2)], "data"]) -> Iterator[str]:
    yield ""


def reversed_uploads(data: list[bytes] | bytes) -> Iterator[str]:
    yield ""


def several(data: bytes | list[bytes], more: bytes) -> Iterator[str]:
    yield ""


def optional(data: bytes | list[bytes] = b"") -> Iterator[str]:
    yield ""


def or_none(data: bytes | list[bytes] | None) -> Iterator[str]:
    yield ""


def or_texts(data: bytes | list[str]) -> Iterator[str]:
    yield ""


def only_lists(data: list[bytes]) -> Iterator[str]:
    yield ""


@pytest.mark.parametrize("producer", [upload, uploads, bounded, reversed_uploads])
def test_the_only_bytes_or_list_of_them_is_the_upload(producer: Callable[..., Any]) -> None:
    assert contract_of(producer, length).upload == "data"


@pytest.mark.parametrize("producer", [lines, several, optional, or_none, or_texts, only_lists])
def test_nothing_else_is(producer: Callable[..., Any]) -> None:
    assert contract_of(producer, length).upload is None


@pytest.mark.parametrize("given", [b"raw", [b"one", b"two"], [b"one"]])
def test_an_upload_comes_once_or_several_times(given: Any) -> None:
    terms = contract_of(uploads, length)

    assert terms.validate_text({"data": given, "n": "2"}) == {"data": given, "n": 2}


def test_an_upload_in_json_is_base64() -> None:
    terms = contract_of(uploads, length)
    one, two = (base64.b64encode(each).decode() for each in (b"one", b"two"))

    assert terms.validate_json(strict_json.dumps({"data": one})) == {"data": b"one"}
    assert terms.validate_json(strict_json.dumps({"data": [one, two]})) == {"data": [b"one", b"two"]}


def test_a_list_of_uploads_may_be_bounded() -> None:
    terms = contract_of(bounded, length)

    with pytest.raises(InvalidArguments):
        terms.validate_text({"data": [b"a", b"b", b"c"]})


def test_hints_that_cannot_be_served_are_told_with_the_pipelines_name() -> None:
    def produce(n: int = Field(1)) -> Iterator[str]:
        yield str(n)

    Pipeline("it", produce, length)
    with pytest.raises(ConfigurationError) as caught:
        contract.build(registry.get("it"))
    place = f"{__file__}:{produce.__code__.co_firstlineno}: "
    assert str(caught.value) == f"{place}pipeline 'it': Field() of n belongs inside Annotated[…]"


def test_hints_that_pydantic_does_not_know_are_told_so_too() -> None:
    class Odd:
        pass

    def produce(n: Odd) -> Iterator[str]:
        yield str(n)

    Pipeline("it", produce, length)
    with pytest.raises(ConfigurationError, match="pipeline 'it': its type hints can't be used: "):
        contract.build(registry.get("it"))
