"""All settings there are, in the order of the reference: type, bounds, default and meaning."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.settings.types import (
    Days,
    Hours,
    HttpUrl,
    Month,
    Port,
    Positive,
    Seconds,
    Waits,
    email,
    http,
    keeping,
    lamps,
    nats,
    notifiers,
    postgres,
    s3,
    sign_in,
    transcription,
    uploads,
    watching,
    webhooks,
)

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


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Field `x_y` comes from `AFTERTONE_X_Y`. S3 credentials are the AWS library's own business."""

    database_url: Annotated[
        str, postgres("`postgresql://user:password@host/database` of the role that owns nothing.")
    ] = ""
    owner_database_url: Annotated[
        str, postgres("The same of the role that owns the tables: for `migrate` and `keeper` only.")
    ] = ""
    database_pool_size: Annotated[Positive, postgres("Connections that one process opens.")] = 16
    database_timeout_s: Annotated[
        Seconds, postgres("How long a statement, or the wait for a connection, may take.")
    ] = 5.0

    nats_url: Annotated[
        str, nats("One server or several, with commas: `nats://host:4222`, `tls://host:4222`.")
    ] = "nats://127.0.0.1:4222"
    nats_credentials_file: Annotated[str, nats("A `.creds` file, where the servers ask.")] = ""
    stream_name: Annotated[str, nats("The JetStream stream that the relay declares.")] = "VOICEMAIL"
    stream_max_bytes: Annotated[
        int, nats("The stream's most bytes; beyond it the oldest events go. -1: no bound.")
    ] = -1
    stream_replicas: Annotated[
        int, Meta(ge=1, le=5), nats("Copies of the stream and of the bucket of lamps.")
    ] = 1

    s3_endpoint: Annotated[HttpUrl, s3("URL of the store; empty: AWS, of the region.")] = ""
    s3_bucket: Annotated[str, s3("The bucket that holds all audio; it exists already.")] = (
        "aftertone"
    )
    s3_region: Annotated[str, s3("The region that requests are signed for.")] = "us-east-1"
    s3_addressing_style: Annotated[
        Literal["path", "virtual", "auto"], s3("Whether the bucket stands in the path or the host.")
    ] = "path"
    s3_sse: Annotated[Literal["", "AES256", "aws:kms"], s3("Encryption by the store.")] = ""
    s3_sse_kms_key_id: Annotated[str, s3("The key for `aws:kms`; empty: the bucket's.")] = ""
    s3_pool_size: Annotated[Positive, s3("Connections that one process opens.")] = 64
    s3_connect_timeout_s: Annotated[Seconds, s3("How long connecting may take.")] = 2.0
    s3_timeout_s: Annotated[Seconds, s3("How long the store may be silent.")] = 10.0

    host: Annotated[str, http("The address to listen on.")] = "127.0.0.1"
    port: Annotated[Port, http("The port to listen on; 0: any free one.")] = 8000
    client_grace_s: Annotated[
        Seconds, http("How long a client may hesitate with its headers or its body.")
    ] = 10.0
    request_deadline_s: Annotated[
        Seconds, http("How long a request may take, beside what its client takes.")
    ] = 30.0
    rate_limit_per_s: Annotated[
        float,
        Meta(ge=0, le=1_000_000),
        http(
            "Requests a second of one account; a further one is a 429. Each API process counts by "
            "itself. 0: no limit."
        ),
    ] = 0.0
    rate_limit_burst: Annotated[
        Positive, http("How many of them may come at once, to each process.")
    ] = 100

    max_upload_bytes: Annotated[
        Positive, uploads("The largest recording or greeting; a larger one is a 413.")
    ] = 8_000_000
    max_uploads_in_flight: Annotated[
        Positive, uploads("Uploads at a time in one process; a further one is a 503.")
    ] = 64
    min_upload_bytes_per_s: Annotated[
        Positive, uploads("The least rate of a body, after the client's grace.")
    ] = 8_000

    key_ring_file: Annotated[
        str, sign_in("The keys that sign tokens and encrypt PINs: see `aftertone keys`.")
    ] = ""
    token_lifetime_s: Annotated[Positive, sign_in("How long a token is valid.")] = 3600
    sign_in_threads: Annotated[
        Positive, sign_in("Threads that hash passwords: each takes a core for a moment.")
    ] = 2
    tokens_in_query: Annotated[
        bool, sign_in("Whether GET takes `?auth_token=`, as `<audio>` elements need it.")
    ] = True
    issuer_url: Annotated[
        str, sign_in("An outside issuer whose tokens count too: its `iss`. Empty: none.")
    ] = ""
    issuer_jwks_url: Annotated[HttpUrl, sign_in("Where that issuer's public keys are.")] = ""
    issuer_audience: Annotated[str, sign_in("The `aud` that its tokens must carry.")] = ""
    issuer_account_claim: Annotated[
        str, sign_in("The claim of its tokens that holds the account's id.")
    ] = "account_id"

    retention_days: Annotated[Days, keeping("How long a message is kept after its timestamp.")] = 93
    purge_grace_days: Annotated[
        Days, keeping("How long a removed message and its audio can still be restored.")
    ] = 7
    backup_retention_days: Annotated[
        Days | None,
        keeping(
            "How old a database backup may be that is still restored, for `settings check`: "
            "`PURGE_GRACE_DAYS` must not be less, or a restored message finds no audio."
        ),
    ] = None
    orphan_grace_hours: Annotated[
        Hours, keeping("How old audio without a message must be before it is deleted.")
    ] = 24
    oldest_month: Annotated[
        Month | None, keeping("`YYYYMM`: older messages are refused; empty: 24 months ago.")
    ] = None

    notifier_retries_s: Annotated[
        Waits, notifiers("Waits before further attempts; after the last a delivery is dead.")
    ] = "120,300,900,1800,3600"
    notifier_ack_wait_s: Annotated[
        Seconds, notifiers("After this an event that a killed process had read comes again.")
    ] = 30.0
    notifier_lease_margin_s: Annotated[
        Seconds, notifiers("How much longer than a delivery may take its row is held.")
    ] = 30.0

    smtp_url: Annotated[
        str,
        email(
            "`smtp://` (encrypted if the server offers it; with a password it must), "
            "`smtp+starttls://` or `smtps://`, `user:password@host:port`, percent-encoded."
        ),
    ] = ""
    smtp_timeout_s: Annotated[
        Seconds, email("For each answer of the server; a mail may take four times as long.")
    ] = 30.0
    smtp_ca_file: Annotated[str, email("Authorities to trust beside the system's (PEM).")] = ""
    smtp_hostname: Annotated[str, email("What is said in EHLO; empty: this host's name.")] = ""
    email_sender: Annotated[
        str, email("`Name <address>`: From and envelope sender; its domain is in Message-IDs.")
    ] = ""
    email_templates_folder: Annotated[
        str, email("Templates (Jinja2) that replace the built-in ones by name.")
    ] = ""
    email_transcription_wait_s: Annotated[
        float, Meta(ge=0, le=3600), email("How long a mail waits for the text, if the box has one.")
    ] = 0.0
    email_concurrency: Annotated[
        int,
        Meta(ge=1, le=256),
        email("Mails at a time in one process; each takes up to seven times its audio in memory."),
    ] = 8

    webhook_allow_private: Annotated[
        bool, webhooks("Whether targets may have addresses that are not globally routable.")
    ] = False
    webhook_timeout_s: Annotated[
        float, Meta(gt=0, le=25), webhooks("How long an attempt may take.")
    ] = 15.0
    webhook_connect_timeout_s: Annotated[
        float, Meta(gt=0, le=25), webhooks("Of it for the look-up, and for the connection.")
    ] = 5.0
    webhook_concurrency: Annotated[
        int, Meta(ge=1, le=512), webhooks("Attempts at a time in one process; 4 to one webhook.")
    ] = 32

    lamp_bucket: Annotated[
        str, lamps("The key-value bucket of lamps; a second one is named after it.")
    ] = "MWI"
    ari_url: Annotated[
        HttpUrl, lamps("An Asterisk switch that is told too: the URL before `/ari`. Empty: none.")
    ] = ""
    ari_user: Annotated[str, lamps("Its user.")] = ""
    ari_password: Annotated[str, lamps("Its password.")] = ""
    ari_context: Annotated[
        str, lamps("What stands behind `@` in a mailbox's name; may hold `{account_id}`.")
    ] = ""
    ari_timeout_s: Annotated[Seconds, lamps("How long the switch may take for a lamp.")] = 5.0

    transcription_url: Annotated[
        HttpUrl,
        transcription(
            "The engine that is asked, up to and with `/v1/audio/transcriptions` (OpenAI's form)."
        ),
    ] = ""
    transcription_key: Annotated[
        str, transcription("What is sent to it as `Authorization: Bearer`. Empty: nothing.")
    ] = ""
    transcription_model: Annotated[str, transcription("The model it is asked for.")] = "whisper-1"
    transcription_language: Annotated[
        str, transcription("The language it is told (ISO 639-1). Empty: it finds out.")
    ] = ""
    transcription_timeout_s: Annotated[
        Seconds, transcription("How long it may take for a message.")
    ] = 300.0
    transcription_concurrency: Annotated[
        int,
        Meta(ge=1, le=64),
        transcription(
            "Messages at a time in one process, two of one account; each lies in memory."
        ),
    ] = 4

    stop_timeout_s: Annotated[
        Seconds, watching("How long a process may take to finish what it has, once it is to stop.")
    ] = 55.0
    admin_host: Annotated[str, watching("The address that health and metrics are told on.")] = (
        "127.0.0.1"
    )
    admin_port: Annotated[
        Port, watching("Their port, apart from the public one; 0: any free one, told in the log.")
    ] = 9090
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], watching("The least serious lines shown.")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        watching("How log lines look; `auto`: for people in a terminal, else JSON."),
    ] = "auto"
    traces_endpoint: Annotated[
        HttpUrl,
        watching("Where spans go: `http://collector:4318/v1/traces` (OTLP). Empty: no traces."),
    ] = ""
    traces_sample_ratio: Annotated[
        float,
        Meta(ge=0, le=1),
        watching("The share of requests traced, of those whose caller has not decided it."),
    ] = 1.0

    def __post_init__(self) -> None:
        if self.oldest_month is not None and not 1 <= self.oldest_month % 100 <= 12:
            raise ValueError(f"{PREFIX}OLDEST_MONTH is not acceptable: it is no month YYYYMM")
