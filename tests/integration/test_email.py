"""E-mail channel with real servers: recipients, content, folder change."""

import email.utils
from datetime import UTC, datetime, timedelta

import pytest

from service.domain.delivery import Ignored
from service.domain.message import CallerId, Folder
from service.postgres import messages
from service.postgres.deliveries import DeliveryFilter
from service.usecases.deliveries import Deliveries
from tests.support.builders import a_vmbox
from tests.support.email_harness import SOUND, EmailHarness, somebody
from tests.support.relay import jetstream
from tests.support.smtp import text_of


async def test_a_message_is_mailed_with_its_stored_audio(
    email_harness: EmailHarness,
) -> None:
    who = somebody()
    box = await email_harness.a_box(name="Front desk", mailbox="100", notify_email_addresses=[who])
    received_at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    await email_harness.leave(
        box, caller=CallerId("+3491555", "Ann"), length_ms=65_000, received_at=received_at
    )
    mail = await email_harness.only_mail(box, who)
    message = mail.message
    assert mail.sender == "voicemail@service.example"
    assert message["From"] == "Voicemail <voicemail@service.example>"
    assert message["To"] == who
    assert message["Subject"] == "New voicemail from Ann (+3491555)"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@service.example>")
    assert email.utils.parsedate_to_datetime(message["Date"]).tzinfo is not None
    [audio] = message.iter_attachments()
    assert audio.get_content_type() == "audio/mpeg"
    assert audio.get_filename() == f"ann_{received_at:%Y-%m-%d_%H-%M-%S}.mp3"
    assert audio.get_content() == SOUND
    for kind in ("plain", "html"):
        output = text_of(message, kind)
        for fact in ("Ann", "+3491555", "Front desk", "100", "1:05", f"{received_at:%H:%M} UTC"):
            assert fact in output
    assert message.defects == []


@pytest.mark.parametrize(
    ("caller", "content_type", "extension", "name"),
    [
        (CallerId("+3491555", "anonymous"), "audio/wav", "wav", "+3491555"),
        (CallerId("+3491555", "../.Ann"), "audio/mp4", "m4a", "ann"),
        (CallerId("anonymous", "anonymous"), "audio/ogg", "opus", "anonymous"),
    ],
)
async def test_an_attachment_has_the_stored_type_and_the_name_or_number_of_the_caller(
    email_harness: EmailHarness, caller: CallerId, content_type: str, extension: str, name: str
) -> None:
    who = somebody()
    box = await email_harness.a_box(notify_email_addresses=[who])
    received_at = datetime.now(UTC).replace(microsecond=0)
    await email_harness.leave(
        box,
        caller=caller,
        content_type=content_type,
        extension=extension,
        received_at=received_at,
    )
    [audio] = (await email_harness.only_mail(box, who)).message.iter_attachments()
    assert audio.get_content_type() == content_type
    assert audio.get_filename() == f"{name}_{received_at:%Y-%m-%d_%H-%M-%S}.{extension}"


@pytest.mark.parametrize("save", [False, True])
@pytest.mark.parametrize("delete", [False, True])
@pytest.mark.parametrize("ending", ["success", "failure", "nobody"])
async def test_after_the_mail_the_message_is_moved_as_its_box_is_configured(
    email_harness: EmailHarness, save: bool, delete: bool, ending: str
) -> None:
    who = {"success": [somebody()], "failure": [somebody("refused")], "nobody": []}[ending]
    box = await email_harness.a_box(
        save_after_notify=save, delete_after_notify=delete, notify_email_addresses=who
    )
    place = await email_harness.leave(box)
    rows = await email_harness.finished(box)
    assert [row["status"] for row in rows] == {
        "success": ["done"],
        "failure": ["dead"],
        "nobody": [],
    }[ending]
    filed = {
        (False, False): Folder.NEW,
        (False, True): Folder.DELETED,
        (True, False): Folder.SAVED,
        (True, True): Folder.SAVED,
    }[save, delete]
    expected = filed if ending == "success" else Folder.NEW
    assert await email_harness.folder(place) is expected
    assert await email_harness.reasons(box) == ([] if expected is Folder.NEW else ["notified"])


async def test_a_message_that_left_new_is_not_moved_after_the_mail(
    email_harness: EmailHarness,
) -> None:
    who = somebody("greylisted")
    box = await email_harness.a_box(delete_after_notify=True, notify_email_addresses=[who])
    place = await email_harness.leave(box)
    async with email_harness.database.connection() as connection:
        await messages.change_folder(
            connection,
            place,
            Folder.SAVED,
            retained_since=datetime(2020, 1, 1, tzinfo=UTC),
            reason="api",
        )
    await email_harness.finished(box)
    assert len(email_harness.post.to(who)) == 1
    assert await email_harness.folder(place) is Folder.SAVED


