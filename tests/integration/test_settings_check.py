"""`aftertone settings check` against servers that work, are down or have wrong settings."""

import asyncio
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import msgspec
import nats
import pytest
import pytest_asyncio
from nats.js.errors import NotFoundError

from service.bus import Bus
from service.embedded.servers import EmbeddedServers
from service.settings import read_settings, select_settings
from service.wiring.checks import CheckResult, CheckState, run_checks
from service.wiring.factories import open_audio, open_bus
from service.wiring.keys import write_key_ring
from tests.support.ari import PASSWORD, USER, running_ari
from tests.support.database import TestDatabase, execute
from tests.support.forked import run_command
from tests.support.issuer import EC_JWK, Publisher
from tests.support.ports import free_port
from tests.support.smtp import certificate, only, running_mail_server
from tests.support.transcription_server import KEY, running_transcription_server
from tests.support.waiting import wait_until

SECRET = "hunter2"


class Results(msgspec.Struct, frozen=True):
    """Check results by the name of the setting."""

    by_name: Mapping[str, CheckResult]

    def state(self, name: str) -> str:
        return self.by_name[name].state

    def text_of(self, name: str) -> str:
        return self.by_name[name].text

    def states(self) -> dict[str, str]:
        """Returns the states of all settings that were checked."""
        return {name: item.state for name, item in self.by_name.items() if item.state != "not set"}

    @property
    def text(self) -> str:
        return "\n".join(f"{name}: {item.text}" for name, item in self.by_name.items())


@contextmanager
def credentials_of(environment: Mapping[str, str]) -> Iterator[None]:
    """The AWS library reads its credentials from the real environment."""
    with pytest.MonkeyPatch.context() as real:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            real.setenv(name, environment[name])
        yield


async def checked(environment: Mapping[str, str], *only: str) -> Results:
    """Runs all checks, or those of the settings `only`, in this process."""
    present = select_settings(environment).keys()
    with credentials_of(environment):
        results = await run_checks(read_settings(environment), present & (only or present))
    return Results({item.variable.removeprefix("AFTERTONE_").lower(): item for item in results})


async def run_settings_check(environment: Mapping[str, str]) -> tuple[int, str]:
    """Returns exit code, and output followed by the log."""
    finished = await run_command({"PATH": "/usr/bin:/bin", **environment}, "settings", "check")
    return finished.code, finished.stdout + finished.stderr


@pytest_asyncio.fixture(scope="module", loop_scope="session", autouse=True)
async def _bucket(servers: EmbeddedServers) -> None:
    environment = servers.environment()
    with credentials_of(environment):
        async with open_audio(read_settings(environment)) as audio:
            await audio.ensure_bucket()


@pytest.fixture
def environment(
    servers: EmbeddedServers, test_database: TestDatabase, tmp_path: Path
) -> dict[str, str]:
    """Environment of a deployment in which every check succeeds."""
    ring = tmp_path / "keys.json"
    write_key_ring(ring)
    return {
        **servers.environment(),
        "AFTERTONE_DATABASE_URL": test_database.url,
        "AFTERTONE_OWNER_DATABASE_URL": test_database.owner_url,
        "AFTERTONE_DATABASE_TIMEOUT_S": "25",
        "AFTERTONE_KEY_RING_FILE": str(ring),
    }


async def test_working_settings_are_ok_and_the_others_are_not_set(
    environment: dict[str, str],
) -> None:
    results = await checked(environment)

    states = {name: str(item.state) for name, item in results.by_name.items()}
    assert states == {
        **dict.fromkeys(("database_url", "owner_database_url", "nats_url"), "ok"),
        **dict.fromkeys(("s3_bucket", "key_ring_file"), "ok"),
        **dict.fromkeys(("issuer_url", "backup_retention_days", "read_database_url"), "not set"),
        **dict.fromkeys(
            ("smtp_url", "ari_url", "transcription_engine", "transcription_url"), "not set"
        ),
        "conversion_processes": "not set",
    }


