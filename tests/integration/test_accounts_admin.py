"""Account commands by id, realm or name; rotation of a key ring in place."""

from pathlib import Path

import msgspec
import pytest

from service.cli.account_commands import AccountCommands, open_account_commands
from service.domain.errors import AccountNotFound, CredentialsInvalid, TokenInvalid
from service.embedded.servers import EmbeddedServers
from service.postgres.pool import Database
from service.security import generate_key_ring, load_key_ring
from service.settings import Settings
from service.wiring.accounts import NotSetUp
from service.wiring.keys import rotate_keys, write_key_ring
from tests.support.accounts import a_key_ring, a_root, accounts_over, users_beside
from tests.support.database import TestDatabase


@pytest.fixture
async def commands(database: Database) -> AccountCommands:
    accounts = accounts_over(database, a_key_ring())
    return AccountCommands(accounts, users_beside(accounts), await a_root(accounts))


async def test_an_account_is_found_by_id_realm_or_name(commands: AccountCommands) -> None:
    made = await commands.create_account("Child", "child.example.com", None)
    (_, account_id), (_, key) = (line.split() for line in made.splitlines())
    for named in (account_id, account_id.upper(), "CHILD.example.com", "child"):
        output = msgspec.json.decode(await commands.show_account(named))
        assert output == {"id": account_id, "name": "Child", "realm": "child.example.com"}
        assert await commands.api_key(named) == key
    for unknown in ("0" * 32, "nobody"):
        with pytest.raises(AccountNotFound):
            await commands.show_account(unknown)
    below = await commands.create_account("below", "below.example.com", "child")
    listed = (await commands.list_accounts(None)).splitlines()
    assert [line.split()[1] for line in listed] == ["root", "Child", "below"]
    assert (await commands.list_accounts("child")).startswith(below.split()[1])


async def test_keys_and_tokens_are_issued_and_revoked(commands: AccountCommands) -> None:
    sessions = commands.accounts.sessions
    await commands.create_account("child", "child.example.com", None)
    old = await commands.api_key("child")
    token = await commands.issue_token("child", 1)
    await sessions.authenticate(token)
    new = await commands.renew_api_key("child")
    with pytest.raises(TokenInvalid):
        await sessions.authenticate(token)
    with pytest.raises(CredentialsInvalid):
        await sessions.sign_in_with_api_key(old)
    fresh, _ = await sessions.sign_in_with_api_key(new)
    assert await commands.revoke_token(fresh) == "revoked"
    with pytest.raises(TokenInvalid):
        await commands.revoke_token(fresh)


async def test_users_are_created_listed_and_deleted_with_their_account(
    commands: AccountCommands,
) -> None:
    await commands.create_account("child", "child.example.com", None)
    ann = await commands.create_user(
        "child", {"username": "ann", "password": "long enough", "email": None}
    )
    bob = await commands.create_user("child", {"username": "bob", "email": "bob@example.com"})
    assert (await commands.list_users("child")).splitlines() == [
        f"{ann.split()[1]}  ann  -",
        f"{bob.split()[1]}  bob  bob@example.com",
    ]
    assert (await commands.delete_account("child")).startswith("deleted ")
    with pytest.raises(AccountNotFound):
        await commands.list_users("child")


def test_a_rotated_key_ring_replaces_the_file_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.touch(0o600)
    path.write_bytes(generate_key_ring())
    before = load_key_ring(path)
    rotate_keys(path, add=True, activate=True)
    after = load_key_ring(path)
    assert before.signing.keys() < after.signing.keys()
    assert after.active_signing not in before.signing
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in tmp_path.iterdir()] == ["keys.json"]


async def test_without_tables_or_root_account_the_command_names_the_next_step(
    servers: EmbeddedServers, test_database: TestDatabase, tmp_path: Path
) -> None:
    ring = tmp_path / "keys.json"
    write_key_ring(ring)
    bare = servers.postgres.url("postgres", "aftertone")
    for url, command in ((bare, "migrate"), (test_database.url, "account create-root")):
        settings = Settings(database_url=url, key_ring_file=str(ring))
        with pytest.raises(NotSetUp, match=f"`aftertone {command}`"):
            async with open_account_commands(settings):
                pass
