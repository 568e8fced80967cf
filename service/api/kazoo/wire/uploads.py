"""JSON of announced uploads."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.api.kazoo.times import format_time
from service.api.kazoo.wire.messages import MessageContext
from service.api.kazoo.wire.types import DateTimeString
from service.usecases.direct_uploads import AnnouncedUpload


class UploadResponse(msgspec.Struct, kw_only=True):
    """An announced upload: the request that sends the audio to the audio store."""

    upload: Annotated[str, Meta(description="The `upload` of the message that it completes")]
    method: Annotated[Literal["PUT"], Meta(description="The method of the request")]
    url: Annotated[str, Meta(description="The URL of the request, at the audio store")]
    headers: Annotated[
        Mapping[str, str],
        Meta(description="The headers of the request; a browser sets `Content-Length` itself"),
    ]
    expires: Annotated[
        int | DateTimeString,
        Meta(description="Gregorian seconds; ISO-8601 in the `audian` profile"),
    ]


def upload_response(announced: AnnouncedUpload, context: MessageContext) -> UploadResponse:
    """Returns an announced upload as the response to its announcement."""
    request = announced.request
    return UploadResponse(
        upload=announced.token,
        method="PUT",
        url=request.url,
        headers=request.headers,
        expires=format_time(announced.upload.expires_at, context.profile),
    )
