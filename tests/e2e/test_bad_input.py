"""Input that nobody should send: each is told what is wrong with it, and harms nobody else."""

import base64
import contextlib
import itertools
import json
import re
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.api.requests import SECURITY_HEADERS
from tests.e2e.bad_images import bmp, gif, good_png, npy, png, text_bomb
from tests.e2e.raw_http import (
    Answer,
    connected,
    drip,
    everything,
    exchange,
    get,
    post,
    read_answer,
    request,
    send_until_answered,
)
from tests.e2e.running import ROOT, Service, running, wait_until

MIB = 1024 * 1024
MAX_BODY = 4 * MIB
#: Seconds of a request that does not say.
DEADLINE = 2.0
WORKERS, THREADS = 2, 16
#: More than all threads of all workers, spare ones included.
CROWD = 60
#: Seconds within which the service has to answer for itself, on a busy machine.
AT_ONCE = 1.0

RUN, MAP, BATCH = "/v1/tasks/sum_of_squares", "/v1/tasks/sum_of_squares/map", "/v1/batch"
THUMBNAIL, DIGITS = "/v1/tasks/thumbnail", "/v1/tasks/classify_digits"
JSON, NDJSON, FORM, NPY = (
    "application/json",
    "application/x-ndjson",
    "multipart/form-data",
    "application/x-npy",
)
#: For what needs a pool process first.
PATIENT = "Request-Timeout: 30"
CHUNKED = "Transfer-Encoding: chunked"
AS_JSON = f"Content-Type: {JSON}"


@dataclass(frozen=True)
class Bad:
    """What is sent, and the problem that should come back."""

    data: bytes
    status: int
    slug: str
    #: A pattern of what the detail, or one of the errors, says.
    says: str
    #: Whether the client ends what it sends.
    half_close: bool = False


@pytest.fixture(scope="module")
def service(tmp_path_factory) -> Iterator[Service]:
    settings = {
        "SERVICE_WEB_WORKERS": str(WORKERS),
        "SERVICE_WEB_THREADS": str(THREADS),
        "SERVICE_REQUEST_TIMEOUT": str(DEADLINE),
        "SERVICE_MAX_BODY": str(MAX_BODY),
        "SERVICE_QUEUE_TIMEOUT": "30",
    }
    with running(tmp_path_factory.mktemp("service"), **settings) as service:
        before = service.workers()
        assert len(before) == WORKERS
        yield service
        log = service.log.read_text()
        assert not re.search("internal error|Traceback|Error handling request|Socket error", log), log
        assert service.workers() == before, log


@pytest.fixture(scope="module")
def workers(service: Service) -> list[psutil.Process]:
    return service.workers()


@pytest.fixture(autouse=True)
def _unharmed(service: Service, workers: list[psutil.Process]) -> Iterator[None]:
    """Whatever was sent, the same workers go on to answer at once."""
    yield
    assert answers_at_once(service)
    assert all(worker.is_running() for worker in workers), service.log.read_text()


def answers_at_once(service: Service) -> bool:
    began = time.monotonic()
    assert exchange(service.port, get("/healthz")).status == 200
    return time.monotonic() - began < AT_ONCE


