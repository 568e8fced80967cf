"""Settings: what an operator can set, read once. The only reader of the environment."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

PREFIX = "AFTERTONE_"

# Names under the same prefix that `aftertone dev` writes for clients, not for the service.
FOR_CLIENTS = frozenset(
    {
        "AFTERTONE_URL",
        "AFTERTONE_ACCOUNT_ID",
        "AFTERTONE_API_KEY",
        "AFTERTONE_AUTH_TOKEN",
        "AFTERTONE_ADMIN_URL",
    }
)

# Bounds that no deployment meets, so that sums of times and sizes stay on the calendar.
Positive = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Days = Annotated[int, Meta(ge=1, le=36_500)]
Hours = Annotated[int, Meta(ge=1, le=24 * 36_500)]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Port = Annotated[int, Meta(ge=0, le=65535)]
# `120,300`: seconds, each less than ten days.
Waits = Annotated[str, Meta(pattern=r"\A(?:\d{1,6}(?:\.\d{1,3})?(?:,\d{1,6}(?:\.\d{1,3})?)*)?\Z")]
Month = Annotated[int, Meta(ge=197001, le=999912)]


class SettingsError(Exception):
    """The environment does not make sense; the text says which variable and why."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Field `x_y` comes from `AFTERTONE_X_Y`. S3 credentials are the AWS library's own business."""

    database_url: str = ""
    owner_database_url: str = ""
    database_pool_size: Positive = 16
    database_timeout_s: Seconds = 5.0

    nats_url: str = "nats://127.0.0.1:4222"
    nats_credentials_file: str = ""
    stream_name: str = "VOICEMAIL"
    stream_max_bytes: int = -1
    stream_replicas: Annotated[int, Meta(ge=1, le=5)] = 1

    s3_endpoint: str = ""
    s3_bucket: str = "aftertone"
    s3_region: str = "us-east-1"
    s3_addressing_style: Literal["path", "virtual", "auto"] = "path"
    s3_sse: Literal["", "AES256", "aws:kms"] = ""
    s3_sse_kms_key_id: str = ""
    s3_pool_size: Positive = 64
    s3_connect_timeout_s: Seconds = 2.0
    s3_timeout_s: Seconds = 10.0

    host: str = "127.0.0.1"
    port: Port = 8000
    key_ring_file: str = ""
    token_lifetime_s: Positive = 3600
    sign_in_threads: Positive = 2
    issuer_url: str = ""
    issuer_jwks_url: str = ""
    issuer_audience: str = ""
    issuer_account_claim: str = "account_id"
    tokens_in_query: bool = True
    max_upload_bytes: Positive = 8_000_000
    max_uploads_in_flight: Positive = 64
    min_upload_bytes_per_s: Positive = 8_000
    client_grace_s: Seconds = 10.0
    request_deadline_s: Seconds = 30.0
    retention_days: Days = 93
    purge_grace_days: Days = 7
    orphan_grace_hours: Hours = 24
    oldest_month: Month | None = None

    # Waits before the further attempts of a delivery, in seconds; after the last one it is dead.
    notifier_retries_s: Waits = "120,300,900,1800,3600"
    # What a process that is killed has in hand comes again after this: an event that it had read,
    # and (beside the time a delivery may take) a delivery that it had begun.
    notifier_ack_wait_s: Seconds = 30.0
    notifier_lease_margin_s: Seconds = 30.0
    # smtp:// (encrypted if the server offers it), smtp+starttls:// or smtps://, user:password@host
    smtp_url: str = ""
    smtp_timeout_s: Seconds = 30.0
    smtp_ca_file: str = ""
    smtp_hostname: str = ""
    email_sender: str = ""
    email_templates_folder: str = ""
    email_transcription_wait_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    email_concurrency: Annotated[int, Meta(ge=1, le=256)] = 8

    # Whether webhooks may lead to addresses that are not globally routable, such as one's own.
    webhook_allow_private: bool = False
    webhook_timeout_s: Annotated[float, Meta(gt=0, le=25)] = 15.0
    webhook_connect_timeout_s: Annotated[float, Meta(gt=0, le=25)] = 5.0
    webhook_concurrency: Annotated[int, Meta(ge=1, le=512)] = 32

    # The bucket of lamps; the one that remembers the switch's is named after it.
    lamp_bucket: str = "MWI"
    # An Asterisk switch: the URL before `/ari`; what stands behind `@` in a mailbox's name, where
    # {account_id} may be in it.
    ari_url: str = ""
    ari_user: str = ""
    ari_password: str = ""
    ari_context: str = ""
    ari_timeout_s: Seconds = 5.0

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"

    def __post_init__(self) -> None:
        if self.oldest_month is not None and not 1 <= self.oldest_month % 100 <= 12:
            raise ValueError(f"{PREFIX}OLDEST_MONTH is not acceptable: it is no month YYYYMM")


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings that `environment` spells; SettingsError names the variable that is wrong."""
    given = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(PREFIX) and name not in FOR_CLIENTS
    }
    unknown = sorted(given.keys() - set(Settings.__struct_fields__))
    if unknown:
        names = ", ".join(PREFIX + name.upper() for name in unknown)
        raise SettingsError(f"Unknown settings: {names}.")
    try:
        return msgspec.convert(given, Settings, strict=False)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$.")
        if not path:
            raise SettingsError(f"{reason}.") from None
        name = PREFIX + path.rstrip("`").upper()
        raise SettingsError(f"{name} is not acceptable: {reason}.") from None
