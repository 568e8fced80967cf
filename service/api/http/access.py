"""Access check of all routes of an account, in both dialects.

A route declares its permission by `opt={PERMISSION: ...}`. Without it, every request is refused.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from litestar import Request

from service.domain.access import Access
from service.domain.account import AccountFacts
from service.domain.errors import Forbidden
from service.domain.move import AccountReadOnly

PERMISSION = "permission"
# True for a route that needs all mailboxes of the account, because it creates one.
ALL_VMBOXES = "all_vmboxes"
_READING = frozenset({"GET", "HEAD", "OPTIONS"})

AnyRequest = Request[Any, Any, Any]


def check_route(
    request: AnyRequest,
    access: Access,
    parse: Callable[[str], UUID | None],
    *,
    vmbox_key: str,
    user_key: str = "",
) -> None:
    """Checks the permission of the route, and the access to the mailbox and user in the path.

    `parse` reads an id. The keys are the names of the path parameters. Raises Forbidden.
    """
    options, ids = request.route_handler.opt, request.path_params
    access.check_permission(options.get(PERMISSION))
    if options.get(ALL_VMBOXES) and access.vmbox_ids is not None:
        raise Forbidden
    if vmbox_key in ids:
        access.check_vmbox(parse(ids[vmbox_key]))
    if user_key in ids:
        access.check_user(parse(ids[user_key]))


def check_writable(request: AnyRequest, account: AccountFacts) -> None:
    """Raises AccountReadOnly for a change of an account that is being moved."""
    if account.move_state is not None and request.method not in _READING:
        raise AccountReadOnly