def assert_problem(answer: Answer, status: int, slug: str, says: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.document
    assert (document["type"], document["status"]) == (f"/problems/{slug}", status), document
    assert document["title"]
    assert document["detail"]
    errors = [f"{error['loc']}: {error['msg']}" for error in document.get("errors", [])]
    assert any(re.search(says, text) for text in (document["detail"], *errors)), document
    assert_guarded(answer)


def assert_guarded(answer: Answer) -> None:
    """Browsers are kept from doing anything with an answer, and it tells nothing of the inside."""
    assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS
    for inside in (b"Traceback", b'File "', b"site-packages", str(ROOT).encode(), str(Path.home()).encode()):
        assert inside not in answer.body


def each(table: dict[str, Bad]) -> Any:
    return pytest.mark.parametrize("bad", [pytest.param(bad, id=name) for name, bad in table.items()])


def refuses(service: Service, bad: Bad) -> None:
    answer = exchange(service.port, bad.data, half_close=bad.half_close)
    assert_problem(answer, bad.status, bad.slug, bad.says)


# ------------------------------------------------------------------------------------------------ JSON


def not_json(path: str, valid: bytes) -> dict[str, Bad]:
    """Return bodies that are no JSON, or only nearly; ``valid`` is one that is."""

    def bad(body: bytes, says: str) -> Bad:
        return Bad(post(path, body), 400, "malformed-json", says)

    name = valid[: valid.index(b":") + 1]
    return {
        "empty": bad(b"", "EOF"),
        "white": bad(b" \n\t ", "EOF"),
        "cut off": bad(valid[:-1], "EOF"),
        "something behind it": bad(valid + b" x", "trailing"),
        "two of it": bad(valid + valid, "trailing"),
        "a null byte behind it": bad(valid + b"\0", "trailing"),
        "a null byte": bad(b"\0", "expected value"),
        "a null byte in text": bad(name + b'"\0"}', "control character"),
        "single quotes": bad(valid.replace(b'"', b"'"), "key must be a string"),
        "a comma too many": bad(valid[:-1] + b",}", "trailing comma"),
        "a comment": bad(b"/**/" + valid, "expected value"),
        "no JSON at all": bad(b"n=5", "expected"),
        "a name twice": bad(valid[:-1] + b"," + valid[1:], 'uplicate.*"'),
        "a name twice inside": bad(name + b'{"a":1,"a":2}}', 'uplicate.*"a"'),
        "NaN": bad(name + b"NaN}", "expected value"),
        "NaN inside": bad(name + b"[NaN]}", "expected value"),
        "Infinity": bad(name + b"Infinity}", "expected value"),
        "-Infinity": bad(name + b"-Infinity}", "invalid number"),
        "a leading zero": bad(name + b"01}", "invalid number"),
        "an integer of 5000 digits": bad(name + b"9" * 5000 + b"}", "number out of range"),
        "a negative one": bad(name + b"-" + b"9" * 5000 + b"}", "number out of range"),
        "100 000 levels of lists": bad(b"[" * 100_000, "recursion limit"),
        "and their ends": bad(b"[" * 100_000 + b"]" * 100_000, "recursion limit"),
        "100 000 levels of objects": bad(b'{"n":' * 100_000, "recursion limit"),
        "a level too many inside": bad(name + b"[" * 250 + b"]" * 250 + b"}", "recursion limit"),
        "UTF-16": bad(valid.decode().encode("utf-16"), "JSON"),
        "UTF-16 without a mark": bad(valid.decode().encode("utf-16-le"), "JSON"),
        "UTF-32": bad(valid.decode().encode("utf-32"), "JSON"),
        "a byte order mark": bad(b"\xef\xbb\xbf" + valid, "JSON"),
        "Latin-1": bad(name + b'"\xe9"}', "unicode"),
        "an overlong form": bad(name + b'"\xc0\xaf"}', "unicode"),
        "a surrogate in UTF-8": bad(name + b'"\xed\xa0\x80"}', "unicode"),
        "half a surrogate pair": bad(name + b'"\\ud800"}', "escape"),
        "a name that is no UTF-8": bad(b'{"\xff":1}', "unicode"),
    }


@each(not_json(RUN, b'{"n":5}'))
def test_the_arguments_of_a_task_must_be_json(service, bad):
    refuses(service, bad)


@each(not_json(MAP, b'{"items":[]}'))
def test_the_body_of_a_map_must_be_json(service, bad):
    refuses(service, bad)


@each(not_json(BATCH, b'{"calls":[]}'))
def test_the_body_of_a_batch_must_be_json(service, bad):
    refuses(service, bad)


def unfit(path: str, body: bytes, says: str) -> Bad:
    return Bad(post(path, body), 422, "validation", says)


@each(
    {
        "no object": unfit(RUN, b"[]", "object"),
        "null": unfit(RUN, b"null", "object"),
        "nothing in it": unfit(RUN, b"{}", r"\['n'\]: .*required"),
        "a float that is none": unfit(RUN, b'{"n":1e400}', r"\['n'\]: .*integer"),
        "a null byte in a name": unfit(RUN, b'{"n":1,"n\\u0000":5}', "not permitted"),
        "a name of the inside": unfit(RUN, b'{"n":1,"__class__":5}', "not permitted"),
        "base64 that is none": unfit(THUMBNAIL, b'{"image":"!!!"}', r"\['image'\]: .*base64"),
        "base64 without its end": unfit(THUMBNAIL, b'{"image":"abcde"}', r"\['image'\]: .*base64"),
        "an array with holes": unfit(DIGITS, b'{"images":[[[1],[2,3]]]}', "at least 8 items"),
        "an array 200 levels deep": unfit(DIGITS, b'{"images":%s}' % (b"[" * 150 + b"]" * 150), "number"),
        "more errors than can be told": unfit(DIGITS, b'{"images":[%s0]}' % (b"1," * 500), "501 errors"),
        "a map of nothing": unfit(MAP, b"{}", r"\['items'\]: .*list"),
        "a map that is a list": unfit(MAP, b"[]", "object"),
        "items that are no list": unfit(MAP, b'{"items":{}}', r"\['items'\]: .*list"),
        "a member that there is not": unfit(MAP, b'{"items":[],"x":1}', r"\['x'\]"),
        "on_error that is a list": unfit(MAP, b'{"items":[],"on_error":[]}', r"\['on_error'\]"),
        "calls that are no list": unfit(BATCH, b'{"calls":"all"}', r"\['calls'\]: .*list"),
        "a query beside JSON": unfit(f"{RUN}?n=5", b'{"n":5}', "query"),
    }
)
def test_json_has_to_fit(service, bad):
    refuses(service, bad)


def test_a_bad_item_of_a_map_is_an_entry(service):
    body = b'{"items":[{"n":5},{"n":-1},1,null,[],"x",{"n":5.5},{"m":1},{"\\u0000":1}]}'

    answer = exchange(service.port, post(MAP, body, JSON, PATIENT))

    assert answer.status == 200
    first, *others = answer.document["results"]
    assert first == {"index": 0, "result": 30}
    assert [entry["error"]["type"] for entry in others] == ["/problems/validation"] * 8
    assert_guarded(answer)


def test_a_bad_call_of_a_batch_is_an_entry(service):
    names = ["none", "../sum_of_squares", "\0", "__class__", "sum_of_squares/map"]
    unknown = [{"task": name} for name in names]
    shapeless = [{"task": 1}, 1, None, [], {}, {"task": "sum_of_squares", "x": 1}]
    good = {"task": "sum_of_squares", "args": {"n": 5}}
    body = json.dumps({"calls": [good, *unknown, *shapeless]}).encode()

    answer = exchange(service.port, post(BATCH, body, JSON, PATIENT))

    first, *others = answer.document["results"]
    assert first == {"index": 0, "result": 30}
    kinds = [entry["error"]["type"].removeprefix("/problems/") for entry in others]
    assert kinds == ["task-not-found"] * len(unknown) + ["validation"] * len(shapeless)


BAD_LINES = {
    b"{": "EOF",
    b'{"n":1,"n":2}': 'uplicate.*"n"',
    b'{"n":NaN}': "expected value",
    b'{"n":%s}' % (b"9" * 5000): "out of range",
    b"[" * 100_000: "recursion",
    b'{"n":"\xff"}': "unicode",
    b"\0": "expected value",
    b'\xef\xbb\xbf{"n":5}': "JSON",
    b"null": "fit 'sum_of_squares'",
}


@pytest.mark.parametrize("accept", [JSON, NDJSON])
def test_a_bad_line_of_a_map_is_an_entry(service, accept):
    # Given bad lines between good ones, and empty ones, which count for nothing
    lines = [b'{"n":5}', *BAD_LINES, b"", b" ", b'{"n":6}\r', b'{"n":7}']

    answer = exchange(service.port, post(MAP, b"\n".join(lines), NDJSON, PATIENT, f"Accept: {accept}"))

    assert answer.status == 200
    found = answer.document["results"] if accept == JSON else answer.lines[:-1]
    entries = {entry["index"]: entry for entry in found}
    last = len(BAD_LINES)
    assert [entries[index]["result"] for index in (0, last + 1, last + 2)] == [30, 55, 91]
    for index, says in enumerate(BAD_LINES.values(), 1):
        assert re.search(says, entries[index]["error"]["detail"]), entries[index]
    assert len(entries) == last + 3


@pytest.mark.parametrize("accept", [JSON, NDJSON])
@pytest.mark.parametrize(
    ("headers", "body", "slug", "says"),
    [
        ((CHUNKED,), b'8\r\n{"n":5}\n\r\nzz\r\n', "malformed-body", "chunks are malformed"),
        ((f"Content-Length: {6 * MIB}",), b'{"n":5}\n'.ljust(6 * MIB, b"x"), "body-too-large", str(MAX_BODY)),
        (("Content-Length: 99",), b'{"n":5}\n{"n":', "body-too-slow", "deadline"),
    ],
)
def test_lines_that_break_off_end_with_an_entry(service, accept, headers, body, slug, says):
    head = (f"Content-Type: {NDJSON}", f"Accept: {accept}", *headers)

    answer = exchange(service.port, request("POST", MAP, *head, body=body))

    assert answer.status == 200, answer
    found = answer.document["results"] if accept == JSON else answer.lines[:-1]
    good, broken = sorted(found, key=lambda entry: entry["index"])
    assert good["result"] == 30
    assert broken["error"]["type"] == f"/problems/{slug}"
    assert says in broken["error"]["detail"]


# ---------------------------------------------------------------------------------------- media types


def no_media_type(path: str, media_type: str, *headers: str) -> Bad:
    return Bad(post(path, b'{"n":5}', media_type, *headers), 415, "unsupported-media-type", "body must be")


@each(
    {
        f"{path} as {media_type[:40]}": no_media_type(path, media_type)
        for path in (RUN, MAP, BATCH)
        for media_type in (
            "text/plain",
            "text/json",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "application/json, text/plain",
            "application/",
            "/",
            "json",
            "image/png",
            "multipart/form-data; boundary=B",
            "application/json\x80",
            "a" * 5000,
        )
    }
    | {
        "lines to a task": no_media_type(RUN, NDJSON),
        "lines to a batch": no_media_type(BATCH, NDJSON),
        "an array to a picture": no_media_type(THUMBNAIL, NPY),
        "gzip": no_media_type(RUN, JSON, "Content-Encoding: gzip"),
        "brotli to a map": no_media_type(MAP, JSON, "Content-Encoding: br"),
        "zstd lines": no_media_type(MAP, NDJSON, "Content-Encoding: zstd"),
        "two codings": no_media_type(BATCH, JSON, "Content-Encoding: gzip, identity"),
        "a compressed picture": no_media_type(THUMBNAIL, "image/png", "Content-Encoding: deflate"),
    }
)
def test_a_media_type_must_be_one_that_is_taken(service, bad):
    refuses(service, bad)


# ------------------------------------------------------------------------------ pictures, arrays, forms


def picture(data: bytes, says: str) -> Bad:
    return Bad(post(THUMBNAIL, data, "image/png", PATIENT), 422, "invalid-input", says)


NONE_OF = "none of JPEG"


@each(
    {
        "nothing": picture(b"", NONE_OF),
        "noise": picture(bytes(range(256)), NONE_OF),
        "a name only": picture(b"GIF89a", NONE_OF),
        "900 million pixels": picture(png(30_000, 30_000), "more than 50000000"),
        "as many as there can be": picture(png(2**31 - 1, 2**31 - 1), "more than 50000000"),
        "no pixels": picture(png(0, 0), NONE_OF),
        "40 million that are not there": picture(png(8000, 5000), "truncated"),
        "cut off": picture(good_png()[:-30], "truncated"),
        "cut off in the header": picture(good_png()[:20], NONE_OF),
        "text that unpacks to 200 MB": picture(png(9, 9, b"", text_bomb(200_000_000)), NONE_OF),
        "a GIF of 4 billion pixels": picture(gif(65_535, 65_535, 65_535, 65_535), "more than 50000000"),
        "a frame larger than its GIF": picture(gif(1, 1, 10_000, 10_000), "more than 50000000"),
        "a BMP without its pixels": picture(bmp(7000, 7000), "truncated"),
        "a TIFF that begins in itself": picture(b"II*\0\x08\0\0\0\0\0\x08\0\0\0", NONE_OF),
        "a WebP of 2 GB": picture(
            b"RIFF\xff\xff\xff\x7fWEBPVP8L\xff\xff\xff\x7f/" + b"\xff" * 4, "more than"
        ),
        "PostScript": picture(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", NONE_OF),
        "SVG": picture(b'<svg xmlns="http://www.w3.org/2000/svg"/>', NONE_OF),
    }
)
def test_a_picture_must_be_what_it_says(service, bad):
    refuses(service, bad)


def test_pixels_beyond_those_of_the_picture_are_not_unpacked(service):
    """A hundred megabytes of zeros in a picture of 10 by 10."""
    bomb = png(10, 10, b"\0" * 100_000_000)
    assert len(bomb) < 200_000

    answer = exchange(service.port, post(THUMBNAIL, bomb, "image/png", PATIENT))

    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
    assert peak_of(service.pool_processes()) < 300 * MIB


@pytest.mark.parametrize("task", ["image_filter?filter=blur", "classify_digit_image", "animation_frames"])
@pytest.mark.parametrize("data", [png(30_000, 30_000), b"noise"], ids=["bomb", "noise"])
def test_every_task_on_pictures_refuses_them(service, task, data):
    refuses(
        service, Bad(post(f"/v1/tasks/{task}", data, "image/png", PATIENT), 422, "invalid-input", "image")
    )


def array(data: bytes, says: str) -> Bad:
    return Bad(post(DIGITS, data, NPY), 422, "validation", says)


NO_HEADER = "header can't be read"


@each(
    {
        "nothing": array(b"", NO_HEADER),
        "noise": array(bytes(range(256)), NO_HEADER),
        "fewer elements than it says": array(
            npy("'<f8'", "(100, 8, 8)", bytes(512)), "more or fewer elements"
        ),
        "more elements than it says": array(npy("'<f8'", "(1, 8, 8)", bytes(1024)), "more or fewer elements"),
        "512 MB that are not there": array(npy("'<f8'", "(1000000, 8, 8)"), "at most 640000"),
        "more than can be counted": array(npy("'<f8'", "(99999999999999999999, 8, 8)"), "at most 640000"),
        "a negative length": array(npy("'<f8'", "(-1, 8, 8)"), "impossible shape"),
        "100 dimensions": array(npy("'<f8'", f"({'1,' * 100})"), "impossible shape"),
        "another shape": array(npy("'<f8'", "(8, 8)", bytes(512)), "shape any x 8 x 8"),
        "a pickle": array(npy("'|O'", "(1, 8, 8)", b"cos\nsystem\n(S'true'\ntR."), "object"),
        "records": array(npy("[('a', '<f8')]", "(1, 8, 8)", bytes(512)), "does not fit"),
        "a type of no bytes": array(npy("'|V0'", "(1, 8, 8)"), "does not fit"),
        "code": array(npy("__import__('os').getpid()", "(1, 8, 8)"), NO_HEADER),
        "a header 3000 levels deep": array(npy("(" * 3000, "()"), NO_HEADER),
        "a header of 2 GB": array(b"\x93NUMPY\2\0\xff\xff\xff\x7f{", NO_HEADER),
        "a version to come": array(npy("'<f8'", "(1, 8, 8)", bytes(512), b"\x09\0"), NO_HEADER),
        "NaN": array(npy("'<f8'", "(1, 8, 8)", b"\0\0\0\0\0\0\xf8\x7f" * 64), "finite"),
    }
)
def test_an_array_must_be_what_it_says(service, bad):
    refuses(service, bad)


def part(name: str, content: bytes, filename: str | None = None, *headers: str) -> bytes:
    """Write a part of a form, with the boundary B before it."""
    file = "" if filename is None else f'; filename="{filename}"'
    lines = ["--B", f'Content-Disposition: form-data; name="{name}"{file}', *headers, "", ""]
    return "\r\n".join(lines).encode("latin1") + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--B--\r\n"


def bad_form(body: bytes, says: str, media_type: str = f"{FORM}; boundary=B") -> Bad:
    return Bad(post(THUMBNAIL, body, media_type), 400, "malformed-body", says)


def unfit_form(body: bytes, says: str) -> Bad:
    return Bad(post(THUMBNAIL, body, f"{FORM}; boundary=B"), 422, "validation", says)


FILE = part("image", good_png(), "a.png")


@each(
    {
        "no boundary": bad_form(form(FILE), "names no boundary", FORM),
        "an empty boundary": bad_form(form(FILE), "names no boundary", f"{FORM}; boundary="),
        "another boundary": bad_form(form(FILE), "not in the body", f"{FORM}; boundary=another"),
        "a boundary of 5000 letters": bad_form(
            form(FILE), "not in the body", f"{FORM}; boundary={'x' * 5000}"
        ),
        "a boundary beyond ASCII": bad_form(form(FILE), "not in the body", f'{FORM}; boundary="\xe9"'),
        "nothing": bad_form(b"", "not in the body"),
        "no end": bad_form(FILE, "ends before its last boundary"),
        "no end of a header": bad_form(b"--B\r\nContent-Disposi", "ends before its last boundary"),
        "1000 parts": bad_form(form(*(part(f"p{i}", b"x") for i in range(1000))), "more than 100 parts"),
        "a part that says nothing": bad_form(b"--B\r\nX: y\r\n\r\nx\r\n--B--\r\n", "Content-Disposition"),
        "no parts": unfit_form(form(), r"\['image'\]: .*required"),
        "a path for a name": unfit_form(form(part("../../image", good_png(), "a")), "not permitted"),
        "a null byte in a name": unfit_form(form(FILE, part("width\0", b"5")), "not permitted"),
        "a name of the inside": unfit_form(form(FILE, part("__class__", b"5")), "not permitted"),
        "no name": unfit_form(b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--\r\n", "eys"),
        "a file twice": unfit_form(form(FILE, FILE), r"\['image'\]"),
        "a file and a text of one name": unfit_form(form(FILE, part("image", b"x")), "given twice"),
        "text that is no UTF-8": unfit_form(form(FILE, part("width", b"\xff")), r"\['width'\]: .*integer"),
        "a null byte as text": unfit_form(form(FILE, part("width", b"\0")), r"\['width'\]: .*integer"),
        "5000 digits": unfit_form(form(FILE, part("width", b"9" * 5000)), r"\['width'\]: .*maximum size"),
        "not a number": unfit_form(form(FILE, part("width", b"NaN")), r"\['width'\]: .*integer"),
    }
)
def test_a_form_must_be_one(service, bad):
    refuses(service, bad)


@pytest.mark.parametrize(
    "filename",
    ["../../../etc/passwd", "/etc/passwd", "a\0.png", "..\\..\\a", "C:\\a", "%2e%2e%2f", "", "x" * 9000],
)
def test_the_name_of_a_file_means_nothing(service, filename):
    """It is never used: the same file is taken, or refused, under any name."""
    good, noise = (form(part("image", data, filename)) for data in (good_png(), b"noise"))

    taken = exchange(service.port, post(THUMBNAIL, good, f"{FORM}; boundary=B", PATIENT))
    refused = exchange(service.port, post(THUMBNAIL, noise, f"{FORM}; boundary=B", PATIENT))

    assert (taken.status, taken.headers["Content-Type"]) == (200, "image/jpeg")
    assert_problem(refused, 422, "invalid-input", NONE_OF)
    assert b"passwd" not in refused.body
    assert {path.name for path in service.log.parent.iterdir()} == {"log", "var"}


@each(
    {
        query: Bad(post(f"{THUMBNAIL}?{query}", good_png(), "image/png"), 422, "validation", says)
        for query, says in {
            "width=0": r"\['width'\]",
            "width=99999": r"\['width'\]",
            "width=1e3": r"\['width'\]",
            "width=%00": r"\['width'\]",
            "width=%ff": r"\['width'\]",
            "width=1&width=2": r"\['width'\]",
            "image=x": "given twice",
            "nothing=1": "not permitted",
            "format=../../x": "'jpeg' or 'png'",
        }.items()
    }
)
def test_the_query_beside_a_picture_has_to_fit(service, bad):
    refuses(service, bad)


# --------------------------------------------------------------------------------- paths and methods


@each(
    {
        path[:40]: Bad(get(path), 404, slug, says)
        for slug, says, paths in (
            (
                "not-found",
                "not found",
                (
                    "/%00",
                    "/healthz%00",
                    "/healthz/",
                    "/healthz;x",
                    "/HEALTHZ",
                    "/%",
                    "/%zz",
                    "/%ff%fe",
                    "/%0d%0aX-Evil:%201",
                    "/../etc/passwd",
                    "/%2e%2e/%2e%2e/etc/passwd",
                    "/v1/tasks/../../etc/passwd",
                    "/v1/tasks/",
                    "/v1//tasks",
                    "/docs/%2e%2e",
                    "/docs/..%2f..%2fsettings.py",
                    "/docs/../settings.py",
                    "/docs/index.html",
                    "/docs/swagger-ui.css%00",
                    "/docs/swagger-ui.css/",
                    "/\\..\\..\\etc",
                    "//evil.example/",
                    "http://evil.example/nothing",
                    f"/{'../' * 5000}",
                ),
            ),
            (
                "task-not-found",
                "no task",
                (
                    "/v1/tasks/%00",
                    "/v1/tasks/..",
                    "/v1/tasks/%ff",
                    "/v1/tasks/%0d%0aX-Evil:%201",
                    "/v1/tasks/__class__",
                    "/v1/tasks/sum_of_squares.json",
                    "/v1/tasks/sum_of_squares%00",
                    f"/v1/tasks/{'a' * 20_000}",
                ),
            ),
        )
        for path in paths
    }
    | {
        "a task that there is not": Bad(post("/v1/tasks/%00", b"{}"), 404, "task-not-found", "no task"),
        "its map": Bad(post("/v1/tasks/../map", b"{}"), 404, "task-not-found", "no task"),
        "a longer path than is taken": Bad(get(f"/{'a' * 40_000}"), 414, "uri-too-long", "too large"),
        "a longer query than is taken": Bad(
            get(f"/healthz?{'a' * 40_000}"), 414, "uri-too-long", "too large"
        ),
    }
)
def test_a_path_leads_to_what_is_there_or_nowhere(service, bad):
    refuses(service, bad)


def line(data: bytes, says: str) -> Bad:
    return Bad(data, 400, "bad-request", says)


@each(
    {
        "no path": line(get(""), "equest line"),
        "a star": line(get("*"), "equest line"),
        "no slash": line(get("healthz"), "equest line"),
        "a space": line(get("/a b"), "ersion"),
        "a null byte": line(get("/\0"), "equest line"),
        "a byte beyond ASCII": line(get("/\xe9"), "equest line"),
        "half an address": line(get("http://[/"), "equest line"),
        "lower case": line(request("get", "/healthz"), "ethod"),
        "a method of 1000 letters": line(request("A" * 1000, "/healthz"), "ethod"),
        "a method of two": line(request("GE", "/healthz"), "ethod"),
        "no method": line(request("", "/healthz"), "ethod"),
        "a null byte in the method": line(request("GET\0", "/healthz"), "ethod"),
        "a tab behind the method": line(request("GET\t", "/healthz"), "ethod"),
        "HTTP/0.9": line(b"GET /healthz HTTP/0.9\r\n\r\n", "ersion"),
        "HTTP/0.9 as it was": line(b"GET /healthz\r\n\r\n", "equest line"),
        "HTTP/2.0": line(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "equest line"),
        "HTTP/3.0": line(b"GET /healthz HTTP/3.0\r\n\r\n", "ersion"),
        "http/1.1": line(b"GET /healthz http/1.1\r\n\r\n", "ersion"),
        "no version": line(b"GET /healthz \r\n\r\n", "ersion"),
        "no carriage returns": line(b"GET /healthz HTTP/1.1\nHost: localhost\n\n", "line terminator"),
        "none, and no end": line(b"GET /healthz HTTP/1.1\nHost: localhost\n", "line terminator"),
        "empty lines before it": line(b"\r\n\r\n" + get("/healthz"), "equest line"),
        "every byte there is": line(bytes(range(256)) * 4, "line terminator"),
    }
)
def test_a_request_begins_with_a_proper_line(service, bad):
    refuses(service, bad)


@pytest.mark.parametrize(
    "method", ["TRACE", "CONNECT", "PATCH", "PUT", "DELETE", "PROPFIND", "M-SEARCH", "1234"]
)
@pytest.mark.parametrize("path", ["/healthz", RUN, MAP, BATCH, "/docs", "/v1/tasks"])
def test_a_method_that_there_is_not_is_refused(service, method, path):
    answer = exchange(service.port, request(method, path, "X-Secret: not to be sent back"))

    assert_problem(answer, 405, "method-not-allowed", "not allowed")
    assert answer.headers["Allow"]
    assert b"X-Secret" not in answer.body


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override: POST", "X-Method-Override: DELETE", "X-Original-URL: /"]
)
def test_headers_change_neither_method_nor_path(service, header):
    assert exchange(service.port, get("/v1/tasks", header)).document["tasks"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_only_posting_runs(service, method):
    for path in (MAP, BATCH):
        assert_problem(
            exchange(service.port, request(method, path)), 405, "method-not-allowed", "not allowed"
        )


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("concurrent_cpu_tasks/?n=abc", "'n' must be an integer"),
        ("concurrent_cpu_tasks/?n=-1", "'n' must be an integer"),
        ("concurrent_cpu_tasks/?n", "'n' must be an integer"),
        ("concurrent_cpu_tasks/?n=%00", "'n' must be an integer"),
        ("concurrent_cpu_tasks/?n=%ff", "'n' must be an integer"),
        ("concurrent_cpu_tasks/?n=%D9%A3", "'n' must be an integer"),
        ("concurrent_cpu_tasks/?n=1;n=2", "'n' must be an integer"),
        (f"concurrent_cpu_tasks/?n={'9' * 5000}", "'n' must be an integer"),
        (f"concurrent_cpu_tasks/?{'n=1&' * 65}", "at most 64"),
        ("concurrent_cpu_tasks/?n=1&m=2", "unknown parameter 'm'"),
        ("concurrent_cpu_tasks/?<script>", "unknown parameter"),
        ("parallel_data_processing/?item=NaN", "'item' must be an integer"),
        ("parallel_data_processing/?item=1.0", "'item' must be an integer"),
        ("parallel_data_processing/?=&&&=", "unknown parameter ''"),
        (f"parallel_data_processing/?{'item=1&' * 1001}", "at most 1000"),
    ],
)
def test_a_sample_refuses_a_bad_query_in_its_own_form(service, query, says):
    answer = exchange(service.port, get(f"/{query}"))

    assert (answer.status, answer.headers["Content-Type"]) == (400, JSON)
    assert says in answer.document["error"]
    assert_guarded(answer)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/tasks", RUN, "/docs", "/openapi.json"])
@pytest.mark.parametrize("query", ["%00=%ff", "&&&=", "x=" + "y" * 30_000, "a[]=1&a[][b]=2", "%"])
def test_a_query_that_nobody_reads_does_no_harm(service, path, query):
    answer = exchange(service.port, get(f"{path}?{query}"))

    assert answer.status == 200


# ------------------------------------------------------------------------------------------- headers


def header(*lines: str, status: int = 400, slug: str = "bad-request", says: str = "eader") -> Bad:
    return Bad(get("/healthz", *lines), status, slug, says)


def too_large(*lines: str, says: str = "fields") -> Bad:
    return header(*lines, status=431, slug="header-too-large", says=says)


BAD_HEADERS = {
    "no colon": header("Nothing"),
    "no name": header(": x"),
    "a space in the name": header("Bad Name: x"),
    "a space behind the name": header("Bad : x"),
    "a null byte in the name": header("Ba\0d: x"),
    "a null byte in the value": header("X-Y: a\0b"),
    "a line feed in the value": header("X-Y: a\nb: c", says="line terminator|eader"),
    "a carriage return in the value": header("X-Y: a\rb"),
    "a delete in the value": header("X-Y: a\x7fb"),
    "a folded line": header("X-Y: a", "  b", says="folding"),
    "two hosts": header("Host: other", says="HOST"),
    "two media types": header("Content-Type: a/b", "Content-Type: c/d", says="CONTENT-TYPE"),
    "101 of them": too_large(*(f"X-{i}: a" for i in range(101))),
    "one of 9000 bytes": too_large(f"X-Y: {'a' * 9000}"),
    "one of 100 000 bytes": too_large(f"X-Y: {'a' * 100_000}", says="65536"),
    "100 000 bytes of them": too_large(*(f"X-{i}: {'a' * 1000}" for i in range(100)), says="65536"),
    "a megabyte of them": too_large(*("X-Y: a" for _ in range(120_000)), says="65536"),
    "an expectation that can't be met": header(
        "Expect: 200-ok", status=417, slug="expectation-failed", says="200-ok"
    ),
}


@each(BAD_HEADERS)
def test_a_header_has_to_be_one(service, bad):
    refuses(service, bad)


@pytest.mark.parametrize(
    "seconds", ["x", "", "-1", "0", "nan", "inf", "1e999", "9" * 5000, "1\xb2", "0x5", "301"]
)
@pytest.mark.parametrize("path", [RUN, MAP, BATCH])
def test_a_timeout_has_to_be_one(service, path, seconds):
    refuses(
        service,
        Bad(post(path, b"{}", JSON, f"Request-Timeout: {seconds}"), 400, "invalid-header", "Request-Timeout"),
    )


@pytest.mark.parametrize(
    "strange",
    [
        "X-Request-ID: <script>",
        f"X-Request-ID: {'a' * 5000}",
        "Accept: ;;;q=\xff,,,",
        "Cookie: \xff=;;;",
        "Authorization: Basic \xff",
        'If-None-Match: "',
        "If-Modified-Since: never",
        "Range: bytes=9-1,a",
        "Accept-Encoding: \xff;q=-1",
        'Forwarded: for="',
        "Upgrade: h2c",
    ],
)
def test_a_strange_value_of_a_header_does_no_harm(service, strange):
    for path in ("/healthz", "/openapi.json", "/docs"):
        answer = exchange(service.port, request("GET", path, strange))
        assert answer.status == 200
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["X-Request-ID"])


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/nothing", "/docs"])
@pytest.mark.parametrize(
    ("strange", "status", "slug"),
    [
        ("Host: evil.example", 421, "misdirected-request"),
        ("Host: [::1", 421, "misdirected-request"),
        ("Host: a b/\\<>", 421, "misdirected-request"),
        ("Origin: http://evil.example", 403, "forbidden"),
        ("Origin: http://[::1", 403, "forbidden"),
        ("Origin: null", 403, "forbidden"),
        ("Sec-Fetch-Site: cross-site", 403, "forbidden"),
    ],
)
def test_a_page_of_another_host_is_refused(service, path, strange, status, slug):
    refuses(service, Bad(request("GET", path, strange), status, slug, "SERVICE_ALLOWED_HOSTS"))


