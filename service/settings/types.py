"""What settings are made of: named types with their bounds, and the groups they are told in."""

from collections.abc import Callable
from typing import Annotated

from msgspec import Meta

# Bounds that no deployment meets, so that sums of times and sizes stay on the calendar.
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Days = Annotated[int, Meta(ge=1, le=36_500)]
Hours = Annotated[int, Meta(ge=1, le=24 * 36_500)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Port = Annotated[int, Meta(ge=0, le=65535)]
# `120,300`: seconds, each less than ten days.
Waits = Annotated[
    str,
    Meta(
        pattern=r"\A(?:\d{1,6}(?:\.\d{1,3})?(?:,\d{1,6}(?:\.\d{1,3})?)*)?\Z",
        extra={"spelled": "numbers, with commas"},
    ),
]
HttpUrl = Annotated[
    str, Meta(pattern=r"\A(?:https?://.+)?\Z", extra={"spelled": "`http://` or `https://` URL"})
]
Month = Annotated[int, Meta(ge=197001, le=999912)]


def group(title: str) -> Callable[[str], Meta]:
    """What gives a field its place and its meaning in the reference, `deploy/SETTINGS.md`.

    The meaning is a sentence, with the unit where the name does not end in it.
    """
    return lambda meaning: Meta(title=title, description=meaning)


postgres = group("Postgres")
nats = group("NATS")
s3 = group("S3")
http = group("HTTP")
uploads = group("Uploads")
sign_in = group("Keys and sign-in")
keeping = group("How long things are kept")
notifiers = group("Notifiers")
email = group("E-mail")
webhooks = group("Webhooks")
lamps = group("Message-waiting lamps")
transcription = group("Transcription")
watching = group("Stopping and watching")
