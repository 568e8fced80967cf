"""Mail rate of an account: a burst of one hour, then one mail per interval."""

import msgspec

from service.workers.channels import Done, Postponed
from tests.support.email_harness import EmailHarness, somebody


async def test_mails_above_the_rate_of_an_account_wait_for_their_turn(
    email_harness: EmailHarness,
) -> None:
    channel = email_harness.channel(rate_per_hour=3)
    box = await email_harness.a_box()
    await email_harness.leave(box)
    deliveries = [await email_harness.delivery(box, somebody()) for _ in range(5)]
    outcomes = [await channel.deliver(delivery) for delivery in deliveries]
    assert outcomes[:3] == [Done()] * 3
    mailed = [bool(email_harness.post.to(delivery.target)) for delivery in deliveries]
    assert mailed == [True, True, True, False, False]
    first, second = outcomes[3:]
    assert isinstance(first, Postponed)
    assert isinstance(second, Postponed)
    # One mail in 20 minutes, so the second waits for 20 minutes more.
    assert 0 < first.delay_s <= 1200 < second.delay_s <= 2400

    other = await email_harness.a_box()
    await email_harness.leave(other)
    assert await channel.deliver(await email_harness.delivery(other, somebody())) == Done()


async def test_a_mail_counts_once(email_harness: EmailHarness) -> None:
    channel = email_harness.channel(rate_per_hour=1)
    box = await email_harness.a_box()
    await email_harness.leave(box)
    first, second, third = [await email_harness.delivery(box, somebody()) for _ in range(3)]
    assert await channel.deliver(first) == Done()
    waits = await channel.deliver(second)
    assert isinstance(waits, Postponed)
    due = msgspec.structs.replace(second, state=waits.state)
    assert await channel.deliver(due) == Done()
    assert await channel.deliver(msgspec.structs.replace(third, attempt=2)) == Done()
