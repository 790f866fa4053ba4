"""Statistics of logs."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from service.tasks import InvalidInput, log_lines, registry, tallies
from service.tasks.contract import InvalidArguments, build
from service.tasks.log_rows import Example, LogStatistics, Numbers, Row
from service.tasks.logs import MAX_EXAMPLE, MAX_KEY, log_statistics, read_log
from service.tasks.tallies import bucket_of, middle_of
from service.tasks.testing import run_pipeline


def line(
    path: str = "/", status: int = 200, size: int | str = 100, user: str = "-", duration: float | None = None
) -> str:
    end = "" if duration is None else f" {duration}"
    request = f'"GET {path} HTTP/1.1" {status} {size} "-" "curl/8.0"{end}'
    return f"127.0.0.1 - {user} [10/Oct/2000:13:55:36 -0700] {request}\n"


def statistics(log: str | bytes, **arguments: Any) -> LogStatistics:
    data = log.encode() if isinstance(log, str) else log
    (found,) = run_pipeline(log_statistics, log=data, **arguments)
    assert isinstance(found, LogStatistics)
    return found


def counted(found: LogStatistics) -> dict[str | None, int]:
    return {row.key: row.count for row in found.rows}


@pytest.fixture(params=[1, 50, log_lines.PIECE], ids=["tiny", "small", "usual"])
def piece_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Sizes of pieces, for which nothing may be different."""
    monkeypatch.setattr(log_lines, "PIECE", request.param)
    size: int = request.param
    return size


def test_pieces_without_a_line_are_left_out_and_their_lines_numbered(piece_size: int) -> None:
    blank = log_lines.PIECE
    log = b"\n" * blank + b"what?\n" + b" \r\n" * blank

    found = statistics(log)

    assert (found.lines, found.first_unreadable) == (1, Example(blank + 1, "what?"))
    assert len(list(read_log(log))) == 1


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["text", "gzip"])
def test_lines_are_counted_by_status(piece_size: int, pack: Any) -> None:
    log = line() + line(status=404) + line() + line(status=503) + "\n" + line()

    assert statistics(pack(log.encode())) == LogStatistics(
        lines=5,
        unreadable=0,
        first_unreadable=None,
        keys=3,
        rows=[Row("200", 3, 0, None), Row("404", 1, 0, None), Row("503", 1, 1, None)],
        others=None,
    )


def test_numbers_of_a_field_are_summed_up_by_key(piece_size: int) -> None:
    log = "".join(line("/a?page=1", size=size) for size in (10, 30, 20)) + line("/b", size="-")

    assert statistics(log, key="path", value="bytes").rows == [
        Row("/a", 3, 0, Numbers(3, 60.0, 20.0, 10.0, 30.0, middle_of(bucket_of(20)), 30.0, 30.0)),
        Row("/b", 1, 0, None),
    ]


def test_what_is_not_named_is_one_row_together(piece_size: int) -> None:
    log = "".join(line(f"/{n % 3}", status=200 + 300 * (n % 3 == 1), size=n) for n in range(8)) + line()

    found = statistics(log, key="path", value="bytes", top=1)

    assert (found.keys, counted(found)) == (4, {"/0": 3})
    assert found.others is not None
    assert (found.others.key, found.others.count, found.others.errors) == (None, 6, 3)
    assert found.others.value is not None
    assert found.others.value.sum == 1 + 4 + 7 + 2 + 5 + 100


def test_keys_past_the_limit_are_in_the_last_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MAX_KEYS", 3)

    found = statistics("".join(line(f"/{n % 5}") for n in range(20)), key="path")

    assert (found.lines, found.keys) == (20, 3)
    assert counted(found) == {"/0": 4, "/1": 4, "/2": 4}
    assert found.others == Row(None, 8, 0, None)


def test_without_room_for_percentiles_everything_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tallies, "MAX_BUCKETS", 2)

    (row,) = statistics("".join(line(size=10**n) for n in range(4)), value="bytes").rows

    assert row.value == Numbers(4, 1111.0, 277.75, 1.0, 1000.0, None, None, None)


