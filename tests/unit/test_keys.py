"""API keys: made, stored, read and found again."""

from __future__ import annotations

import hashlib

import pytest

from service import keys

HASH = "ab" * 32


def test_a_new_key_is_found_by_its_text_and_by_nothing_else() -> None:
    text, alice = keys.new("alice", concurrency=2, per_minute=60)
    other, bob = keys.new("bob")
    stored = keys.parse(f"{bob.line()}\n{alice.line()}")

    assert keys.find(stored, text.encode()) == alice
    assert keys.find(stored, other.encode()) == bob
    for wrong in (b"", text[:-1].encode(), text.encode() + b"x", alice.hash, alice.hash.hex().encode()):
        assert keys.find(stored, wrong) is None


def test_the_line_holds_the_hash_and_not_the_key() -> None:
    text, key = keys.new("alice", concurrency=2, per_minute=60)

    assert key.line() == f"alice:{hashlib.sha256(text.encode()).hexdigest()}:concurrency=2:per-minute=60"
    assert text.removeprefix(keys.PREFIX) not in key.line()


def test_keys_are_never_the_same() -> None:
    assert len({keys.new("alice")[0] for _ in range(100)}) == 100
    assert len(keys.new("alice")[0]) == len(keys.PREFIX) + 43


def test_lines_commas_and_comments_may_be_mixed() -> None:
    text = f"# those who may\n\n a:{HASH} , b:{'cd' * 32}:per-minute=5\n"
    text += f"#c:{HASH}\nd:{'ef' * 32}:concurrency=3,\n"

    found = keys.parse(text)

    assert [(key.name, key.concurrency, key.per_minute) for key in found] == [
        ("a", None, None),
        ("b", None, 5),
        ("d", 3, None),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no key in it"),
        ("# nothing\n,\n", "no key in it"),
        ("alice", "'alice' must be followed by a colon and the 64"),
        (f"alice:{HASH[1:]}", "64 hexadecimal digits"),
        (f"alice:{HASH.upper()}", "64 hexadecimal digits"),
        (f"al ice:{HASH}", "a key's name is"),
        (f"../alice:{HASH}", "a key's name is"),
        (f".:{HASH}", "a key's name is"),
        (f":{HASH}", "a key's name is"),
        (f"{'a' * 65}:{HASH}", "a key's name is"),
        (f"alice:{HASH}:per-hour=5", "takes concurrency=N and per-minute=N"),
        (f"alice:{HASH}:per-minute=5:per-minute=6", "each once"),
        (f"alice:{HASH}:per-minute=0", "per-minute of 'alice' must be a number from 1 to 100000"),
        (f"alice:{HASH}:concurrency=1001", "concurrency of 'alice' must be a number from 1 to 1000"),
        (f"alice:{HASH}:concurrency=٣", "must be a number"),
        (f"alice:{HASH}:concurrency", "must be a number"),
        (f"alice:{HASH},alice:{'cd' * 32}", "the name of 'alice' is there twice"),
        (f"alice:{HASH},bob:{HASH}", "the hash of 'bob' is there twice"),
    ],
)
def test_a_mistake_is_told_without_any_hash(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        keys.parse(text)

    assert HASH[1:] not in str(caught.value)


def test_a_key_in_the_place_of_a_name_is_not_told() -> None:
    text, _ = keys.new("alice")

    with pytest.raises(ValueError, match="a key's name is") as caught:
        keys.parse(f"{text}!:{HASH}")

    assert text not in str(caught.value)
