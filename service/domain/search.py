"""Search of messages: reads a query, and finds its terms in the fields of a message.

Texts are split into words as the SQL function `searchable_text` does it.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache

import msgspec

from service.domain.errors import Invalid, Rule
from service.domain.transcription import Word

MAX_QUERY = 200
MAX_WORD = 60
MAX_TERMS = 10
MAX_PLACES = 20
"""Places in one message that a search returns."""
QUERY_TOO_LONG = f"q has more than {MAX_QUERY} characters; send a shorter one"

_LEAST_DIGITS = 3
_LETTERS = {"ł": "l", "ø": "o", "đ": "d", "ı": "i", "ħ": "h", "æ": "ae", "œ": "oe"}
_FOLDED_LETTERS = str.maketrans(_LETTERS)
# Each character of a script without spaces is a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30fa\u30fc-\u30ff"
    "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_SEPARATORS = (
    "\0-\u002f\u003a-\u0040\u005b-\u0060\u007b-\u00a9\u00ab-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf"
    "\u00d7\u00f7\u2000-\u206f\u20a0-\u20a7\u20a9-\u20cf\u2190-\u245f\u24eb-\u2bff\u2e00-\u2e7f\u3000-\u3004\u3008-\u3020"
    "\u3030\u30fb\ufe00-\ufe6f\ufeff\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
_CHUNK = re.compile(f"[{_UNSPACED}]|[^{_SEPARATORS}{_UNSPACED}]+")
_ASCII_WORD = re.compile("[a-z0-9]+")
_COMBINING = re.compile("[\u0300-\u036f]+")
_QUOTES = re.compile('["\u201c-\u201f\u00ab\u00bb]')
# Groups of digits with separators, such as +1 (415) 555-1234.
_NUMBER = re.compile(r"[+(]*\d[\d().\-/]*(?:\s+\(?\d[\d().\-/]*)*")
_TRUNK_PREFIX = re.compile(r"\(0\)")
_DIGIT = re.compile("[0-9]")
# A number written with spaces has at least this many digits; shorter ones are separate terms.
_LEAST_SPACED_DIGITS = 7
_MOST_DIGITS = 20
# Words of an engine that are absent from its text.
_LONGEST_GAP = 20


class SearchField(StrEnum):
    """Field of a message in which a search finds terms."""

    CALLER_NAME = "caller_id_name"
    CALLER_NUMBER = "caller_id_number"
    TRANSCRIPTION = "transcription"
    VMBOX_NAME = "vmbox_name"


class Token(msgspec.Struct, frozen=True):
    """Word of a text in its comparable form, with its place in the text."""

    start: int
    end: int
    word: str


class Term(msgspec.Struct, frozen=True):
    """Words that follow each other. `digits` is a part of a number, or empty."""

    words: tuple[str, ...]
    digits: str = ""


class Place(msgspec.Struct, frozen=True):
    """Part of a field that matches a term. Offsets count characters.

    A part of a transcription has times in the audio if its words have them.
    """

    field: SearchField
    start: int
    end: int
    start_ms: int | None = None
    end_ms: int | None = None


class Searchable(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of a message that a search reads.

    `stemmed` contains words of the transcription that have the stem of a word of the query.
    """

    caller_name: str
    caller_number: str
    transcript: str
    vmbox_name: str
    stemmed: Collection[str] = ()


def parse_query(text: str) -> tuple[Term, ...]:
    """Returns the terms of a query: words, quoted phrases and numbers. Raises Invalid."""
    if len(text) > MAX_QUERY:
        raise _invalid(Rule.MAX_LENGTH, text, QUERY_TOO_LONG)
    terms = tuple(dict.fromkeys(_terms(text)))
    if not terms:
        raise _invalid(Rule.REQUIRED, text, "q contains no word; send a word or a number")
    if len(terms) > MAX_TERMS:
        raise _invalid(
            Rule.MAX_ITEMS, text, f"q has more than {MAX_TERMS} words or phrases; send fewer"
        )
    return terms


def _invalid(rule: Rule, text: str, message: str) -> Invalid:
    return Invalid.of("q", rule, value=text[:64], message=message)


def _terms(text: str) -> Iterator[Term]:
    """Yields the terms of a query. An unpaired quotation mark separates words."""
    parts = _QUOTES.split(text)
    for position, part in enumerate(parts):
        if position % 2 and position < len(parts) - 1:
            yield from _term(part)
        else:
            yield from _unquoted(part)


def _unquoted(text: str) -> Iterator[Term]:
    start = 0
    for number in _NUMBER.finditer(text):
        if _is_spaced_number(number[0]):
            yield from _separate(text[start : number.start()])
            yield from _term(number[0])
            start = number.end()
    yield from _separate(text[start:])


def _separate(text: str) -> Iterator[Term]:
    for part in text.split():
        yield from _term(part)


