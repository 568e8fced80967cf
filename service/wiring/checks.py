"""Checks of settings against the real servers. The results contain no secrets."""

import asyncio
import io
import re
import wave
from collections.abc import Awaitable, Callable, Collection, Sequence
from enum import StrEnum

import msgspec

from service.audio.conversion.probe import probe_conversion
from service.audio.probe import probe_bucket
from service.bus.probe import probe_bus
from service.domain.errors import Unavailable
from service.postgres.pool import Pooler
from service.postgres.probe import probe_as_owner, probe_as_service, probe_standby
from service.security import KeyRingError
from service.settings import PREFIX, Settings, SettingsError
from service.wiring.factories import (
    bus_access,
    issuer_of,
    key_ring_of,
    open_audio,
    open_conversion,
    stream_settings,
)
from service.wiring.lamps import open_asterisk
from service.wiring.notifiers import open_smtp
from service.wiring.transcription import is_local, open_http_engine, open_local_engine
from service.workers.channels import Failed
from service.workers.channels.transcription import Engine

_TIMEOUT_S = 30.0
# The bucket has a default, so any of these settings shows that S3 is used.
_S3_SETTINGS = {"s3_bucket", "s3_endpoint", "s3_region"}


class CheckState(StrEnum):
    OK = "ok"
    NOT_SET = "not set"
    FAILED = "failed"


class CheckResult(msgspec.Struct, frozen=True):
    """Result of the check of a setting; `text` is a sentence."""

    variable: str
    state: CheckState
    text: str


class CheckFailed(Exception):
    """A setting does not work. The text states the reason and what to do."""


Check = Callable[[Settings], Awaitable[str]]
"""Describes the success, or raises CheckFailed, SettingsError, KeyRingError or Unavailable."""


async def run_checks(settings: Settings, present: Collection[str]) -> list[CheckResult]:
    """Runs all checks concurrently; returns their results in the order of the reference.

    `present` are the fields that the environment sets. A setting that is not set is not checked,
    even if it has a default: each process sets only what it needs.
    """
    return list(await asyncio.gather(*(_run(settings, present, *check) for check in _CHECKS)))


async def _run(
    settings: Settings, present: Collection[str], name: str, check: Check, if_not_set: str
) -> CheckResult:
    variable = f"{PREFIX}{name.upper()}"
    fields = _S3_SETTINGS if name == "s3_bucket" else {name}
    if not any(field in present and getattr(settings, field) for field in fields):
        return CheckResult(variable, CheckState.NOT_SET, if_not_set)
    state = CheckState.FAILED
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            text, state = await check(settings), CheckState.OK
    except TimeoutError:
        text = f"No answer within {_TIMEOUT_S:.0f} s"
    except Unavailable as error:
        text = f"{_without_secrets(settings, name)}: {error.reason or error}"
    except (CheckFailed, SettingsError, KeyRingError) as error:
        text = str(error)
    return CheckResult(variable, state, f"{text.rstrip('.')}.")


def _without_secrets(settings: Settings, name: str) -> str:
    """Returns the value of a setting without user, password and query."""
    return re.sub(r"//.*@", "//", getattr(settings, name).partition("?")[0])


def _require_none(problems: Sequence[str], success: str) -> str:
    if problems:
        raise CheckFailed("; ".join(problems))
    return success


async def _database(settings: Settings) -> str:
    problems = await probe_as_service(
        settings.database_url, settings.database_timeout_s, Pooler(settings.database_pooler)
    )
    return _require_none(problems, "Postgres answers, is up to date, and this role owns no tables")


async def _standby(settings: Settings) -> str:
    problems = await probe_standby(settings.read_database_url, settings.database_timeout_s)
    return _require_none(problems, "a standby answers")


async def _owner(settings: Settings) -> str:
    problems = await probe_as_owner(settings.owner_database_url, settings.database_timeout_s)
    return _require_none(problems, "Postgres answers, is up to date, and this role owns the tables")


async def _nats(settings: Settings) -> str:
    problems = await probe_bus(settings.nats_url, bus_access(settings), stream_settings(settings))
    return _require_none(problems, "JetStream answers, and the stream exists or can be created")


