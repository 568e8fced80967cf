import re
from datetime import UTC, datetime, timedelta
from email.message import Message as Headers
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, to_builtins

from service.api.http.audio_response import content_disposition
from service.api.http.times import format_iso
from service.api.kazoo.pages import decode_cursor, encode_cursor
from service.api.kazoo.profiles import WireProfile
from service.api.kazoo.times import from_gregorian, gregorian, parse_iso
from service.api.kazoo.wire import messages as wire
from service.api.kazoo.wire.messages import MessageContext
from service.domain.errors import Invalid, Rule
from service.domain.message import (
    CallerId,
    Folder,
    Message,
    MessageCursor,
    MessageId,
    NewMessage,
    month_of,
)
from service.domain.page import NameCursor
from service.domain.text import strip_control_characters

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
KAZOO = MessageContext(WireProfile.KAZOO, NOON - timedelta(days=100))
AUDIAN = MessageContext(WireProfile.AUDIAN, NOON - timedelta(days=100))
TEXTS = st.text(st.characters(codec="utf-8"))


def a_message(**changes: Any) -> Message:
    message = Message(
        id=MessageId(202611, UUID(int=5)),
        vmbox_id=UUID(int=7),
        folder=Folder.NEW,
        received_at=NOON,
        length_ms=3140,
        caller_id=CallerId("1001", "Ann"),
        call_id="call",
        from_uri="1001@a.example",
        to_uri="2000@b@c",
    )
    return msgspec.structs.replace(message, **changes)


def test_a_row_and_the_metadata_of_a_message() -> None:
    row = to_builtins(wire.message_row(a_message(), KAZOO))
    assert row == {
        "timestamp": 63_962_481_600,
        "from": "1001@a.example",
        "to": "2000@b@c",
        "caller_id_number": "1001",
        "caller_id_name": "Ann",
        "call_id": "call",
        "folder": "new",
        "length": 3140,
        "media_id": f"202611-{5:032x}",
    }
    assert to_builtins(wire.message_metadata(a_message(), KAZOO)) == {
        **row,
        "from_user": "1001",
        "from_realm": "a.example",
        "to_user": "2000",
        "to_realm": "b@c",
    }


def test_a_transcription_is_whole_on_its_own_and_a_word_in_a_list() -> None:
    for transcription, word in (
        ({"result": "success", "text": "hello"}, {"transcribed": True}),
        ({"result": "failure"}, {"transcribed": False}),
        ({"text": "hello"}, {}),
        (None, {}),
    ):
        message = a_message(transcription=transcription)
        row = to_builtins(wire.message_row(message, KAZOO))
        assert {key: row[key] for key in row if key == "transcribed"} == word
        assert "transcription" not in row
        metadata = to_builtins(wire.message_metadata(message, KAZOO))
        assert metadata.get("transcription") == transcription


def test_the_details_of_a_transcription_are_beside_it() -> None:
    details = {"language": "en", "engine": "faster-whisper", "model": "small"}
    kazoo_object = {"result": "success", "text": "hello", "score": 1}
    message = a_message(transcription={**kazoo_object, **details})
    metadata = to_builtins(wire.message_metadata(message, KAZOO))
    assert metadata["transcription"] == kazoo_object
    assert metadata["transcription_details"] == details


def test_a_message_past_retention_is_listed_as_deleted() -> None:
    first_kept = wire.message_row(a_message(), MessageContext(WireProfile.KAZOO, NOON))
    assert (first_kept.folder, first_kept.retention) == ("new", UNSET)
    later = MessageContext(WireProfile.KAZOO, NOON + timedelta(seconds=1))
    expired = wire.message_row(a_message(), later)
    assert (expired.folder, expired.retention) == ("deleted", "enforced")


def test_a_message_without_audio_is_returned_in_both_forms() -> None:
    output = to_builtins(wire.stored_message(a_message(), KAZOO, has_audio=False))
    assert output == {
        **output["metadata"],
        "id": output["media_id"],
        "metadata": output["metadata"],
    }


def test_an_empty_document_creates_a_message_of_defaults() -> None:
    assert wire.to_new_message({}, WireProfile.KAZOO) == NewMessage()
    empty = {"caller_id_number": "", "caller_id_name": "\n", "call_id": "", "from": "", "to": ""}
    assert wire.to_new_message(empty, WireProfile.KAZOO) == NewMessage()


def test_given_values_are_stored_without_harmful_characters() -> None:
    new = wire.to_new_message(
        {
            "timestamp": "63962481600",
            "folder": "saved",
            "length": "12",
            "caller_id_number": "10\r\n01",
            "caller_id_name": "\u202eAnn\0",
            "call_id": "a\tb",
            "from": "x@y\n",
            "to": "z",
            "metadata": {"folder": "deleted"},
        },
        WireProfile.KAZOO,
    )
    assert new == NewMessage(
        received_at=NOON,
        folder=Folder.SAVED,
        length_ms=12,
        caller_id=CallerId("1001", "Ann"),
        call_id="ab",
        from_uri="x@y",
        to_uri="z",
    )


@pytest.mark.parametrize("timestamp", [0, 31_622_399, 315_569_520_000, 2**53 - 1, -5])
def test_a_time_off_the_calendar_is_out_of_range(timestamp: int) -> None:
    with pytest.raises(Invalid) as error:
        wire.to_new_message({"timestamp": timestamp}, WireProfile.KAZOO)
    (problem,) = error.value.problems
    assert (problem.field, problem.rule) == ("timestamp", Rule.DATE_RANGE)


