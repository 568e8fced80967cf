"""Definitions of all settings in reference order: type, bounds, default and description."""

import re
from typing import Annotated, Literal

from msgspec import Meta

from service.settings.audio_fields import AudioSettings
from service.settings.types import (
    Days,
    Domains,
    Hours,
    HttpUrl,
    Limit,
    Month,
    Networks,
    Port,
    Seconds,
    Waits,
    callbacks,
    email,
    lamps,
    notifiers,
    operations,
    parse_networks,
    relay,
    retention,
    transcription,
    webhooks,
)

PREFIX = "AFTERTONE_"

# Variables with the same prefix that `aftertone dev` writes for clients. They are not settings.
FOR_CLIENTS = frozenset(
    {
        "AFTERTONE_URL",
        "AFTERTONE_ACCOUNT_ID",
        "AFTERTONE_API_KEY",
        "AFTERTONE_ACCOUNT",
        "AFTERTONE_USERNAME",
        "AFTERTONE_PASSWORD",
        "AFTERTONE_AUTH_TOKEN",
        "AFTERTONE_ADMIN_URL",
    }
)


class Settings(AudioSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Field `x_y` is read from `AFTERTONE_X_Y`. The AWS library reads the S3 credentials."""

    retention_days: Annotated[
        Days,
        retention(
            "Retention of a message after its timestamp, in accounts and boxes without "
            "`message_retention_days`."
        ),
    ] = 93
    deleted_retention_days: Annotated[
        Days,
        retention(
            "Retention of a message after it was put into the folder `deleted`, in accounts and "
            "boxes without `deleted_retention_days`. `AFTERTONE_RETENTION_DAYS` applies too."
        ),
    ] = 30
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
    kept_mail_folder: Annotated[
        str,
        retention(
            "Folder of mails that are kept as files `*.eml`. Erasures delete those of the person. "
            "`aftertone dev` sets it."
        ),
    ] = ""
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

    relay_shards: Annotated[
        int,
        Meta(ge=1, le=64),
        relay(
            "Number of shards, which is the maximum number of relays that publish events at the "
            "same time. The value of the relay that started last applies to all relays."
        ),
    ] = 4
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
    email_link_days: Annotated[
        int,
        Meta(ge=0, le=30),
        email(
            "Days for which the link in a mail opens its message in the web inbox without sign-in, "
            "if the box has mails with audio. 0: the link needs sign-in."
        ),
    ] = 7
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

    transcription_engine: Annotated[
        Literal["http", "faster-whisper"],
        transcription(
            "`http`: the engine at `AFTERTONE_TRANSCRIPTION_URL`. `faster-whisper`: this machine; "
            "needs the extra `aftertone[transcription]`."
        ),
    ] = "http"
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
    transcription_model: Annotated[
        str,
        transcription(
            "Model that the engine uses. For `faster-whisper`: the folder of a CTranslate2 model, "
            "an installed Python package that contains one, or a model to download."
        ),
    ] = "whisper-1"
    transcription_download_folder: Annotated[
        str,
        transcription(
            "Folder into which `faster-whisper` downloads a model that is missing, from Hugging "
            "Face. Empty: nothing is downloaded."
        ),
    ] = ""
    transcription_workers: Annotated[
        int,
        Meta(ge=0, le=512),
        transcription(
            "Processes of `faster-whisper`, each with the model in memory; at most 2 per core. 0: "
            "one per core."
        ),
    ] = 0
    transcription_memory_mb: Annotated[
        int,
        Meta(ge=256, le=1_000_000),
        transcription(
            "Maximum address space of each process of `faster-whisper` in megabytes. The smallest "
            "model needs 1500, the largest about 5000."
        ),
    ] = 4000
    transcription_language: Annotated[
        str,
        transcription(
            "Language of the messages (ISO 639-1), in boxes without `transcription_language`. "
            "Empty: detected."
        ),
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
