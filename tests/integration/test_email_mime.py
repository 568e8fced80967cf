"""Content of the mails about messages, and the wait for transcriptions."""

from datetime import UTC, datetime, timedelta

import pytest
import structlog

from service.audio.conversion.limits import ConversionLimits
from service.audio.conversion.pool import ConversionPool
from service.domain.account import NO_QUOTAS
from service.domain.clock import utc_now
from service.domain.message import CallerId
from service.usecases.renditions import Renditions
from service.workers.channels import Done, Postponed
from tests.support.audio_samples import an_mp3
from tests.support.email_harness import EmailHarness, somebody
from tests.support.smtp import text_of

HOSTILE = 'José "Ñ" <b>\r\nBcc: victim@example.com\r\n\r\n\u202egpj.exe'


async def test_a_caller_name_cannot_inject_headers_or_markup(email_harness: EmailHarness) -> None:
    who = somebody()
    box = await email_harness.a_box(notify_email_addresses=[who])
    with structlog.testing.capture_logs() as logs:
        await email_harness.leave(box, caller=CallerId("<i>1</i>", HOSTILE))
        mail = await email_harness.only_mail(box, who)
    message = mail.message
    output = 'José "Ñ" <b> Bcc: victim@example.com gpj.exe'
    assert message["Subject"] == f"New voicemail from {output} (<i>1</i>)"
    assert message["Bcc"] is None
    assert message.get_all("To") == [who]
    assert "<b>" not in text_of(message, "html")
    assert "&lt;b&gt;" in text_of(message, "html")
    assert "\u202e" not in text_of(message) + text_of(message, "html")
    [audio] = message.iter_attachments()
    name = audio.get_filename()
    assert name is not None
    assert name.startswith("jose_n_b_bcc_victim_example_com")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.")
    assert "victim" not in str(logs)


async def test_a_box_can_disable_the_audio_in_mails(email_harness: EmailHarness) -> None:
    who = somebody()
    box = await email_harness.a_box(notify_email_addresses=[who], include_message_on_notify=False)
    await email_harness.leave(box, there=False)
    mail = (await email_harness.only_mail(box, who)).message
    assert list(mail.iter_attachments()) == []
    assert "attached" not in text_of(mail) + text_of(mail, "html")


@pytest.mark.parametrize("included", [True, False])
async def test_the_mail_contains_the_transcription_if_the_box_enables_it(
    email_harness: EmailHarness, included: bool
) -> None:
    who = somebody("greylisted")
    box = await email_harness.a_box(
        notify_email_addresses=[who], include_transcription_on_notify=included
    )
    await email_harness.leave(box)
    await email_harness.inspector.execute(
        """UPDATE messages SET transcription = '{"result": "success", "text": "Call <me>"}'
        WHERE account_id = $1""",
        box.account_id,
    )
    mail = (await email_harness.only_mail(box, who)).message
    assert ("Call <me>" in text_of(mail)) is included
    assert ("Call &lt;me&gt;" in text_of(mail, "html")) is included


async def test_a_mail_has_the_audio_format_of_its_box_or_the_stored_one(
    email_harness: EmailHarness,
) -> None:
    who = somebody()
    box = await email_harness.a_box(notify_email_addresses=[who], notify_audio_format="wav")
    await email_harness.leave(box, an_mp3())
    await email_harness.finished(box)
    delivery = await email_harness.delivery(box, who)
    broken = await email_harness.a_box(notify_audio_format="wav")
    await email_harness.leave(broken)
    await email_harness.finished(broken)

    async with ConversionPool.open(ConversionLimits()) as pool:
        renditions = Renditions(
            email_harness.database, email_harness.store, pool, utc_now, NO_QUOTAS
        )
        channel = email_harness.channel(renditions=renditions)
        assert isinstance(await channel.deliver(delivery), Done)
        fallback = await email_harness.delivery(broken, who)
        assert isinstance(await channel.deliver(fallback), Done)

    mails = email_harness.post.to(who)
    sounds = [part for mail in mails for part in mail.message.iter_attachments()]
    assert [part.get_content_type() for part in sounds] == ["audio/mpeg", "audio/wav", "audio/mpeg"]
    assert str(sounds[1].get_filename()).endswith(".wav")
    assert sounds[1].get_content()[:4] == b"RIFF"


async def test_a_mail_waits_a_limited_time_for_its_transcription(
    email_harness: EmailHarness,
) -> None:
    who = somebody()
    box = await email_harness.a_box(transcribe=True)
    await email_harness.leave(box)
    await email_harness.finished(box)
    delivery = await email_harness.delivery(box, who)

    def after_creation(seconds: float) -> datetime:
        return delivery.created_at + timedelta(seconds=seconds)

    early = email_harness.channel(transcription_wait_s=60, clock=lambda: after_creation(30))
    late = email_harness.channel(transcription_wait_s=60, clock=lambda: after_creation(61))
    assert isinstance(await early.deliver(delivery), Postponed)
    assert await late.deliver(delivery) == Done()
    await email_harness.inspector.execute(
        """UPDATE messages SET transcription = '{"result": "failed"}' WHERE account_id = $1""",
        box.account_id,
    )
    assert await early.deliver(delivery) == Done()


