"""Counting words."""

from __future__ import annotations

import time

import pytest

from service.tasks.text import WordCount, text_statistics


def test_words_and_sentences_are_counted() -> None:
    found = text_statistics("The cat sat. The dog didn't! Did it? It cost 3.50", top=2)

    assert (found.characters, found.words, found.unique_words, found.sentences) == (49, 10, 8, 4)
    assert found.most_common == [WordCount("the", 2), WordCount("it", 2)]
    assert found.mean_word_length == 3.2
    assert found.mean_sentence_length == 2.5
    assert found.reading_minutes == pytest.approx(10 / 238)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("12 3.5 _ -- '' …", []),
        ("well-known, isn't it’s", ["well-known", "isn't", "it’s"]),  # noqa: RUF001
        ("Straße ΣΊΣΥΦΟΣ naïve été", ["strasse", "σίσυφοσ", "naïve", "été"]),
        ("snake_case x2y", ["snake", "case", "x", "y"]),
        ("a\0b\nc\u2028d", ["a", "b", "c", "d"]),
    ],
)
def test_words_are_letters_of_any_alphabet(text: str, words: list[str]) -> None:
    assert [entry.word for entry in text_statistics(text).most_common] == words


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        ("...", 0),
        ("No stop at the end", 1),
        ("One. Two", 2),
        ("What?! No...", 2),
        ("Version 3.5 of example.org is out.", 1),
        ('He said "stop." Then he went.', 2),
    ],
)
def test_a_sentence_has_words_and_ends_at_a_stop(text: str, sentences: int) -> None:
    assert text_statistics(text).sentences == sentences


def test_without_words_nothing_is_divided_by_nothing() -> None:
    found = text_statistics("42")

    assert (found.mean_word_length, found.mean_sentence_length, found.flesch_reading_ease) == (0, 0, None)


def test_the_reading_ease_is_fleschs() -> None:
    # 6 words, 1 sentence, 6 syllables
    assert text_statistics("The cat sat on the mat.").flesch_reading_ease == pytest.approx(
        206.835 - 1.015 * 6 - 84.6
    )
    # 2 words, 1 sentence, 5 + 4 syllables
    assert text_statistics("Considerable difficulty").flesch_reading_ease == pytest.approx(
        206.835 - 1.015 * 2 - 84.6 * 9 / 2
    )


def test_simple_prose_is_easier_than_a_lawyers() -> None:
    simple = text_statistics("I like dogs. Dogs like me. We run and play all day.").flesch_reading_ease
    hard = text_statistics(
        "Notwithstanding any contradictory stipulation, the undersigned irrevocably relinquishes "
        "entitlement to remuneration."
    ).flesch_reading_ease

    assert simple is not None
    assert hard is not None
    assert hard < 30
    assert simple > 90


@pytest.mark.parametrize("piece", ["a'", ".", "a.", "aeiou", "é ", "-", "a b. "])
def test_no_text_takes_more_than_time_in_proportion(piece: str) -> None:
    begun = time.process_time()

    text_statistics(piece * (1_000_000 // len(piece)))

    assert time.process_time() - begun < 5
