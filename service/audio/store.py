"""AudioStore: puts, reads, copies, lists and deletes the audio objects of one S3 bucket."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import aiohttp
import msgspec
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from service.audio.s3_client import S3Request, SignedS3Client
from service.audio.s3_session import BucketAddress, connect
from service.audio.spool import Spool
from service.audio.timing import timed
from service.domain.errors import AudioMissing, StorageUnavailable

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

# A read takes one block at a time and holds no connection between blocks: hundreds of listeners on
# slow lines do not starve uploads of connections. The first block is small; those after it share
# this much memory, since each request costs the store as much as many bytes do. (The HTTP server
# holds about three blocks of each listener.)
READ_BLOCK_BYTES = 64 * 1024
_LARGEST_BLOCK_BYTES = 1024 * 1024
_ALL_BLOCKS_BYTES = 16 * 1024 * 1024
_DELETES_AT_ONCE = 16


def message_key(
    month: int, account_id: UUID, message_id: UUID, upload_id: UUID, extension: str
) -> str:
    """A key of its own for each upload: what is stored once is never overwritten."""
    return f"audio/{month}/{account_id.hex}/{message_id.hex}/{upload_id.hex}.{extension}"


def greeting_key(account_id: UUID, media_id: UUID, upload_id: UUID, extension: str) -> str:
    """As `message_key`, for greetings, which belong to no month."""
    return f"media/{account_id.hex}/{media_id.hex}/{upload_id.hex}.{extension}"


class Encryption(msgspec.Struct, frozen=True):
    """Encryption at rest by the store: none, `AES256`, or `aws:kms` with a key of one's own."""

    algorithm: str | None = None
    kms_key_id: str | None = None

    def headers(self) -> dict[str, str]:
        named = {
            "x-amz-server-side-encryption": self.algorithm,
            "x-amz-server-side-encryption-aws-kms-key-id": self.kms_key_id,
        }
        return {name: value for name, value in named.items() if value}

    def arguments(self) -> dict[str, Any]:
        named = {"ServerSideEncryption": self.algorithm, "SSEKMSKeyId": self.kms_key_id}
        return {name: value for name, value in named.items() if value}


