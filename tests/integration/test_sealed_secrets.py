"""Encryption keys: stored secrets move to the active key, then an old key can be removed."""

import asyncio
import os
import sys
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from click.testing import CliRunner, Result

from service.__main__ import cli
from service.domain.sealed_secret import SecretPurpose
from service.embedded.child import Child, Command
from service.security import (
    KeyRing,
    KeyRingError,
    RecipientTokens,
    SecretBox,
    load_key_ring,
)
from service.settings import Settings
from service.usecases.vmboxes import Vmboxes
from service.wiring.factories import open_accounts, open_database
from service.wiring.keys import (
    export_keys,
    list_keys,
    open_sealed_secrets,
    retire,
    rotate_keys,
    write_key_ring,
)
from tests.support.accounts import a_child, a_root
from tests.support.builders import NOW
from tests.support.database import TestDatabase, until_blocked
from tests.support.waiting import wait_until

_INSERT = """
INSERT INTO vmboxes (account_id, vmbox_id, name, document, pin_sealed)
VALUES ($1, $2, 'Box', '{}', $3)
"""


class _Stopped(Exception):
    """Interrupts an operation."""


@pytest.fixture
def settings(test_database: TestDatabase, tmp_path: Path) -> Settings:
    path = tmp_path / "keys.json"
    write_key_ring(path)
    return Settings(database_url=test_database.url, key_ring_file=str(path))


def ring_of(settings: Settings) -> KeyRing:
    return load_key_ring(Path(settings.key_ring_file))


async def fill(inspector: asyncpg.Connection, settings: Settings, boxes: int) -> None:
    """Stores boxes with PINs; every third one is deleted."""
    secrets = SecretBox(ring_of(settings))
    rows = []
    for _ in range(boxes):
        account_id, vmbox_id = uuid4(), uuid4()
        pin = secrets.seal("1234", SecretPurpose.PIN.context(account_id, vmbox_id))
        rows.append((account_id, vmbox_id, pin))
    await inspector.executemany(_INSERT, rows)
    await inspector.execute("UPDATE vmboxes SET deleted_at = now() WHERE random() < 0.3")


async def recorded(inspector: asyncpg.Connection) -> list[tuple[object, ...]]:
    """The records of changed keys, oldest first."""
    rows = await inspector.fetch("""
        SELECT account_id, principal, action, target FROM audit
        WHERE action IN ('key.retired', 'secrets.resealed') ORDER BY at
    """)
    return [tuple(row) for row in rows]


async def test_secrets_of_all_kinds_are_readable_with_the_active_key_alone(
    settings: Settings, inspector: asyncpg.Connection
) -> None:
    async with (
        open_database(settings, "test", size=2) as database,
        open_accounts(settings, database) as accounts,
    ):
        root = await a_root(accounts)
        child = await a_child(accounts, root, "child")
        key = await accounts.get_api_key(root, child.account_id)
        boxes = Vmboxes(database, accounts.secrets, lambda: NOW)
        box = await boxes.create(child.facts, {"name": "Box", "mailbox": "100", "pin": "4321"})
        before = await accounts.get(root, child.account_id)

    path, old = Path(settings.key_ring_file), ring_of(settings)
    rotate_keys(path, add=True, activate=True)
    with pytest.raises(KeyRingError, match="still encrypts 3 stored secrets"):
        await retire(settings, old.active_encryption)
    async with open_sealed_secrets(settings) as sealed:
        counts = await sealed.reseal(lambda _: None)
        assert (counts.resealed, counts.unreadable) == (3, 0)
        assert await sealed.count_to_reseal() == 0
        assert (await sealed.reseal(lambda _: None)).resealed == 0
    await retire(settings, old.active_encryption)
    assert await recorded(inspector) == [
        (root.account.account_id, "operator", "secrets.resealed", None),
        (root.account.account_id, "operator", "key.retired", old.active_encryption),
    ]

    assert old.active_encryption not in ring_of(settings).encryption
    async with (
        open_database(settings, "test", size=2) as database,
        open_accounts(settings, database) as accounts,
    ):
        root = await accounts.sessions.get_operator()
        assert await accounts.get_api_key(root, child.account_id) == key
        await accounts.sessions.sign_in_with_api_key(key)
        assert await accounts.get(root, child.account_id) == before
        boxes = Vmboxes(database, accounts.secrets, lambda: NOW)
        assert await boxes.get(child.facts, box.vmbox_id) == box


async def test_a_stopped_operation_continues_and_skips_what_is_done(
    settings: Settings, inspector: asyncpg.Connection
) -> None:
    await fill(inspector, settings, 1_100)
    rotate_keys(Path(settings.key_ring_file), add=True, activate=True)

    def stop(_: int) -> None:
        raise _Stopped

    advanced: list[int] = []
    async with open_sealed_secrets(settings) as sealed:
        with pytest.raises(_Stopped):
            await sealed.reseal(stop)
        assert await sealed.count_to_reseal() == 600
        assert (await sealed.reseal(advanced.append)).resealed == 600
    assert advanced == [500, 100]


