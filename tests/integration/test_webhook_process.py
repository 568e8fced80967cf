"""`aftertone notifier webhook`: from a stored message to a signed POST."""

import pytest

from service.domain.text import strip_control_characters
from service.wiring.keys import export_keys
from tests.support.running import RunningService, data_of
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import WebhookReceiver

CALLER = 'José "Ñ" <b>\r\nX-Evil: 1\u202e'


@pytest.mark.long
async def test_a_stored_message_is_sent_to_the_webhook_of_its_account(
    service: RunningService,
) -> None:
    account = await service.an_account()
    vmbox_id = await account.a_vmbox()
    # A notifier needs no keys that sign tokens.
    exported = service.folder / "notifier-keys.json"
    export_keys(service.folder / "keys.json", exported)
    process = await service.start("notifier", "webhook", AFTERTONE_KEY_RING_FILE=str(exported))
    async with WebhookReceiver().running() as receiver:
        document = {"name": "Hook", "uri": receiver.url(), "hook": "message.new"}
        made = await account.http.put(account.path("webhooks"), json={"data": document})
        webhook = data_of(made, 201)
        media_id = await account.leave(vmbox_id, caller_id_name=CALLER)
        attempts = account.path("webhooks", webhook["id"], "attempts")

        async def is_noted() -> bool:
            return len(data_of(await account.http.get(attempts))) == 1

        await wait_until(is_noted)
        [request] = receiver.received
    await process.stop()
    request.verify(webhook["secret"])
    assert "x-evil" not in request.headers
    assert request.event["type"] == "voicemail.message.new"
    assert request.event["subject"] == request.event["data"]["message"]["media_id"] == media_id
    assert request.event["data"]["message"]["caller_id_name"] == strip_control_characters(CALLER)
    [attempt] = data_of(await account.http.get(attempts))
    assert (attempt["status"], attempt["response_code"]) == ("success", 200)
    assert attempt["event_id"] == request.event["id"]
    log = (service.folder / "notifier.log").read_text()
    for hidden in (webhook["secret"], receiver.url(), "José"):
        assert hidden not in log
    await account.http.aclose()