# -------------------------------------------------------------------------------------------- bodies

BODY = b'{"n":5}'
SMUGGLED = get("/v1/tasks/smuggled")


def framed(*headers: str, body: bytes = BODY, status: int = 400, slug: str = "bad-request", says: str) -> Bad:
    return Bad(request("POST", RUN, AS_JSON, *headers, body=body), status, slug, says)


def bad_chunks(body: bytes) -> Bad:
    return framed(CHUNKED, body=body, slug="malformed-body", says="chunks are malformed")


def bad_coding(coding: str) -> Bad:
    return framed(f"Transfer-Encoding: {coding}", says="TRANSFER-ENCODING")


CHUNKS = b'7\r\n{"n":5}\r\n0\r\n\r\n'

BAD_FRAMES = {
    "a length and chunks": framed("Content-Length: 7", CHUNKED, body=CHUNKS, says="CONTENT-LENGTH"),
    "chunks and a length": framed(CHUNKED, "Content-Length: 7", body=CHUNKS, says="CONTENT-LENGTH"),
    "two lengths": framed("Content-Length: 7", "Content-Length: 7", says="CONTENT-LENGTH"),
    "two lengths that differ": framed("Content-Length: 7", "Content-Length: 8", says="CONTENT-LENGTH"),
    **{
        f"a length of {length[:9]!r}": framed(f"Content-Length: {length}", says="CONTENT-LENGTH")
        for length in ("7, 7", "-7", "+7", "7.0", "0x7", "7_0", "\xb2", "", "seven", "9" * 5000)
    },
    "a coding that is none": framed(
        "Transfer-Encoding: nonsense", status=501, slug="not-implemented", says="nonsense"
    ),
    "gzip without chunks": bad_coding("gzip"),
    "identity": bad_coding("identity"),
    "chunked twice": bad_coding("chunked, chunked"),
    "chunked, then gzip": bad_coding("chunked, gzip"),
    "chunked behind a tab": bad_coding("\x0bchunked"),
    "chunks in HTTP/1.0": Bad(
        request("POST", RUN, AS_JSON, CHUNKED, body=CHUNKS).replace(b"HTTP/1.1", b"HTTP/1.0"),
        400,
        "bad-request",
        "TRANSFER-ENCODING",
    ),
    "a chunk of zz": bad_chunks(b'zz\r\n{"n":5}\r\n0\r\n\r\n'),
    "a chunk of -7": bad_chunks(b'-7\r\n{"n":5}\r\n0\r\n\r\n'),
    "a chunk of 0x7": bad_chunks(b'0x7\r\n{"n":5}\r\n0\r\n\r\n'),
    "a chunk of nothing": bad_chunks(b'\r\n{"n":5}\r\n0\r\n\r\n'),
    "a chunk longer than it says": bad_chunks(b'3\r\n{"n":5}\r\n0\r\n\r\n'),
    "a chunk with a long remark": bad_chunks(b"7;a=%s\r\n" % (b"x" * 20_000) + CHUNKS),
    "a null byte in a trailer": bad_chunks(b'7\r\n{"n":5}\r\n0\r\nX\0: y\r\n\r\n'),
    "a length in a trailer": bad_chunks(b'7\r\n{"n":5}\r\n0\r\nContent-Length: 3\r\n\r\n'),
}