async def test_a_killed_command_leaves_only_readable_secrets(
    settings: Settings, inspector: asyncpg.Connection, tmp_path: Path
) -> None:
    await fill(inspector, settings, 3_000)
    rotate_keys(Path(settings.key_ring_file), add=True, activate=True)
    command = Command(
        argv=[sys.executable, "-m", "service", "keys", "reseal"],
        environment={
            "PATH": os.environ["PATH"],
            "AFTERTONE_DATABASE_URL": settings.database_url,
            "AFTERTONE_KEY_RING_FILE": settings.key_ring_file,
        },
        log=tmp_path / "reseal.log",
    )
    child = Child("reseal", command)
    await child.start()
    async with open_sealed_secrets(settings) as sealed:

        async def has_begun() -> bool:
            return await sealed.count_to_reseal() < 3_000

        await wait_until(has_begun)
        await child.kill()
        left = await sealed.count_to_reseal()
        counts = await sealed.reseal(lambda _: None)
    assert (counts.resealed, counts.unreadable) == (left, 0)


async def test_a_pin_that_changes_at_the_same_time_is_not_overwritten(
    settings: Settings, test_database: TestDatabase, inspector: asyncpg.Connection
) -> None:
    await fill(inspector, settings, 1)
    rotate_keys(Path(settings.key_ring_file), add=True, activate=True)
    changing = await asyncpg.connect(test_database.url)
    async with open_sealed_secrets(settings) as sealed:
        transaction = changing.transaction()
        await transaction.start()
        await changing.execute("UPDATE vmboxes SET pin_sealed = 'new'")
        reseal = asyncio.create_task(sealed.reseal(lambda _: None))
        await until_blocked(inspector)
        await transaction.commit()
        assert (await reseal).resealed == 0
    await changing.close()
    assert await inspector.fetchval("SELECT pin_sealed FROM vmboxes") == b"new"


async def test_a_secret_without_its_key_is_reported_and_kept(
    settings: Settings, inspector: asyncpg.Connection, tmp_path: Path
) -> None:
    await fill(inspector, settings, 2)
    other = tmp_path / "other.json"
    write_key_ring(other)
    async with open_sealed_secrets(settings, load_key_ring(other)) as sealed:
        counts = await sealed.reseal(lambda _: None)
        assert (counts.resealed, counts.unreadable) == (0, 2)
        assert await sealed.count_to_reseal() == 2


async def test_an_active_or_unknown_key_is_not_retired(settings: Settings) -> None:
    ring = ring_of(settings)
    for key_id in (ring.active_signing, ring.active_encryption):
        with pytest.raises(KeyRingError, match="is active; run `aftertone keys rotate` first"):
            await retire(settings, key_id)
    with pytest.raises(KeyRingError, match="has no key unknown; see `aftertone keys list`"):
        await retire(settings, "unknown")
    assert ring_of(settings).encryption == ring.encryption


async def test_tokens_of_a_retired_signing_key_are_invalid(settings: Settings) -> None:
    path, old = Path(settings.key_ring_file), ring_of(settings)
    rotate_keys(path, add=True, activate=True)
    await retire(settings, old.active_signing)
    assert old.active_signing not in ring_of(settings).signing
    assert [use for use, _, is_active in list_keys(path) if is_active] == ["signing", "encryption"]


async def test_an_exported_ring_decrypts_but_cannot_sign(
    settings: Settings, tmp_path: Path, test_database: TestDatabase
) -> None:
    path, output = Path(settings.key_ring_file), tmp_path / "notifier.json"
    export_keys(path, output)
    complete, exported = load_key_ring(path), load_key_ring(output)
    sealed = SecretBox(complete).seal("1234", b"context")

    assert SecretBox(exported).open(sealed, b"context") == "1234"
    assert (exported.signing, exported.pepper) == ({}, b"")
    link = RecipientTokens(SecretBox(exported)).create(UUID(int=1), "a@example.com")
    read = RecipientTokens(SecretBox(complete)).read(link)
    assert read == (UUID(int=1), "a@example.com")
    assert "PRIVATE" not in output.read_text()
    with pytest.raises(KeyRingError, match="no pepper"):
        SecretBox(exported).fingerprint("api_key", "x")
    limited = Settings(database_url=test_database.url, key_ring_file=str(output))
    async with open_database(limited, "test", size=1) as database:
        with pytest.raises(KeyRingError, match="no signing key"):
            async with open_accounts(limited, database):
                pass
    with pytest.raises(KeyRingError, match="was exported"):
        rotate_keys(output, add=True, activate=True)
    with pytest.raises(KeyRingError, match="choose another file"):
        export_keys(path, path)


def test_the_commands_print_what_they_have_done(tmp_path: Path, settings: Settings) -> None:
    path, output = settings.key_ring_file, tmp_path / "notifier.json"
    old = ring_of(settings)
    environment = {
        "AFTERTONE_KEY_RING_FILE": path,
        "AFTERTONE_DATABASE_URL": settings.database_url,
    }

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(cli, ["keys", *arguments], env=environment)

    refused = command("retire", old.active_signing)
    assert (refused.exit_code, refused.output) == (
        1,
        f"Error: Key {old.active_signing} is active; run `aftertone keys rotate` first.\n",
    )
    assert command("rotate", path).exit_code == 0
    assert command("list", path).output.count("active") == 2
    assert command("reseal").output == "encrypted 0 secrets with the active key\n"
    for key_id in (old.active_signing, old.active_encryption):
        assert (
            command("retire", key_id).output == f"wrote {path}; restart the processes to use it\n"
        )
    assert command("export", path, str(output)).output == f"wrote {output}\n"
    assert command("list", str(output)).output.split()[0] == "encryption"
