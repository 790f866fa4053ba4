"""ZIP archives: those of strangers, read with care, and our own, written bit by bit."""

import io
import itertools
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from service.tasks.invalid_input import InvalidInput

#: Files that are read of one archive.
MAX_FILES = 1000

#: Entries of one archive, with folders and what is passed over.
MAX_ENTRIES = 10_000

#: Bytes that one file, and all files of an archive together, may unpack to.
MAX_FILE, MAX_TOTAL = 64_000_000, 1_000_000_000

#: Longest name of a file or a folder that we give, in characters, and how many stand in a path.
MAX_NAME, MAX_DEPTH = 60, 8

#: Others can't be unpacked bit by bit here: a few bytes of them might fill the memory.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_ENTRY = b"PK\x01\x02"
_ENCRYPTED = 0x1

#: What operating systems leave in folders.
_LEFTOVERS = {"__MACOSX", "Thumbs.db", "desktop.ini"}

_UNUSUAL = re.compile(r"[^\w .()+-]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
#: Where a name begins that means a device on Windows, whatever ending it has.
_DEVICE = re.compile(r"^(?=(?:con|prn|aux|nul|(?:com|lpt)[1-9¹²³]) *(?:\.|$))", re.IGNORECASE)


def is_archive(data: bytes) -> bool:
    """Tell by how it begins whether it is an archive, perhaps an empty one."""
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def files_of(archive: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file in an archive, in the order in which it lists them.

    Folders and hidden files are passed over. Raises ``InvalidInput`` for what is damaged, encrypted, an
    archive itself, too much, or has a name that leads elsewhere.
    """
    # Before any takes memory; the four bytes are hardly ever in pictures so many times.
    if archive.count(_ENTRY) > MAX_ENTRIES:
        raise InvalidInput(f"the archive has more than {MAX_ENTRIES} entries")
    try:
        opened = zipfile.ZipFile(io.BytesIO(archive))
    except MemoryError:
        raise
    except Exception as error:
        # A lying archive can raise nearly anything here.
        raise InvalidInput(f"the archive is damaged: {error}") from error
    with opened:
        entries = [entry for entry in opened.infolist() if not _is_passed_over(entry)]
        if len(entries) > MAX_FILES:
            raise InvalidInput(f"the archive has {len(entries)} files, more than {MAX_FILES}")
        # What it says beforehand; no more than that is unpacked.
        if sum(entry.file_size for entry in entries) > MAX_TOTAL:
            raise InvalidInput(f"the archive unpacks to more than {MAX_TOTAL} bytes")
        for entry in entries:
            yield entry.filename, _read(opened, entry)


def _is_passed_over(entry: zipfile.ZipInfo) -> bool:
    parts = _parts(entry.filename)
    hidden = any(part.startswith(".") and part.strip(".") for part in parts)
    return hidden or entry.is_dir() or not _LEFTOVERS.isdisjoint(parts)


def _parts(name: str) -> list[str]:
    # Some programs on Windows write it with backslashes.
    return name.replace("\\", "/").split("/")


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    name = entry.filename
    _check_name(name)
    if entry.flag_bits & _ENCRYPTED:
        raise InvalidInput(f"{name!r} is encrypted")
    if entry.compress_type not in _METHODS:
        raise InvalidInput(f"{name!r} is compressed in another way than by deflate")
    if entry.file_size > MAX_FILE:
        raise InvalidInput(f"{name!r} unpacks to {entry.file_size} bytes, more than {MAX_FILE}")
    try:
        with archive.open(entry) as file:
            # Asked for everything, it would unpack what there is, whatever size is said.
            data = file.read(entry.file_size)
    except MemoryError:
        raise
    except Exception as error:
        raise InvalidInput(f"{name!r} is damaged: {error}") from error
    if is_archive(data):
        raise InvalidInput(f"{name!r} is an archive in the archive")
    return data


def _check_name(name: str) -> None:
    if _CONTROL.search(name):
        raise InvalidInput(f"the name {name!r} has control characters")
    parts = _parts(name)
    if _DRIVE.match(name):
        raise InvalidInput(f"the name {name!r} begins like a drive")
    if not parts[0] or ".." in parts:
        raise InvalidInput(f"the name {name!r} leads out of the archive")


class Names:
    """Gives names to the files of an archive, which can be unpacked anywhere."""

    def __init__(self) -> None:
        # As they are compared: some systems make no difference between upper and lower case.
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def new(self, name: str, ending: str) -> str:
        """Return a name much like that one, with an ending, which was not given before."""
        parts = [_safe(part) for part in _parts(name) if part != "."]
        *folders, last = parts[-MAX_DEPTH:] or ["_"]
        folder = ""
        for part in folders:
            folder = _first_unlike(self._files, folder + part)
            self._folders.add(folder.casefold())
            folder += "/"
        stem = folder + PurePosixPath(last).stem
        found = _first_unlike(self._files | self._folders, stem, f".{ending}")
        self._files.add(found.casefold())
        return found


def _first_unlike(known: set[str], stem: str, ending: str = "") -> str:
    """Return stem and ending, with a number between them if it is known without."""
    numbered = (f"{stem}-{number}{ending}" for number in itertools.count(2))
    return next(name for name in itertools.chain([stem + ending], numbered) if name.casefold() not in known)


def _safe(part: str) -> str:
    # Windows has no names that end in a space or a stop.
    return _DEVICE.sub("_", _UNUSUAL.sub("_", part)[:MAX_NAME].rstrip(" .")) or "_"


def archive_of(files: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """Yield an archive bit by bit, with a piece for each file as soon as it is there.

    The files are stored, not compressed: they are in formats that are.
    """
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w") as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data)
            yield pieces.take()
    yield pieces.take()


class _Pieces:
    """What ``zipfile`` takes for a file in which it can't go back."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def close(self) -> None:
        """Do nothing: the pieces are still to be taken."""

    def take(self) -> bytes:
        """Return what was written since the last time."""
        taken, self._pieces = b"".join(self._pieces), []
        return taken