async def _bucket(settings: Settings) -> str:
    try:
        # Without credentials, the library looks for them in the network, which may take long.
        async with asyncio.timeout(_TIMEOUT_S / 2), open_audio(settings) as audio:
            problems = await probe_bucket(audio)
    except TimeoutError:
        raise CheckFailed("no credentials were found or the store did not answer in time") from None
    except Unavailable as error:
        endpoint = _without_secrets(settings, "s3_endpoint") or "AWS"
        raise CheckFailed(f"{settings.s3_bucket} at {endpoint}: {error.reason}") from None
    return _require_none(problems, "an object was stored, read, copied, listed and deleted")


async def _key_ring(settings: Settings) -> str:
    ring = key_ring_of(settings)
    if not ring.signing:
        return f"the active key is {ring.active_encryption}; there is no signing key"
    return f"the active keys are {ring.active_signing} and {ring.active_encryption}"


async def _issuer(settings: Settings) -> str:
    issuer = issuer_of(settings)
    assert issuer is not None
    try:
        usable = await issuer.refresh()
    except Unavailable as error:
        raise CheckFailed(f"AFTERTONE_ISSUER_JWKS_URL returns no keys ({error.reason})") from None
    if not usable:
        raise CheckFailed("AFTERTONE_ISSUER_JWKS_URL returns no key that can verify tokens")
    return f"the key set has usable keys: {usable}"


async def _backups(settings: Settings) -> str:
    backups, grace = settings.backup_retention_days or 0, settings.purge_grace_days
    if grace < backups:
        raise CheckFailed(
            f"backups are kept for {backups} days but removed audio for {grace}: messages from an "
            f"older backup have no audio; set AFTERTONE_PURGE_GRACE_DAYS to {backups} or more"
        )
    return f"removed audio is kept for {grace} days, at least as long as backups"


async def _smtp(settings: Settings) -> str:
    async with open_smtp(settings) as smtp:
        outcome = await smtp.check_session()
    if isinstance(outcome, Failed):
        raise CheckFailed(f"the SMTP session failed: {outcome.error}")
    return "the server accepts the connection, the encryption and the credentials"


async def _asterisk(settings: Settings) -> str:
    async with open_asterisk(settings) as ari:
        await ari.ping()
    return "Asterisk lists its mailboxes"


async def _engine(settings: Settings) -> str:
    if not is_local(settings):
        return "recordings are sent to AFTERTONE_TRANSCRIPTION_URL"
    async with open_local_engine(settings) as engine:
        return await _transcribe_silence(engine)


async def _http_engine(settings: Settings) -> str:
    async with open_http_engine(settings) as engine:
        return await _transcribe_silence(engine)


async def _transcribe_silence(engine: Engine) -> str:
    outcome = await engine.transcribe(_silence(), "audio/wav", "wav", "")
    if isinstance(outcome, Failed):
        raise CheckFailed(outcome.error)
    return "the engine transcribed a second of silence"


def _silence() -> bytes:
    """Returns one second of silence as WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, 8_000, 0, "NONE", ""))
        sound.writeframes(bytes(16_000))
    return file.getvalue()


async def _conversion(settings: Settings) -> str:
    async with open_conversion(settings) as pool:
        problems = await probe_conversion(pool)
    return _require_none(problems, "a recording was converted to MP3")


_CHECKS: Sequence[tuple[str, Check, str]] = (
    ("database_url", _database, "All processes except `keeper` and `migrate` need it."),
    ("read_database_url", _standby, "Lists, searches and audit are read from the primary."),
    ("owner_database_url", _owner, "`migrate` and `keeper` need it."),
    ("nats_url", _nats, "Relay and notifiers need it."),
    ("s3_bucket", _bucket, "API, keeper and the channels email, transcription and media need it."),
    (
        "key_ring_file",
        _key_ring,
        "API and the channel webhook need it; `aftertone keys generate FILE` creates a key ring.",
    ),
    ("issuer_url", _issuer, "Only tokens of this service are accepted."),
    ("backup_retention_days", _backups, "Not compared with AFTERTONE_PURGE_GRACE_DAYS."),
    ("smtp_url", _smtp, "The channel email needs it."),
    ("ari_url", _asterisk, "No lamps are set on Asterisk."),
    ("conversion_processes", _conversion, "Not tested; the default applies."),
    ("transcription_engine", _engine, "Recordings are sent to AFTERTONE_TRANSCRIPTION_URL."),
    ("transcription_url", _http_engine, "The channel transcription needs it, or a local engine."),
)
