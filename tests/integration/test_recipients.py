"""Recipients: stable ids and dates."""

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
import pytest_asyncio

from service.domain.account import AccountFacts
from service.domain.errors import Invalid, Problem, RecipientNotFound, Rule, VmboxNotFound
from service.domain.recipient import recipients_of
from service.domain.vmbox import Vmbox
from service.postgres.pool import Database
from service.security import SecretBox
from service.usecases.recipients import Recipients
from service.usecases.vmboxes import Vmboxes
from tests.support.accounts import a_key_ring
from tests.support.builders import NOW, an_account, an_account_row

LATER = NOW + timedelta(days=30)
MUCH_LATER = NOW + timedelta(days=60)
KEY = "notify_email_addresses"


class Days:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = LATER

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def days() -> Days:
    return Days()


@pytest.fixture
def vmboxes(database: Database, days: Days) -> Vmboxes:
    return Vmboxes(database, SecretBox(a_key_ring()), days)


@pytest_asyncio.fixture(loop_scope="session")
async def account(database: Database) -> AccountFacts:
    return await an_account_row(database)


async def a_box(vmboxes: Vmboxes, account: AccountFacts, *addresses: str) -> Vmbox:
    return await vmboxes.create(account, {"name": "Box", "mailbox": "100", KEY: [*addresses]})


async def test_addresses_have_the_dates_of_their_mailbox_or_their_addition(
    vmboxes: Vmboxes, account: AccountFacts, days: Days
) -> None:
    made = await a_box(vmboxes, account, "a@example.com")
    (first,) = made.recipients
    assert (first.created_at, first.updated_at) == (made.created_at, made.created_at)
    changed = await vmboxes.patch(account, made.vmbox_id, {KEY: ["b@example.com", first.address]})
    second, again = changed.recipients
    assert again == first
    assert (second.address, second.created_at) == ("b@example.com", LATER)
    days.now = MUCH_LATER
    renamed = await vmboxes.patch(account, made.vmbox_id, {"name": "Other"})
    assert renamed.recipients == changed.recipients
    assert (await vmboxes.get(account, made.vmbox_id)).recipients == changed.recipients


async def test_another_spelling_of_an_address_changes_it(
    vmboxes: Vmboxes, account: AccountFacts
) -> None:
    made = await a_box(vmboxes, account, "a@example.com", "A@EXAMPLE.COM")
    (before,) = made.recipients
    (after,) = (await vmboxes.patch(account, made.vmbox_id, {KEY: ["A@example.com"]})).recipients
    assert (after.recipient_id, after.created_at) == (before.recipient_id, before.created_at)
    assert (after.address, after.updated_at) == ("A@example.com", LATER)


async def test_an_address_that_is_added_again_has_its_old_id_and_new_dates(
    vmboxes: Vmboxes, account: AccountFacts
) -> None:
    recipients = Recipients(vmboxes)
    made = await a_box(vmboxes, account, "a@example.com")
    (before,) = made.recipients
    await recipients.remove(account, made.vmbox_id, before.recipient_id)
    after, added = await recipients.add(account, made.vmbox_id, "a@example.com")
    assert added
    assert (after.recipient_id, after.created_at) == (before.recipient_id, LATER)


async def test_adding_an_existing_address_changes_nothing_and_appends_no_event(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    made = await a_box(vmboxes, account, "a@example.com")
    recipient, added = await Recipients(vmboxes).add(account, made.vmbox_id, "A@example.com")
    assert (recipient, added) == (made.recipients[0], False)
    assert (await vmboxes.get(account, made.vmbox_id)).revision == made.revision
    assert await inspector.fetchval("SELECT count(*) FROM outbox") == 1


async def test_removing_a_missing_recipient_is_not_found(
    vmboxes: Vmboxes, account: AccountFacts
) -> None:
    recipients = Recipients(vmboxes)
    made = await a_box(vmboxes, account, "a@example.com")
    with pytest.raises(RecipientNotFound):
        await recipients.remove(account, made.vmbox_id, uuid4())
    with pytest.raises(VmboxNotFound):
        await recipients.remove(an_account(), made.vmbox_id, made.recipients[0].recipient_id)
    assert await recipients.list(account, made.vmbox_id) == made.recipients


async def test_a_box_has_at_most_20_addresses(vmboxes: Vmboxes, account: AccountFacts) -> None:
    addresses = [f"{number}@example.com" for number in range(20)]
    box = await a_box(vmboxes, account, *addresses)
    with pytest.raises(Invalid) as raised:
        await Recipients(vmboxes).add(account, box.vmbox_id, "more@example.com")
    assert raised.value.problems == (Problem(field=KEY, rule=Rule.MAX_ITEMS, target=20),)


async def test_a_longer_list_of_an_earlier_release_can_be_kept_or_shortened(
    vmboxes: Vmboxes, account: AccountFacts, inspector: asyncpg.Connection
) -> None:
    recipients = Recipients(vmboxes)
    box = await a_box(vmboxes, account)
    await inspector.execute(
        "UPDATE vmboxes SET document = document || jsonb_build_object($2::text, $3::text[])"
        " WHERE account_id = $1",
        account.account_id,
        KEY,
        [f"{number}@example.com" for number in range(30)],
    )
    renamed = await vmboxes.patch(account, box.vmbox_id, {"name": "Other"})
    assert len(renamed.settings[KEY]) == 30
    with pytest.raises(Invalid):
        await recipients.add(account, box.vmbox_id, "more@example.com")
    await recipients.remove(account, box.vmbox_id, renamed.recipients[0].recipient_id)
    assert len(await recipients.list(account, box.vmbox_id)) == 29


def test_ids_depend_on_mailbox_and_address_only() -> None:
    box = UUID("31347d42-00bd-44a5-9b5c-20dc4197a2f6")
    (first,) = recipients_of(box, ["Pete@Example.com"], (), NOW)
    assert str(first.recipient_id) == "afc09c66-ca6a-5f6d-b606-d9285c62bc86"
