"""Passwords and keys of the embedded servers, generated once and stored in one private file."""

import os
import secrets
from pathlib import Path

import msgspec

from service.embedded.errors import EmbeddedError


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """Hexadecimal secrets, which need no quoting in a URL, in SQL or in a shell."""

    postgres: str
    aftertone_owner: str
    aftertone: str
    s3_access_key: str
    s3_secret_key: str


def load_secrets(folder: Path) -> Secrets:
    """Reads `secrets.json` of the folder; creates it if it is missing."""
    file = folder / "secrets.json"
    try:
        return msgspec.json.decode(file.read_bytes(), type=Secrets)
    except FileNotFoundError:
        generated = Secrets(**{name: secrets.token_hex(16) for name in Secrets.__struct_fields__})
        write_private(file, msgspec.json.encode(generated))
        return generated
    except msgspec.DecodeError as error:
        raise EmbeddedError(
            f"{file} is damaged ({error}): restore it, or delete {folder} and its data."
        ) from error


def write_private(file: Path, content: bytes) -> None:
    """Replaces the file atomically. No other user can read it at any time."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    draft.replace(file)
