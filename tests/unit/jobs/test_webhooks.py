"""Where webhooks may be sent to, as far as that can be told without a look-up."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.jobs.webhooks.addresses import is_public
from service.jobs.webhooks.allowed import Allowed, parse_allowed
from service.jobs.webhooks.target import MAX_LENGTH, Target, check, parse

NOBODY = Allowed()


class TestTarget:
    @pytest.mark.parametrize(
        ("url", "tls", "host", "port", "path"),
        [
            ("https://hooks.example.com", True, "hooks.example.com", 443, "/"),
            ("HTTP://Hooks_1.Example:8080/a/b?c=d&e#f", False, "hooks_1.example", 8080, "/a/b?c=d&e"),
            ("https://xn--bcher-kva.example:/?q", True, "xn--bcher-kva.example", 443, "/?q"),
            ("http://8.8.8.8//x", False, "8.8.8.8", 80, "//x"),
            ("https://[2606:4700::1111]:9/", True, "2606:4700::1111", 9, "/"),
            ("https://1e100.net", True, "1e100.net", 443, "/"),
        ],
    )
    def test_a_url_is_read(self, url: str, tls: bool, host: str, port: int, path: str):  # noqa: FBT001
        check(url, NOBODY)
        target = parse(url)

        assert (target.tls, target.host, target.port, target.path) == (tls, host, port, path)
        assert str(target.address) == (host if host[0] in "82" else "None")

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            ("", "must begin with https://"),
            ("hooks.example.com/x", "must begin with https://"),
            ("ftp://hooks.example.com/", "must begin with https://"),
            ("file:///etc/passwd", "must begin with https://"),
            ("https:///x", "must name a host"),
            ("https:hooks.example.com", "must name a host"),
            ("https://:80/x", "must have a host, or host:port"),
            ("https://user:s3cret@hooks.example.com/", "no user and no password"),
            ("https://s3cret@hooks.example.com/", "no user and no password"),
            ("https://hooks.example.com\\@s3cret/", "no user and no password"),
            ("https://hooks.example.com:0/", "port in a webhook's URL must be from 1 to 65535"),
            ("https://hooks.example.com:65536/", "port in a webhook's URL must be from 1 to 65535"),
            ("https://hooks.example.com:s3cret/", "host:port with a port from 1"),
            ("https://hooks.example.com:+80/", "host:port with a port from 1"),
            ("https://hooks.example.com/a b", "plain ASCII without spaces"),
            ("https://hooks.example.com/\r\nHost: x", "plain ASCII without spaces"),
            ("https://hooks.exam\tple.com/", "plain ASCII without spaces"),
            (" https://hooks.example.com/", "plain ASCII without spaces"),
            ("https://bücher.example/", "plain ASCII without spaces"),
            ("https://hooks.example.com/\x7f", "plain ASCII without spaces"),
            ("https://hooks..example.com/", "must be a name of letters"),
            ("https://hooks.example.com./", "must be a name of letters"),
            ("https://-hooks.example.com/", "must be a name of letters"),
            ("https://hooks%2eexample.com/", "must be a name of letters"),
            (f"https://{'a' * 64}.com/", "must be a name of letters"),
            (f"https://{'a.' * 127}aa/", "must be a name of letters"),
            ("https://[::1/", "brackets"),
            ("https://[hooks.example.com]/", "brackets"),
            ("https://[::1]evil/", "must have a host, or host:port|brackets"),
            ("https://x[::1]/", "must have a host, or host:port|brackets"),
            ("https://[fe80::1%25eth0]/", "zone|brackets"),
            (f"https://hooks.example.com/{'x' * MAX_LENGTH}", "at most 2000 characters, and this one 2026"),
        ],
    )
    def test_what_is_wrong_is_told_without_a_word_of_it(self, url: str, why: str):
        with pytest.raises(ValueError, match=why) as caught:
            check(url, NOBODY)

        assert "s3cret" not in str(caught.value)

    @pytest.mark.parametrize(
        "host", ["2130706433", "127.1", "0x7f000001", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1.5", "a.1"]
    )
    def test_numbers_that_look_ups_take_for_addresses_are_no_names(self, host: str):
        with pytest.raises(ValueError, match="four decimal numbers"):
            check(f"http://{host}/", NOBODY)

    def test_the_longest_url_is_taken(self):
        check("https://a.example/".ljust(MAX_LENGTH, "x"), NOBODY)

    def test_the_path_is_not_in_what_a_log_would_show(self):
        assert "s3cret" not in repr(parse("https://a.example/s3cret?s3cret"))

    @given(st.text() | st.from_regex(r"https?://[\[\]:@/?#.%\\0-9a-fx]{0,30}", fullmatch=True))
    def test_any_text_is_read_or_refused(self, text: str):
        try:
            target = parse(text)
        except ValueError:
            return
        assert isinstance(target, Target)
        assert target.host
        assert target.path.isascii()


PUBLIC = ["8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "ff0e::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "4000::1",
    "64:ff9b:1::808:808",
]
EMBEDDING = ["::ffff:{}", "64:ff9b::{}", "2002:{}::1"]


def embedded(form: str, address: str) -> str:
    number = f"{int(ipaddress.IPv4Address(address)):08x}"
    return form.format(f"{number[:4]}:{number[4:]}")


class TestAddresses:
    @pytest.mark.parametrize("address", PUBLIC)
    def test_public_ones_may_be_called(self, address: str):
        check(f"https://{f'[{address}]' if ':' in address else address}/", NOBODY)

    @pytest.mark.parametrize("address", PRIVATE)
    def test_all_others_are_refused(self, address: str):
        host = f"[{address}]" if ":" in address else address

        with pytest.raises(ValueError, match="is not a public address; the setting SERVICE_WEBHOOK_ALLOW"):
            check(f"https://{host}/", NOBODY)
        check(f"https://{host}/", parse_allowed([address]))

    @pytest.mark.parametrize("form", EMBEDDING)
    def test_an_ipv4_address_within_an_ipv6_address_is_what_counts(self, form: str):
        assert is_public(ipaddress.ip_address(embedded(form, "8.8.8.8")))
        for address in ("127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "224.0.0.1"):
            inside = embedded(form, address)
            assert not is_public(ipaddress.ip_address(inside))
            with pytest.raises(ValueError, match="not a public address"):
                check(f"https://[{inside}]/", NOBODY)
            check(f"https://[{inside}]/", parse_allowed(address))

    @pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "hooks.localhost"])
    def test_localhost_is_known_without_a_look_up(self, host: str):
        with pytest.raises(ValueError, match="localhost is not a public address"):
            check(f"http://{host}:9000/", NOBODY)
        for allowed in ("127.0.0.1", "::1", host):
            check(f"http://{host}:9000/", parse_allowed(allowed))

    def test_other_names_are_not_looked_up(self):
        check("http://no-such-host.invalid/", NOBODY)


class TestAllowed:
    def test_networks_addresses_and_names_may_be_mixed(self):
        text = " 127.0.0.1/32, 10.0.0.0/8,,fd00::/8, ::1 ,192.168.1.1,Hooks.Internal,"

        allowed = parse_allowed(text)

        assert [str(network) for network in allowed.networks] == [
            "127.0.0.1/32",
            "10.0.0.0/8",
            "fd00::/8",
            "::1/128",
            "192.168.1.1/32",
        ]
        assert allowed.names == {"hooks.internal"}
        assert parse_allowed(text.split(",")) == allowed

    def test_nothing_allows_nothing(self):
        assert parse_allowed("") == parse_allowed([]) == Allowed()

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("10.1.2.3/8", r"'10.1.2.3/8' is an address within 10.0.0.0/8; write that, or the address alone"),
            ("10.0.0.0/33", "'10.0.0.0/33' is none of what can be allowed: a network such as 10.0.0.0/8"),
            ("127.1", "'127.1' is none of"),
            ("*.internal", r"'\*.internal' is none of .* a whole host name"),
            ("hooks.internal:8080", "'hooks.internal:8080' is none of .* without port"),
            ("https://hooks.internal", "'https://hooks.internal' is none of"),
            ("10.0.0.0/8 hooks.internal", "is none of"),
            ("[::1]", "is none of"),
        ],
    )
    def test_a_mistake_is_told(self, text: str, why: str):
        with pytest.raises(ValueError, match=why):
            parse_allowed(f"127.0.0.1,{text}")

    def test_a_network_allows_what_is_in_it_and_nothing_beside_it(self):
        allowed = parse_allowed("10.0.0.0/8")

        check("http://10.255.0.1/", allowed)
        with pytest.raises(ValueError, match=r"192\.168\.0\.1 is not a public address"):
            check("http://192.168.0.1/", allowed)

    def test_a_name_allows_itself_and_not_what_is_below_it(self):
        allowed = parse_allowed("hooks.internal")
        private = ipaddress.ip_address("10.0.0.1")

        assert allowed.permits("hooks.internal", private)
        assert not allowed.permits("a.hooks.internal", private)
        assert not allowed.permits("internal", private)