async def test_the_folder_changes_after_the_last_mail(email_harness: EmailHarness) -> None:
    good, bad = somebody("a"), somebody("refused")
    box = await email_harness.a_box(save_after_notify=True, notify_email_addresses=[good, bad])
    place = await email_harness.leave(box)
    rows = await email_harness.finished(box)
    assert [row["status"] for row in rows] == ["done", "dead"]
    assert await email_harness.folder(place) is Folder.NEW
    # The mailbox is there now, and an operator has the mail sent again.
    row = rows[1]
    await email_harness.inspector.execute(
        "UPDATE deliveries SET target = $1 WHERE account_id = $2 AND target = $3",
        somebody("mended"),
        box.account_id,
        row["target"],
    )
    assert (
        await Deliveries(email_harness.database).retry(DeliveryFilter(account_id=box.account_id))
        == 1
    )
    await email_harness.finished(box)
    assert await email_harness.folder(place) is Folder.SAVED
    assert await email_harness.reasons(box) == ["notified"]
    assert len(email_harness.post.to(good)) == 1


async def test_a_mail_is_sent_once_when_its_account_has_moved_meanwhile(
    email_harness: EmailHarness,
) -> None:
    bad, good = somebody("refused"), somebody("mended")
    box = await email_harness.a_box(save_after_notify=True, notify_email_addresses=[bad])
    place = await email_harness.leave(box)
    await email_harness.finished(box)
    account_id, execute = box.account_id, email_harness.inspector.execute
    await execute("UPDATE accounts SET move_state = 'moved' WHERE account_id = $1", account_id)
    change = "UPDATE deliveries SET target = $1 WHERE account_id = $2 AND target = $3"
    await execute(change, good, account_id, bad)
    await Deliveries(email_harness.database).retry(DeliveryFilter(account_id=account_id))
    [row] = await email_harness.finished(box)
    assert (row["status"], len(email_harness.post.to(good))) == ("done", 1)
    assert await email_harness.folder(place) is Folder.NEW


@pytest.mark.parametrize("what", ["greylisted", "unlucky", "stalled", "cut", "policy"])
async def test_a_rejected_mail_is_sent_again_with_the_same_id(
    email_harness: EmailHarness, what: str
) -> None:
    who = somebody(what)
    box = await email_harness.a_box(notify_email_addresses=[who], save_after_notify=True)
    place = await email_harness.leave(box)
    [row] = await email_harness.finished(box)
    if what == "policy":
        assert (row["status"], row["attempt"]) == ("dead", 3)
        assert await email_harness.folder(place) is Folder.NEW
        return
    assert (row["status"], row["attempt"]) == ("done", 3 if what == "greylisted" else 2)
    ids = {message_id for address, message_id in email_harness.post.message_ids if address == who}
    assert len(ids) == 1
    assert len(email_harness.post.to(who)) == 1
    assert await email_harness.folder(place) is Folder.SAVED


async def test_a_refused_address_is_dead_at_once_with_a_reason(email_harness: EmailHarness) -> None:
    who = somebody("refused")
    box = await email_harness.a_box(notify_email_addresses=[who])
    await email_harness.leave(box)
    [row] = await email_harness.finished(box)
    assert (row["status"], row["attempt"]) == ("dead", 1)
    assert "550" in row["last_error"]


async def test_an_invalid_address_is_dead_at_once_and_blocks_no_other(
    email_harness: EmailHarness,
) -> None:
    good = somebody()
    bad = ["a,b@example.com", "<x>@y.example", "a\x07b@example.com"]
    box = await email_harness.a_box(notify_email_addresses=[*bad, good])
    await email_harness.leave(box)
    rows = await email_harness.finished(box)
    assert {row["target"]: row["status"] for row in rows} == {
        **dict.fromkeys(bad, "dead"),
        good: "done",
    }


async def test_a_message_without_its_audio_is_not_mailed(email_harness: EmailHarness) -> None:
    who = somebody()
    box = await email_harness.a_box(notify_email_addresses=[who], delete_after_notify=True)
    place = await email_harness.leave(box, there=False)
    [row] = await email_harness.finished(box)
    assert (row["status"], row["attempt"]) == ("dead", 3)
    assert row["last_error"] == "The message has no audio; upload its audio first."
    assert email_harness.post.to(who) == []
    assert await email_harness.folder(place) is Folder.NEW


