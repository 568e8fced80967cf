"""The bucket of lamps: one key per box, written by compare-and-set on its revision alone."""

from typing import TYPE_CHECKING

import msgspec
import nats.js.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import KeyValueConfig, StorageType
from nats.js.kv import KeyValue

from service.bus.errors import translated_errors
from service.domain.errors import BusUnavailable
from service.domain.lamp import Lamp, LampKey
from service.domain.message import parse_hex_id
from service.logs import get_logger

if TYPE_CHECKING:
    from service.bus.connection import Bus

log = get_logger(__name__)

_TIMEOUT_S = 2.0
_STREAM_EXISTS = 10058
_FILLED = "aftertone-filled"


class Held(msgspec.Struct, frozen=True):
    """What a key holds, and its revision; no lamp with a revision is one that was deleted."""

    lamp: Lamp | None
    revision: int


class _Listed(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Listing(msgspec.Struct):
    state: _Listed | None = None
    error: dict[str, object] | None = None


class LampBucket:
    """Key `<account_id>.<vmbox_id>`, value a Lamp as JSON. Whatever NATS raises: BusUnavailable."""

    def __init__(self, bus: "Bus", name: str, replicas: int = 1) -> None:
        self.name = name
        self._bus = bus
        self._replicas = replicas
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    async def ensure(self) -> bool:
        """Makes the bucket unless it is there; whether all lamps were put into it since."""
        js = self._jetstream()
        with translated_errors():
            try:
                info = await js.stream_info(self._stream)
            except nats.js.errors.NotFoundError:
                await self._make(js)
                return False
        return _FILLED in (info.config.metadata or {})

    async def mark_filled(self) -> None:
        """All lamps are in it: whoever looks after it from now on need not put them there."""
        js = self._jetstream()
        with translated_errors():
            config = (await js.stream_info(self._stream)).config
            await js.update_stream(config.evolve(metadata={_FILLED: "yes"}))

    async def read(self, key: LampKey) -> Held:
        """What a key holds. What somebody else wrote there is no lamp, and is written over."""
        with translated_errors():
            try:
                entry = await self._bucket().get(_spelled(key))
            except nats.js.errors.KeyNotFoundError as error:
                gone = error.entry
                return Held(None, gone.revision if gone is not None else 0)
        try:
            lamp = msgspec.json.decode(entry.value or b"", type=Lamp)
        except msgspec.DecodeError:
            lamp = None
        return Held(lamp, entry.revision or 0)

    async def write(self, key: LampKey, lamp: Lamp | None, revision: int) -> bool:
        """Puts a lamp, or None in its place; False when the key is at another revision by now.

        A key that is deleted keeps a revision, also one that never was: who wrote after a look at
        it before that fails.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        if lamp is None:
            headers["KV-Operation"] = "DEL"
        with translated_errors():
            try:
                await self._jetstream().publish(
                    self._prefix + _spelled(key),
                    b"" if lamp is None else msgspec.json.encode(lamp),
                    timeout=_TIMEOUT_S,
                    headers=headers,
                )
            except nats.js.errors.APIError as error:
                if error.err_code not in _OTHER_REVISION:
                    raise
                return False
        return True

    async def keys(self) -> list[LampKey]:
        """Every key there is or was."""
        return await self._listed(">")

    async def keys_of(self, account_id_hex: str) -> list[LampKey]:
        """Those of an account."""
        return await self._listed(f"{account_id_hex}.>")

    async def _listed(self, pattern: str) -> list[LampKey]:
        client, found = self._client(), list[LampKey]()
        seen = 0
        while True:
            asked = {"subjects_filter": self._prefix + pattern, "offset": seen}
            with translated_errors():
                answer = await client.request(
                    f"$JS.API.STREAM.INFO.{self._stream}",
                    msgspec.json.encode(asked),
                    timeout=_TIMEOUT_S * 5,
                )
            listing = msgspec.json.decode(answer.data, type=_Listing)
            if listing.error is not None or listing.state is None:
                raise BusUnavailable("the bucket cannot be listed")
            subjects = listing.state.subjects or {}
            if not subjects:
                return found
            seen += len(subjects)
            found += filter(None, (self._key(subject) for subject in subjects))

    def _key(self, subject: str) -> LampKey | None:
        first, _, second = subject.removeprefix(self._prefix).partition(".")
        account_id, vmbox_id = parse_hex_id(first), parse_hex_id(second)
        return LampKey(account_id, vmbox_id) if account_id and vmbox_id else None

    async def _make(self, js: JetStreamContext) -> None:
        try:
            await js.create_key_value(
                KeyValueConfig(
                    bucket=self.name,
                    description="Message-waiting lamps by account and box",
                    history=1,
                    storage=StorageType.FILE,
                    replicas=self._replicas,
                )
            )
        except nats.js.errors.BadRequestError as error:
            if error.err_code != _STREAM_EXISTS:
                raise
        else:
            log.info("The bucket of lamps was made.", bucket=self.name)

    def _client(self) -> Client:
        return self._bus.client()

    def _jetstream(self) -> JetStreamContext:
        return self._client().jetstream(timeout=_TIMEOUT_S)

    def _bucket(self) -> KeyValue:
        return KeyValue(self.name, self._stream, self._prefix, self._jetstream(), direct=False)


# The server's two words for "wrong last sequence".
_OTHER_REVISION = (10071, 10164)


def _spelled(key: LampKey) -> str:
    return f"{key.account_id.hex}.{key.vmbox_id.hex}"
