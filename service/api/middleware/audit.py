"""Audit of requests: sets the actor, and records refusals of access."""

import re
from collections.abc import Sequence
from uuid import UUID

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from service.api.http.peer import IPNetwork, peer_of_scope
from service.api.middleware.access_log import RequestRecord, request_record_of
from service.domain.audit import Action, Actor, Principal, Result, set_current_actor
from service.domain.formats import is_uuid
from service.domain.message import MessageId
from service.usecases.audit import AuditQueue

_REFUSALS = {401: Result.UNAUTHORIZED, 403: Result.FORBIDDEN}
# The use case of the sign-in records the failure.
_SIGN_IN = frozenset({"/v2/api_auth", "/v2/user_auth"})
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


class AuditMiddleware:
    """Sets the actor, which the authentication identifies, and records 401 and 403."""

    def __init__(
        self, app: ASGIApp, queue: AuditQueue, trusted_proxies: Sequence[IPNetwork]
    ) -> None:
        self._app = app
        self._queue = queue
        self._trusted_proxies = trusted_proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        record = request_record_of(scope)
        actor = Actor(
            principal=Principal.ANONYMOUS,
            peer=peer_of_scope(scope, self._trusted_proxies),
            request_id=record.request_id,
        )
        # The server starts a task for each request.
        set_current_actor(actor)
        await self._app(scope, receive, send)
        result = _REFUSALS.get(record.status)
        if result is not None and record.route not in _SIGN_IN:
            self._record_refusal(record, actor, result)

    def _record_refusal(self, record: RequestRecord, actor: Actor, result: Result) -> None:
        self._queue.record(
            Action.REQUEST,
            actor.account_id,
            result,
            vmbox_id=_vmbox_of(record),
            message_id=_message_of(record),
            target=_target_of(record),
        )


def _target_of(record: RequestRecord) -> str:
    """Returns method and route, with the account that was requested and no other parameter."""

    def replaced(parameter: re.Match[str]) -> str:
        name = parameter[1]
        value = record.path_params.get(name, "")
        return value if name == "account_id" and is_uuid(value) else f"{{{name}}}"

    return f"{record.method} {_PARAMETER.sub(replaced, record.route)}"


def _vmbox_of(record: RequestRecord) -> UUID | None:
    text = _parameter(record, "vmbox_id", "uuid")
    return UUID(text) if is_uuid(text) else None


def _message_of(record: RequestRecord) -> MessageId | None:
    return MessageId.parse(_parameter(record, "message_id", "message_uuid"))


def _parameter(record: RequestRecord, name: str, name_in_mailbox_dialect: str) -> str:
    return record.path_params.get(name) or record.path_params.get(name_in_mailbox_dialect, "")
