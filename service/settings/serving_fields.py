"""Settings of the servers, of HTTP requests, of limits and of sign-in, in reference order."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from service.settings.types import (
    HttpUrl,
    Limit,
    Networks,
    Port,
    Positive,
    Seconds,
    http,
    nats,
    postgres,
    quotas,
    s3,
    sign_in,
    uploads,
)


class ServingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """First part of `Settings`."""

    database_url: Annotated[
        str,
        postgres(
            "`postgresql://user:password@host/database` for the role that owns no tables. Servers "
            "with standbys: `...@host1,host2/database?target_session_attrs=read-write`."
        ),
    ] = ""
    database_pooler: Annotated[
        Literal["none", "prepared", "unprepared"],
        postgres(
            "Pooler in transaction mode in `AFTERTONE_DATABASE_URL` of API and notifiers. "
            "`prepared`: PgBouncer 1.21 or newer with `max_prepared_statements`. `unprepared`: "
            "older versions; statements take more round trips. Relay and keeper connect directly."
        ),
    ] = "none"
    read_database_url: Annotated[
        str,
        postgres(
            "The same for standbys, without a pooler: `...@host1,host2/database?"
            "target_session_attrs=standby`. Lists, searches and audit are read from a "
            "standby that has replayed all changes. Only the API uses it. Empty: none."
        ),
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
    nats_ca_file: Annotated[
        str, nats("Trusted certificate authorities (PEM). Empty: those of the system.")
    ] = ""
    nats_certificate_file: Annotated[
        str, nats("Certificate of this client (PEM), if the servers require one.")
    ] = ""
    nats_key_file: Annotated[
        str, nats("Key of that certificate. Empty: it is in the same file.")
    ] = ""
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
        s3(
            "URL of the store as clients reach it, for redirects to audio and for direct "
            "uploads. Empty: there are no redirects and no direct uploads."
        ),
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
    web_inbox: Annotated[
        bool, http("Serve the web inbox under `/inbox`. Otherwise the page is a 404.")
    ] = True
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
            "Maximum event streams of one process, never more than three quarters of "
            "`AFTERTONE_MAX_CONNECTIONS`; above it, the answer is 429. 0: three quarters."
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
    max_direct_upload_bytes: Annotated[
        Positive,
        uploads(
            "The same for a recording that the client sends to `AFTERTONE_S3_PUBLIC_ENDPOINT`, and "
            "not to the service."
        ),
    ] = 50_000_000
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

    quota_rendition_bytes: Annotated[
        Limit,
        quotas(
            "The same for bytes of converted audio, which do not count as stored bytes. Above it, "
            "the oldest conversions are deleted; they are made again when they are requested."
        ),
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
            "them. `http` URLs of loopback addresses are always allowed."
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
