"""Rules for all dialects: each error resolves in both, and no layer below uses their terms."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Request

import service
import service.wiring
from service.api.app import error_response
from service.api.http.ranges import RangeNotSatisfiable
from service.api.kazoo import errors as kazoo
from service.api.mailboxes import errors as mailboxes
from service.api.mailboxes.envelope import refuse, status_message
from service.domain.errors import Invalid, Problem, Rule, VoicemailError
from tests.unit.test_errors_kazoo import LEAVES, made

SERVICE = Path(service.__file__).parent
# The layers below HTTP.
BELOW = ("usecases", "postgres", "audio", "bus", "security", "domain", "settings", "logs.py")
WORDS = re.compile(r"kazoo(?!_neighbours:)|crossbar|status_message", re.IGNORECASE)
RULES = {"required", "type", "minLength", "maxLength", "format", "enum", "not_found", "unique"}


def files_below() -> Iterator[Path]:
    for name in BELOW:
        path = SERVICE / name
        assert path.exists(), name
        yield from [path] if path.is_file() else path.rglob("*.*")
    yield from (SERVICE.parent / "migrations").glob("*.sql")


def test_layers_below_http_use_no_term_of_a_dialect() -> None:
    sources = [path for path in files_below() if path.suffix in {".py", ".sql", ".md"}]
    assert len(sources) > 50
    results = [
        f"{path.relative_to(SERVICE.parent)}:{number}: {line.strip()}"
        for path in sources
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if WORDS.search(line)
    ]
    assert results == []


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_error_resolves_in_both_dialects_and_never_to_a_500(kind: type[Exception]) -> None:
    error = made(kind)
    in_kazoo, in_mailboxes = kazoo.refusal_of(error), mailboxes.refusal_of(error)
    assert in_kazoo is not None
    for status in (in_kazoo.status, in_mailboxes.status):
        # 308: the address of an account that was moved.
        assert status == 308 or 400 <= status <= 503
        assert status != 500
    nearest = next(ancestor for ancestor in kind.__mro__ if ancestor in mailboxes.TABLE)
    assert nearest is not VoicemailError
    assert status_message(in_mailboxes.status)
    assert refuse(in_mailboxes).status_code == in_mailboxes.status


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_a_temporary_error_is_a_503_with_retry_after_in_both_dialects(
    kind: type[Exception],
) -> None:
    error = made(kind)
    in_kazoo, in_mailboxes = kazoo.refusal_of(error), mailboxes.refusal_of(error)
    assert in_kazoo is not None
    assert (in_kazoo.status == 503) == (in_mailboxes.status == 503)
    assert (in_mailboxes.status == 503) <= ("Retry-After" in in_mailboxes.headers)


@pytest.mark.parametrize("rule", Rule)
def test_every_rule_has_a_name_in_the_mailbox_dialect(rule: Rule) -> None:
    refusal = mailboxes.refusal_of(Invalid.of("name", rule))
    assert (refusal.status, set(refusal.errors)) == (400, {"name"})
    assert refusal.errors["name"] in RULES


def test_a_field_is_reported_with_its_first_broken_rule() -> None:
    problems = [
        Problem(field="name", rule=Rule.MIN_LENGTH),
        Problem(field="name", rule=Rule.ENUM),
        Problem(field="media.unavailable", rule=Rule.NOT_FOUND),
    ]
    refusal = mailboxes.refusal_of(Invalid(problems))
    assert refusal.errors == {"name": "minLength", "greeting": "not_found"}


def test_an_unknown_error_is_a_500_in_the_mailbox_dialect() -> None:
    assert mailboxes.refusal_of(RuntimeError("secret")).status == 500
    assert mailboxes.refusal_of(VoicemailError()).status == 500
    range_refusal = mailboxes.refusal_of(RangeNotSatisfiable(7))
    assert range_refusal.headers == {"Content-Range": "bytes */7"}


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/voip", "status_code"),
        ("/voip/mailbox", "status_code"),
        ("/voip/nothing/at/all", "status_code"),
        ("/authenticated", "status_code"),
        ("/voipp", "request_id"),
        ("/v2/accounts", "request_id"),
        ("/", "request_id"),
    ],
)
def test_an_unexpected_error_is_a_500_in_the_dialect_of_the_path(path: str, key: str) -> None:
    scope: Any = {"type": "http", "method": "GET", "path": path, "headers": [], "state": {}}
    answer = error_response(Request(scope), RuntimeError("secret"))
    assert answer.status_code == 500
    envelope = msgspec.json.decode(answer.content)
    assert key in envelope
    assert "secret" not in str(envelope)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (200, "OK"),
        (201, "Created"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (409, "Conflict"),
        (413, "Payload Too Large"),
        (415, "Unsupported Media Type"),
        (429, "Too Many Requests"),
        (500, "Internal Server Error"),
        (503, "Service Unavailable"),
    ],
)
def test_a_status_message_does_not_depend_on_the_python_version(status: int, words: str) -> None:
    assert status_message(status) == words