async def test_settings_that_are_not_set_are_not_checked(environment: dict[str, str]) -> None:
    """As in a chart, where each has only what it needs."""
    relay = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("AFTERTONE_OWNER", "AFTERTONE_KEY_RING", "AFTERTONE_S3"))
    }
    keeper = {
        name: value
        for name, value in environment.items()
        if not name.startswith(("AFTERTONE_DATABASE_URL", "AFTERTONE_NATS"))
    }

    of_relay, of_keeper = await checked(relay), await checked(keeper)

    assert of_relay.states() == {"database_url": "ok", "nats_url": "ok"}
    assert of_keeper.states() == dict.fromkeys(
        ("owner_database_url", "s3_bucket", "key_ring_file"), "ok"
    )


async def test_the_command_prints_one_line_per_setting_and_exits_with_1_after_a_failure(
    environment: dict[str, str],
) -> None:
    works, (code, text) = await asyncio.gather(
        run_settings_check(environment),
        run_settings_check({**environment, "AWS_SECRET_ACCESS_KEY": SECRET}),
    )

    assert works[0] == 0, works[1]
    assert re.search(r"^ok +AFTERTONE_DATABASE_URL +Postgres answers", works[1], re.MULTILINE)
    assert re.search(r"^not set +AFTERTONE_ARI_URL ", works[1], re.MULTILINE)
    assert code == 1
    assert re.search(r"^failed +AFTERTONE_S3_BUCKET +.+403", text, re.MULTILINE)
    assert SECRET not in text


async def test_unreachable_servers_are_reported_without_secrets(
    environment: dict[str, str],
) -> None:
    port = free_port()
    results = await checked(
        {
            **environment,
            "AFTERTONE_DATABASE_URL": f"postgresql://aftertone:{SECRET}@127.0.0.1:{port}/x",
            "AFTERTONE_OWNER_DATABASE_URL": f"postgresql://o:{SECRET}/{SECRET}@127.0.0.1:{port}/x",
            "AFTERTONE_READ_DATABASE_URL": f"postgresql://a:{SECRET}@127.0.0.1:{port},127.0.0.1/x",
            "AFTERTONE_NATS_URL": f"nats://u:{SECRET}@127.0.0.1:{port}",
            "AFTERTONE_S3_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AFTERTONE_KEY_RING_FILE": "/nowhere/keys.json",
            "AFTERTONE_SMTP_URL": f"smtp+starttls://u:{SECRET}@127.0.0.1:{port}",
            "AFTERTONE_EMAIL_SENDER": "voicemail@example.com",
            "AFTERTONE_ARI_URL": f"http://127.0.0.1:{port}",
            "AFTERTONE_ARI_PASSWORD": SECRET,
            "AFTERTONE_TRANSCRIPTION_URL": f"http://127.0.0.1:{port}/v1/audio/transcriptions",
            "AFTERTONE_TRANSCRIPTION_KEY": SECRET,
            "AFTERTONE_TRANSCRIPTION_ENGINE": "faster-whisper",
            "AFTERTONE_ISSUER_URL": "https://issuer.example",
            "AFTERTONE_ISSUER_JWKS_URL": f"http://127.0.0.1:{port}/keys",
            "AFTERTONE_ISSUER_AUDIENCE": "aftertone",
            "AFTERTONE_BACKUP_RETENTION_DAYS": "30",
            "AFTERTONE_CONVERSION_PROCESSES": "1",
            "AFTERTONE_CONVERSION_MEMORY_MB": "64",
        }
    )

    assert {result.state for result in results.by_name.values()} == {CheckState.FAILED}, (
        results.text
    )
    assert SECRET not in results.text
    assert "no server responds" in results.text_of("database_url")
    assert "percent-encode user and password" in results.text_of("owner_database_url")
    assert "no server responds" in results.text_of("nats_url")
    assert "AFTERTONE_TRANSCRIPTION_MODEL is not a folder" in results.text_of(
        "transcription_engine"
    )
    assert "AFTERTONE_PURGE_GRACE_DAYS to 30" in results.text_of("backup_retention_days")


async def test_a_service_url_of_the_owner_role_is_reported(environment: dict[str, str]) -> None:
    owner = environment["AFTERTONE_OWNER_DATABASE_URL"]
    results = await checked(
        {**environment, "AFTERTONE_DATABASE_URL": owner}, "database_url", "owner_database_url"
    )

    assert "must own none" in results.text_of("database_url")
    assert results.state("owner_database_url") == "ok"


