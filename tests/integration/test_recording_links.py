"""Recording links: what ends them, in every process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from service.audio.store import AudioStore
from service.domain.access import ADMIN_ACCESS, Permission
from service.domain.account import Account, Caller, Claims, Method
from service.domain.api_key import ApiKey
from service.domain.audio_errors import AudioMissing
from service.domain.errors import LinkInvalid, MessageNotFound, TokenInvalid, VmboxNotFound
from service.domain.events import RemovalReason
from service.domain.recording import MAX_LINK_LIFETIME, Recording
from service.domain.user import CredentialMethod, Credentials, digests_of
from service.postgres import messages as message_rows
from service.postgres.api_keys import insert_api_key, revoke_api_key
from service.postgres.messages import MessageKey
from service.postgres.pool import Database
from service.postgres.vmboxes import delete_vmbox
from service.security import KeyRing, LinkTokens, MailLinkTokens, SecretBox
from service.usecases.accounts import Accounts
from service.usecases.mail_links import MailLinks
from service.usecases.recording_links import RecordingLinks
from service.usecases.recordings import Recordings
from service.usecases.vmboxes import Vmboxes
from tests.support.accounts import (
    a_child,
    a_key_ring,
    a_process,
    a_root,
    accounts_over,
    signed_in,
    users_beside,
)
from tests.support.builders import a_vmbox, stored
from tests.support.waiting import wait_until

PASSWORD = "a very secret word"
MINUTES = timedelta(minutes=5)


class Tenant(msgspec.Struct, frozen=True):
    """An account with one message, and the process that serves it."""

    here: Accounts
    root: Caller
    account: Account
    key: MessageKey


def links_of(accounts: Accounts, ring: KeyRing, **options: Any) -> RecordingLinks:
    """Use cases of links in the process of `accounts`. Audio itself is never read here."""
    return RecordingLinks(
        sessions=accounts.sessions,
        recordings=Recordings(accounts.database, accounts.database, cast(AudioStore, None)),
        tokens=LinkTokens(ring),
        mail_links=MailLinks(
            database=accounts.database,
            account_cache=accounts.account_cache,
            tokens=MailLinkTokens(SecretBox(ring)),
        ),
        **options,
    )


async def played(links: RecordingLinks, token: str) -> Recording:
    _, recording = await links.get(*await links.verify(token))
    return recording


@pytest.fixture(scope="module")
def ring() -> KeyRing:
    return a_key_ring()


@pytest_asyncio.fixture(loop_scope="session")
async def there(database: Database, ring: KeyRing) -> AsyncIterator[RecordingLinks]:
    """Links in another process, which polls."""
    async with a_process(database, ring) as accounts:
        yield links_of(accounts, ring)


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(database: Database, ring: KeyRing) -> Tenant:
    accounts = accounts_over(database, ring)
    root = await a_root(accounts)
    account = await a_child(accounts, root, "child")
    async with database.connection() as connection:
        key = await stored(connection, await a_vmbox(connection, account.account_id))
    return Tenant(accounts, root, account, key)


async def key_caller(tenant: Tenant) -> Caller:
    token = await signed_in(tenant.here, tenant.root, tenant.account)
    return await tenant.here.sessions.authenticate(token)


async def user_caller(tenant: Tenant) -> Caller:
    """The owner of the box."""
    user = await users_beside(tenant.here).create(
        tenant.account.facts, {"username": "Ann", "password": PASSWORD}
    )
    await set_owner(tenant, user.user_id)
    digest = digests_of("Ann", PASSWORD)[CredentialMethod.SHA]
    credentials = Credentials(
        method=CredentialMethod.SHA, digest=digest, realm=tenant.account.realm
    )
    return (await tenant.here.sessions.sign_in_as_user(credentials, peer="127.0.0.1"))[1]


async def key_of(tenant: Tenant, **changes: Any) -> Caller:
    """The caller of a new API key of the account."""
    now = datetime.now(UTC)
    key = ApiKey(
        account_id=tenant.account.account_id,
        key_id=uuid4(),
        name="Player",
        scopes=(Permission.MESSAGES_READ,),
        vmbox_ids=(tenant.key.vmbox_id,),
        created_at=now,
        expires_at=None,
        last_used_at=None,
    )
    secret = uuid4().hex
    lookup = tenant.here.secrets.fingerprint("api_key", secret)
    async with tenant.here.database.connection() as connection:
        await insert_api_key(connection, msgspec.structs.replace(key, **changes), lookup)
    return (await tenant.here.sessions.sign_in_with_api_key(secret))[1]


async def set_owner(tenant: Tenant, user_id: UUID | None) -> None:
    owner_id = None if user_id is None else user_id.hex
    vmboxes = Vmboxes(tenant.here.database, tenant.here.secrets, lambda: datetime.now(UTC))
    await vmboxes.patch(tenant.account.facts, tenant.key.vmbox_id, {"owner_id": owner_id})


async def a_link(
    tenant: Tenant, caller: Caller, ring: KeyRing, lifetime: timedelta = MINUTES, **options: Any
) -> str:
    token, _ = await links_of(tenant.here, ring, **options).create(
        caller, tenant.account.facts, tenant.key.vmbox_id, tenant.key.message_id, lifetime
    )
    return token


async def revoke(tenant: Tenant, caller: Caller) -> None:
    assert caller.claims is not None
    await tenant.here.sessions.revoke(caller.claims)


async def renew_api_key(tenant: Tenant, _: Caller) -> None:
    await tenant.here.renew_api_key(tenant.root, tenant.account.account_id)


async def delete_account(tenant: Tenant, _: Caller) -> None:
    await tenant.here.delete(tenant.root, tenant.account.account_id)


async def change_password(tenant: Tenant, caller: Caller) -> None:
    assert caller.claims is not None
    assert caller.claims.owner_id is not None
    await users_beside(tenant.here).patch(
        tenant.account.facts, caller.claims.owner_id, {"password": "another secret word"}
    )


async def delete_user(tenant: Tenant, caller: Caller) -> None:
    assert caller.claims is not None
    assert caller.claims.owner_id is not None
    await users_beside(tenant.here).delete(tenant.account.facts, caller.claims.owner_id)


async def revoke_key(tenant: Tenant, caller: Caller) -> None:
    assert caller.claims is not None
    assert caller.claims.key_id is not None
    key_id = caller.claims.key_id
    async with tenant.here.database.connection() as connection:
        await revoke_api_key(connection, tenant.account.account_id, key_id)
    tenant.here.account_cache.remember_revoked_key(key_id)


async def take_box_away(tenant: Tenant, caller: Caller) -> None:
    assert caller.claims is not None
    assert caller.claims.owner_id is not None
    await set_owner(tenant, None)
    tenant.here.account_cache.forget_user_rights(caller.claims.owner_id)


@pytest.mark.parametrize(
    ("signer", "end"),
    [
        (key_caller, revoke),
        (key_caller, renew_api_key),
        (key_caller, delete_account),
        (user_caller, revoke),
        (user_caller, change_password),
        (user_caller, delete_user),
        (user_caller, delete_account),
        (user_caller, take_box_away),
        (key_of, revoke),
        (key_of, revoke_key),
    ],
)
async def test_a_link_ends_with_the_access_of_its_signer_in_every_process(
    tenant: Tenant,
    there: RecordingLinks,
    ring: KeyRing,
    signer: Callable[[Tenant], Awaitable[Caller]],
    end: Callable[[Tenant, Caller], Awaitable[None]],
) -> None:
    caller = await signer(tenant)
    token = await a_link(tenant, caller, ring)
    here = links_of(tenant.here, ring)
    for links in (here, there):
        assert (await played(links, token)).message.id == tenant.key.message_id

    await end(tenant, caller)

    with pytest.raises(LinkInvalid):
        await played(here, token)

    async def is_refused() -> bool:
        try:
            await played(there, token)
        except VmboxNotFound:  # a deleted account has no boxes from the start
            return False
        except LinkInvalid:
            return True
        return False

    await wait_until(is_refused)


async def test_a_link_to_an_account_below_ends_with_that_account(
    tenant: Tenant, ring: KeyRing
) -> None:
    root_token = await tenant.here.sessions.issue_token(
        tenant.root, tenant.root.account.account_id, 60
    )
    token = await a_link(tenant, await tenant.here.sessions.authenticate(root_token), ring)
    links = links_of(tenant.here, ring)
    await played(links, token)
    await delete_account(tenant, tenant.root)
    with pytest.raises(LinkInvalid):
        await played(links, token)


async def test_a_link_ends_with_its_time_and_not_with_the_token_that_signed_it(
    tenant: Tenant, ring: KeyRing
) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    token = await a_link(
        tenant, await key_caller(tenant), ring, MAX_LINK_LIFETIME, clock=lambda: now
    )
    before_end = now + MAX_LINK_LIFETIME - timedelta(seconds=1)
    await played(links_of(tenant.here, ring, clock=lambda: before_end), token)
    with pytest.raises(LinkInvalid):
        await played(links_of(tenant.here, ring, clock=lambda: now + MAX_LINK_LIFETIME), token)


async def test_a_link_ends_with_the_expiry_of_the_key_that_signed_it(
    tenant: Tenant, ring: KeyRing
) -> None:
    end = (datetime.now(UTC) + timedelta(minutes=30)).replace(microsecond=0)
    caller = await key_of(tenant, expires_at=end)
    token = await a_link(tenant, caller, ring, MAX_LINK_LIFETIME)
    await played(links_of(tenant.here, ring, clock=lambda: end - timedelta(seconds=1)), token)
    with pytest.raises(LinkInvalid):
        await played(links_of(tenant.here, ring, clock=lambda: end), token)


async def test_a_link_needs_the_permission_and_the_box_of_its_signer(
    tenant: Tenant, ring: KeyRing
) -> None:
    for changes in ({"scopes": (Permission.VMBOXES_READ,)}, {"vmbox_ids": (uuid4(),)}):
        token = await a_link(tenant, await key_of(tenant, **changes), ring)
        with pytest.raises(LinkInvalid):
            await played(links_of(tenant.here, ring), token)


async def test_a_link_ends_with_its_message_and_with_its_box(
    tenant: Tenant, ring: KeyRing, database: Database
) -> None:
    caller, links = await key_caller(tenant), links_of(tenant.here, ring)
    token = await a_link(tenant, caller, ring)
    async with database.connection() as connection:
        await message_rows.remove_message(connection, tenant.key, reason=RemovalReason.API)
        with pytest.raises(MessageNotFound):
            await played(links, token)
        await delete_vmbox(connection, tenant.key.account_id, tenant.key.vmbox_id)
    with pytest.raises(VmboxNotFound):
        await played(links, token)


async def test_a_message_without_audio_has_no_link(
    tenant: Tenant, ring: KeyRing, database: Database
) -> None:
    async with database.connection() as connection:
        pending = await stored(
            connection, await a_vmbox(connection, tenant.account.account_id), audio=None
        )
    with pytest.raises(AudioMissing):
        await a_link(msgspec.structs.replace(tenant, key=pending), await key_caller(tenant), ring)


async def test_a_revocation_is_kept_until_the_last_link_of_the_token_has_expired(
    tenant: Tenant, inspector: asyncpg.Connection
) -> None:
    caller = await key_caller(tenant)
    assert caller.claims is not None
    await revoke(tenant, caller)
    kept_until = await inspector.fetchval(
        "SELECT expires_at FROM revoked_tokens WHERE token_id = $1", caller.claims.token_id
    )
    assert kept_until == caller.claims.expires_at + MAX_LINK_LIFETIME


async def test_a_link_of_another_issuer_s_token_needs_its_account(
    tenant: Tenant, ring: KeyRing
) -> None:
    known = (await key_caller(tenant)).claims
    assert known is not None
    claims: Claims = msgspec.structs.replace(
        known, method=Method.ISSUER, auth_epoch=None, is_admin=True
    )
    token = await a_link(tenant, Caller(tenant.account.facts, ADMIN_ACCESS, claims), ring)
    links = links_of(tenant.here, ring)
    await played(links, token)
    with pytest.raises(TokenInvalid):
        await tenant.here.sessions.authenticate(token)
    await delete_account(tenant, tenant.root)
    with pytest.raises(LinkInvalid):
        await played(links, token)