async def test_audio_with_a_wrong_checksum_is_not_mailed(email_harness: EmailHarness) -> None:
    who = somebody()
    box = await email_harness.a_box(notify_email_addresses=[who])
    place = await email_harness.leave(box)
    await email_harness.finished(box)
    await email_harness.inspector.execute(
        "UPDATE messages SET audio_sha256 = $1 WHERE account_id = $2", b"x" * 32, box.account_id
    )
    await email_harness.inspector.execute(
        "UPDATE deliveries SET status = 'dead' WHERE account_id = $1 AND target <> ''",
        place.account_id,
    )
    await Deliveries(email_harness.database).retry(DeliveryFilter(account_id=box.account_id))
    [row] = await email_harness.finished(box)
    assert row["status"] == "dead"
    assert "does not match its checksum" in row["last_error"]
    assert len(email_harness.post.to(who)) == 1


@pytest.mark.parametrize("wants_mail", [True, False])
async def test_the_owner_gets_a_mail_unless_disabled(
    email_harness: EmailHarness, wants_mail: bool
) -> None:
    account_id = await email_harness.an_account()
    owner, other = somebody(), somebody()
    owner_id = await email_harness.an_owner(account_id, email=owner, vm_to_email_enabled=wants_mail)
    box = await email_harness.a_box(
        account_id, owner_id=owner_id, notify_email_addresses=[owner.upper(), other]
    )
    await email_harness.leave(box)
    rows = await email_harness.finished(box)
    expected = {other, owner.upper()} if wants_mail else {other}
    assert {row["target"] for row in rows} == expected


async def test_the_owner_of_a_full_box_gets_a_mail_with_any_settings(
    email_harness: EmailHarness,
) -> None:
    account_id = await email_harness.an_account()
    owner, other = somebody(), somebody()
    owner_id = await email_harness.an_owner(account_id, email=owner, vm_to_email_enabled=False)
    box = await email_harness.a_box(
        account_id,
        name="Front <desk>",
        owner_id=owner_id,
        notify_email_addresses=[other],
        max_message_count=1,
    )
    await email_harness.leave(box)
    with pytest.raises(Exception, match="mailbox is full"):
        await email_harness.leave(box)
    await email_harness.finished(box, events=2)
    [mail] = email_harness.post.to(owner)
    assert len(email_harness.post.to(other)) == 2
    assert mail.message["Subject"] == "Voicemail box Front <desk> is full"
    assert "1 of 1 messages" in text_of(mail.message)
    assert "Front &lt;desk&gt;" in text_of(mail.message, "html")
    assert list(mail.message.iter_attachments()) == []


async def test_messages_stored_outside_folder_new_are_not_mailed(
    email_harness: EmailHarness,
) -> None:
    who = somebody()
    box = await email_harness.a_box(notify_email_addresses=[who])
    await email_harness.leave(box, folder=Folder.SAVED)
    await email_harness.quiet(box)
    assert email_harness.post.to(who) == []


async def test_a_removed_message_is_not_mailed(email_harness: EmailHarness) -> None:
    who = somebody()
    box = await email_harness.a_box(notify_email_addresses=[])
    place = await email_harness.leave(box)
    async with email_harness.database.connection() as connection:
        await messages.remove_message(connection, place, reason="api")
    # The delivery was due before the message was removed.
    outcome = await email_harness.channel().deliver(await email_harness.delivery(box, who))
    assert isinstance(outcome, Ignored)
    assert email_harness.post.attempts[who] == 0
    assert email_harness.post.to(who) == []


async def test_a_replay_of_the_stream_sends_no_mail_again(email_harness: EmailHarness) -> None:
    who = somebody()
    box = await email_harness.a_box(notify_email_addresses=[who], save_after_notify=True)
    place = await email_harness.leave(box)
    await email_harness.finished(box)
    async with email_harness.database.connection() as connection:
        await messages.change_folder(
            connection,
            place,
            Folder.NEW,
            retained_since=datetime(2020, 1, 1, tzinfo=UTC),
            reason="api",
        )
    mails = len(email_harness.post.mails)
    rows = await email_harness.inspector.fetch("SELECT * FROM deliveries ORDER BY 1, 2, 3, 4")
    async with jetstream(email_harness.servers.nats.url()) as js:
        await js.delete_consumer(email_harness.stream.name, "notifier-email")
    await email_harness.quiet(box)
    kept = await email_harness.inspector.fetch("SELECT * FROM deliveries ORDER BY 1, 2, 3, 4")
    assert [row for row in kept if row in rows] == rows
    assert len(email_harness.post.mails) == mails
    assert await email_harness.folder(place) is Folder.NEW


async def test_deleted_boxes_get_no_mail(email_harness: EmailHarness) -> None:
    async with email_harness.database.connection() as connection:
        box = await a_vmbox(connection, notify_email_addresses=[somebody()])
    await email_harness.inspector.execute(
        "UPDATE vmboxes SET deleted_at = now() WHERE account_id = $1", box.account_id
    )
    await email_harness.leave(box)
    assert await email_harness.finished(box) == []
