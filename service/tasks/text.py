"""Tasks on text."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from service.tasks.registry import task

#: Letters of any alphabet, with apostrophes and hyphens between them.
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")  # noqa: RUF001 - the apostrophe of printed text
_SENTENCE_END = re.compile(r"[.!?…]+(?=\W|$)")
_SYLLABLE = re.compile("[aeiouy]+")

#: Words a minute of adults who read silently: M. Brysbaert, "How many words do we read per minute?",
#: Journal of Memory and Language 109 (2019).
_WORDS_A_MINUTE = 238


@dataclass(frozen=True, slots=True)
class WordCount:
    """A word in lower case, and how often it occurs."""

    word: str
    count: int


@dataclass(frozen=True, slots=True)
class TextStatistics:
    """What can be counted in a text."""

    characters: int
    words: int
    #: Words that differ in more than upper and lower case.
    unique_words: int
    sentences: int
    #: The most frequent words; of equally frequent ones the first.
    most_common: list[WordCount]
    #: In characters.
    mean_word_length: float
    #: In words.
    mean_sentence_length: float
    #: Minutes that it takes to read silently.
    reading_minutes: float
    #: 90 is very easy to read, 30 very hard, for English; ``None`` without any words.
    flesch_reading_ease: float | None


@task(timeout=30)
def text_statistics(
    text: Annotated[str, Field(max_length=5_000_000)], top: Annotated[int, Field(ge=0, le=1000)] = 10
) -> TextStatistics:
    """Count words and sentences, and tell how hard the text is to read.

    Numbers are no words. The reading ease is that of R. Flesch, "A new readability yardstick" (1948);
    syllables are taken for as many as there are groups of vowels, but for a silent e at the end.
    """
    words = [word.casefold() for word in _WORD.findall(text)]
    counts = Counter(words)
    sentences = sum(_WORD.search(part) is not None for part in _SENTENCE_END.split(text))
    return TextStatistics(
        characters=len(text),
        words=len(words),
        unique_words=len(counts),
        sentences=sentences,
        most_common=[WordCount(word, count) for word, count in counts.most_common(top)],
        mean_word_length=sum(map(len, words)) / len(words) if words else 0.0,
        mean_sentence_length=len(words) / sentences if words else 0.0,
        reading_minutes=len(words) / _WORDS_A_MINUTE,
        flesch_reading_ease=_reading_ease(counts, len(words), sentences) if words else None,
    )


def _reading_ease(counts: Counter[str], words: int, sentences: int) -> float:
    syllables = sum(count * _syllables(word) for word, count in counts.items())
    return 206.835 - 1.015 * words / sentences - 84.6 * syllables / words


def _syllables(word: str) -> int:
    heard = word[:-1] if word.endswith("e") and not word.endswith("le") else word
    return max(1, len(_SYLLABLE.findall(heard)))
