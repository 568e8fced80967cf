"""Access of a caller: its permissions, and the mailboxes that they apply to."""

from collections.abc import Collection
from enum import StrEnum
from uuid import UUID

import msgspec

from service.domain.errors import Forbidden


class Permission(StrEnum):
    """Permission that a route requires. Each route requires exactly one."""

    MESSAGES_READ = "messages:read"
    MESSAGES_WRITE = "messages:write"
    VMBOXES_READ = "vmboxes:read"
    VMBOXES_WRITE = "vmboxes:write"
    EVENTS_READ = "events:read"
    ACCOUNT_READ = "account:read"
    ACCOUNT_ADMIN = "account:admin"
    USER_SELF = "user:self"


class PrivLevel(StrEnum):
    """`priv_level` of a user."""

    ADMIN = "admin"
    USER = "user"


_IMPLIED = frozenset({Permission.ACCOUNT_READ})
SCOPES = tuple(each for each in Permission if each not in {*_IMPLIED, Permission.USER_SELF})
"""Permissions that an API key can have. `account:admin` includes all others."""

_OWNER_PERMISSIONS = frozenset(Permission) - {Permission.ACCOUNT_ADMIN}


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Permissions in the caller's account; an administrator has them also in accounts below it.

    `vmbox_ids` is None for all mailboxes of the account. `user_id` is the caller's own user.
    """

    permissions: frozenset[Permission]
    vmbox_ids: frozenset[UUID] | None = None
    user_id: UUID | None = None

    @property
    def is_admin(self) -> bool:
        return Permission.ACCOUNT_ADMIN in self.permissions

    def check_permission(self, permission: Permission | None) -> None:
        """Raises Forbidden without the permission. None means that the route declares none."""
        if permission not in self.permissions:
            raise Forbidden

    def check_vmbox(self, vmbox_id: UUID | None) -> None:
        """Raises Forbidden for a mailbox outside `vmbox_ids`. None means a malformed id."""
        if self.vmbox_ids is not None and vmbox_id not in self.vmbox_ids:
            raise Forbidden

    @property
    def greeting_owner_id(self) -> UUID | None:
        """Owner of a greeting that the caller creates; None with access to all mailboxes.

        Raises Forbidden without access to all mailboxes and without a user.
        """
        if self.vmbox_ids is not None and self.user_id is None:
            raise Forbidden
        return None if self.vmbox_ids is None else self.user_id

    def check_user(self, user_id: UUID | None) -> None:
        """Raises Forbidden for another user than the caller's own, except for administrators."""
        if not self.is_admin and (user_id is None or user_id != self.user_id):
            raise Forbidden


ADMIN_ACCESS = Access(permissions=frozenset(Permission))


def owner_access(user_id: UUID | None, vmbox_ids: Collection[UUID]) -> Access:
    """Returns the access of a user to its own mailboxes and its own document."""
    return Access(permissions=_OWNER_PERMISSIONS, vmbox_ids=frozenset(vmbox_ids), user_id=user_id)


def scoped_access(scopes: Collection[Permission], vmbox_ids: Collection[UUID] | None) -> Access:
    """Returns the access of an API key."""
    if Permission.ACCOUNT_ADMIN in scopes:
        return ADMIN_ACCESS
    boxes = None if vmbox_ids is None else frozenset(vmbox_ids)
    return Access(permissions=_IMPLIED | frozenset(scopes), vmbox_ids=boxes)