def _is_spaced_number(text: str) -> bool:
    return " " in text and _LEAST_SPACED_DIGITS <= len(_DIGIT.findall(text)) <= _MOST_DIGITS


def _term(text: str) -> Iterator[Term]:
    words = tuple(token.word for token in tokens(text))
    if not words:
        return
    is_number = _NUMBER.fullmatch(text.strip().rstrip(".,;:")) is not None
    digits = "".join(_DIGIT.findall(_TRUNK_PREFIX.sub("", text))).lstrip("0") if is_number else ""
    yield Term(words, digits if _LEAST_DIGITS <= len(digits) <= _MOST_DIGITS else "")


def tokens(text: str) -> Iterator[Token]:
    """Yields the words of a text in order."""
    if text.isascii():
        for match in _ASCII_WORD.finditer(text.lower()):
            yield Token(match.start(), match.end(), match[0][:MAX_WORD])
        return
    for match in _CHUNK.finditer(text):
        for word in _folded_words(match[0]):
            yield Token(match.start(), match.end(), word)


@lru_cache(maxsize=4096)
def _folded_words(chunk: str) -> tuple[str, ...]:
    """Returns the comparable form of a word; several words if it contains separators."""
    bare = _COMBINING.sub("", unicodedata.normalize("NFKD", chunk))
    folded = unicodedata.normalize("NFKC", bare.casefold()).translate(_FOLDED_LETTERS)
    return tuple(match[0][:MAX_WORD] for match in _CHUNK.finditer(folded))


def find_places(terms: Sequence[Term], searchable: Searchable) -> list[Place] | None:
    """Returns the places of all terms in a message, or None if a term does not occur."""
    fields = {
        SearchField.CALLER_NAME: list(tokens(searchable.caller_name)),
        SearchField.CALLER_NUMBER: list(tokens(searchable.caller_number)),
        SearchField.TRANSCRIPTION: list(tokens(searchable.transcript)),
        SearchField.VMBOX_NAME: list(tokens(searchable.vmbox_name)),
    }
    places: set[Place] = set()
    for term in terms:
        of_term = [*_number_places(term, searchable.caller_number)]
        for field, words in fields.items():
            is_transcript = field is SearchField.TRANSCRIPTION
            of_term += _phrases(field, words, term, searchable.stemmed if is_transcript else ())
        if not of_term:
            return None
        places.update(of_term)
    return sorted(places, key=lambda place: (place.field, place.start, place.end))[:MAX_PLACES]


def _phrases(
    field: SearchField, words: Sequence[Token], term: Term, stemmed: Collection[str]
) -> Iterator[Place]:
    first, length = term.words[0], len(term.words)
    for index in range(len(words) - length + 1):
        if not _is_equal(words[index].word, first, stemmed):
            continue
        found = words[index : index + length]
        if all(
            _is_equal(token.word, word, stemmed)
            for token, word in zip(found, term.words, strict=True)
        ):
            yield Place(field, found[0].start, found[-1].end)


def _is_equal(word: str, of_query: str, stemmed: Collection[str]) -> bool:
    """Returns True for the same word or stem. A stem has the first two letters of its word."""
    return word == of_query or (word[:2] == of_query[:2] and word in stemmed)


def _number_places(term: Term, number: str) -> Iterator[Place]:
    if not term.digits:
        return
    trunk = {place for match in _TRUNK_PREFIX.finditer(number) for place in range(*match.span())}
    digits = [match for match in _DIGIT.finditer(number) if match.start() not in trunk]
    index = "".join(match[0] for match in digits).find(term.digits)
    if index >= 0:
        last = digits[index + len(term.digits) - 1]
        yield Place(SearchField.CALLER_NUMBER, digits[index].start(), last.end())


def add_times(places: Sequence[Place], transcript: str, words: Sequence[Word]) -> list[Place]:
    """Returns the places with the times of the words at their beginning and end."""
    timed = list(_timed_tokens(transcript, words))

    def with_times(place: Place) -> Place:
        if place.field is not SearchField.TRANSCRIPTION:
            return place
        spoken = [
            word for token, word in timed if place.start <= token.start and token.end <= place.end
        ]
        if not spoken:
            return place
        return msgspec.structs.replace(place, start_ms=spoken[0].start_ms, end_ms=spoken[-1].end_ms)

    return [with_times(place) for place in places]


def _timed_tokens(transcript: str, words: Sequence[Word]) -> Iterator[tuple[Token, Word]]:
    """Yields the tokens of a text, each with the spoken word that it comes from.

    Tokens and words have the same order. Some have no counterpart.
    """
    spoken = [(token.word, word) for word in words for token in tokens(word.text)]
    following = 0
    for token in tokens(transcript):
        for index in range(following, min(following + _LONGEST_GAP, len(spoken))):
            if spoken[index][0] == token.word:
                yield token, spoken[index][1]
                following = index + 1
                break
