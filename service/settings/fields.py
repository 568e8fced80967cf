"""Definitions of all settings in reference order: type, bounds, default and description."""

import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.settings.types import (
    Days,
    Domains,
    Hours,
    HttpUrl,
    Limit,
    Month,
    Networks,
    Port,
    Positive,
    Seconds,
    Waits,
    callbacks,
    email,
    http,
    lamps,
    nats,
    notifiers,
    operations,
    parse_networks,
    postgres,
    quotas,
    retention,
    s3,
    sign_in,
    transcription,
    uploads,
    webhooks,
)

PREFIX = "AFTERTONE_"

# Variables with the same prefix that `aftertone dev` writes for clients. They are not settings.
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
    """Field `x_y` is read from `AFTERTONE_X_Y`. The AWS library reads the S3 credentials."""

    database_url: Annotated[
        str,
        postgres("`postgresql://user:password@host/database` for the role that owns no tables."),
    ] = ""
    owner_database_url: Annotated[
        str,
        postgres("The same for the role that owns the tables. Only `migrate` and `keeper` use it."),
    ] = ""
    database_pool_size: Annotated[Positive, postgres("Maximum connections of one process.")] = 16
    database_timeout_s: Annotated[
        Seconds, postgres("Timeout of a statement, and of the wait for a connection.")
    ] = 5.0

    nats_url: Annotated[
        str,
        nats(
            "One or more server URLs, separated by commas: `nats://host:4222`, `tls://host:4222`."
        ),
    ] = "nats://127.0.0.1:4222"
    nats_credentials_file: Annotated[str, nats("A `.creds` file, if the servers require one.")] = ""
    stream_name: Annotated[str, nats("Name of the JetStream stream that the relay creates.")] = (
        "VOICEMAIL"
    )
    stream_max_bytes: Annotated[
        int,
        nats(
            "Maximum size of the stream; above it, the oldest events are discarded. -1: no limit."
        ),
    ] = -1
    stream_replicas: Annotated[
        int, Meta(ge=1, le=5), nats("Replicas of the stream and of the lamp buckets.")
    ] = 1

    s3_endpoint: Annotated[HttpUrl, s3("URL of the store. Empty: AWS in the region.")] = ""
    s3_public_endpoint: Annotated[
        HttpUrl,
        s3("URL of the store as clients reach it, for redirects to audio. Empty: no redirects."),
    ] = ""
    s3_bucket: Annotated[str, s3("Bucket for all audio. It must exist.")] = "aftertone"
    s3_region: Annotated[str, s3("Region for which requests are signed.")] = "us-east-1"
    s3_addressing_style: Annotated[
        Literal["path", "virtual", "auto"],
        s3("Position of the bucket name: in the path or in the host."),
    ] = "path"
    s3_sse: Annotated[Literal["", "AES256", "aws:kms"], s3("Server-side encryption.")] = ""
    s3_sse_kms_key_id: Annotated[
        str, s3("Key for `aws:kms`. Empty: the default key of the bucket.")
    ] = ""
    s3_pool_size: Annotated[Positive, s3("Maximum connections of one process.")] = 64
    s3_connect_timeout_s: Annotated[Seconds, s3("Timeout of a connection attempt.")] = 2.0
    s3_timeout_s: Annotated[Seconds, s3("Timeout of the wait for data from the store.")] = 10.0

    host: Annotated[str, http("Address to listen on.")] = "127.0.0.1"
    port: Annotated[Port, http("Port to listen on. 0: any free port.")] = 8000
    public_url: Annotated[
        HttpUrl,
        http("URL of the API as clients reach it, for links. Empty: the host of the request."),
    ] = ""
    redirect_audio: Annotated[
        bool,
        http(
            "Redirect downloads of recordings to `AFTERTONE_S3_PUBLIC_ENDPOINT`. `redirect_audio` "
            "of the account and `?redirect=` take precedence."
        ),
    ] = False
    kazoo_neighbours: Annotated[
        bool,
        http(
            "Answer the lists `callflows`, `devices`, `cdrs` and `faxboxes`, which the service "
            "does not have, with an empty list. Otherwise they are a 404."
        ),
    ] = False
    client_grace_s: Annotated[
        Seconds, http("Time that a client may pause while it sends headers or a body.")
    ] = 10.0
    max_connections: Annotated[
        Positive,
        http(
            "Maximum connections of one process. While all are in use, it is not ready. The limit "
            "of open files must be higher."
        ),
    ] = 4096
    max_connections_per_peer: Annotated[
        Limit,
        http(
            "Maximum connections of one IPv4 address, or of one IPv6 network of 64 bits; above it, "
            "idle ones are closed. `AFTERTONE_TRUSTED_PROXIES` have no limit. 0: no limit."
        ),
    ] = 1024
    trusted_proxies: Annotated[
        Networks,
        http(
            "Networks of proxies in front of the API. The address of a client is the last one in "
            "`X-Forwarded-For` that is not in these networks. Set it behind a proxy: otherwise all "
            "clients have the address of the proxy, and share the limits of sign-in."
        ),
    ] = ""
    request_deadline_s: Annotated[
        Seconds,
        http("Maximum duration of a request, without the time spent waiting for the client."),
    ] = 30.0
    max_streams: Annotated[
        Limit,
        http(
            "Maximum event streams of one process, and at most three quarters of "
            "`AFTERTONE_MAX_CONNECTIONS`; above it, the answer is 429. 0: no other limit."
        ),
    ] = 1000
    max_streams_per_account: Annotated[
        Limit,
        http(
            "Maximum event streams of one account whose `limits` lack `streams`, in each process. "
            "0: no limit."
        ),
    ] = 100
    max_streams_per_token: Annotated[
        Limit, http("Maximum event streams of one token or password, in each process. 0: no limit.")
    ] = 20
    rate_limit_per_s: Annotated[
        float,
        Meta(ge=0, le=1_000_000),
        http(
            "Requests per second of one account; above it, the answer is 429. Each API process "
            "counts separately. 0: no limit."
        ),
    ] = 0.0
    rate_limit_burst: Annotated[
        Positive, http("Requests that one account may send at once, to each API process.")
    ] = 100

    audio_cache_mb: Annotated[
        Limit,
        uploads(
            "Temporary disk space of an API process for recently stored audio, in MB (1 000 000 "
            "bytes). The process that stored it reads it from there for an hour. 0: no cache."
        ),
    ] = 0
    max_upload_bytes: Annotated[
        Positive, uploads("Maximum size of a recording or greeting; above it, the answer is 413.")
    ] = 8_000_000
    strict_metadata: Annotated[
        bool,
        uploads(
            "Refuse a new message with 400 if its caller id, call id, `from` or `to` is too long. "
            "By default such a value is cut, and the response has `warnings`."
        ),
    ] = False
    max_uploads_in_flight: Annotated[
        Positive, uploads("Maximum concurrent uploads in one process; above it, the answer is 503.")
    ] = 64
    max_uploads_per_account: Annotated[
        Positive, uploads("Maximum concurrent uploads of one account in one process.")
    ] = 16
    min_upload_bytes_per_s: Annotated[
        Positive,
        uploads(
            "Minimum rate of a request body, after `AFTERTONE_CLIENT_GRACE_S`. Four times as high "
            "while more than three quarters of the upload slots are in use."
        ),
    ] = 8_000

    quota_boxes: Annotated[
        Limit, quotas("Maximum boxes of an account whose `limits` lack `boxes`. 0: no quota.")
    ] = 0
    quota_users: Annotated[Limit, quotas("The same for users.")] = 0
    quota_webhooks: Annotated[
        Limit, quotas("The same for webhooks. An account never has more than 100.")
    ] = 0
    quota_api_keys: Annotated[
        Limit, quotas("The same for named API keys. An account never has more than 100.")
    ] = 0
    quota_stored_bytes: Annotated[
        Limit, quotas("The same for bytes of audio, in messages and greetings.")
    ] = 0

    key_ring_file: Annotated[
        str, sign_in("File of the keys that sign tokens and encrypt PINs; see `aftertone keys`.")
    ] = ""
    token_lifetime_s: Annotated[Positive, sign_in("Lifetime of a token.")] = 3600
    sign_in_threads: Annotated[
        Positive, sign_in("Threads that hash passwords. Each uses one core while it works.")
    ] = 2
    password_min_length: Annotated[
        int,
        Meta(ge=1, le=256),
        sign_in("Minimum length of a new password. Existing passwords stay valid."),
    ] = 8
    sign_in_max_failures: Annotated[
        Limit,
        sign_in(
            "Different wrong credentials for one user, account or mailbox user, from one address; "
            "then the answer is 429 until `AFTERTONE_SIGN_IN_LOCK_S` has passed. Each API process "
            "counts separately, in memory. 0: no limit."
        ),
    ] = 10
    sign_in_max_failures_per_account: Annotated[
        Limit,
        sign_in(
            "The same for one account from all addresses. Addresses from which a user of the "
            "account signed in during the last 24 hours are exempt."
        ),
    ] = 100
    sign_in_max_failures_per_peer: Annotated[
        Limit, sign_in("The same for one address and all accounts, with the same exemption.")
    ] = 100
    sign_in_lock_s: Annotated[
        Positive, sign_in("Time in which wrong credentials are counted, and duration of a lock.")
    ] = 900
    tokens_in_query: Annotated[
        bool, sign_in("Accept `?auth_token=` on GET requests, as `<audio>` elements require.")
    ] = True
    user_access: Annotated[
        Literal["own", "account"],
        sign_in(
            "Access of a user whose `priv_level` is not `admin`: `own` for its own boxes, "
            "`account` for the whole account and those below it."
        ),
    ] = "own"
    issuer_url: Annotated[
        str, sign_in("The `iss` of an external issuer whose tokens are accepted too. Empty: none.")
    ] = ""
    issuer_jwks_url: Annotated[HttpUrl, sign_in("URL of the public keys of that issuer.")] = ""
    issuer_allow_http: Annotated[
        bool,
        sign_in(
            "Allow an `http` URL for these keys, although an attacker in the network could replace "
            "them. A loopback address needs no permission."
        ),
    ] = False
    issuer_audience: Annotated[str, sign_in("The `aud` that its tokens must have.")] = ""
    issuer_max_lifetime_s: Annotated[
        Limit,
        sign_in(
            "Maximum lifetime of its tokens (`exp` - `iat`); tokens with a longer one are refused. "
            "0: `AFTERTONE_TOKEN_LIFETIME_S`."
        ),
    ] = 0
    issuer_account_claim: Annotated[
        str, sign_in("Claim of its tokens that holds the account id.")
    ] = "account_id"

    retention_days: Annotated[Days, retention("Retention of a message after its timestamp.")] = 93
    purge_grace_days: Annotated[
        Days,
        retention(
            "Time during which a removed message and its audio can be restored, in accounts "
            "without `trash_days`."
        ),
    ] = 7
    backup_retention_days: Annotated[
        Days | None,
        retention(
            "Retention of database backups. `settings check` compares it with "
            "`AFTERTONE_PURGE_GRACE_DAYS`, which must not be less: otherwise restored messages "
            "have no audio."
        ),
    ] = None
    orphan_grace_hours: Annotated[
        Hours, retention("Minimum age of audio without a message before it is deleted.")
    ] = 24
    audit_days: Annotated[
        Days, retention("Minimum retention of audit records. They are deleted by calendar month.")
    ] = 400
    oldest_month: Annotated[
        Month | None,
        retention(
            "`YYYYMM`; older messages are refused. Empty: 24 months ago. `migrate` needs the same "
            "value, since the database checks it too."
        ),
    ] = None

    notifier_retries_s: Annotated[
        Waits, notifiers("Delays before each retry. After the last retry a delivery is dead.")
    ] = "120,300,900,1800,3600"
    notifier_ack_wait_s: Annotated[
        Seconds, notifiers("Time after which an unacknowledged event is redelivered.")
    ] = 30.0
    notifier_lease_margin_s: Annotated[
        Seconds, notifiers("Lease time of a delivery beyond its timeout.")
    ] = 30.0

    smtp_url: Annotated[
        str,
        email(
            "`smtp://`, `smtp+starttls://` or `smtps://`, then `user:password@host:port`, "
            "percent-encoded. `smtp://` encrypts if the server supports it; with a password, "
            "encryption is required."
        ),
    ] = ""
    smtp_timeout_s: Annotated[
        Seconds,
        email("Timeout of each reply of the server; a whole mail may take four times as long."),
    ] = 30.0
    smtp_ca_file: Annotated[str, email("Additional trusted certificate authorities (PEM).")] = ""
    smtp_hostname: Annotated[
        str, email("Host name sent in EHLO. Empty: the name of this host.")
    ] = ""
    email_sender: Annotated[
        str,
        email("`Name <address>` of From and the envelope sender. Message-IDs use its domain."),
    ] = ""
    email_from_domains: Annotated[
        Domains,
        email(
            "Domains that accounts may use in From (`notify_email.from`), separated by commas. "
            "Addresses in other domains become Reply-To, and From is `AFTERTONE_EMAIL_SENDER`."
        ),
    ] = ""
    email_confirm_recipients: Annotated[
        bool,
        email(
            "Recipients who are not users of the account get mails only after they have confirmed. "
            "Needs `AFTERTONE_PUBLIC_URL` and the key ring."
        ),
    ] = False
    email_rate_per_hour: Annotated[
        Limit,
        email(
            "Maximum mails of one account in an hour; an account may send the mails of one hour at "
            "once. Mails above it wait. 0: no maximum."
        ),
    ] = 1000
    email_templates_folder: Annotated[
        str, email("Folder of Jinja2 templates that replace built-in templates of the same name.")
    ] = ""
    email_transcription_wait_s: Annotated[
        float,
        Meta(ge=0, le=3600),
        email("Time that a mail waits for a transcription, if the box has transcription enabled."),
    ] = 0.0
    email_concurrency: Annotated[
        int,
        Meta(ge=1, le=256),
        email(
            "Maximum concurrent mails in one process. A mail needs up to 7 times its audio in RAM."
        ),
    ] = 8

    webhook_allow_private: Annotated[
        Networks,
        webhooks(
            "Networks that webhooks may reach although they are not globally routable. `true` "
            "allows all, also metadata services: do not use it outside of tests."
        ),
    ] = ""
    webhook_allow_http: Annotated[
        bool,
        webhooks(
            "Allow `http` URLs, which are not encrypted. Without it, `http` is allowed only to "
            "loopback addresses."
        ),
    ] = False
    webhook_timeout_s: Annotated[float, Meta(gt=0, le=25), webhooks("Timeout of an attempt.")] = (
        15.0
    )
    webhook_connect_timeout_s: Annotated[
        float,
        Meta(gt=0, le=25),
        webhooks("Timeout of the DNS lookup, and of the connection attempt."),
    ] = 5.0
    webhook_concurrency: Annotated[
        int,
        Meta(ge=1, le=512),
        webhooks("Maximum concurrent attempts in one process; at most 4 to one webhook."),
    ] = 32

    callback_number_pattern: Annotated[
        str,
        callbacks(
            "Regular expression for the numbers that callbacks may call: others are refused in "
            "mailboxes (400) and are not called."
        ),
    ] = r"\+?[0-9]{1,15}"

    lamp_bucket: Annotated[
        str,
        lamps("Key-value bucket of the lamps. The bucket for Asterisk has the suffix `_SWITCH`."),
    ] = "MWI"
    ari_url: Annotated[
        HttpUrl,
        lamps("URL of an Asterisk server that shows the lamps, without `/ari`. Empty: none."),
    ] = ""
    ari_user: Annotated[str, lamps("User name for Asterisk.")] = ""
    ari_password: Annotated[str, lamps("Password for Asterisk.")] = ""
    ari_context: Annotated[
        str, lamps("Part of a mailbox name after `@`. May contain `{account_id}`.")
    ] = ""
    ari_timeout_s: Annotated[Seconds, lamps("Timeout of setting one lamp on Asterisk.")] = 5.0

    transcription_url: Annotated[
        HttpUrl,
        transcription(
            "Full URL of a speech recognition engine, including `/v1/audio/transcriptions` (OpenAI "
            "API). Empty: none."
        ),
    ] = ""
    transcription_key: Annotated[
        str, transcription("API key, sent as `Authorization: Bearer`. Empty: none.")
    ] = ""
    transcription_model: Annotated[str, transcription("Model that the engine uses.")] = "whisper-1"
    transcription_language: Annotated[
        str, transcription("Language of the messages (ISO 639-1). Empty: detected.")
    ] = ""
    transcription_timeout_s: Annotated[
        Seconds, transcription("Timeout of transcribing one message.")
    ] = 300.0
    transcription_concurrency: Annotated[
        int,
        Meta(ge=1, le=64),
        transcription(
            "Maximum concurrent messages in one process; at most 2 of one account. Each is held in "
            "memory."
        ),
    ] = 4

    stop_timeout_s: Annotated[
        Seconds, operations("Time that a process has to finish its work after a stop signal.")
    ] = 55.0
    admin_host: Annotated[str, operations("Address of the port for health and metrics.")] = (
        "127.0.0.1"
    )
    admin_port: Annotated[
        Port,
        operations(
            "Port for health and metrics, separate from HTTP. 0: any free port, written to the log."
        ),
    ] = 9090
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], operations("Minimum severity of log lines.")
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"],
        operations("Format of log lines. `auto`: readable text in a terminal, otherwise JSON."),
    ] = "auto"
    traces_endpoint: Annotated[
        HttpUrl,
        operations(
            "OTLP collector of traces: `http://collector:4318/v1/traces`. Empty: no traces."
        ),
    ] = ""
    traces_sample_ratio: Annotated[
        float,
        Meta(ge=0, le=1),
        operations("Share of requests to trace, if the caller has not decided it."),
    ] = 1.0

    def __post_init__(self) -> None:
        try:
            re.compile(self.callback_number_pattern)
        except re.error:
            raise ValueError(
                f"{PREFIX}CALLBACK_NUMBER_PATTERN is not valid: expected a regular expression"
            ) from None
        if self.oldest_month is not None and not 1 <= self.oldest_month % 100 <= 12:
            raise ValueError(f"{PREFIX}OLDEST_MONTH is not valid: expected a month YYYYMM")
        try:
            parse_networks(self.webhook_allow_private)
        except ValueError:
            raise ValueError(
                f"{PREFIX}WEBHOOK_ALLOW_PRIVATE is not valid: expected networks (CIDR) separated "
                "by commas, such as `10.1.0.0/16`"
            ) from None
