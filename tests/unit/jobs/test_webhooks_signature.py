"""Signatures of webhooks, by the Standard Webhooks specification."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from service.jobs.webhooks.signature import Unverified, read_secret, sign, verify

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class TestSignature:
    def test_it_is_the_one_that_the_specification_s_own_libraries_compute(self):
        # Given the example in the tests of standard-webhooks/libraries
        headers = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

        assert headers == {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }

    def test_a_secret_that_is_no_base64_is_taken_as_it_is(self):
        secret = "öffne dich, o Sesam!!!!!!"
        headers = sign(secret, "a", 5, b"body")

        digest = hmac.new(secret.encode(), b"a.5.body", hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
        as_base64 = f"whsec_{base64.b64encode(secret.encode()).decode()}"
        assert sign(as_base64, "a", 5, b"body") == headers

    def test_padding_may_be_missing(self):
        assert read_secret(f"whsec_{'QQ' * 17}") == read_secret(f"whsec_{'QQ' * 17}==")

    @pytest.mark.parametrize(
        ("secret", "why"),
        [
            ("", "at least 24 bytes, and this one has 0"),
            ("x" * 23, "at least 24 bytes, and this one has 23; make one with: echo whsec_"),
            ("whsec_c2hvcnQtc2VjcmV0", "at least 24 bytes, and this one has 12"),
            ("whsec_not-base64-not-base64-not-base64", "after whsec_ a webhook secret must be base64"),
            ("whsec_éééééééééééééééééééééééééééééééé", "must be base64"),
        ],
    )
    def test_a_bad_secret_is_refused_and_not_told(self, secret: str, why: str):
        with pytest.raises(ValueError, match=why) as caught:
            sign(secret, "a", 5, b"")

        assert not secret or secret.removeprefix("whsec_") not in str(caught.value)

    @pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\r\nx: y", "é"])
    def test_an_id_that_could_be_taken_for_more_is_refused(self, message_id: str):
        with pytest.raises(ValueError, match="visible ASCII characters without a full stop"):
            sign(SECRET, message_id, 5, b"")


class TestVerify:
    HEADERS = sign(SECRET, "msg_1", 1000, b"body")

    @pytest.mark.parametrize("now", [700, 1000, 1300])
    def test_what_was_signed_within_five_minutes_is_taken(self, now: float):
        verify(SECRET, self.HEADERS, b"body", now=now)
        verify(SECRET, {name.title(): value for name, value in self.HEADERS.items()}, b"body", now=now)

    def test_one_good_signature_among_others_is_enough(self):
        other = sign("another secret of the past", "msg_1", 1000, b"body")["webhook-signature"]
        both = f"v1a,xyz {other} {self.HEADERS['webhook-signature']} é"

        verify(SECRET, {**self.HEADERS, "webhook-signature": both}, b"body", now=1000)
        with pytest.raises(Unverified, match="no signature"):
            verify(SECRET, {**self.HEADERS, "webhook-signature": other}, b"body", now=1000)

    @pytest.mark.parametrize(
        ("changed", "why"),
        [
            ({"webhook-id": "msg_2"}, "no signature"),
            ({"webhook-timestamp": "1001"}, "no signature"),
            ({"webhook-timestamp": "1e3"}, "must be whole seconds"),
            ({"webhook-timestamp": "699"}, "more than 300 s away"),
            ({"webhook-timestamp": "1301"}, "more than 300 s away"),
            ({"webhook-signature": "v2,x"}, "no signature"),
            ({"webhook-signature": ""}, "there is no webhook-signature header"),
            ({"webhook-id": ""}, "there is no webhook-id header"),
        ],
    )
    def test_whatever_was_changed_is_refused(self, changed: dict[str, str], why: str):
        with pytest.raises(Unverified, match=why):
            verify(SECRET, {**self.HEADERS, **changed}, b"body", now=1000)

    def test_a_changed_body_or_another_secret_is_refused(self):
        with pytest.raises(Unverified):
            verify(SECRET, self.HEADERS, b"body ", now=1000)
        with pytest.raises(Unverified):
            verify(SECRET.replace("M", "N"), self.HEADERS, b"body", now=1000)

    def test_the_time_is_now_unless_given(self):
        with pytest.raises(Unverified, match="more than 300 s away"):
            verify(SECRET, self.HEADERS, b"body")
