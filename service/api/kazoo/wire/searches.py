"""JSON of results of searches."""

from collections.abc import Iterable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from service.api.kazoo.wire.messages import MessageContext, MessageRow, fill_row
from service.domain.search import Place, SearchField
from service.domain.transcription import transcript_of
from service.usecases.searches import SearchResult


class MatchedPlace(msgspec.Struct, kw_only=True):
    """A part of a field that matches `q`. Offsets count Unicode characters from 0."""

    field: SearchField
    start: int
    end: Annotated[int, Meta(description="The offset after the last character")]
    text: Annotated[str, Meta(description="The characters of this part")]
    start_ms: (
        Annotated[int, Meta(description="The time in the audio, if the transcription has times")]
        | UnsetType
    ) = UNSET
    end_ms: (
        Annotated[int, Meta(description="The time in the audio at which this part ends")]
        | UnsetType
    ) = UNSET


class MatchedRow(MessageRow, kw_only=True):
    """A message in a list. The last three fields are present in results of a search only."""

    match: (
        Annotated[
            list[MatchedPlace],
            Meta(description="The parts of the message that match `q`, at most 20"),
        ]
        | UnsetType
    ) = UNSET
    transcript: Annotated[str, Meta(description="The text of the recording")] | UnsetType = UNSET
    vmbox_name: Annotated[str, Meta(description="The name of the box")] | UnsetType = UNSET


def matched_rows(results: Iterable[SearchResult], context: MessageContext) -> list[MatchedRow]:
    """Returns the results of a search as rows of a list."""
    return [matched_row(result, context) for result in results]


def matched_row(result: SearchResult, context: MessageContext) -> MatchedRow:
    """Returns a result of a search as a row of a list."""
    message = result.message
    transcript = transcript_of(message.transcription)
    texts = {
        SearchField.CALLER_NAME: message.caller_id.name,
        SearchField.CALLER_NUMBER: message.caller_id.number,
        SearchField.TRANSCRIPTION: transcript or "",
        SearchField.VMBOX_NAME: result.vmbox_name,
    }
    row = fill_row(MatchedRow, message, context)
    row.match = [_matched_place(place, texts[place.field]) for place in result.places]
    row.transcript = UNSET if transcript is None else transcript
    row.vmbox_name = result.vmbox_name
    return row


def _matched_place(place: Place, text: str) -> MatchedPlace:
    return MatchedPlace(
        field=place.field,
        start=place.start,
        end=place.end,
        text=text[place.start : place.end],
        start_ms=UNSET if place.start_ms is None else place.start_ms,
        end_ms=UNSET if place.end_ms is None else place.end_ms,
    )
