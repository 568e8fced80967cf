"""Copies a bucket to a folder or back, as `aws s3 sync` does."""

import asyncio
import os
from pathlib import Path

from aiobotocore.session import AioSession


def sync(source: str, target: str) -> None:
    asyncio.run(_copy(source, target))


async def _copy(source: str, target: str) -> None:
    session = AioSession()
    async with session.create_client(
        "s3",
        endpoint_url=os.environ["AFTERTONE_S3_ENDPOINT"],
        region_name=os.environ["AFTERTONE_S3_REGION"],
    ) as client:
        if source.startswith("s3://"):
            bucket, folder = source.removeprefix("s3://"), Path(target)
            async for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for item in page.get("Contents", ()):
                    answer = await client.get_object(Bucket=bucket, Key=item["Key"])
                    path = folder / item["Key"]
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(await answer["Body"].read())
        else:
            bucket, folder = target.removeprefix("s3://"), Path(source)
            for path in filter(Path.is_file, sorted(folder.rglob("*"))):
                key = str(path.relative_to(folder))
                await client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
