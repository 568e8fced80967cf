"""Use cases of links in mails: their access to one message, without sign-in."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.access import Access, Permission
from service.domain.account import Caller
from service.domain.clock import utc_now
from service.domain.errors import LinkInvalid, TokenInvalid, VmboxNotFound
from service.domain.recipient import Consent
from service.domain.recording import LinkRecipient, MailLink, Recording, RecordingLink
from service.postgres.mail import read_mail_recipients
from service.postgres.pool import Database
from service.security import MailLinkTokens
from service.usecases.account_cache import AccountCache
from service.usecases.mail_recipients import MailContext, message_recipients, read_mail_context


class OpenedMail(msgspec.Struct, frozen=True, kw_only=True):
    """Message of a link in a mail: its recording, and a token and link that play it."""

    caller: Caller
    context: MailContext
    recording: Recording
    mail_link: MailLink
    token: str
    link: RecordingLink


@dataclass(frozen=True, kw_only=True)
class MailLinks:
    """Access of the recipients of mails. `clock` returns aware UTC."""

    database: Database
    account_cache: AccountCache
    tokens: MailLinkTokens
    clock: Callable[[], datetime] = utc_now

    def verify(self, token: str) -> MailLink:
        """Returns the link of a token. Raises LinkInvalid."""
        try:
            return self.tokens.verify(token, self.clock())
        except TokenInvalid:
            raise LinkInvalid from None

    async def check(
        self, account_id: UUID, vmbox_id: UUID, recipient: LinkRecipient
    ) -> tuple[Caller, MailContext]:
        """Returns a caller that may read the messages of the box, and the settings of its mails.

        Raises LinkInvalid if the recipient would not get the audio of a message by mail now: the
        link must not give more than the mail can contain.
        """
        account = await self.account_cache.get_account(account_id)
        if account is None:
            raise LinkInvalid
        address = recipient.address
        async with self.database.connection() as connection:
            try:
                context = await read_mail_context(connection, account_id, vmbox_id)
            except VmboxNotFound:
                raise LinkInvalid from None
            recipients = await read_mail_recipients(connection, account_id, [address])
        addresses = {each.lower() for each in message_recipients(context)}
        is_recipient = address in addresses and context.includes_audio
        if not is_recipient or recipients[address].consent is Consent.UNSUBSCRIBED:
            raise LinkInvalid
        access = Access(
            permissions=frozenset({Permission.MESSAGES_READ}), vmbox_ids=frozenset({vmbox_id})
        )
        return Caller(account, access), context