def test_lines_in_another_format_are_counted_and_the_first_is_shown(piece_size: int) -> None:
    found = statistics("\n" + line() + "no log\n" + line() + "\nno log either\n")

    assert (found.lines, found.unreadable) == (4, 2)
    assert found.first_unreadable == Example(3, "no log")
    assert counted(found) == {"200": 2}


def test_an_example_is_no_longer_than_is_said() -> None:
    assert statistics("x" * 1000).first_unreadable == Example(1, "x" * MAX_EXAMPLE)


@pytest.mark.parametrize("log", ["", "\n", "\r\n \r\n\r\n"])
def test_a_log_without_lines_has_no_rows(log: str) -> None:
    assert statistics(log) == LogStatistics(0, 0, None, 0, [], None)


def test_lines_may_end_as_on_windows_and_the_last_one_not_at_all(piece_size: int) -> None:
    log = (line() + line(status=404)).replace("\n", "\r\n").removesuffix("\r\n")

    assert counted(statistics(log)) == {"200": 1, "404": 1}


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_nothing_else_ends_a_line(end: str) -> None:
    log = json.dumps({"a": f"x{end}y"}, ensure_ascii=False).replace("\r", "\\r") + "\n"
    found = statistics(log, format="json", key="a")

    assert found.lines == 1
    if end not in "\x0b\x0c\x1c":
        # JSON has no control characters.
        assert counted(found) == {f"x{end}y": 1}


def test_a_mark_of_the_byte_order_is_passed_over(piece_size: int) -> None:
    assert statistics("\ufeff" + '{"a": 1}\n{"a": 1}', format="json", key="a").unreadable == 0


def test_bytes_that_are_no_utf8_are_replaced_and_end_no_line(piece_size: int) -> None:
    log = line("/\udcff").encode("utf-8", "surrogateescape") + line("/\udce2\udc82").encode(
        "utf-8", "surrogateescape"
    )

    assert counted(statistics(log, key="path")) == {"/\ufffd": 2}


def test_a_character_may_lie_across_two_blocks(piece_size: int) -> None:
    assert counted(statistics(line("/äöü€") * 3, key="path")) == {"/äöü€": 3}


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ('"x"', "x"), ("200", "200"), ("1.5", "1.5"), ("true", "true"), ("false", "false"), ("null", None),
        ("[1]", None), ('{"b": 1}', None), (r'"\ud800"', "?"), (r'"\ud83d\ude00"', "😀"),
        (r'"a\u0000b"', "a\0b"),
        ('"' + "x" * 1000 + '"', "x" * MAX_KEY), ('""', ""),
    ],
)  # fmt: skip
def test_a_key_is_text_that_can_be_sent(value: str, key: str | None) -> None:
    found = statistics(f'{{"a": {value}}}', format="json", key="a")

    assert counted(found) == {key: 1}
    json.dumps(key, ensure_ascii=False).encode()


def test_lines_that_lack_the_field_have_a_row_of_their_own() -> None:
    found = statistics('{"a": "x"}\n{"b": 1}\n{}\n', format="json", key="a")

    assert (found.keys, counted(found)) == (2, {None: 2, "x": 1})


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("5", 5), ("-2.5", -2.5), ('"7"', 7), ('" 7 "', 7), ("0", 0), ("1e3", 1000), ("true", None),
        ("null", None), ('"x"', None), ('""', None), ('"nan"', None), ("NaN", None), ("Infinity", None),
        ("1e999", None), ("1e101", None), ("9" * 200, None), ("9" * 4000, None), ("[1]", None),
    ],
)  # fmt: skip
def test_a_number_is_one_that_can_be_summed_up(value: str, number: float | None) -> None:
    (row,) = statistics(f'{{"v": {value}, "k": 1}}', format="json", key="k", value="v").rows

    assert row.count == 1
    assert (row.value and (row.value.count, row.value.sum)) == (None if number is None else (1, number))


def test_the_largest_numbers_have_a_finite_sum() -> None:
    (row,) = statistics('{"k": 1, "v": 1e100}\n' * 1000, format="json", key="k", value="v").rows

    assert row.value is not None
    assert row.value.sum == pytest.approx(1e103)