async def test_a_database_without_tables_requires_migrate(
    environment: dict[str, str], servers: EmbeddedServers
) -> None:
    await execute(servers, "DROP DATABASE IF EXISTS bare")
    await execute(servers, "CREATE DATABASE bare")
    results = await checked(
        {
            **environment,
            "AFTERTONE_DATABASE_URL": servers.postgres.url("bare", "aftertone"),
            "AFTERTONE_OWNER_DATABASE_URL": servers.postgres.url("bare", "aftertone_owner"),
        }
    )
    await execute(servers, "DROP DATABASE bare")

    for name in ("database_url", "owner_database_url"):
        assert results.state(name) == "failed"
        assert "aftertone migrate" in results.text_of(name)


async def test_a_missing_migration_is_reported(
    environment: dict[str, str], inspector: asyncpg.Connection
) -> None:
    name = await inspector.fetchval(
        "DELETE FROM migrations WHERE number = (SELECT max(number) FROM migrations) RETURNING name"
    )
    results = await checked(environment, "database_url", "owner_database_url")

    for setting in ("database_url", "owner_database_url"):
        assert name in results.text_of(setting)


async def test_a_missing_or_forbidden_bucket_is_reported(environment: dict[str, str]) -> None:
    missing = await checked({**environment, "AFTERTONE_S3_BUCKET": "no-such-bucket"}, "s3_bucket")
    refused = await checked({**environment, "AWS_SECRET_ACCESS_KEY": "wrong"}, "s3_bucket")

    assert "the bucket does not exist" in missing.text_of("s3_bucket")
    assert "403" in refused.text_of("s3_bucket")


async def test_an_invalid_value_is_reported_as_such(environment: dict[str, str]) -> None:
    smtp = {"AFTERTONE_SMTP_URL": "smtp://127.0.0.1:1", "AFTERTONE_EMAIL_SENDER": "nobody"}
    results = await checked({**environment, **smtp, "AFTERTONE_DATABASE_URL": "db.example"})

    assert "not a postgresql:// URL" in results.text_of("database_url")
    assert "AFTERTONE_EMAIL_SENDER is not valid" in results.text_of("smtp_url")


async def test_a_stream_that_cannot_be_created_or_differs_is_reported(
    environment: dict[str, str],
) -> None:
    too_many = {**environment, "AFTERTONE_STREAM_REPLICAS": "3"}

    async def cannot_be_created() -> bool:
        # A relay of other tests may create its stream again.
        client = await nats.connect(environment["AFTERTONE_NATS_URL"])
        with suppress(NotFoundError):
            await client.jetstream().delete_stream("VOICEMAIL")
        await client.close()
        results = await checked(
            {**too_many, "AFTERTONE_STREAM_NAME": "VOICEMAIL_TWICE"}, "nats_url"
        )
        return "creating the stream VOICEMAIL_TWICE failed" in results.text_of("nats_url")

    await wait_until(cannot_be_created)
    async with open_bus(read_settings(environment), "test") as bus:
        await wait_until(lambda: _is_up(bus))
        await bus.declare()
    differs = await checked(too_many, "nats_url")
    taken = await checked({**environment, "AFTERTONE_STREAM_NAME": "VOICEMAIL_TWICE"}, "nats_url")

    assert "num_replicas" in differs.text_of("nats_url")
    assert "the stream VOICEMAIL uses the subjects" in taken.text_of("nats_url")


async def _is_up(bus: Bus) -> bool:
    return bus.connected


