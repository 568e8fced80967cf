"""Check of NATS for `aftertone settings check`: finds problems that prevent publishing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

import msgspec
import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext

from service.bus.access import BusAccess
from service.bus.connection import MIN_PAYLOAD_BYTES, StreamSettings, configuration, drift_of
from service.domain.errors import BusUnavailable

_TIMEOUT_S = 5.0
_ERRORS = (nats.errors.Error, OSError, TimeoutError)


async def probe_bus(url: str, access: BusAccess, stream: StreamSettings) -> list[str]:
    """Returns the problems of the servers at `url`. Raises BusUnavailable without a connection."""
    async with _connect(url, access) as client:
        problems = []
        if client.max_payload < MIN_PAYLOAD_BYTES:
            problems.append(
                f"the max_payload of the server is {client.max_payload} bytes: "
                f"set it to {MIN_PAYLOAD_BYTES} or more"
            )
        jetstream = client.jetstream(timeout=_TIMEOUT_S)
        try:
            await jetstream.account_info()
        except _ERRORS:
            return [*problems, "JetStream is not enabled on the server or for this account"]
        return problems + await _check_stream(jetstream, stream)


@asynccontextmanager
async def _connect(url: str, access: BusAccess) -> AsyncIterator[Client]:
    failures: list[Exception] = []

    async def record_failure(error: Exception) -> None:
        failures.append(error)

    try:
        client = await nats.connect(
            [server.strip() for server in url.split(",")],
            name="aftertone check",
            **access.options(),
            allow_reconnect=False,
            # Per server. The client also counts attempts before the first connection.
            max_reconnect_attempts=1,
            reconnect_time_wait=0.1,
            connect_timeout=_TIMEOUT_S,
            error_cb=record_failure,
        )
    except FileNotFoundError:
        raise BusUnavailable("AFTERTONE_NATS_CREDENTIALS_FILE cannot be read") from None
    except Exception as error:
        # Any error. Its text may contain the URL with a password.
        reason = failures[-1] if failures else error
        raise BusUnavailable(_describe(reason)) from None
    try:
        yield client
    finally:
        with suppress(*_ERRORS):
            await client.close()


def _describe(error: Exception) -> str:
    match error:
        case nats.errors.NoServersError() | TimeoutError():
            return "no server responds"
        case OSError():
            return f"no server responds ({error.strerror or type(error).__name__})"
        case nats.errors.Error() if "uthorization" in str(error):
            return "the server rejects the credentials"
        case _:
            return f"the connection failed ({type(error).__name__})"


async def _check_stream(jetstream: JetStreamContext, stream: StreamSettings) -> list[str]:
    try:
        info = await jetstream.stream_info(stream.name)
    except nats.js.errors.NotFoundError:
        return await _check_creation(jetstream, stream)
    except _ERRORS as error:
        return [f"reading the stream {stream.name} failed: {error}"]
    drift = ", ".join(sorted(drift_of(info.config, stream)))
    return [f"the stream {stream.name} differs from the settings: {drift}"] if drift else []


async def _check_creation(jetstream: JetStreamContext, stream: StreamSettings) -> list[str]:
    """Creates and deletes a stream with another name, to check the permissions of the relay."""
    with suppress(nats.js.errors.NotFoundError):
        other = await jetstream.find_stream_name_by_subject(f"{stream.subject_prefix}.>")
        return [f"the stream {other} uses the subjects that {stream.name} needs"]
    token = f"aftertone_check_{uuid4().hex}"
    trial = msgspec.structs.replace(stream, name=token, subject_prefix=token)
    try:
        await jetstream.add_stream(configuration(trial))
        await jetstream.delete_stream(token)
    except nats.js.errors.APIError as error:
        return [f"creating the stream {stream.name} failed: {error.description}"]
    except _ERRORS as error:
        return [f"creating the stream {stream.name} failed: {type(error).__name__}"]
    return []
