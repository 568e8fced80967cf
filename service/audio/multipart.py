"""Multipart uploads of large objects. An upload can be continued by another process."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from service.audio.timing import Operation

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

MIN_PART_BYTES = 5 * 1024 * 1024
"""Minimum size of all parts but the last one."""
_MISSING = {"NoSuchUpload", "NoSuchKey", "404"}


class MultipartUploads:
    """Parts of large objects, and small objects beside them.

    Every method raises StorageUnavailable if the store refuses the request or does not respond.
    """

    def __init__(
        self,
        client: "S3Client",
        bucket: str,
        encryption: Mapping[str, Any],
        operation: Callable[[Operation], AbstractAsyncContextManager[None]],
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._encryption = encryption
        self._operation = operation

    async def start(self, key: str, content_type: str) -> str:
        """Starts an upload and returns its id."""
        async with self._operation("create"):
            started = await self._client.create_multipart_upload(
                Bucket=self._bucket, Key=key, ContentType=content_type, **self._encryption
            )
        return started["UploadId"]

    async def put_part(self, key: str, upload_id: str, number: int, content: bytes) -> str:
        """Uploads a part, numbered from 1, and returns its tag. It may be uploaded again."""
        async with self._operation("put"):
            stored = await self._client.upload_part(
                Bucket=self._bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=content
            )
        return stored["ETag"]

    async def complete(self, key: str, upload_id: str, tags: Sequence[str]) -> None:
        """Makes the object visible."""
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        async with self._operation("put"):
            await self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=upload_id,
                MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
            )

    async def abort(self, key: str, upload_id: str) -> None:
        """Deletes the parts of an upload. An unknown upload is not an error."""
        async with self._operation("delete"):
            try:
                await self._client.abort_multipart_upload(
                    Bucket=self._bucket, Key=key, UploadId=upload_id
                )
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in _MISSING:
                    raise

    async def size_of(self, key: str) -> int | None:
        """Returns the size of an object, or None if it does not exist."""
        async with self._operation("head"):
            try:
                return (await self._client.head_object(Bucket=self._bucket, Key=key))[
                    "ContentLength"
                ]
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                if status != HTTPStatus.NOT_FOUND:
                    raise
                return None

    async def read_small(self, key: str) -> bytes | None:
        """Returns the content of a small object, or None if it does not exist."""
        async with self._operation("get"):
            try:
                answer = await self._client.get_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") not in _MISSING:
                    raise
                return None
            async with answer["Body"] as body:
                return await body.read()

    async def write_small(self, key: str, content: bytes) -> None:
        """Stores a small object, or replaces it."""
        async with self._operation("put"):
            await self._client.put_object(
                Bucket=self._bucket, Key=key, Body=content, **self._encryption
            )

    async def delete(self, key: str) -> None:
        """Deletes an object. A missing object is not an error."""
        async with self._operation("delete"):
            await self._client.delete_object(Bucket=self._bucket, Key=key)
