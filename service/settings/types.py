"""Types of settings with their bounds, and the groups of the reference."""

from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from msgspec import Meta

# Upper bounds that no deployment reaches. They keep date arithmetic within the calendar.
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Limit = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Days = Annotated[int, Meta(ge=1, le=36_500)]
Hours = Annotated[int, Meta(ge=1, le=24 * 36_500)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Port = Annotated[int, Meta(ge=0, le=65535)]
# `120,300`: seconds, each less than ten days.
Waits = Annotated[
    str,
    Meta(
        pattern=r"\A(?:\d{1,6}(?:\.\d{1,3})?(?:,\d{1,6}(?:\.\d{1,3})?)*)?\Z",
        extra={"spelling": "numbers separated by commas"},
    ),
]
Domains = Annotated[
    str,
    Meta(
        pattern=r"\A(?:(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+(?:,(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]+)*)?\Z",
        extra={"spelling": "domain names separated by commas"},
    ),
]
HttpUrl = Annotated[
    str, Meta(pattern=r"\A(?:https?://.+)?\Z", extra={"spelling": "`http://` or `https://` URL"})
]
# `10.1.0.0/16,fd00::/8`. `true` and `false` stand for all addresses and none.
Networks = Annotated[
    str,
    Meta(
        pattern=r"\A[0-9A-Fa-f.:/, truelsTRUELS]*\Z",
        extra={"spelling": "networks (CIDR) separated by commas"},
    ),
]
Month = Annotated[int, Meta(ge=197001, le=999912)]


def parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Returns the networks of a setting. Raises ValueError."""
    match text.strip().lower():
        case "" | "false" | "0":
            return ()
        case "true" | "1":
            return (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
        case _:
            return tuple(ip_network(network.strip()) for network in text.split(","))


def group(title: str) -> Callable[[str], Meta]:
    """Returns the annotation of a field in this group of `deploy/SETTINGS.md`.

    Its argument is a sentence, with the unit if the name of the field does not end in it.
    """
    return lambda description: Meta(title=title, description=description)


postgres = group("Postgres")
nats = group("NATS")
s3 = group("S3")
http = group("HTTP")
quotas = group("Quotas")
uploads = group("Uploads")
conversion = group("Audio conversion")
sign_in = group("Keys and sign-in")
retention = group("Retention")
relay = group("Relay")
notifiers = group("Notifiers")
email = group("E-mail")
webhooks = group("Webhooks")
callbacks = group("Callbacks")
lamps = group("Message-waiting lamps")
transcription = group("Transcription")
operations = group("Operations")
