import copy
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import DocumentTooComplex, DocumentTooLarge, Invalid, Problem, Rule
from service.domain.formats import DIGITS
from service.domain.schema import Field, apply_schema, merge, strip_reserved_keys, type_of
from service.domain.vmbox import (
    FIELDS,
    comparable_number,
    numbers_of,
    split_pin,
    validate_settings,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


def broken(document: dict[str, Any], **fields: Field) -> dict[str, list[Rule]]:
    """Field -> the rules that it breaks."""
    _, problems = apply_schema(document, fields)
    result: dict[str, list[Rule]] = {}
    for problem in problems:
        result.setdefault(problem.field, []).append(problem.rule)
    return result


def test_defaults_are_copied_into_each_document() -> None:
    fields = {"list": Field(types=("array",), default=[]), "off": Field(default=False)}
    first, _ = apply_schema({}, fields)
    first["list"].append(1)
    second, _ = apply_schema({}, fields)
    assert second == {"list": [], "off": False}


def test_unknown_keys_are_kept_and_the_input_is_not_changed() -> None:
    given_document = {"known": "5", "unknown": {"x": [None]}}
    before = copy.deepcopy(given_document)
    result, problems = apply_schema(given_document, {"known": Field(types=("integer",))})
    assert result == {"known": 5, "unknown": {"x": [None]}}
    assert (given_document, problems) == (before, [])


def test_a_problem_contains_the_path_of_its_field() -> None:
    inner = Field(types=("object",), fields={"a.b": Field(required=True), "n": Field()})
    fields = {
        "o.o": inner,
        "list": Field(types=("array",), items=inner),
        "words": Field(types=("array",), items=Field(max_length=1)),
    }
    document = {"o.o": {"n": 1}, "list": [{"a.b": ""}, {}, 5], "words": ["a", "bb", "c", "dd"]}
    assert broken(document, **fields) == {
        "o%2Eo.a%2Eb": [Rule.REQUIRED],
        "o%2Eo.n": [Rule.TYPE],
        "list.1.a%2Eb": [Rule.REQUIRED],
        "list.2": [Rule.TYPE],
        "words.1": [Rule.MAX_LENGTH],
        "words.3": [Rule.MAX_LENGTH],
    }


@pytest.mark.parametrize(
    ("value", "types", "taken"),
    [
        ("12", ("integer",), 12),
        ("-12", ("integer",), -12),
        ("true", ("boolean",), True),
        ("false", ("boolean",), False),
        (2.0, ("integer",), 2),
        (2.5, ("number",), 2.5),
        (2, ("number",), 2),
        ("12", ("integer", "string"), "12"),
        ("true", ("string", "boolean"), "true"),
    ],
)
def test_strings_are_converted_for_fields_without_strings(
    value: Any, types: tuple[str, ...], taken: Any
) -> None:
    result, problems = apply_schema({"x": value}, {"x": Field(types=types)})
    assert (result["x"], type(result["x"]), problems) == (taken, type(taken), [])


@pytest.mark.parametrize(
    ("value", "types"),
    [
        (12, ("string",)),
        (True, ("string",)),
        (None, ("string",)),
        (True, ("integer",)),
        (1, ("boolean",)),
        ("True", ("boolean",)),
        ("yes", ("boolean",)),
        ("", ("integer",)),
        ("-", ("integer",)),
        ("--1", ("integer",)),
        ("+1", ("integer",)),
        (" 1", ("integer",)),
        ("1.0", ("integer",)),
        ("1e3", ("integer",)),
        ("٣", ("integer",)),
        ("²", ("integer",)),
        ("9" * 21, ("integer",)),
        (1.5, ("integer",)),
        ([], ("object",)),
        ({}, ("array",)),
        ("[]", ("array",)),
    ],
)
def test_values_of_other_types_are_refused(value: Any, types: tuple[str, ...]) -> None:
    _, problems = apply_schema({"x": value}, {"x": Field(types=types)})
    assert problems == [Problem(field="x", rule=Rule.TYPE, target=", ".join(types), value=value)]


def test_numbers_have_default_bounds() -> None:
    integer = Field(types=("integer",))
    assert broken({"x": 10**30}, x=integer) == {"x": [Rule.MAXIMUM]}
    assert broken({"x": -(10**30)}, x=integer) == {"x": [Rule.MINIMUM]}
    assert broken({"x": 2**53 - 1}, x=integer) == {}
    assert broken({"x": 5}, x=Field(types=("integer",), minimum=0, maximum=4)) == {
        "x": [Rule.MAXIMUM]
    }


def test_the_format_of_a_string_is_checked_after_the_other_rules() -> None:
    picky = Field(min_length=3, enum=("abc",), format=DIGITS)
    assert broken({"x": "a"}, x=picky) == {"x": [Rule.MIN_LENGTH, Rule.ENUM]}
    assert broken({"x": "abc"}, x=picky) == {"x": [Rule.WRONG_FORMAT]}


@given(JSON, st.sampled_from([*FIELDS.values()]))
def test_any_value_can_be_checked(value: Any, field: Field) -> None:
    result, problems = apply_schema({"x": value}, {"x": field})
    assert msgspec.json.encode(result)
    if not problems:
        assert apply_schema(result, {"x": field}) == (result, [])


@given(DOCUMENTS)
def test_an_empty_patch_changes_nothing(document: dict[str, Any]) -> None:
    assert merge(document, {}) == document
    assert merge(document, dict.fromkeys(document)) == {}


@given(DOCUMENTS, DOCUMENTS)
def test_a_second_merge_has_no_effect(document: dict[str, Any], changes: dict[str, Any]) -> None:
    once = merge(document, changes)
    assert merge(once, changes) == once
    for name, value in changes.items():
        assert (name in once) == (value is not None)
    assert all(once[name] == document[name] for name in document.keys() - changes.keys())


def test_an_object_replaces_another_type_without_its_nulls() -> None:
    assert merge({"x": 5}, {"x": {"a": None, "b": {"c": None, "d": 1}}}) == {"x": {"b": {"d": 1}}}


def test_reserved_keys_are_removed() -> None:
    assert strip_reserved_keys({"_x": 1, "pvt_y": 2, "pvt": 3, "x_": 4}) == {"pvt": 3, "x_": 4}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        *((None, "null"), (True, "boolean"), (1, "integer"), (1.0, "integer"), (1.5, "number")),
        *((1e300, "number"), ("", "string"), ([], "array"), ({}, "object")),
    ],
)
def test_values_have_the_types_of_json_schema(value: Any, name: str) -> None:
    assert type_of(value) == name


