"""The run book's steps after a leaked key, by its commands as they are written."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from service.domain.errors import TokenInvalid
from service.security import KeyRing, SecretBox, load_key_ring
from service.settings import Settings
from service.wiring.factories import open_accounts, open_database
from service.wiring.keys import write_key_ring
from tests.faults.test_restore_drill import commands
from tests.support.accounts import a_root
from tests.support.database import TestDatabase


async def run(block: str, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-euxc", commands(block)),
        env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


@pytest.mark.long
async def test_after_the_drill_a_leaked_ring_opens_nothing_and_signs_no_valid_token(
    test_database: TestDatabase, tmp_path: Path
) -> None:
    complete, exported = tmp_path / "keys.json", tmp_path / "notifier-keys.json"
    write_key_ring(complete)
    settings = Settings(database_url=test_database.url, key_ring_file=str(complete))
    leaked = load_key_ring(complete)
    async with open_database(settings, "test", 1) as db, open_accounts(settings, db) as accounts:
        root = await a_root(accounts)
        forged = await accounts.sessions.issue_token(root, root.account.account_id, 3600)
        key = await accounts.get_api_key(root, root.account.account_id)

    environment = {
        "AFTERTONE_DATABASE_URL": test_database.url,
        "AFTERTONE_KEY_RING_FILE": str(complete),
        "NOTIFIER_KEY_RING_FILE": str(exported),
        "OLD_SIGNING_KEY": leaked.active_signing,
        "OLD_ENCRYPTION_KEY": leaked.active_encryption,
    }
    await run("replace keys", environment)
    await run("remove keys", environment)

    async with open_database(settings, "test", 1) as db, open_accounts(settings, db) as accounts:
        with pytest.raises(TokenInvalid):
            await accounts.sessions.authenticate(forged)
        root = await accounts.sessions.get_operator()
        assert await accounts.get_api_key(root, root.account.account_id) == key
    ring, notifiers = load_key_ring(complete), load_key_ring(exported)
    assert shared_keys(leaked, ring) == set()
    assert notifiers.signing == {}
    sealed = SecretBox(ring).seal("1234", b"pin")
    assert SecretBox(notifiers).open(sealed, b"pin") == "1234"


def shared_keys(first: KeyRing, other: KeyRing) -> set[str]:
    return ({*first.signing} & {*other.signing}) | ({*first.encryption} & {*other.encryption})
