"""Archives that are read with care, however they were made, and archives of our own."""

from __future__ import annotations

import functools
import io
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tasks import InvalidInput, archives
from service.tasks.archives import MAX_FILE, Names, archive_of, files_of, is_archive


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as made:
        for name, data in files.items():
            made.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def changed(data: bytes, field: str, value: int, at: tuple[int, int]) -> bytes:
    """The only entry with another value, in the directory and in front of its data."""
    result = bytearray(data)
    for signature, offset in zip((b"PK\x01\x02", b"PK\x03\x04"), at, strict=True):
        struct.pack_into(field, result, data.index(signature) + offset, value)
    return bytes(result)


def says_to_unpack_to(size: int, data: bytes) -> bytes:
    return changed(data, "<I", size, (24, 22))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_come_in_the_order_of_the_directory(method: int) -> None:
    files = {"b.txt": b"b" * 1000, "a/ä ö.txt": b"a", "empty": b""}

    assert dict(files_of(archive(files, method))) == files
    assert [name for name, _ in files_of(archive(files, method))] == list(files)


def test_folders_and_hidden_files_are_passed_over() -> None:
    names = [
        "folder/", ".DS_Store", "a/.hidden/b.txt", "__MACOSX/._a.txt", "a/__MACOSX/b.txt", "a/Thumbs.db",
        "desktop.ini", "a\\.hidden", "./kept.txt", "a/b.c.txt",
    ]  # fmt: skip

    found = [name for name, _ in files_of(archive(dict.fromkeys(names, b"x")))]

    assert found == ["./kept.txt", "a/b.c.txt"]


@pytest.mark.parametrize(
    "name",
    [
        "../a.txt",
        "a/../../b.txt",
        "/etc/passwd",
        "..",
        "a\\..\\b.txt",
        "\\a.txt",
        "//a",
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="leads out of the archive"):
        list(files_of(archive({name: b"x"})))


@pytest.mark.parametrize("name", ["C:\\a.txt", "c:a.txt", "a:b.jpg"])
def test_names_that_begin_like_a_drive_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="begins like a drive"):
        list(files_of(archive({name: b"x"})))


@pytest.mark.parametrize("name", ["a\n.txt", "a\x1b[31m.txt", "a\x7f.txt", "\x01"])
def test_names_with_control_characters_are_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="control characters"):
        list(files_of(archive({name: b"x"})))


def test_more_files_than_allowed_are_refused_before_any_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILES", 3)
    three = {f"{n}.txt": b"x" for n in range(3)} | {f".{n}": b"x" for n in range(5)}

    assert len(list(files_of(archive(three)))) == 3
    with pytest.raises(InvalidInput, match="has 4 files, more than 3"):
        next(files_of(archive({**three, "4.txt": b"x"})))


def test_more_entries_than_allowed_are_refused_before_the_directory_is_read() -> None:
    entry = archive({"": b""})
    at = entry.index(b"PK\x01\x02")
    entry, end = entry[at:-22], entry[-22:]

    with pytest.raises(InvalidInput, match="more than 10000 entries"):
        next(files_of(entry * 10_001 + end))


def test_files_that_say_they_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_FILE", 1000)
    assert next(files_of(archive({"a": bytes(1000)})))

    with pytest.raises(InvalidInput, match="'a' unpacks to 1001 bytes, more than 1000"):
        next(files_of(archive({"a": bytes(1001)})))

    monkeypatch.setattr(archives, "MAX_TOTAL", 2500)
    with pytest.raises(InvalidInput, match="unpacks to more than 2500 bytes"):
        next(files_of(archive(dict.fromkeys("abc", bytes(900)))))


@pytest.mark.parametrize("size", [1, 999])
def test_a_file_that_says_less_than_it_has_is_refused(size: int) -> None:
    with pytest.raises(InvalidInput, match="'a' is damaged: Bad CRC"):
        next(files_of(says_to_unpack_to(size, archive({"a": b"x" * 1000}))))


def test_a_file_that_says_more_has_what_it_has() -> None:
    lying = says_to_unpack_to(10_000, archive({"a": b"x" * 1000}))

    assert list(files_of(lying)) == [("a", b"x" * 1000)]