def test_mailbox_settings_have_defaults_and_no_server_keys() -> None:
    settings = validate_settings({"name": "n", "mailbox": "1", "id": "x", "messages": 4, "_x": 1})
    assert settings["media_extension"] == "mp3"
    assert not {"id", "messages", "_x"} & settings.keys()
    assert validate_settings(settings) == settings


def test_mailbox_settings_are_refused_with_all_problems() -> None:
    with pytest.raises(Invalid) as error:
        validate_settings({"mailbox": "", "pin": "1", "timezone": "Mars/Olympus"})
    assert {problem.field for problem in error.value.problems} == {
        *("name", "mailbox", "pin", "timezone")
    }


def test_a_mailbox_document_has_a_maximum_size() -> None:
    with pytest.raises(DocumentTooLarge):
        validate_settings({"name": "n", "mailbox": "1", "notes": "x" * 65_536})


@pytest.mark.parametrize(
    "timezone", ["inherit", "Europe/Berlin", "America/Argentina/Ushuaia", "Etc/UTC", "UTC", "GMT"]
)
def test_iana_time_zones_are_accepted(timezone: str) -> None:
    assert validate_settings({"name": "n", "mailbox": "1", "timezone": timezone})


@pytest.mark.parametrize(
    "timezone", ["localtime", "Factory", "posixrules", "Local", "posix/UTC", "CEST2"]
)
def test_names_that_are_not_zones_are_refused(timezone: str) -> None:
    with pytest.raises(Invalid) as error:
        validate_settings({"name": "n", "mailbox": "1", "timezone": timezone})
    assert [problem.field for problem in error.value.problems] == ["timezone"]


