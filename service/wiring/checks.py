"""Tries what settings name, and says of each in a sentence whether it works; shows no secret."""

import asyncio
import io
import re
import wave
from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import StrEnum

import msgspec

from service.audio.probe import probe_bucket
from service.bus.probe import probe_bus
from service.domain.errors import Unavailable
from service.postgres.probe import probe_as_owner, probe_as_service
from service.security import KeyRingError
from service.settings import PREFIX, Settings, SettingsError
from service.wiring.factories import issuer_of, key_ring_of, open_audio, stream_settings
from service.wiring.lamps import open_switch
from service.wiring.notifiers import open_engine, open_smtp
from service.workers.channels import Failed

_PATIENCE_S = 30.0
# The bucket has a default that a deployment may live with.
_S3_SIGNS = {"s3_bucket", "s3_endpoint", "s3_region"}


class State(StrEnum):
    OK = "ok"
    NOT_SET = "not set"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """What was found of one setting and what belongs to it."""

    subject: str
    state: State
    text: str


class Wrong(Exception):
    """What is set does not work; the text says why and what to do."""


Look = Callable[[Settings], Awaitable[str]]
"""Says what it found; raises Wrong, SettingsError, KeyRingError or Unavailable."""


async def check(settings: Settings, given: Collection[str]) -> list[Finding]:
    """Everything at the same time, told in the order of the reference.

    `given` are the fields that the environment names: a process has only those that it needs, and
    a default that it does not use is not tried.
    """
    return list(await asyncio.gather(*(_find(settings, given, *one) for one in _LOOKS)))


async def _find(
    settings: Settings, given: Collection[str], name: str, look: Look, without: str
) -> Finding:
    subject = f"{PREFIX}{name.upper()}"
    signs = _S3_SIGNS if name == "s3_bucket" else {name}
    if not any(sign in given and getattr(settings, sign) for sign in signs):
        return Finding(subject, State.NOT_SET, without)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return Finding(subject, State.OK, f"{await look(settings)}.")
    except TimeoutError:
        return Finding(subject, State.WRONG, f"No answer within {_PATIENCE_S:.0f} s.")
    except Unavailable as error:
        return Finding(subject, State.WRONG, f"{_shown(settings, name)}: {error.reason or error}.")
    except (Wrong, SettingsError, KeyRingError) as error:
        return Finding(subject, State.WRONG, f"{str(error).rstrip('.')}.")


def _shown(settings: Settings, name: str) -> str:
    """The value of a setting without user, password and query."""
    return re.sub(r"//.*@", "//", getattr(settings, name).partition("?")[0])


def _fine_without(problems: Sequence[str], fine: str) -> str:
    if problems:
        raise Wrong("; ".join(problems))
    return fine


async def _database(settings: Settings) -> str:
    problems = await probe_as_service(settings.database_url, settings.database_timeout_s)
    return _fine_without(problems, "Postgres answers, is up to date, and this role owns nothing")


async def _owner(settings: Settings) -> str:
    problems = await probe_as_owner(settings.owner_database_url, settings.database_timeout_s)
    return _fine_without(problems, "Postgres answers, is up to date, and this role owns the tables")


async def _nats(settings: Settings) -> str:
    problems = await probe_bus(
        settings.nats_url, settings.nats_credentials_file, stream_settings(settings)
    )
    return _fine_without(problems, "JetStream answers, and the stream is there or can be made")


async def _bucket(settings: Settings) -> str:
    try:
        # Where no credentials are set, the library asks the network for them, and may wait long.
        async with asyncio.timeout(_PATIENCE_S / 2), open_audio(settings) as audio:
            problems = await probe_bucket(audio)
    except TimeoutError:
        raise Wrong("neither credentials nor an answer were to be had in time") from None
    except Unavailable as error:
        where = _shown(settings, "s3_endpoint") or "AWS"
        raise Wrong(f"{settings.s3_bucket} at {where}: {error.reason}") from None
    return _fine_without(problems, "an object was put, read, copied, listed and deleted")


async def _key_ring(settings: Settings) -> str:
    ring = key_ring_of(settings)
    return f"it is readable; {ring.active_signing} signs and {ring.active_encryption} seals"


async def _issuer(settings: Settings) -> str:
    issuer = issuer_of(settings)
    assert issuer is not None
    try:
        usable = await issuer.refresh()
    except Unavailable as error:
        raise Wrong(f"AFTERTONE_ISSUER_JWKS_URL shows no keys ({error.reason})") from None
    if not usable:
        raise Wrong("AFTERTONE_ISSUER_JWKS_URL shows no key that may sign tokens")
    return f"its key set answers; keys that can be used: {usable}"


async def _backups(settings: Settings) -> str:
    wanted, grace = settings.backup_retention_days or 0, settings.purge_grace_days
    if grace < wanted:
        raise Wrong(
            f"backups go {wanted} days back and removed audio {grace}: what is restored from an "
            f"older one finds no audio; set AFTERTONE_PURGE_GRACE_DAYS to {wanted} or more"
        )
    return f"removed audio is kept for {grace} days, no less than backups"


async def _smtp(settings: Settings) -> str:
    async with open_smtp(settings) as smtp:
        outcome = await smtp.check_session()
    if isinstance(outcome, Failed):
        raise Wrong(f"no SMTP session: {outcome.error}")
    return "the server takes us, with encryption and sign-in as set"


async def _switch(settings: Settings) -> str:
    async with open_switch(settings) as ari:
        await ari.ping()
    return "the switch shows its mailboxes"


async def _engine(settings: Settings) -> str:
    async with open_engine(settings) as engine:
        outcome = await engine.transcribe(_silence(), "silence.wav", "audio/wav")
    if isinstance(outcome, Failed):
        raise Wrong(outcome.error)
    return "the engine has listened to a second of silence"


def _silence() -> bytes:
    """A second of it, as WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8_000, 0, "NONE", ""))
        sound.writeframes(bytes(16_000))
    return file.getvalue()


_LOOKS: Sequence[tuple[str, Look, str]] = (
    ("database_url", _database, "Every process but `keeper` and `migrate` needs it."),
    ("owner_database_url", _owner, "`migrate` and `keeper` need it."),
    ("nats_url", _nats, "Relay and notifiers need it."),
    ("s3_bucket", _bucket, "API, keeper and the channels for e-mail and transcription need it."),
    ("key_ring_file", _key_ring, "The API needs it: `aftertone keys generate FILE` makes one."),
    ("issuer_url", _issuer, "Only tokens of this service count."),
    ("backup_retention_days", _backups, "Not compared with AFTERTONE_PURGE_GRACE_DAYS."),
    ("smtp_url", _smtp, "The e-mail channel needs it."),
    ("ari_url", _switch, "No switch is told of lamps."),
    ("transcription_url", _engine, "The transcription channel needs it."),
)
