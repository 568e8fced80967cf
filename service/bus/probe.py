"""Looks at NATS once, for `aftertone settings check`: what keeps events from being published."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from service.bus.connection import LEAST_PAYLOAD, StreamSettings, configuration, drift_of
from service.domain.errors import BusUnavailable

_TIMEOUT_S = 5.0
_REFUSALS = (nats.errors.Error, OSError, TimeoutError)


async def probe_bus(url: str, credentials_file: str, stream: StreamSettings) -> list[str]:
    """What is wrong with the servers at `url`. Raises BusUnavailable when none can be used."""
    async with _connected(url, credentials_file) as client:
        problems = []
        if client.max_payload < LEAST_PAYLOAD:
            problems.append(
                f"the server takes messages of {client.max_payload} bytes at most: "
                f"set its max_payload to {LEAST_PAYLOAD} or more"
            )
        jetstream = client.jetstream(timeout=_TIMEOUT_S)
        try:
            await jetstream.account_info()
        except _REFUSALS:
            return [*problems, "JetStream is not enabled there, or not for this account"]
        return problems + await _about_stream(jetstream, stream)


@asynccontextmanager
async def _connected(url: str, credentials_file: str) -> AsyncIterator[Client]:
    failures: list[Exception] = []

    async def note(error: Exception) -> None:
        failures.append(error)

    try:
        client = await nats.connect(
            [server.strip() for server in url.split(",")],
            name="aftertone check",
            user_credentials=credentials_file or None,
            allow_reconnect=False,
            # Of each server; the library counts them before the first connection, too.
            max_reconnect_attempts=1,
            reconnect_time_wait=0.1,
            connect_timeout=_TIMEOUT_S,
            error_cb=note,
        )
    except FileNotFoundError:
        raise BusUnavailable("AFTERTONE_NATS_CREDENTIALS_FILE cannot be read") from None
    except Exception as error:
        # Whatever the library trips over. It may repeat a URL, and that may hold a password.
        reason = failures[-1] if failures else error
        raise BusUnavailable(_told(reason)) from None
    try:
        yield client
    finally:
        with suppress(*_REFUSALS):
            await client.close()


def _told(error: Exception) -> str:
    match error:
        case nats.errors.NoServersError() | TimeoutError():
            return "nothing answers there"
        case OSError():
            return f"nothing answers there ({error.strerror or type(error).__name__})"
        case nats.errors.Error() if "uthorization" in str(error):
            return "the server refuses the sign-in"
        case _:
            return f"the connection fails ({type(error).__name__})"


async def _about_stream(jetstream: JetStreamContext, stream: StreamSettings) -> list[str]:
    try:
        info = await jetstream.stream_info(stream.name)
    except nats.js.errors.NotFoundError:
        return await _try_to_make(jetstream, stream)
    except _REFUSALS as error:
        return [f"the stream {stream.name} cannot be looked at: {error}"]
    drift = ", ".join(sorted(drift_of(info.config, stream)))
    return [f"the stream {stream.name} is not as the settings say: {drift}"] if drift else []


async def _try_to_make(jetstream: JetStreamContext, stream: StreamSettings) -> list[str]:
    """Whether the relay could make the stream: one of another name, gone at once, is made."""
    with suppress(nats.js.errors.NotFoundError):
        other = await jetstream.find_stream_name_by_subject(f"{stream.subject_prefix}.>")
        return [f"the stream {other} takes our subjects: there cannot be {stream.name} beside it"]
    token = f"aftertone_check_{uuid4().hex}"
    trial = msgspec.structs.replace(stream, name=token, subject_prefix=token)
    try:
        await jetstream.add_stream(configuration(trial))
        await jetstream.delete_stream(token)
    except nats.js.errors.APIError as error:
        return [f"the stream {stream.name} cannot be made there: {error.description}"]
    except _REFUSALS as error:
        return [f"the stream {stream.name} cannot be made there: {type(error).__name__}"]
    return []