@each(BAD_FRAMES)
def test_a_body_has_one_length(service, bad):
    refuses(service, bad)


@each(BAD_FRAMES | BAD_HEADERS)
def test_nothing_behind_a_request_that_can_not_be_read_is_taken_for_another(service, bad):
    """Nobody can tell where it ends, so the connection does; the answer says so."""
    received = everything(service.port, bad.data + SMUGGLED)

    assert received.count(b"HTTP/1.1 ") == 1, received
    assert b"\r\nConnection: close\r\n" in received
    assert "smuggled" not in service.log.read_text()


@each(
    {
        "a body": framed("Content-Length: 100", slug="malformed-body", says="7 of 100 bytes"),
        "a body that has not begun": framed(
            "Content-Length: 100", body=b"", slug="malformed-body", says="0 of 100 bytes"
        ),
        "a chunk": bad_chunks(b'7\r\n{"n"'),
        "chunks": bad_chunks(b'7\r\n{"n":5}\r\n'),
        "the last chunk": bad_chunks(b'7\r\n{"n":5}\r\n0\r\n'),
        "a map": Bad(
            request("POST", MAP, AS_JSON, "Content-Length: 100", body=b"{"), 400, "malformed-body", "1 of 100"
        ),
        "a batch": Bad(
            request("POST", BATCH, AS_JSON, "Content-Length: 100", body=b"{"),
            400,
            "malformed-body",
            "1 of 100",
        ),
        "a picture": Bad(
            request("POST", THUMBNAIL, "Content-Type: image/png", "Content-Length: 9999", body=good_png()),
            400,
            "malformed-body",
            "of 9999 bytes",
        ),
    }
)
def test_what_is_cut_off_is_not_taken_for_the_whole(service, bad):
    answer = exchange(service.port, bad.data, half_close=True)

    assert_problem(answer, bad.status, bad.slug, bad.says)


