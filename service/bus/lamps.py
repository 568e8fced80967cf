"""Key-value bucket of lamps: one key per box, written by compare-and-set on the revision."""

from typing import TYPE_CHECKING

import msgspec
import nats.js.errors
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
_COMPLETE_KEY = "aftertone-filled"


class LampEntry(msgspec.Struct, frozen=True):
    """Value and revision of a key. A deleted key has a revision and no lamp."""

    lamp: Lamp | None
    revision: int


class _ListedSubjects(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Listing(msgspec.Struct):
    state: _ListedSubjects | None = None
    error: dict[str, object] | None = None


class LampBucket:
    """Lamps by key `<account_id>.<vmbox_id>` as JSON. Methods can raise BusUnavailable."""

    def __init__(self, bus: "Bus", name: str, replicas: int = 1) -> None:
        self.name = name
        self._bus = bus
        self._replicas = replicas
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."

    async def ensure(self) -> bool:
        """Creates the bucket. Returns True if it already existed and contains all lamps."""
        js = self._jetstream()
        with translated_errors():
            try:
                info = await js.stream_info(self._stream)
            except nats.js.errors.NotFoundError:
                await self._create(js)
                return False
        return _COMPLETE_KEY in (info.config.metadata or {})

    async def mark_filled(self) -> None:
        """Records in the bucket that it contains all lamps."""
        js = self._jetstream()
        with translated_errors():
            config = (await js.stream_info(self._stream)).config
            await js.update_stream(config.evolve(metadata={_COMPLETE_KEY: "yes"}))

    async def read(self, key: LampKey) -> LampEntry:
        """Returns the entry of a key. An invalid value counts as no lamp."""
        with translated_errors():
            try:
                entry = await self._bucket().get(_encode_key(key))
            except nats.js.errors.KeyNotFoundError as error:
                deleted = error.entry
                return LampEntry(None, deleted.revision if deleted is not None else 0)
        try:
            lamp = msgspec.json.decode(entry.value or b"", type=Lamp)
        except msgspec.DecodeError:
            lamp = None
        return LampEntry(lamp, entry.revision or 0)

    async def write(self, key: LampKey, lamp: Lamp | None, revision: int) -> bool:
        """Sets a lamp, or deletes it if None. Returns False if the revision has changed.

        Deletion also gives a revision to a key that never existed. Then the write of another
        process that had read the key earlier fails.
        """
        headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
        if lamp is None:
            headers["KV-Operation"] = "DEL"
        with translated_errors():
            try:
                await self._jetstream().publish(
                    self._prefix + _encode_key(key),
                    b"" if lamp is None else msgspec.json.encode(lamp),
                    timeout=_TIMEOUT_S,
                    headers=headers,
                )
            except nats.js.errors.APIError as error:
                if error.err_code not in _REVISION_CHANGED:
                    raise
                return False
        return True

    async def keys(self) -> list[LampKey]:
        """Returns all keys, also deleted ones."""
        return await self._list_keys(">")

    async def keys_of(self, account_id_hex: str) -> list[LampKey]:
        """Returns the keys of an account, also deleted ones."""
        return await self._list_keys(f"{account_id_hex}.>")

    async def _list_keys(self, pattern: str) -> list[LampKey]:
        client, keys = self._bus.client(), list[LampKey]()
        offset = 0
        while True:
            request = {"subjects_filter": self._prefix + pattern, "offset": offset}
            with translated_errors():
                response = await client.request(
                    f"$JS.API.STREAM.INFO.{self._stream}",
                    msgspec.json.encode(request),
                    timeout=_TIMEOUT_S * 5,
                )
            listing = msgspec.json.decode(response.data, type=_Listing)
            if listing.error is not None or listing.state is None:
                raise BusUnavailable("listing the bucket failed")
            subjects = listing.state.subjects or {}
            if not subjects:
                return keys
            offset += len(subjects)
            keys += filter(None, (self._parse_key(subject) for subject in subjects))

    def _parse_key(self, subject: str) -> LampKey | None:
        first, _, second = subject.removeprefix(self._prefix).partition(".")
        account_id, vmbox_id = parse_hex_id(first), parse_hex_id(second)
        return LampKey(account_id, vmbox_id) if account_id and vmbox_id else None

    async def _create(self, js: JetStreamContext) -> None:
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
            log.info("lamp bucket created", bucket=self.name)

    def _jetstream(self) -> JetStreamContext:
        return self._bus.client().jetstream(timeout=_TIMEOUT_S)

    def _bucket(self) -> KeyValue:
        return KeyValue(self.name, self._stream, self._prefix, self._jetstream(), direct=False)


# The two error codes of the server for "wrong last sequence".
_REVISION_CHANGED = (10071, 10164)


def _encode_key(key: LampKey) -> str:
    return f"{key.account_id.hex}.{key.vmbox_id.hex}"
