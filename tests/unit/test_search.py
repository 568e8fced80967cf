"""Queries of searches, and the places of their terms."""

import pytest

from service.domain.errors import Invalid
from service.domain.search import (
    MAX_PLACES,
    Place,
    Searchable,
    SearchField,
    Term,
    add_times,
    find_places,
    parse_query,
)
from service.domain.transcription import Word

SAID = "Hi, it's Zoë. Call me, please call me back."


def places_of(q: str, *, stemmed: tuple[str, ...] = (), number: str = "+49 (0) 89 123") -> object:
    searchable = Searchable(
        caller_name="Zoë Ångström",
        caller_number=number,
        transcript=SAID,
        vmbox_name="Sales",
        stemmed=stemmed,
    )
    places = find_places(parse_query(q), searchable)
    return (
        None
        if places is None
        else [(place.field.value, place.start, place.end) for place in places]
    )


@pytest.mark.parametrize(
    ("q", "terms"),
    [
        ("Call  ME", [Term(("call",)), Term(("me",))]),
        ('"call me" “back now”', [Term(("call", "me")), Term(("back", "now"))]),
        ('call "me', [Term(("call",)), Term(("me",))]),
        ("call CALL cáll", [Term(("call",))]),
        ("o'brien", [Term(("o", "brien"))]),
        ("555", [Term(("555",), "555")]),
        ("12", [Term(("12",))]),
        ("415-555-1234", [Term(("415", "555", "1234"), "4155551234")]),
        ("+1 (415) 555-1234", [Term(("1", "415", "555", "1234"), "14155551234")]),
        ("0049 (0)89 1234567", [Term(("0049", "0", "89", "1234567"), "49891234567")]),
        ("ann 415 555 1234.", [Term(("ann",)), Term(("415", "555", "1234"), "4155551234")]),
        ("100 200", [Term(("100",), "100"), Term(("200",), "200")]),
        ('"100 200"', [Term(("100", "200"), "100200")]),
        ("東京", [Term(("東", "京"))]),
        ("a & b | !c <-> d:*", [Term(("a",)), Term(("b",)), Term(("c",)), Term(("d",))]),
        ("\u202eabc\u202c\0", [Term(("abc",))]),
    ],
)
def test_a_query_has_words_phrases_and_numbers(q: str, terms: list[Term]) -> None:
    assert list(parse_query(q)) == terms


@pytest.mark.parametrize(
    "q", ["", " ", "!?", "\0", '""', "\u202e", "x" * 201, "a b c d e f g h i j k"]
)
def test_a_query_without_words_or_with_too_many_is_refused(q: str) -> None:
    with pytest.raises(Invalid):
        parse_query(q)


@pytest.mark.parametrize(
    ("q", "places"),
    [
        ("zoe", [("caller_id_name", 0, 3), ("transcription", 9, 12)]),
        ("angstrom", [("caller_id_name", 4, 12)]),
        ("call", [("transcription", 14, 18), ("transcription", 30, 34)]),
        (
            '"call me" zoe',
            [
                ("caller_id_name", 0, 3),
                ("transcription", 9, 12),
                ("transcription", 14, 21),
                ("transcription", 30, 37),
            ],
        ),
        ('"me back"', [("transcription", 35, 42)]),
        ("sales hi", [("transcription", 0, 2), ("vmbox_name", 0, 5)]),
        ("89123", [("caller_id_number", 8, 14)]),
        ("4989", [("caller_id_number", 1, 10)]),
        ("zoe absent", None),
        ('"back me"', None),
    ],
)
def test_every_term_must_occur(q: str, places: object) -> None:
    assert places_of(q) == places


def test_a_word_with_the_same_stem_is_found() -> None:
    assert places_of("calling") is None
    assert places_of("calling", stemmed=("call",)) == places_of("call")


def test_places_are_bounded() -> None:
    searchable = Searchable(
        caller_name="", caller_number="", transcript="call " * 1000, vmbox_name=""
    )
    assert len(find_places(parse_query("call"), searchable) or ()) == MAX_PLACES


def test_places_in_a_transcription_get_the_times_of_their_words() -> None:
    words = [
        Word(index * 100, index * 100 + 90, 95, text)
        for index, text in enumerate(["Hi,", "it's", "Zoë.", "um", "Call", "me,", "please"])
    ]
    found = [
        Place(SearchField.CALLER_NAME, 0, 3),
        Place(SearchField.TRANSCRIPTION, 14, 21),
        Place(SearchField.TRANSCRIPTION, 38, 42),
    ]
    assert add_times(found, SAID, words) == [
        found[0],
        Place(SearchField.TRANSCRIPTION, 14, 21, 400, 590),
        found[2],
    ]