class ListedObject(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    size: int
    modified: datetime


class AudioStore:
    """The objects of one bucket.

    Every method ends within the timeout and raises StorageUnavailable when the store refuses or
    does not answer. All of them may be repeated without harm.
    """

    def __init__(
        self,
        objects: SignedS3Client,
        client: "S3Client",
        address: BucketAddress,
        encryption: Encryption,
    ) -> None:
        self._objects = objects
        self._client = client
        self._bucket = address.bucket
        self._region = address.region
        self._timeout_s = address.timeout_s
        self._encryption = encryption
        self._reads = 0

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        endpoint: str | None,
        bucket: str,
        region: str,
        addressing_style: str,
        sse: str | None,
        sse_kms_key_id: str | None,
        pool_size: int,
        connect_timeout_s: float,
        timeout_s: float,
    ) -> AsyncIterator[Self]:
        """A store whose connections end with the block. Credentials are found as AWS tools do."""
        address = BucketAddress(
            endpoint=endpoint,
            bucket=bucket,
            region=region,
            addressing_style=addressing_style,
            pool_size=pool_size,
            connect_timeout_s=connect_timeout_s,
            timeout_s=timeout_s,
        )
        async with AsyncExitStack() as stack:
            with _translated("connect"):
                objects, client = await stack.enter_async_context(connect(address))
            yield cls(objects, client, address, Encryption(sse, sse_kms_key_id))

    async def put(self, key: str, spool: Spool, content_type: str) -> None:
        """Store the whole spool under a key that nothing else uses.

        A repeated attempt writes the same bytes under the same key, so it may follow one whose
        answer was lost.
        """
        headers = {
            "Content-Type": content_type,
            "Content-Length": str(spool.size),
            **self._encryption.headers(),
        }
        exchange = S3Request(
            method="PUT",
            key=key,
            headers=headers,
            body=spool.body,
            sha256=spool.sha256().hex(),
            sent_bytes=spool.size,
        )
        with timed("put"):
            answer = await self._objects.send(exchange)
            if answer.status != HTTPStatus.OK:
                raise answer.failure("PUT")

    @asynccontextmanager
    async def read(self, key: str, start: int, length: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """`length` bytes, at least one, from `start`, in blocks.

        The first block is here when the context is entered: an outage or a missing object
        (AudioMissing, also when the object ends before the range begins) shows before any byte
        was passed on.
        """
        first = await self._block(key, start, min(length, READ_BLOCK_BYTES))
        blocks = self._blocks(key, first, start, length)
        del first
        self._reads += 1
        try:
            yield blocks
        finally:
            self._reads -= 1
            await blocks.aclose()

    async def copy(self, source: str, target: str) -> None:
        """Copy within the store. AudioMissing when there is no source."""
        with timed("copy"), _translated("copy"):
            async with asyncio.timeout(self._timeout_s):
                await self._client.copy_object(
                    Bucket=self._bucket,
                    Key=target,
                    CopySource={"Bucket": self._bucket, "Key": source},
                    **self._encryption.arguments(),
                )

    async def delete(self, key: str) -> None:
        """Gone afterwards, whether it was there or not."""
        with timed("delete"):
            answer = await self._objects.send(S3Request(method="DELETE", key=key))
            gone = answer.status in {HTTPStatus.OK, HTTPStatus.NO_CONTENT}
            if not gone and answer.code != "NoSuchKey":
                raise answer.failure("DELETE")

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete each key, some at a time; after a failure the rest may or may not be gone."""
        for start in range(0, len(keys), _DELETES_AT_ONCE):
            batch = keys[start : start + _DELETES_AT_ONCE]
            done = await asyncio.gather(*map(self.delete, batch), return_exceptions=True)
            if failures := [result for result in done if result is not None]:
                raise failures[0]

    async def list(self, prefix: str) -> AsyncIterator[ListedObject]:
        """All objects whose keys begin with `prefix`, in the order of their keys."""
        token: dict[str, Any] = {}
        while True:
            with timed("list"), _translated("list"):
                async with asyncio.timeout(self._timeout_s):
                    page = await self._client.list_objects_v2(
                        Bucket=self._bucket, Prefix=prefix, **token
                    )
            for item in page.get("Contents", ()):
                yield ListedObject(
                    key=item["Key"],
                    size=item["Size"],
                    modified=item["LastModified"].astimezone(UTC),
                )
            if not page["IsTruncated"]:
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    async def ensure_bucket(self) -> None:
        """Create the bucket unless it is there already."""
        with timed("create"), _translated("create bucket"):
            async with asyncio.timeout(self._timeout_s):
                try:
                    await self._client.head_bucket(Bucket=self._bucket)
                except ClientError as problem:
                    if _status(problem) != HTTPStatus.NOT_FOUND:
                        raise
                    await self._create_bucket()

    async def ping(self) -> None:
        """Return when the bucket can be reached with these credentials."""
        with timed("head"), _translated("ping"):
            async with asyncio.timeout(self._timeout_s):
                try:
                    await self._client.head_bucket(Bucket=self._bucket)
                except ClientError as problem:
                    if _status(problem) == HTTPStatus.NOT_FOUND:
                        raise StorageUnavailable("there is no such bucket") from problem
                    raise

    async def _create_bucket(self) -> None:
        # The oldest region is the one that must not be named.
        place: dict[str, Any] = {}
        if self._region != "us-east-1":
            place = {"CreateBucketConfiguration": {"LocationConstraint": self._region}}
        try:
            await self._client.create_bucket(Bucket=self._bucket, **place)
        except self._client.exceptions.BucketAlreadyOwnedByYou:
            return  # another process was faster

    async def _blocks(
        self, key: str, first: bytes, start: int, length: int
    ) -> AsyncGenerator[bytes, None]:
        position, end = start + len(first), start + length
        yield first
        # What has a name here stays in memory while the next block is fetched, or to the end.
        del first
        while position < end:
            share = min(_ALL_BLOCKS_BYTES // self._reads, _LARGEST_BLOCK_BYTES)
            size = min(end - position, max(share, READ_BLOCK_BYTES))
            position += size
            yield await self._block(key, position - size, size)

    async def _block(self, key: str, start: int, length: int) -> bytes:
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        exchange = S3Request(method="GET", key=key, headers=headers, answer_bytes=length)
        with timed("get"):
            answer = await self._objects.send(exchange)
            if (
                answer.code == "NoSuchKey"
                or answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            ):
                raise AudioMissing
            if answer.status != HTTPStatus.PARTIAL_CONTENT:
                raise answer.failure("GET")
            return answer.body


@contextmanager
def _translated(action: str) -> Iterator[None]:
    """What the library's client raises, as ours. Its texts may hold names, so only codes pass."""
    try:
        yield
    except ClientError as problem:
        code = problem.response.get("Error", {}).get("Code", "")
        if code == "NoSuchKey":
            raise AudioMissing from problem
        # To a HEAD the answer has no body, and the library makes the code of the status.
        status = " ".join(dict.fromkeys((str(_status(problem)), code)))
        raise StorageUnavailable(f"{action} answered {status}") from problem
    except NoCredentialsError as problem:
        raise StorageUnavailable(
            "no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a workload identity"
        ) from problem
    except (BotoCoreError, aiohttp.ClientError, TimeoutError, OSError) as problem:
        raise StorageUnavailable(f"{action} failed: {type(problem).__name__}") from problem


def _status(problem: ClientError) -> int:
    return problem.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
