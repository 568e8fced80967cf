"""Slow webhooks of one tenant leave slots for the pings of others."""

from tests.attacks.harness import Attack, AttackedApi, Report, repeating, sizes
from tests.attacks.preparation import create_webhook
from tests.support.running import RunningService
from tests.support.webhook_receiver import WebhookReceiver


async def attack(api: AttackedApi, size: int) -> Report:
    """Each client pings a webhook that never answers."""
    async with WebhookReceiver().running() as receiver:
        receiver.acts["/slow"] = receiver.stall
        slow = [await create_webhook(api.attacker, receiver.url("/slow")) for _ in range(size)]
        quick = await create_webhook(api.tenant, receiver.url("/quick"))
        ping = api.request("ping", "POST", quick, text='"response_code":200')
        async with api.watched(ping) as watch, api.session() as session:

            async def send_ping(client: int) -> None:
                async with session.post(slow[client], json={}) as response:
                    watch.outcomes[str(response.status)] += 1

            async with repeating(send_ping, size):
                await watch.hold()
    return watch.report


ATTACK = Attack(
    name="slow webhooks",
    sent="{size} pings of one tenant to a server that never answers",
    quick=34,
    long=36,
    run=attack,
)


@sizes(ATTACK)
async def test_slow_pings_of_one_tenant_leave_slots_for_others(
    service: RunningService, size: int
) -> None:
    (await ATTACK.measure(service, size)).check()