@pytest.mark.parametrize(
    ("box_zone", "owner_zone", "account_zone", "actual"),
    [
        ("Asia/Tokyo", "Europe/Madrid", "America/New_York", "21:00 JST"),
        ("inherit", "Europe/Madrid", "America/New_York", "13:00 CET"),
        (None, "Europe/Madrid", "America/New_York", "13:00 CET"),
        (None, "inherit", "America/New_York", "07:00 EST"),
        ("inherit", None, "America/New_York", "07:00 EST"),
        (None, None, None, "12:00 UTC"),
    ],
)
async def test_times_use_the_zone_of_the_box_its_owner_or_its_account(
    email_harness: EmailHarness,
    box_zone: str | None,
    owner_zone: str | None,
    account_zone: str | None,
    actual: str,
) -> None:
    who = somebody()
    account_id = await email_harness.an_account(**without_none(timezone=account_zone))
    box = await email_harness.a_box(
        account_id,
        owner_id=await email_harness.an_owner(account_id, **without_none(timezone=owner_zone)),
        notify_email_addresses=[who],
        **without_none(timezone=box_zone),
    )
    await email_harness.leave(box, received_at=datetime(2026, 1, 15, 12, tzinfo=UTC))
    mail = (await email_harness.only_mail(box, who)).message
    assert f"Thursday 15 January 2026, {actual}" in text_of(mail)
    [audio] = mail.iter_attachments()
    assert f"2026-01-15_{actual[:2]}-00-00" in str(audio.get_filename())


def without_none(**settings: str | None) -> dict[str, str]:
    return {name: value for name, value in settings.items() if value is not None}


async def test_an_account_can_set_sender_and_subject(
    email_harness: EmailHarness,
) -> None:
    who = somebody()
    account_id = await email_harness.an_account(
        notify_email={
            "from": "Café Ann <voicemail@ann.example>",
            "subject": "{caller_name} called {box_name}: {length} {nothing} {{ 7 * 7 }}",
        }
    )
    box = await email_harness.a_box(account_id, name="Desk", notify_email_addresses=[who])
    await email_harness.leave(box, caller=CallerId("1", "Bob {mailbox}"), length_ms=9_000)
    mail = await email_harness.only_mail(box, who)
    assert mail.sender == "voicemail@service.example"
    assert mail.message["From"] == "Café Ann <voicemail@ann.example>"
    assert mail.message["Subject"] == "Bob {mailbox} called Desk: 0:09 {nothing} {{ 7 * 7 }}"


async def test_a_sender_in_another_domain_becomes_reply_to(email_harness: EmailHarness) -> None:
    who = somebody()
    account_id = await email_harness.an_account(
        notify_email={"from": "Bank <service@sub.ann.example>"}
    )
    box = await email_harness.a_box(account_id, notify_email_addresses=[who])
    await email_harness.leave(box)
    mail = await email_harness.only_mail(box, who)
    assert mail.sender == "voicemail@service.example"
    assert mail.message["From"] == "Voicemail <voicemail@service.example>"
    assert mail.message["Reply-To"] == "Bank <service@sub.ann.example>"


@pytest.mark.parametrize(
    ("own", "above", "is_permitted"),
    [
        (["Bank.example"], None, True),
        (["Bank.example"], ["other.example", "bank.example"], True),
        (["bank.example"], [], False),
        ([], ["bank.example"], False),
    ],
)
async def test_a_domain_is_permitted_by_all_accounts_above(
    email_harness: EmailHarness, own: list[str], above: list[str] | None, is_permitted: bool
) -> None:
    who = somebody()
    account_id = await email_harness.an_account(
        limits={"email_from_domains": own}, notify_email={"from": "Bank <service@bank.example>"}
    )
    if above is not None:
        reseller_id = await email_harness.an_account(limits={"email_from_domains": above})
        await email_harness.inspector.execute(
            "UPDATE accounts SET ancestors = ARRAY[gen_random_uuid(), $2] WHERE account_id = $1",
            account_id,
            reseller_id,
        )
    box = await email_harness.a_box(account_id, notify_email_addresses=[who])
    await email_harness.leave(box)
    mail = (await email_harness.only_mail(box, who)).message
    bank, service = "Bank <service@bank.example>", "Voicemail <voicemail@service.example>"
    assert mail["From"] == (bank if is_permitted else service)
    assert mail["Reply-To"] == (None if is_permitted else bank)


async def test_of_a_longer_list_the_first_20_addresses_get_mails(
    email_harness: EmailHarness,
) -> None:
    addresses = [somebody() for _ in range(25)]
    with structlog.testing.capture_logs() as logs:
        box = await email_harness.a_box()
        await email_harness.inspector.execute(
            "UPDATE vmboxes SET document = document || jsonb_build_object($2::text, $3::text[])"
            " WHERE account_id = $1",
            box.account_id,
            "notify_email_addresses",
            addresses,
        )
        await email_harness.leave(box)
        rows = await email_harness.finished(box)
    assert sorted(row["target"] for row in rows) == sorted(addresses[:20])
    [warning] = [line for line in logs if line["event"] == "recipients above limit ignored"]
    assert (warning["vmbox_id"], warning["ignored"]) == (box.vmbox_id.hex, 5)


async def test_invalid_account_settings_do_not_stop_mails(email_harness: EmailHarness) -> None:
    who = somebody()
    account_id = await email_harness.an_account(
        notify_email={"from": "nobody\r\nBcc: x@y.example", "subject": 7}, timezone="Mars/Base"
    )
    box = await email_harness.a_box(account_id, notify_email_addresses=[who])
    await email_harness.leave(box)
    mail = (await email_harness.only_mail(box, who)).message
    assert mail["From"] == "Voicemail <voicemail@service.example>"
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("New voicemail from")


async def test_a_non_ascii_address_is_sent_if_the_server_supports_it(
    email_harness: EmailHarness,
) -> None:
    who = f"jösé.{somebody()}"
    box = await email_harness.a_box(notify_email_addresses=[who, "ann@bücher.example"])
    await email_harness.leave(box)
    rows = await email_harness.finished(box)
    assert {row["status"] for row in rows} == {"done"}
    assert email_harness.post.to(who)[0].message["To"] == who
    assert email_harness.post.to("ann@xn--bcher-kva.example")