@pytest.mark.parametrize(
    ("length_ms", "seconds"), [(0, 0), (1, 1), (499, 1), (1499, 1), (1501, 2), (45_000, 45)]
)
def test_the_audian_profile_counts_seconds_and_writes_dates(length_ms: int, seconds: int) -> None:
    row = wire.message_row(a_message(length_ms=length_ms), AUDIAN)
    assert (row.timestamp, row.length) == ("2026-11-21T12:00:00Z", seconds)
    assert row.media_id == wire.message_row(a_message(), KAZOO).media_id


def test_both_ways_to_write_a_time_are_read_in_either_profile() -> None:
    for profile in WireProfile:
        for timestamp in (63_962_481_600, "2026-11-21T12:00:00Z", "2026-11-21T14:00+02:00"):
            assert wire.to_new_message({"timestamp": timestamp}, profile).received_at == NOON
    said = {"length": 45}
    assert wire.to_new_message(said, WireProfile.KAZOO).length_ms == 45
    assert wire.to_new_message(said, WireProfile.AUDIAN).length_ms == 45_000
    assert wire.to_new_message({"length": 2**31 - 1}, WireProfile.AUDIAN).length_ms == 2**31 - 1


@given(st.integers(0, 250_000_000_000))
def test_iso_dates_are_read_back_as_they_are_written(unix: int) -> None:
    moment = datetime.fromtimestamp(unix, UTC)
    assert parse_iso(format_iso(moment)) == moment


@pytest.mark.parametrize(
    "value",
    [
        *("", "T", "2026-11-21", "63962481600", 63_962_481_600, None, "2026-13-01T00:00:00Z"),
        *("0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00", "T" * 100_000),
    ],
)
def test_text_that_is_not_a_date_with_a_time_gives_none(value: Any) -> None:
    assert parse_iso(value) is None


@pytest.mark.parametrize("value", ["inbox", "", "NEW", 5, True, ["new"], {}, None])
def test_an_unknown_folder_is_refused(value: Any) -> None:
    with pytest.raises(Invalid) as error:
        wire.to_folder(value)
    assert error.value.problems[0].target == ["deleted", "saved", "new"]


@given(st.integers(-(10**13), 10**13))
def test_gregorian_seconds_and_moments_are_each_others_inverse(seconds: int) -> None:
    moment = from_gregorian(seconds)
    if moment is None:
        assert not 31_622_400 <= seconds <= 315_569_519_999
    else:
        assert moment.tzinfo is UTC
        assert gregorian(moment) == seconds


def test_gregorian_seconds_count_from_the_year_0() -> None:
    assert gregorian(datetime(1970, 1, 1, tzinfo=UTC)) == 62_167_219_200
    assert from_gregorian(63_630_058_722) == datetime(2016, 5, 10, 0, 18, 42, tzinfo=UTC)


@given(st.integers(0, 250_000_000_000), st.uuids())
def test_a_start_key_is_read_back_as_it_is_written(unix: int, identity: UUID) -> None:
    moment = datetime.fromtimestamp(unix, UTC)
    cursor = MessageCursor(month_of(moment), moment, identity)
    word = encode_cursor(cursor)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", word)
    assert decode_cursor(word, MessageCursor) == cursor
    box = NameCursor("Büro\n", identity)
    assert decode_cursor(encode_cursor(box), NameCursor) == box


@given(TEXTS | st.from_regex(r"[A-Za-z0-9_=-]{0,40}", fullmatch=True))
def test_an_invalid_start_key_is_refused_without_effect(text: str) -> None:
    for kind in (MessageCursor, NameCursor):
        with pytest.raises(Invalid) as error:
            decode_cursor(text, kind)
        assert error.value.problems[0].field == "start_key"
    assert decode_cursor(None, MessageCursor) is None


@given(TEXTS)
def test_clean_text_has_no_control_characters_and_stays_unchanged(text: str) -> None:
    kept = strip_control_characters(text)
    assert strip_control_characters(kept) == kept
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]", kept)
    if text.isascii() and text.isprintable():
        assert kept == text
    kept.encode("utf-8", "strict")


def test_cleaned_text_keeps_names_in_all_scripts() -> None:
    for name in ("Zoë Ångström", "王小明", "محمد", 'O\'Brien "Bob"', "👩\u200d👩\u200d👧"):
        assert strip_control_characters(name) == name


@given(TEXTS)
def test_any_name_of_a_file_stays_in_its_header(name: str) -> None:
    header = content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    parsed = Headers()
    parsed["Content-Disposition"] = header
    assert parsed.get_content_disposition() == "attachment"
    plain = re.match(r'attachment; filename="([^"\\]*)"', header)
    assert plain
    assert len(plain[1]) == len(name)
    shown = unquote(header.rpartition("UTF-8''")[2]) if "UTF-8''" in header else plain[1]
    assert len(shown) == len(name)
    assert all(after in (before, "_") for before, after in zip(name, shown, strict=True))
    for file_name in (shown, plain[1]):
        assert not file_name.lstrip().startswith(".")
        assert not re.search(r'[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069"\\/]', file_name)