def test_spaces_around_numbers_are_removed() -> None:
    settings = validate_settings({"name": "n", "mailbox": " 4101\t", "aliases": ["ann ", " 0100"]})
    assert (settings["mailbox"], settings["aliases"]) == ("4101", ["ann", "0100"])
    with pytest.raises(Invalid) as error:
        validate_settings({"name": "n", "mailbox": "  ", "aliases": [" "]})
    fields = [(problem.field, problem.rule) for problem in error.value.problems]
    assert fields == [("mailbox", Rule.MIN_LENGTH), ("aliases.0", Rule.MIN_LENGTH)]


def test_stored_text_of_an_earlier_release_can_stay() -> None:
    addresses = ["a@b.example", "a@x,b@x"]
    before: dict[str, Any] = {"name": "n", "mailbox": "1", "timezone": "localtime"}
    before |= {"notify_email_addresses": addresses}
    changed = {**before, "name": "m", "notify_email_addresses": addresses[::-1]}
    assert validate_settings(changed, before=before) == validate_settings(before, before=before) | {
        "name": "m",
        "notify_email_addresses": addresses[::-1],
    }
    for field, value in (("timezone", "Factory"), ("notify_email_addresses", ["b@x,c@x"])):
        with pytest.raises(Invalid):
            validate_settings({**before, field: value}, before=before)


@pytest.mark.parametrize(
    ("first", "other", "same"),
    [
        ("100", "0100", True),
        ("0", "000", True),
        ("100", "1000", False),
        ("a1", "a1", True),
        ("a1", "A1", False),
        ("3000abc", "3000", False),
        ("٣", "3", False),
        ("+1", "1", False),
        (" 4101", "4101 ", True),
        ("4101 ", "04101", True),
        ("ann ", "ann", True),
        ("a b", "ab", False),
    ],
)
def test_numbers_compare_by_value_and_other_text_exactly(
    first: str, other: str, same: bool
) -> None:
    assert (comparable_number(first) == comparable_number(other)) is same


def test_a_mailbox_has_its_number_and_its_aliases_without_duplicates() -> None:
    assert numbers_of({"mailbox": "010", "aliases": ["10", "ann"]}) == {"10", "ann"}


def test_the_pin_is_split_from_the_document() -> None:
    assert split_pin({"name": "n", "pin": "0012"}) == ({"name": "n"}, "0012")
    assert split_pin({"name": "n"}) == ({"name": "n"}, None)


def test_every_list_of_a_box_has_a_bound() -> None:
    def lists(fields: Mapping[str, Field]) -> Iterator[Field]:
        for field in fields.values():
            if "array" in field.types:
                yield field
            yield from lists(field.fields)

    assert {field.max_items for field in lists(FIELDS)} == {20, 100}


def test_a_list_that_is_too_long_is_one_problem_without_its_value() -> None:
    with pytest.raises(Invalid) as raised:
        validate_settings({"name": "n", "mailbox": "1", "aliases": [0] * 101})

    assert raised.value.problems == (Problem(field="aliases", rule=Rule.MAX_ITEMS, target=100),)


def test_the_size_of_a_document_is_checked_before_its_fields() -> None:
    with pytest.raises(DocumentTooLarge):
        validate_settings({"aliases": [0] * 500_000})


def test_a_document_has_at_most_ten_thousand_values() -> None:
    box = {"name": "n", "mailbox": "1"}
    # The document itself, its name, its number, the list, and the defaults.
    most = 10_000 - 4

    with pytest.raises(DocumentTooComplex):
        validate_settings({**box, "x": [[] for _ in range(most + 1)]})
    with pytest.raises(DocumentTooComplex):
        validate_settings({**box, "x": [{"": 0} for _ in range(most // 2 + 1)]})
    # Commas in a text are not values.
    assert validate_settings({**box, "x": "," * 60_000})["x"] == "," * 60_000


def test_an_error_has_at_most_100_problems_and_the_number_of_all() -> None:
    error = Invalid([Problem(field=str(number), rule=Rule.TYPE) for number in range(5_000)])

    assert (len(error.problems), error.count) == (100, 5_000)
