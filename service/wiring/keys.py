"""Changes of the key ring, and of the secrets that its keys encrypt."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from service.domain.audit import Actor, Principal, acting_as
from service.security import (
    KeyRing,
    KeyRingError,
    SecretBox,
    export_key_ring,
    generate_key_ring,
    load_key_ring,
    retire_key,
    rotate_key_ring,
)
from service.settings import Settings
from service.usecases.sealed_secrets import SealedSecrets
from service.wiring.factories import key_ring_of, open_database

# A count reads all rows of three tables.
_STATEMENT_S = 600.0


def write_key_ring(path: Path) -> None:
    """Writes a new key ring with mode 0600. Raises FileExistsError."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(generate_key_ring())


def rotate_keys(path: Path, *, add: bool, activate: bool) -> None:
    """Adds keys to a key ring, or activates the newest ones. Raises KeyRingError."""
    _replace(path, rotate_key_ring(path, add=add, activate=activate))


def export_keys(path: Path, output: Path) -> None:
    """Writes the encryption keys of a key ring to another file. Raises KeyRingError."""
    if output.exists() and output.samefile(path):
        raise KeyRingError(f"{output} is the complete key ring; choose another file.")
    _replace(output, export_key_ring(path))


def list_keys(path: Path) -> list[tuple[str, str, bool]]:
    """Returns the use and the id of each key, and True if it is active. Raises KeyRingError."""
    ring = load_key_ring(path)
    return [
        *(("signing", key_id, key_id == ring.active_signing) for key_id in ring.signing),
        *(("encryption", key_id, key_id == ring.active_encryption) for key_id in ring.encryption),
    ]


async def retire(settings: Settings, key_id: str) -> None:
    """Removes a key from the key ring. Raises KeyRingError if it is active or in use."""
    path = Path(settings.key_ring_file)
    ring = key_ring_of(settings)
    content = retire_key(path, key_id)
    async with open_sealed_secrets(settings, ring) as sealed:
        if key_id in ring.encryption and (in_use := await sealed.count_by_key(key_id)):
            raise KeyRingError(
                f"Key {key_id} still encrypts {in_use} stored secrets; run `aftertone keys reseal`."
            )
        async with sealed.retiring(key_id):
            _replace(path, content)


@asynccontextmanager
async def open_sealed_secrets(
    settings: Settings, ring: KeyRing | None = None
) -> AsyncIterator[SealedSecrets]:
    """Opens the use cases of encryption keys. The operator is the actor of the block."""
    secrets = SecretBox(ring or key_ring_of(settings))
    long_running = msgspec.structs.replace(settings, database_timeout_s=_STATEMENT_S)
    async with open_database(long_running, "aftertone cli", size=1) as database:
        with acting_as(Actor(principal=Principal.OPERATOR)):
            yield SealedSecrets(database=database, secrets=secrets)


def _replace(path: Path, content: bytes) -> None:
    """Replaces a key ring atomically: a truncated file would lose the encryption keys."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
