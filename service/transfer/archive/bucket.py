"""S3 object as the destination of an archive."""

import msgspec

from service.audio.multipart import MIN_PART_BYTES, MultipartUploads
from service.transfer.archive.destination import ExportFailed
from service.transfer.writing import retry_unavailable

CONTENT_TYPE = "application/zstd"
_SMALL_PART_BYTES = 16 * 1024 * 1024
_LARGE_PART_BYTES = 64 * 1024 * 1024
# S3 allows 10 000 parts. 5 000 small and 5 000 large parts are 390 GiB together.
_SMALL_PARTS = 5_000


_NO_STATE = msgspec.Raw(b"null")


class _UploadState(msgspec.Struct, frozen=True):
    """Content of the state object: the upload, the tags of its parts, the state of the export."""

    upload_id: str
    tags: list[str]
    state: msgspec.Raw = _NO_STATE


class BucketDestination:
    """Multipart upload. Its state is in the object `KEY.state` until the archive is complete.

    A checkpoint is stored if at least 5 MiB, the minimum of a part, were written since the last
    part. Other checkpoints are skipped. One part is in memory.
    """

    def __init__(self, uploads: MultipartUploads, key: str, stored: _UploadState) -> None:
        self._uploads = uploads
        self._key = key
        self._upload_id = stored.upload_id
        self._tags = list(stored.tags)
        self._state = None if stored.state == _NO_STATE else bytes(stored.state)
        self._buffer = bytearray()

    @classmethod
    async def open(cls, uploads: MultipartUploads, key: str) -> "BucketDestination":
        """Starts an upload, or continues one. Raises ExportFailed when the object exists."""
        if await uploads.size_of(key) is not None:
            raise ExportFailed(f"The object {key} exists; choose another key or delete it.")
        content = await uploads.read_small(state_key(key))
        if content is None:
            stored = _UploadState(await uploads.start(key, CONTENT_TYPE), [])
            await uploads.write_small(state_key(key), msgspec.json.encode(stored))
        else:
            stored = msgspec.json.decode(content, type=_UploadState)
        return cls(uploads, key, stored)

    @property
    def state(self) -> bytes | None:
        return self._state

    async def write(self, data: bytes) -> None:
        self._buffer += data
        is_small = len(self._tags) < _SMALL_PARTS
        if len(self._buffer) >= (_SMALL_PART_BYTES if is_small else _LARGE_PART_BYTES):
            await self._put_part()

    async def checkpoint(self, state: bytes) -> None:
        if len(self._buffer) < MIN_PART_BYTES:
            return
        await self._put_part()
        stored = _UploadState(self._upload_id, self._tags, msgspec.Raw(state))
        content = msgspec.json.encode(stored)
        await retry_unavailable(lambda: self._uploads.write_small(state_key(self._key), content))

    async def finish(self) -> None:
        await self._put_part()
        await retry_unavailable(
            lambda: self._uploads.complete(self._key, self._upload_id, self._tags)
        )
        await retry_unavailable(lambda: self._uploads.delete(state_key(self._key)))

    async def _put_part(self) -> None:
        content, self._buffer = bytes(self._buffer), bytearray()
        number = len(self._tags) + 1
        tag = await retry_unavailable(
            lambda: self._uploads.put_part(self._key, self._upload_id, number, content)
        )
        self._tags.append(tag)


async def delete_archive(uploads: MultipartUploads, key: str) -> None:
    """Deletes an archive, or an unfinished one with its parts."""
    content = await uploads.read_small(state_key(key))
    if content is not None:
        stored = msgspec.json.decode(content, type=_UploadState)
        await uploads.abort(key, stored.upload_id)
        await uploads.delete(state_key(key))
    await uploads.delete(key)


def state_key(key: str) -> str:
    """Returns the key of the state of an unfinished archive."""
    return f"{key}.state"
