"""Hosts that the service answers to, and pages that may call it."""

import pytest

from service.keys import new
from service.settings import Settings

PAGE = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}


@pytest.fixture
def ask(client):
    def ask(path="/healthz", method="GET", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return client.open(path, method=method, headers=named)

    return ask


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST:8000",
        "app.localhost:8000",
        "127.0.0.1",
        "127.0.0.1:8000",
        "127.9.9.9",
        "[::1]:8000",
        "[::1]",
        "10.1.2.3:8000",
    ],
)
def test_addresses_and_names_of_this_machine_are_answered(ask, host):
    assert ask(Host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evillocalhost",
        "localhost:99999",
        "user@localhost",
        "127.0.0.1, evil.example",
        "[::1",
        "[evil.example]",
        "0x7f.1",
        "0.0.0.0:8000",
        "[::]",
        "2130706433",
        "x" * 5000,
    ],
)
def test_any_other_name_is_not_for_this_service(ask, host):
    answer = ask(Host=host)

    assert answer.status_code == 421
    assert answer.content_type == "application/problem+json"
    assert answer.json["type"] == "/problems/misdirected-request"
    assert host in answer.json["detail"]
    assert "SERVICE_ALLOWED_HOSTS" in answer.json["detail"]


@pytest.mark.parametrize(("path", "method"), [("/v1/jobs", "POST"), ("/nowhere", "GET"), ("/metrics", "GET")])
def test_it_is_looked_at_whatever_is_asked_for(ask, path, method):
    assert ask(path, method, Host="evil.example").status_code == 421
    assert ask(path, method, Host="localhost", **PAGE).status_code == 403


def test_a_client_that_names_no_host_is_no_browser(client):
    assert client.get("/healthz", environ_overrides={"HTTP_HOST": None}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1:8000", "http://[::1]:3000", "https://a.localhost"]
)
def test_pages_of_this_machine_may_call(ask, origin):
    assert ask(Origin=origin, Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors").status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example:8000",
        "null",
        "",
        "http://203.0.113.9",
        "file://",
        "http://[::1",
    ],
)
def test_other_pages_may_not(ask, origin):
    answer = ask(Origin=origin)

    assert answer.status_code == 403
    assert answer.json["type"] == "/problems/forbidden"


def test_a_page_of_the_same_host_may_call(ask):
    assert ask(Host="10.1.2.3:8000", Origin="http://10.1.2.3:8000").status_code == 200


def test_a_picture_or_a_script_of_another_page_is_no_way_in_but_a_link_is(ask):
    for kind in ("image", "script", "iframe", "empty"):
        assert ask(Sec_Fetch_Site="cross-site", Sec_Fetch_Dest=kind).status_code == 403
    assert ask(Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="document").status_code == 200
    assert ask(Sec_Fetch_Site="same-origin", Sec_Fetch_Dest="empty").status_code == 200
    assert ask(Sec_Fetch_Site="none").status_code == 200


def test_names_can_be_allowed(engine, make_client):
    client = make_client(engine, allowed_hosts=("Api.example", ".pages.example"))

    def status(host, origin=None):
        headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
        return client.get("/healthz", headers=headers).status_code

    assert status("API.example") == status("api.example:8000") == status("localhost") == 200
    assert status("a.pages.example", "https://a.pages.example") == 200
    assert status("api.example", "https://b.pages.example") == 200
    assert status("other.example") == 421
    assert status("api.example", "https://other.example") == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"bind": "0.0.0.0:8000", "insecure": True},
        {"bind": "unix:/run/everycore.sock"},
        {"allowed_hosts": ("*",)},
    ],
    ids=["other machines may call", "no browser can", "any is allowed"],
)
def test_where_it_is_not_asked_for_any_host_will_do(engine, make_client, changes):
    client = make_client(engine, **changes)

    assert client.get("/healthz", headers={"Host": "any.example", **PAGE}).status_code == 200


def test_with_keys_any_host_will_do_for_a_page_has_none(engine, make_client, tmp_path):
    _, key = new("me")
    client = make_client(engine, api_keys=key.line(), runtime_dir=tmp_path, allowed_hosts=("api.example",))

    assert client.get("/healthz", headers={"Host": "any.example", **PAGE}).status_code == 200
    assert client.get("/v1/tasks", headers={"Host": "any.example", **PAGE}).status_code == 401


@pytest.mark.parametrize(
    "name", ["http://example.com", "example.com:80", "a b", "*.example.com", "ex/ample", ".."]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match=r"is not the name of a host, such as example\.com"):
        Settings(allowed_hosts=(name,))


def test_names_come_from_the_environment_separated_by_commas(monkeypatch):
    monkeypatch.setenv("SERVICE_ALLOWED_HOSTS", "api.example, .pages.example")

    assert Settings().allowed_hosts == ("api.example", ".pages.example")