BOMB = """
import io, sys, zipfile
from pathlib import Path
from service.tasks import InvalidInput
from service.tasks.archives import files_of

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

data = Path(sys.argv[1]).read_bytes()
before = peak()
try:
    sum(len(file) for _, file in files_of(data))
except InvalidInput as error:
    print(error)
print(peak() - before)
"""


@functools.cache
def bomb() -> bytes:
    return archive({"bomb": bytes(500_000_000)})


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (lambda data: data, "unpacks to 500000000 bytes"),
        (lambda data: says_to_unpack_to(100, data), "is damaged: Bad CRC"),
        (lambda data: says_to_unpack_to(MAX_FILE, data), "is damaged: Bad CRC"),
    ],
    ids=["honest", "small", "allowed"],
)
def test_a_bomb_does_not_go_off(lie: Callable[[bytes], bytes], said: str, tmp_path: Path) -> None:
    """Half a gigabyte of zeros in half a megabyte."""
    (tmp_path / "bomb.zip").write_bytes(lie(bomb()))

    ended = subprocess.run(
        [sys.executable, "-c", BOMB, tmp_path / "bomb.zip"], check=True, capture_output=True, text=True
    )

    error, megabytes = ended.stdout.splitlines()
    assert said in error
    # A file that may be there, once as it grows and once as it is handed over.
    assert float(megabytes) < 2.2 * MAX_FILE / 1e6


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_compressing_are_refused(method: int) -> None:
    with pytest.raises(InvalidInput, match="'a' is compressed in another way than by deflate"):
        next(files_of(archive({"a": bytes(1000)}, method)))


@pytest.mark.parametrize("flag", [0x1, 0x1 | 0x40])
def test_encrypted_files_are_refused(flag: int) -> None:
    with pytest.raises(InvalidInput, match="'a' is encrypted"):
        next(files_of(changed(archive({"a": b"x"}), "<H", flag, (8, 6))))


def test_archives_in_archives_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"'b.zip' is an archive in the archive"):
        list(files_of(archive({"a": b"x", "b.zip": archive({"c": b"x"})})))


def test_a_wrong_checksum_is_refused() -> None:
    data = archive({"a": b"the content"}, zipfile.ZIP_STORED)

    with pytest.raises(InvalidInput, match="'a' is damaged: Bad CRC-32"):
        next(files_of(data.replace(b"the content", b"the CONTENT")))


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_an_archive_that_breaks_off_is_refused(share: float) -> None:
    whole = archive({f"{n}": bytes(range(256)) * 10 for n in range(10)})

    with pytest.raises(InvalidInput, match="the archive is damaged"):
        list(files_of(whole[: int(share * len(whole))]))


@given(st.integers(0, 400), st.integers(1, 255))
def test_no_damage_is_a_failure_of_ours(at: int, change: int) -> None:
    data = bytearray(archive({"a.txt": b"some text, and more text", "b/ä.txt": b"x" * 100}))
    data[at % len(data)] ^= change

    try:
        found = list(files_of(bytes(data)))
    except InvalidInput:
        return
    assert len(found) <= 2


@pytest.mark.parametrize(
    "data", [b"", b"PK\x03\x04", b"PK\x05\x06", b"PK\x05\x06" + b"\xff" * 18, b"no archive"]
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="the archive is damaged"):
        list(files_of(data))


def test_archives_are_known_by_how_they_begin() -> None:
    assert is_archive(archive({"a": b"x"}))
    assert is_archive(archive({}))
    assert not is_archive(b"\xff\xd8\xff" + archive({"a": b"x"}))
    assert list(files_of(archive({}))) == []


