"""Logs cut into pieces of whole lines, packed or not, whole or damaged."""

from __future__ import annotations

import gzip
import io
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tasks import InvalidInput, log_lines
from service.tasks.log_lines import MAX_LINE, PIECE, TOO_LONG, pieces_of

LINES = b"".join(b"line %d of a log\n" % number for number in range(50_000))


def packed(*members: bytes) -> bytes:
    return b"".join(gzip.compress(member, 1, mtime=0) for member in members)


@given(blocks=st.lists(st.binary(max_size=30)), size=st.integers(1, 50), is_packed=st.booleans())
def test_what_is_put_together_again_is_the_log(blocks: list[bytes], size: int, *, is_packed: bool) -> None:
    log = b"\n".join(blocks).removeprefix(b"\x1f\x8b")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_lines, "PIECE", size)

        pieces = list(pieces_of(packed(log) if is_packed else log))

    assert b"".join(pieces) == log
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])
    assert all(pieces)


@pytest.mark.parametrize("log", [LINES, packed(LINES)], ids=["text", "gzip"])
def test_a_piece_is_about_as_large_as_is_said(log: bytes) -> None:
    pieces = list(pieces_of(log))

    assert b"".join(pieces) == LINES
    assert all(PIECE - 100 < len(piece) < 2 * PIECE for piece in pieces[:-1])


@pytest.mark.parametrize("log", [b"", packed(b""), packed(b"", b"")], ids=["text", "gzip", "members"])
def test_an_empty_log_has_no_pieces(log: bytes) -> None:
    assert list(pieces_of(log)) == []


def test_the_last_line_needs_no_end() -> None:
    assert list(pieces_of(b"a\nb")) == [b"a\nb"]


@pytest.mark.parametrize("padding", [0, 1000])
def test_gzip_may_have_several_members_that_meet_within_a_line(padding: int) -> None:
    log = packed(b"one\ntw", b"", b"o\nthree", b"\n") + bytes(padding)

    assert b"".join(pieces_of(log)) == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("ends", [b"", b"\n", b"\nb", b"\nb\n"])
@pytest.mark.parametrize("length", [MAX_LINE + PIECE, 3 * MAX_LINE, 3 * MAX_LINE + 1])
def test_a_line_that_is_too_long_is_left_out_and_the_others_are_not(length: int, ends: bytes) -> None:
    found = b"".join(pieces_of(b"first\n" + b"a" * length + ends))

    assert found == b"first\n" + TOO_LONG + ends.partition(b"\n")[2]


def test_a_long_line_is_kept() -> None:
    log = b"a" * MAX_LINE + b"\nb\n"

    assert b"".join(pieces_of(log)) == log


@pytest.mark.parametrize("share", [0.0001, 0.3, 0.9, 0.9999])
def test_gzip_that_breaks_off_is_refused_with_the_place(share: float) -> None:
    whole = packed(LINES)
    pieces = pieces_of(whole[: 2 + int(share * (len(whole) - 3))])

    with pytest.raises(InvalidInput, match=r"breaks off after \d+ bytes of text"):
        list(pieces)


@pytest.mark.parametrize(
    ("damage", "place"), [(b"", "after"), (b"\xff" * 100_000, "after about")], ids=["end", "damage"]
)
def test_the_place_is_the_end_of_what_could_be_unpacked(damage: bytes, place: str) -> None:
    # Given data that can't be packed, and breaks off or is something else from some place on
    data = random.Random(1).randbytes(1_000_000)
    log = gzip.compress(data, 0)[:700_000] + damage

    with pytest.raises(InvalidInput) as refused:
        list(pieces_of(log))

    found = int(str(refused.value).split(f" {place} ")[1].split(" ")[0])
    assert found == pytest.approx(700_000, abs=70_000)


def damaged(at: int) -> bytes:
    data = bytearray(packed(LINES))
    data[at] ^= 0xFF
    return bytes(data)


@pytest.mark.parametrize(
    "log",
    [
        damaged(2),
        damaged(10),
        damaged(5000),
        damaged(-1),
        damaged(-5),
        packed(LINES) + b"and more",
        packed(LINES) + b"\x1f\x8b\x08",
        packed(LINES) + b"\x1f\x8b" + bytes(20),
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x04" + b"\xff" * 100,
    ],
)
def test_damaged_gzip_is_the_clients_fault(log: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"the gzip data (is damaged|breaks off) after"):
        list(pieces_of(log))


def test_gzip_in_gzip_is_not_unpacked_twice() -> None:
    inner = packed(b"line\n")

    assert b"".join(pieces_of(packed(inner))) == inner


def test_bytes_that_only_resemble_gzip_are_text() -> None:
    log = zlib.compress(b"line\n")

    assert b"".join(pieces_of(log)) == log


def test_a_name_in_the_header_is_passed_over() -> None:
    out = io.BytesIO()
    with gzip.GzipFile("access.log", "wb", fileobj=out) as file:
        file.write(b"line\n")

    assert list(pieces_of(out.getvalue())) == [b"line\n"]