@pytest.mark.parametrize(
    ("record", "errors"),
    [
        ({"level": "error"}, 1), ({"level": "ERROR"}, 1), ({"severity": "Fatal"}, 1), ({"status": 500}, 1),
        ({"status": "599"}, 1), ({"level": "critical", "status": 503}, 1), ({"level": "info"}, 0),
        ({"status": 404}, 0), ({"status": 600}, 0), ({"status": 5000}, 0), ({"error": "x"}, 0), ({}, 0),
        ({"level": ["error"]}, 0),
    ],
)  # fmt: skip
def test_errors_are_told_by_status_or_level(record: dict[str, Any], errors: int) -> None:
    (row,) = statistics(json.dumps(record), format="json", key="k").rows

    assert row.errors == errors


def test_logfmt_is_read() -> None:
    log = 'level=info path=/a took=5\nlevel=error path=/a took=7 msg="a b"\nlevel=info path=/b\n'

    found = statistics(log, format="logfmt", key="path", value="took")

    assert counted(found) == {"/a": 2, "/b": 1}
    assert found.rows[0].errors == 1
    assert found.rows[0].value is not None
    assert found.rows[0].value.mean == 6


def test_equally_frequent_keys_are_in_the_order_of_their_names(piece_size: int) -> None:
    found = statistics("".join(map(line, ["/b", "/c", "/a", "/d", "/d"])), key="path")

    assert [row.key for row in found.rows] == ["/d", "/a", "/b", "/c"]


@pytest.mark.parametrize(
    "arguments", [{"key": "size"}, {"value": "took"}, {"key": "level", "value": "bytes"}]
)
def test_a_field_that_the_format_lacks_is_refused_with_those_it_has(arguments: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=r"no field '(size|took|level)', but host, user, .*status"):
        statistics(line(), **arguments)


def test_damaged_gzip_is_refused() -> None:
    with pytest.raises(InvalidInput, match="breaks off after 83 bytes"):
        statistics(gzip.compress(line().encode())[:-5])


@pytest.mark.parametrize(
    "arguments",
    [
        {"format": "xml"},
        {"key": ""},
        {"key": "k" * 201},
        {"top": 0},
        {"top": 10_001},
        {"value": 5},
        {"log": 1},
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: dict[str, object]) -> None:
    terms = build(registry.get("log_statistics"))

    with pytest.raises(InvalidArguments):
        terms.validate_json(json.dumps({"log": "", **arguments}).encode())


MEMORY = """
import json, sys
from pathlib import Path
from service.tasks.logs import add_up, count_lines, read_log

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

log, arguments = Path(sys.argv[1]).read_bytes(), json.loads(sys.argv[2])
before = peak()
found = add_up(map(count_lines, read_log(log, **arguments)))
print(found.lines, peak() - before)
"""


def zeros() -> Iterator[bytes]:
    return (bytes(2**20) for _ in range(1024))


def lines() -> Iterator[bytes]:
    return (line().encode() * 1000 for _ in range(1500))


def long_keys() -> Iterator[bytes]:
    return (b"a=%d%s\n" % (number, b"x" * 600) for number in range(200_000))


@pytest.mark.parametrize(
    ("log", "arguments", "count"),
    [
        (zeros, {}, 1),
        (lines, {"key": "path"}, 1_500_000),
        (long_keys, {"format": "logfmt", "key": "a"}, 200_000),
    ],
    ids=["zeros", "lines", "keys"],
)
def test_memory_stays_flat_however_much_it_unpacks_to(
    log: Callable[[], Iterator[bytes]], arguments: dict[str, str], count: int, tmp_path: Path
) -> None:
    """A gigabyte of zeros; 150 MB of lines; more and longer keys than are kept."""
    with gzip.open(tmp_path / "log.gz", "wb", compresslevel=1) as file:
        file.writelines(log())

    ended = subprocess.run(
        [sys.executable, "-c", MEMORY, tmp_path / "log.gz", json.dumps(arguments)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip

    counted_lines, megabytes = ended.stdout.split()
    assert int(counted_lines) == count
    assert float(megabytes) < 30