async def test_a_server_that_never_answers_is_reported(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        results = await checked(
            {
                **environment,
                "AFTERTONE_DATABASE_URL": f"postgresql://a@127.0.0.1:{port}/x",
                "AFTERTONE_DATABASE_TIMEOUT_S": "0.5",
                "AFTERTONE_S3_ENDPOINT": f"http://127.0.0.1:{port}",
                "AFTERTONE_S3_TIMEOUT_S": "0.5",
            }
        )

    assert results.state("database_url") == "failed"
    assert results.state("s3_bucket") == "failed"


async def test_mail_asterisk_and_transcription_are_checked_with_their_credentials(
    environment: dict[str, str], tmp_path: Path
) -> None:
    names = ("smtp_url", "ari_url", "transcription_url")
    context, authority = certificate(tmp_path)
    async with (
        running_mail_server(
            tls_context=context, require_starttls=True, authenticator=only("user", SECRET)
        ) as post,
        running_ari() as ari,
        running_transcription_server() as engine,
    ):
        works = {
            **environment,
            "AFTERTONE_SMTP_URL": f"smtp+starttls://user:{SECRET}@127.0.0.1:{post.port}",
            "AFTERTONE_SMTP_CA_FILE": str(authority),
            "AFTERTONE_EMAIL_SENDER": "voicemail@example.com",
            "AFTERTONE_ARI_URL": ari.url,
            "AFTERTONE_ARI_USER": USER,
            "AFTERTONE_ARI_PASSWORD": PASSWORD,
            "AFTERTONE_TRANSCRIPTION_URL": engine.url,
            "AFTERTONE_TRANSCRIPTION_KEY": KEY,
        }
        fine = await checked(works, *names)
        refused = await checked(
            {
                **works,
                "AFTERTONE_SMTP_URL": f"smtp+starttls://user:other@127.0.0.1:{post.port}",
                "AFTERTONE_ARI_PASSWORD": "other",
                "AFTERTONE_TRANSCRIPTION_KEY": "other",
            },
            *names,
        )
        unknown = await checked({**works, "AFTERTONE_SMTP_CA_FILE": ""}, "smtp_url")

    for name in names:
        assert fine.state(name) == "ok", fine.text
    assert "535" in refused.text_of("smtp_url")
    assert "401" in refused.text_of("ari_url")
    assert "401" in refused.text_of("transcription_url")
    assert unknown.state("smtp_url") == "failed"
    assert "other" not in refused.text


async def test_redirects_to_audio_need_a_public_endpoint(environment: dict[str, str]) -> None:
    redirecting = {**environment, "AFTERTONE_REDIRECT_AUDIO": "true"}
    refused = await checked(redirecting, "s3_bucket")
    public = environment["AFTERTONE_S3_ENDPOINT"].replace("127.0.0.1", "localhost")
    allowed = await checked({**redirecting, "AFTERTONE_S3_PUBLIC_ENDPOINT": public}, "s3_bucket")

    assert "needs AFTERTONE_S3_PUBLIC_ENDPOINT" in refused.text_of("s3_bucket")
    assert (refused.state("s3_bucket"), allowed.state("s3_bucket")) == ("failed", "ok")


async def test_an_issuer_must_publish_a_usable_key(environment: dict[str, str]) -> None:
    async with Publisher(EC_JWK).running() as issuer:
        named = {
            **environment,
            "AFTERTONE_ISSUER_URL": "https://issuer.example",
            "AFTERTONE_ISSUER_JWKS_URL": issuer.url,
        }
        parameters = {**named, "AFTERTONE_ISSUER_AUDIENCE": "voicemail"}
        fine, unfinished = (
            await checked(parameters, "issuer_url"),
            await checked(named, "issuer_url"),
        )
        issuer.keys = []
        empty = await checked(parameters, "issuer_url")
        open_url = {**parameters, "AFTERTONE_ISSUER_JWKS_URL": "http://issuer.example/keys"}
        unencrypted = await checked(open_url, "issuer_url")
        allowed = await checked({**open_url, "AFTERTONE_ISSUER_ALLOW_HTTP": "true"}, "issuer_url")

    assert "must begin with https://" in unencrypted.text_of("issuer_url")
    assert "returns no keys" in allowed.text_of("issuer_url")
    assert "usable keys: 1" in fine.text_of("issuer_url")
    assert "AFTERTONE_ISSUER_AUDIENCE" in unfinished.text_of("issuer_url")
    assert "no key" in empty.text_of("issuer_url")
    assert [result.state("issuer_url") for result in (fine, unfinished, empty)] == [
        "ok",
        "failed",
        "failed",
    ]


async def test_a_primary_is_not_accepted_for_reads_from_a_standby(
    environment: dict[str, str],
) -> None:
    environment["AFTERTONE_READ_DATABASE_URL"] = environment["AFTERTONE_DATABASE_URL"]
    results = await checked(environment, "read_database_url")
    assert results.by_name["read_database_url"].state == "failed"
    assert "is not a standby" in results.by_name["read_database_url"].text
