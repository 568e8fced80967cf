"""Rules of the greeting that plays, and of `is_setup`."""

from datetime import UTC, datetime
from typing import Any

import pytest

from service.domain.errors import Invalid
from service.domain.greeting_rules import find_time_problems, next_change, playing_order
from service.domain.vmbox import greetings_of, validate_settings

NOON = datetime(2026, 12, 24, 12, tzinfo=UTC)
START, END = "temporary_unavailable_start", "temporary_unavailable_end"
ID = "a" * 32
ALWAYS = ["temporary_unavailable", "unavailable"]


def box(**media: Any) -> dict[str, Any]:
    return {"name": "Box", "mailbox": "1", "media": media}


@pytest.mark.parametrize(
    ("times", "order"),
    [
        ({}, ALWAYS),
        ({START: "2026-12-24T12:00:00Z"}, ALWAYS),
        ({START: "2026-12-24T12:00:01Z"}, ["unavailable"]),
        ({START: "2026-12-24T13:00:00+01:00", END: "2026-12-24T13:00:01+01:00"}, ALWAYS),
        ({END: "2026-12-24T12:00:00Z"}, ["unavailable"]),
        ({END: "2026-12-24T07:00:01-05:00"}, ALWAYS),
        ({START: "soon", END: 7}, ALWAYS),
    ],
)
def test_the_temporary_greeting_plays_from_its_start_until_its_end(
    times: dict[str, Any], order: list[str]
) -> None:
    settings = box(temporary_unavailable=ID, **times)
    assert playing_order(settings, NOON, is_busy=False) == order
    busy = [*order[:-1], "busy", "unavailable"]
    assert playing_order(settings, NOON, is_busy=True) == busy


def test_a_box_that_skips_its_greeting_plays_none() -> None:
    assert playing_order({**box(unavailable=ID), "skip_greeting": True}, NOON, is_busy=True) == []


def test_the_next_change_is_the_next_start_or_end() -> None:
    times = {START: "2026-12-24T13:00:00Z", END: "2026-12-25T13:00:00Z"}
    settings = box(temporary_unavailable=ID, **times)
    start, end = datetime(2026, 12, 24, 13, tzinfo=UTC), datetime(2026, 12, 25, 13, tzinfo=UTC)
    assert next_change(settings, NOON) == start
    assert next_change(settings, start) == end
    assert next_change(settings, end) is None
    assert next_change(box(**times), NOON) is None


def test_a_temporary_greeting_must_end_after_its_start() -> None:
    wrong = box(**{START: "2026-12-24T13:00:00Z", END: "2026-12-24T14:00:00+01:00"})
    (problem,) = find_time_problems(wrong)
    assert (problem.field, problem.rule) == (f"media.{END}", "date_range")
    assert find_time_problems(box(**{START: "2026-12-24T13:00:00Z"})) == []
    for text in ("2026-12-24", "2026-12-24T13:00:00", "2026-12-24 13:00Z", "9999-12-31T23:59-01"):
        with pytest.raises(Invalid):
            validate_settings(box(**{START: text}))


def test_the_first_greeting_sets_is_setup() -> None:
    def is_setup(after: dict[str, Any], before: dict[str, Any] | None = None) -> bool:
        result: bool = validate_settings(after, before=before)["is_setup"]
        return result

    silent, greeted = box(name=ID), box(busy=ID)
    assert not is_setup(silent)
    assert is_setup(greeted)
    assert is_setup({**greeted, "is_setup": False}, {**silent, "is_setup": False})
    assert not is_setup({**greeted, "is_setup": False}, greeted)
    assert is_setup(greeted, greeted)
    assert is_setup({**silent, "is_setup": True}, greeted)


def test_text_that_is_no_id_is_kept_as_a_busy_greeting_or_a_name() -> None:
    settings = validate_settings(box(busy="none", name=ID))
    assert settings["media"] == {"busy": "none", "name": ID}
    assert greetings_of(settings) == {"media.name": ID}
