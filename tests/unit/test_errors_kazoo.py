"""The table of errors of the KAZOO dialect is complete."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

import service.wiring  # noqa: F401 - with it, every module that could add an error is loaded
from service.api.body import multipart
from service.api.kazoo.errors import TABLE, http_refusal, refusal_of
from service.domain import errors
from service.domain.errors import (
    AccountNotFound,
    EditConflict,
    Invalid,
    MessageExpired,
    Problem,
    Rule,
    VmboxFull,
    VoicemailError,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
# What a constructor wants beyond a reason.
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "VmboxFull": (100, 100),
    "TooManyPending": (100,),
    "QuotaExceeded": ("boxes", 100),
    "DeletionHeld": ({"0" * 32: "Court order"},),
    "TooManyRequests": (1,),
    "SignInLocked": (1,),
    "PinLocked": (900,),
    "AudioTooLarge": (8_000_000,),
    "DocumentTooLarge": (65_536,),
    "DocumentTooComplex": (10_000,),
    "MetadataTooLarge": (1_048_576,),
    "Invalid": ([Problem(field="x", rule=Rule.REQUIRED)],),
    "MessageExpired": ("202601-" + "0" * 32, NOW),
}


def descendants(kind: type[Exception]) -> Iterator[type[Exception]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def made(kind: type[Exception]) -> Exception:
    """Returns an error of this class with valid arguments."""
    if kind.__name__ in ARGUMENTS:
        return kind(*ARGUMENTS[kind.__name__])
    try:
        return kind()
    except TypeError:
        return kind("reason")


OURS = [
    kind
    for kind in descendants(VoicemailError)
    if kind.__module__.startswith("service.") and "workers" not in kind.__module__
]
LEAVES = [kind for kind in OURS if not kind.__subclasses__()]


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_leaf_resolves_to_an_answer_that_is_no_fault_of_ours(kind: type[Exception]) -> None:
    refusal = refusal_of(made(kind))
    assert refusal is not None
    assert refusal.status in set(HTTPStatus) - {HTTPStatus.INTERNAL_SERVER_ERROR}
    # 308: the address of an account that was moved.
    assert refusal.status == 308 or 400 <= refusal.status <= 503
    assert refusal.code
    assert msgspec.json.encode(refusal.data)
    nearest = next(ancestor for ancestor in kind.__mro__ if ancestor in TABLE)
    assert nearest is not VoicemailError


@pytest.mark.parametrize("name", multipart.__all__)
def test_every_refusal_of_a_multipart_body_has_a_row_of_its_own(name: str) -> None:
    kind = getattr(multipart, name)
    if isinstance(kind, type) and issubclass(kind, Exception):
        assert kind in TABLE
        refusal = refusal_of(made(kind))
        assert refusal is not None
        assert refusal.code == "validation error"
        assert refusal.status in (400, 413)


def test_errors_that_pass_have_a_retry_after() -> None:
    for kind in descendants(errors.Unavailable):
        refusal = refusal_of(made(kind))
        assert refusal is not None
        assert refusal.status == 503
        assert int(refusal.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.NotFound, 404),
        (errors.Conflict, 409),
        (errors.Refused, 400),
        (errors.Unauthorized, 401),
        (errors.Forbidden, 403),
        (errors.Unavailable, 503),
        (errors.VoicemailError, 500),
    ],
)
def test_an_error_that_is_new_answers_as_its_family(kind: type[Exception], status: int) -> None:
    newcomer = type("Newcomer", (kind,), {"__doc__": "Something new."})
    refusal = refusal_of(newcomer())
    assert refusal is not None
    assert refusal.status == status


def test_the_nearest_ancestor_wins() -> None:
    conflict = refusal_of(EditConflict())
    assert conflict is not None
    assert conflict.code == "datastore_conflict"
    full = refusal_of(type("VeryFull", (VmboxFull,), {})(3, 4))
    assert full is not None
    assert (full.code, full.data) == (
        "mailbox_full",
        {"max_message_count": 3, "message_count": 4},
    )


def test_a_foreign_object_has_no_row() -> None:
    assert refusal_of(ValueError("x")) is None
    assert refusal_of(RuntimeError()) is None


def test_all_broken_rules_of_one_field_are_reported() -> None:
    problems = [
        Problem(field="a.b", rule=Rule.MIN_LENGTH, target=4, value="x"),
        Problem(field="a.b", rule=Rule.ENUM, target=["y"], value="x"),
        Problem(field="mailbox", rule=Rule.UNIQUE),
        Problem(field="when", rule=Rule.DATE_RANGE, value=NOW, message="too late"),
    ]
    refusal = refusal_of(Invalid(problems))
    assert refusal is not None
    assert refusal.data == {
        "a.b": {
            "minLength": {
                "message": "String must be at least 4 characters",
                "target": 4,
                "cause": "x",
                "value": "x",
            },
            "enum": {
                "message": "Value not found in enumerated list of values",
                "target": ["y"],
                "value": "x",
            },
        },
        "mailbox": {"unique": {"message": "Invalid mailbox number or already exists"}},
        "when": {"date_range": {"message": "too late", "cause": 63_962_438_400}},
    }


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_a_text(rule: Rule) -> None:
    refusal = refusal_of(Invalid.of("field", rule, target=5, value=6))
    assert refusal is not None
    assert refusal.data["field"][rule]["message"]
    assert "{" not in refusal.data["field"][rule]["message"]


def test_a_malformed_account_id_has_its_own_error_code() -> None:
    unknown = refusal_of(AccountNotFound("0" * 32))
    malformed = refusal_of(AccountNotFound("xyz"))
    assert unknown is not None
    assert malformed is not None
    assert (unknown.code, malformed.code) == ("bad_identifier", "bad identifier")


def test_an_expired_message_is_named_with_the_time_that_is_kept() -> None:
    refusal = refusal_of(MessageExpired("202601-x", NOW))
    assert refusal is not None
    assert refusal.data["202601-x"]["date_range"]["cause"] == 63_962_438_400


@pytest.mark.parametrize("status", [400, 404, 405, 406, 410, 413, 415, 416, 429, 500, 503, 418])
def test_refusals_of_the_http_layer_have_an_error_code(status: int) -> None:
    refusal = http_refusal(status, {"Allow": "GET"})
    assert (refusal.status, refusal.headers) == (status, {"Allow": "GET"})
    assert refusal.code
