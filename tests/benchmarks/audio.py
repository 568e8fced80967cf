"""Measurements of audio that bypasses the service, or comes from its local cache."""

import hashlib
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from uuid import UUID, uuid4

from service.audio.keys import message_key
from service.domain.direct_upload import DirectUpload
from service.domain.message import Audio, MessageId
from service.security import SecretBox, UploadTokens, load_key_ring
from tests.benchmarks.measure import Result
from tests.benchmarks.plan import Bench
from tests.benchmarks.requests import AUDIO_BYTES, dealt, json_body, shuffled, some_audio

_JSON = "application/json"
# New uploads for so many messages a second; a faster service completes the first ones again.
_UPLOADS_PER_SECOND = 2000
_WARM_UP_S = 1.0


async def raw_cached(bench: Bench, clients: int) -> Result:
    """The audio of messages that this process has stored, from its local cache."""
    stack = bench.stack
    requests = [
        stack.head("GET", stack.target(message.vmbox_id, message.media_id, "raw"))
        for message in stack.cached_messages
    ]
    return await bench.load(
        "raw cached",
        stack.address_of("second"),
        shuffled(requests, clients),
        trees=stack.trees("second"),
    )


async def raw_redirected(bench: Bench, clients: int) -> Result:
    """The 307 to the audio of a message. `S3 GET` is the rest of the download."""
    stack = bench.stack
    requests = [
        stack.head("GET", stack.target(message.vmbox_id, message.media_id, "raw?redirect=true"))
        for message in stack.messages
    ]
    return await bench.load(
        "raw redirected",
        stack.address_of("second"),
        shuffled(requests, clients),
        trees=stack.trees("second"),
        redirects=True,
    )


async def announce(bench: Bench, clients: int) -> Result:
    """First half of a direct upload."""
    stack = bench.stack
    audio = some_audio()
    body = json_body(
        size=str(len(audio)), sha256=hashlib.sha256(audio).hexdigest(), content_type="audio/mpeg"
    )
    requests = [
        stack.head("POST", stack.target(box, "upload"), len(body), content_type=_JSON)
        for box in stack.store_boxes
    ]
    return await bench.load(
        "announce",
        stack.address_of("second"),
        shuffled(requests, clients),
        body,
        stack.trees("second"),
    )


async def complete(bench: Bench, clients: int) -> Result:
    """Second half of a direct upload: each request stores a message whose audio is in the store.

    The tokens are made here, and all name one object.
    """
    stack = bench.stack
    tokens = UploadTokens(
        SecretBox(load_key_ring(Path(stack.service.environment["AFTERTONE_KEY_RING_FILE"])))
    )
    account = UUID(stack.account.account_id)
    now = datetime.now(UTC).replace(microsecond=0)
    audio = await _shared_audio(bench, account, now)
    count = round((bench.seconds + _WARM_UP_S) * _UPLOADS_PER_SECOND)
    requests = []
    for box in islice(cycle(stack.store_boxes), count):
        upload = DirectUpload(
            message_id=MessageId.generate(now, now),
            received_at=now,
            audio=audio,
            metadata={},
            started_at=now,
        )
        body = json_body(upload=tokens.issue(account, UUID(box), upload))
        requests.append(stack.head("PUT", stack.target(box), len(body), content_type=_JSON) + body)
    return await bench.load(
        "complete",
        stack.address_of("second"),
        dealt(requests, clients),
        trees=stack.trees("second"),
    )


async def _shared_audio(bench: Bench, account: UUID, now: datetime) -> Audio:
    """Stores one object, as a client of the store does."""
    content = some_audio()
    key = message_key(int(f"{now:%Y%m}"), account, uuid4(), uuid4(), "mp3")
    await bench.stack.put_object(key, content, "audio/mpeg")
    return Audio(
        key=key,
        content_type="audio/mpeg",
        size=AUDIO_BYTES,
        sha256=hashlib.sha256(content).digest(),
    )
