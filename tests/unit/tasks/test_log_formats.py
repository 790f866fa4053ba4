"""Lines of logs, in the formats that are read and in others."""

from __future__ import annotations

import time
from typing import Any

import pytest

from service.tasks.log_formats import FORMATS, Name

COMMON = '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif?size=1 HTTP/1.0" 200 2326'
COMBINED = COMMON + ' "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav)"'


def fields(form: Name, line: str, *names: str) -> list[Any] | None:
    found = FORMATS[form].read(line, names)
    return None if found is None else list(found)


def field(form: Name, line: str, name: str) -> Any:
    # Two, for a pattern returns a single one by itself.
    found = fields(form, line, name, name)
    return found[0] if found else None


class TestCombined:
    """The format of web servers."""

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("host", "127.0.0.1"),
            ("user", "frank"),
            ("time", "10/Oct/2000:13:55:36 -0700"),
            ("day", "10/Oct/2000"),
            ("hour", "10/Oct/2000:13"),
            ("method", "GET"),
            ("target", "/apache_pb.gif?size=1"),
            ("path", "/apache_pb.gif"),
            ("protocol", "HTTP/1.0"),
            ("status", "200"),
            ("bytes", "2326"),
            ("referer", "http://www.example.com/start.html"),
            ("agent", "Mozilla/4.08 [en] (Win98; I ;Nav)"),
            ("duration", None),
        ],
    )
    def test_each_field_has_its_place(self, name: str, value: str | None) -> None:
        assert name in (FORMATS["combined"].fields or ())
        assert field("combined", COMBINED, name) == value

    def test_common_lacks_the_last_two(self) -> None:
        assert fields("combined", COMMON, "status", "referer", "agent") == ["200", None, None]

    @pytest.mark.parametrize(
        ("end", "duration"),
        [
            (" 0.123", "0.123"),
            (" 5231", "5231"),
            (' "203.0.113.7" 0.5 pipe', "0.5"),
            (" -", None),
            (" 12ms", None),
            (' "-"', None),
            (" rt=0.5", None),
        ],
    )
    @pytest.mark.parametrize("line", [COMMON, COMBINED])
    def test_a_number_behind_is_the_duration(self, line: str, end: str, duration: str | None) -> None:
        assert fields("combined", line + end, "duration", "status") == [duration, "200"]

    @pytest.mark.parametrize(
        ("request_line", "path"),
        [
            ("GET / HTTP/1.1", "/"),
            ("GET /", "/"),
            ("OPTIONS * HTTP/1.1", "*"),
            ("GET http://example.org/a?b HTTP/1.1", "http://example.org/a"),
            (r"GET /a\"b?c=\" HTTP/1.1", r"/a\"b"),
            ("GET /ä HTTP/1.1", "/ä"),
            ("-", None),
            ("", None),
            (r"\x16\x03\x01", None),
            (r"a \"quoted\" mess", None),
            ("GET", None),
        ],
    )
    def test_a_request_may_be_anything(self, request_line: str, path: str | None) -> None:
        line = f'::1 - - [10/Oct/2000:13:55:36 -0700] "{request_line}" 400 - "-" "-"'

        assert fields("combined", line, "path", "status", "bytes") == [path, "400", "-"]

    def test_a_user_may_have_spaces(self) -> None:
        line = COMMON.replace("frank", "frank the third")

        assert field("combined", line, "user") == "frank the third"

    def test_an_agent_may_have_escaped_quotation_marks(self) -> None:
        assert field("combined", COMMON + r' "-" "a \"b\" c"', "agent") == r"a \"b\" c"

    @pytest.mark.parametrize(
        "line",
        [
            "",
            "no log",
            COMBINED[10:],
            COMBINED[:40],
            COMBINED.replace("200", "20"),
            COMBINED.replace("200", "\uff1200"),
            COMBINED.replace("2326", "many"),
            '{"status": 200}',
            "[error] 1234#0: no such file",
        ],
    )  # fmt: skip
    def test_other_lines_are_none(self, line: str) -> None:
        assert fields("combined", line, "status", "host") is None


class TestJson:
    """An object a line."""

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ('{"a": "x"}', "x"),
            ('{"a": 5}', 5),
            ('{"a": true}', True),
            ('{"a": null}', None),
            ('{"b": 5}', None),
            ("{}", None),
            ('{"a": 1, "a": 2}', 2),
            ('{"a": [1]}', None),
            ('{"a": {"b": 1}}', None),
        ],
    )
    def test_a_member_is_found(self, line: str, value: Any) -> None:
        assert fields("json", line, "a") == [value]

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ('{"a": {"b": {"c": 1}}}', 1),
            ('{"a.b.c": 2}', 2),
            ('{"a": {"b": 3}}', None),
            ('{"a": [{"b": 3}]}', None),
            ('{"a": {"b": {"c": []}}}', None),
        ],
    )
    def test_a_member_of_members_has_a_name_with_dots(self, line: str, value: Any) -> None:
        assert fields("json", line, "a.b.c") == [value]

    @pytest.mark.parametrize(
        "line",
        [
            "", "null", "5", '"a"', "[]", '["a"]', "{", '{"a": }', '{"a": 1} {"a": 2}', COMMON,
            "[" * 100_000, '{"a":' * 100_000, '{"a": ' + "9" * 5000 + "}",
        ],
    )  # fmt: skip
    def test_other_lines_are_none(self, line: str) -> None:
        assert fields("json", line, "a") is None


class TestLogfmt:
    """Name=value, as often as is needed."""

    LINE = r'at=info msg="a \"b\" c=d" path=/x?y=1 empty= none="" flag dur=12 x="1"y=2 at=warn'

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("at", "warn"),
            ("msg", 'a "b" c=d'),
            ("c", None),
            ("path", "/x?y=1"),
            ("empty", ""),
            ("none", ""),
            ("flag", None),
            ("dur", "12"),
            ("x", "1"),
            ("y", "2"),
            ("other", None),
        ],
    )
    def test_a_value_is_found(self, name: str, value: str | None) -> None:
        assert fields("logfmt", self.LINE, name) == [value]

    @pytest.mark.parametrize("line", ["", "no pair", "= =", '"quoted"', COMBINED.partition("?")[0]])
    def test_other_lines_are_none(self, line: str) -> None:
        assert fields("logfmt", line, "a") is None


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "start", ["", "h - ", 'h - u [1/1:00] "GET ', 'h - u [1/1:00] "GET / X" 200 1 "', '{"a":"', 'k="']
)
@pytest.mark.parametrize(
    "piece",
    ["a", " ", '"', "\\", '\\"', "[", " [", "] ", 'k="', 'k="\\" ', "k=", "= ", '" "', "1", "1.", "{"],
)
def test_no_line_takes_more_than_time_in_proportion(form: Name, start: str, piece: str) -> None:
    line = start + piece * (200_000 // len(piece))
    begun = time.process_time()

    fields(form, line, "status", "status")

    # What tried every place from every place would take minutes.
    assert time.process_time() - begun < 2