class TestNames:
    """Names that we give."""

    @pytest.mark.parametrize(
        ("name", "given"),
        [
            ("a.png", "a.jpg"),
            ("a", "a.jpg"),
            ("a.b.png", "a.b.jpg"),
            ("folder/sub/a.png", "folder/sub/a.jpg"),
            ("folder\\a.png", "folder/a.jpg"),
            ("./a.png", "a.jpg"),
            ("Ä ö (1)+2-3_ß.png", "Ä ö (1)+2-3_ß.jpg"),
            ('a<b>:"|?*$`;&.png', "a_b__________.jpg"),
            ("日本.png", "日本.jpg"),
            ("a. .", "a.jpg"),
            ("a. /b.png", "a/b.jpg"),
            (" ", "_.jpg"),
            (".", "_.jpg"),
            ("", "_.jpg"),
            ("x" * 300 + ".png", "x" * 60 + ".jpg"),
            ("d/" * 100 + "a.png", "d/" * 7 + "a.jpg"),
            ("CON.png", "_CON.jpg"),
            ("a/aux.png", "a/_aux.jpg"),
            ("nul/a.png", "_nul/a.jpg"),
            ("Com1.b.png", "_Com1.b.jpg"),
            ("lpt9 .png", "_lpt9 .jpg"),
            ("console/com0.png", "console/com0.jpg"),
        ],
    )
    def test_are_like_the_ones_they_are_made_from(self, name: str, given: str) -> None:
        assert Names().new(name, "jpg") == given

    def test_are_given_once(self) -> None:
        names = Names()

        given = [names.new(name, "jpg") for name in ["a.png", "a.gif", "A.PNG", "a-2.png", "b/a.png", "a"]]

        assert given == ["a.jpg", "a-2.jpg", "A-3.jpg", "a-2-2.jpg", "b/a.jpg", "a-4.jpg"]

    @pytest.mark.parametrize(
        ("texts", "given"),
        [
            (["d.jpg", "d.jpg/e.jpg", "D.jpg/f.jpg"], ["d.jpg", "d.jpg-2/e.jpg", "D.jpg-2/f.jpg"]),
            (["x.jpg/y.jpg", "x"], ["x.jpg/y.jpg", "x-2.jpg"]),
            (["a/b", "a/b.jpg/c/d", "a/b-2"], ["a/b.jpg", "a/b.jpg-2/c/d.jpg", "a/b-2.jpg"]),
            (["a/X.jpg/y/z", "A/x.png"], ["a/X.jpg/y/z.jpg", "A/x-2.jpg"]),
        ],
    )
    def test_are_of_a_file_or_of_a_folder(self, texts: list[str], given: list[str]) -> None:
        names = Names()

        assert [names.new(text, "jpg") for text in texts] == given

    @given(st.lists(st.text(alphabet="aA/.-2jpg") | st.sampled_from(["a.jpg/a", "a", "a.jpg-2/a"])))
    def test_can_be_unpacked_side_by_side(self, texts: list[str]) -> None:
        names = Names()

        given = [PurePosixPath(names.new(text, "jpg").casefold()) for text in texts]

        assert set(given).isdisjoint(folder for name in given for folder in name.parents)

    @given(st.lists(st.text()))
    def test_lead_nowhere_else_and_can_be_told_apart(self, texts: list[str]) -> None:
        names = Names()

        given = [names.new(text, "jpg") for text in texts]

        assert len({name.casefold() for name in given}) == len(texts)
        for name in given:
            assert name.endswith(".jpg")
            assert all(part.strip(". ") and part.isprintable() for part in name.split("/"))
            assert all(len(part.encode()) <= 255 for part in name.split("/"))


def test_an_archive_is_made_as_its_files_come() -> None:
    # Given files that are made when they are wanted
    files = {f"folder/{n}.txt": bytes([n]) * 1000 for n in range(3)}
    made: list[str] = []

    def produce() -> Iterator[tuple[str, bytes]]:
        for name, data in files.items():
            made.append(name)
            yield name, data

    # When an archive of them is read
    pieces = []
    for piece in archive_of(produce()):
        pieces.append(piece)
        assert len(made) == min(len(pieces), 3)

    # Then a piece came with each, and all together are the archive
    assert all(data in piece for data, piece in zip(files.values(), pieces, strict=False))
    assert dict(files_of(b"".join(pieces))) == files


def test_an_archive_may_be_empty() -> None:
    assert list(files_of(b"".join(archive_of([])))) == []


@pytest.mark.skipif(shutil.which("unzip") is None, reason="there is no unzip")
def test_others_can_read_our_archives(tmp_path: Path) -> None:
    files = {f"a folder/{n}.txt": b"%d" % n * n for n in range(300)}
    (tmp_path / "made.zip").write_bytes(b"".join(archive_of(files.items())))

    subprocess.run(["unzip", "-q", "made.zip"], cwd=tmp_path, check=True)

    assert {name: (tmp_path / name).read_bytes() for name in files} == files