@each(
    {
        f"{path} {name}": Bad(request("POST", path, AS_JSON, *headers), 413, "body-too-large", str(MAX_BODY))
        for path in (RUN, MAP, BATCH)
        for name, headers in {
            "a byte too many": [f"Content-Length: {MAX_BODY + 1}"],
            "1 GB": ["Content-Length: 1000000000"],
            "more than there is": [f"Content-Length: {'9' * 30}"],
            "asking first": ["Content-Length: 1000000000", "Expect: 100-continue"],
        }.items()
    }
)
def test_a_body_that_says_it_is_too_large_is_not_waited_for(service, bad):
    with connected(service.port, bad.data) as sock:
        answer = read_answer(sock)

    assert_problem(answer, bad.status, bad.slug, bad.says)
    assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        (RUN, JSON),
        (MAP, JSON),
        (BATCH, JSON),
        (THUMBNAIL, "image/png"),
        (THUMBNAIL, f"{FORM}; boundary=B"),
        (DIGITS, NPY),
    ],
)
def test_a_gigabyte_of_chunks_is_refused_long_before_its_end(service, workers, path, media_type):
    forget_peaks(workers)
    before = peak_of(workers)
    chunk = b"%x\r\n%s\r\n" % (MIB, b" " * MIB)
    head = request("POST", path, f"Content-Type: {media_type}", CHUNKED, PATIENT)

    with connected(service.port, head) as sock:
        sent = send_until_answered(sock, itertools.repeat(chunk, 1000))
        answer = read_answer(sock)

    assert_problem(answer, 413, "body-too-large", str(MAX_BODY))
    assert answer.headers["Connection"] == "close"
    # What is beyond the limit stands in buffers of the kernel.
    assert sent < MAX_BODY + 20 * MIB
    # The body in its parts, and once more when they are joined.
    assert peak_of(workers) < before + 2 * MAX_BODY + 8 * MIB


def test_a_line_of_a_gigabyte_is_refused_long_before_its_end(service, workers):
    forget_peaks(workers)
    before = peak_of(workers)
    chunk = b"%x\r\n%s\r\n" % (MIB, b" " * MIB)
    head = request("POST", MAP, f"Content-Type: {NDJSON}", CHUNKED, PATIENT)

    with connected(service.port, head) as sock:
        sent = send_until_answered(sock, itertools.repeat(chunk, 1000))
        answer = read_answer(sock)

    (entry,) = answer.document["results"]
    assert entry["error"]["type"] == "/problems/body-too-large"
    assert sent < MAX_BODY + 20 * MIB
    assert peak_of(workers) < before + 3 * MAX_BODY + 8 * MIB


def forget_peaks(processes: list[psutil.Process]) -> None:
    for process in processes:
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def peak_of(processes: list[psutil.Process]) -> int:
    """Return the most memory that one of the processes has had resident, in bytes."""
    peaks = [re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{p.pid}/status").read_text()) for p in processes]
    return max(1024 * int(found[1]) for found in peaks if found)


# ------------------------------------------------------------------------------- slow and idle clients


def test_a_body_that_comes_a_byte_at_a_time_is_given_up_at_the_deadline(service):
    heads = {
        "JSON": request("POST", RUN, AS_JSON, "Content-Length: 9999"),
        "a map": request("POST", MAP, AS_JSON, "Content-Length: 9999"),
        "a batch": request("POST", BATCH, AS_JSON, "Content-Length: 9999"),
        "a picture": request("POST", THUMBNAIL, "Content-Type: image/png", "Content-Length: 9999"),
        "a form": request("POST", THUMBNAIL, f"Content-Type: {FORM}; boundary=B", "Content-Length: 9999"),
        "a chunk": request("POST", RUN, AS_JSON, CHUNKED, body=b"2000\r\n"),
        "the size of a chunk": request("POST", RUN, AS_JSON, CHUNKED),
    }
    with contextlib.ExitStack() as clients:
        began = time.monotonic()
        socks = {name: clients.enter_context(connected(service.port, head)) for name, head in heads.items()}
        # When all of them send a byte every 0.3 seconds
        answered = drip(socks.values(), b"1", every=0.3, within=20)
        # Then each is told so, at its deadline or soon after; the worker looks every second
        for name, sock in socks.items():
            answer = read_answer(sock)
            assert_problem(answer, 408, "body-too-slow", "deadline")
            assert answer.headers["Connection"] == "close"
            assert DEADLINE <= answered[sock] - began < DEADLINE + 4, name


def test_a_crowd_of_slow_bodies_takes_the_places_and_no_more(service):
    # Time enough for a busy machine to look at all this before their deadline
    lasting = ("Content-Length: 9999", "Request-Timeout: 6")
    slow = request("POST", RUN, AS_JSON, *lasting, body=b"{")
    slow_lines = request("POST", MAP, f"Content-Type: {NDJSON}", *lasting, body=b"{")
    with contextlib.ExitStack() as clients:
        socks = [
            clients.enter_context(connected(service.port, head)) for head in (slow, slow_lines) * (CROWD // 2)
        ]
        # Given more of them than there are places
        refused = readable(socks, CROWD - WORKERS * THREADS)
        for sock in refused:
            assert_problem(read_answer(sock), 503, "saturated", "busy")
        # Then the service answers for itself, and others hear at once that there is no room, unless one of
        # the workers took fewer of the crowd than it could, and has some
        for _ in range(10):
            assert answers_at_once(service)
            began = time.monotonic()
            answer = exchange(service.port, post(RUN, b"[]"))
            assert time.monotonic() - began < AT_ONCE
            assert answer.status in (503, 422)
        # And those that had a place are given up in time
        for sock in set(socks) - set(refused):
            assert read_answer(sock).status in (200, 408)
    wait_until(lambda: exchange(service.port, post(RUN, BODY)).status == 200, 20, service.log.read_text)


def readable(socks: list[socket.socket], count: int) -> list[socket.socket]:
    """Wait until that many have an answer, and return them."""
    found: list[socket.socket] = []

    def enough() -> bool:
        found[:] = select.select(socks, [], [], 0.1)[0]
        return len(found) >= count

    wait_until(enough, 4, lambda: f"only {len(found)} of {count} have an answer")
    return found


@pytest.mark.parametrize(
    ("sent", "answers"),
    [
        pytest.param(b"", 0, id="nothing"),
        pytest.param(b"GET /healthz HTT", 0, id="a part of a line"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", 0, id="a part of a header"),
        pytest.param(b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 12_000, 1, id="a header without end"),
        pytest.param(get("/healthz") + b"GET /he", 1, id="a request and a part"),
        pytest.param(get("/healthz", "Connection: close"), 1, id="a last request"),
        pytest.param(get("/healthz").replace(b"/1.1", b"/1.0"), 1, id="an old request"),
        pytest.param(request("get", "/healthz"), 1, id="a bad request"),
        pytest.param(request("POST", "/nothing", "Content-Length: 999"), 1, id="a body nobody wants"),
        pytest.param(request("POST", RUN, "Content-Type: a/b", "Content-Length: 999"), 1, id="a media type"),
        pytest.param(request("POST", RUN, AS_JSON, "Content-Length: 99999999"), 1, id="a body too large"),
    ],
)
def test_a_crowd_that_sends_no_more_and_stays_silences_nobody(service, sent, answers):
    with contextlib.ExitStack() as clients:
        socks = [clients.enter_context(connected(service.port, sent)) for _ in range(CROWD)]
        # Given a crowd that has all the answers it will get, and keeps its connections open
        readable(socks, CROWD * answers)
        # Then others are still answered
        for _ in range(25):
            assert answers_at_once(service)


def test_a_header_that_does_not_come_is_given_up(service):
    with (
        connected(service.port, b"GET /healthz HTTP/1.1\r\nHost:") as partial,
        connected(service.port) as silent,
    ):
        assert_problem(read_answer(partial), 408, "request-timeout", "header")
        assert silent.recv(1) == b""


@pytest.mark.parametrize("encoded", [base64.b64encode(good_png()).decode()])
def test_after_all_that_a_good_request_is_served(service, encoded):
    assert exchange(service.port, post(RUN, BODY, JSON, PATIENT)).document["result"] == 30
    body = json.dumps({"image": encoded, "format": "png"}).encode()
    answer = exchange(service.port, post(THUMBNAIL, body, JSON, PATIENT))
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
