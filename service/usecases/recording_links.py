"""Use cases of recording links: create a link, open the link of a mail, and play a recording."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from service.domain.access import Permission
from service.domain.account import AccountFacts, Caller, Claims
from service.domain.clock import utc_now
from service.domain.errors import AccountNotFound, Forbidden, LinkInvalid, TokenInvalid
from service.domain.message import MessageId
from service.domain.recording import Recording, RecordingLink
from service.security import LinkTokens
from service.usecases.mail_links import MailLinks, OpenedMail
from service.usecases.recordings import Recordings
from service.usecases.sessions import Sessions

_OPENED_LIFETIME = timedelta(hours=1)
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class RecordingLinks:
    """Use cases of recording links. `clock` returns aware UTC."""

    sessions: Sessions
    recordings: Recordings
    tokens: LinkTokens
    mail_links: MailLinks
    clock: Callable[[], datetime] = utc_now

    async def create(
        self,
        caller: Caller,
        account: AccountFacts,
        vmbox_id: UUID,
        message_id: MessageId,
        lifetime: timedelta,
    ) -> tuple[str, RecordingLink]:
        """Returns a token that plays one recording, and its link.

        Raises VmboxNotFound, MessageNotFound, AudioMissing.
        """
        assert caller.claims is not None, "a caller over HTTP has a token"
        await self.recordings.get(account, vmbox_id, message_id)
        now = self.clock().replace(microsecond=0)
        link = RecordingLink(
            link_id=uuid4(),
            account_id=account.account_id,
            vmbox_id=vmbox_id,
            message_id=message_id,
            signer=caller.claims,
            expires_at=min(now + lifetime, await self._access_ends_at(caller.claims)),
        )
        return self.tokens.issue(link, now), link

    async def open_mail(self, token: str) -> OpenedMail:
        """Returns the message of a link in a mail, and a link of an hour that plays it.

        Raises LinkInvalid, VmboxNotFound, MessageNotFound, AudioMissing.
        """
        mail_link = self.mail_links.verify(token)
        caller, context = await self.mail_links.check(
            mail_link.account_id, mail_link.vmbox_id, mail_link.recipient
        )
        recording = await self.recordings.get(
            caller.account, mail_link.vmbox_id, mail_link.message_id
        )
        now = self.clock().replace(microsecond=0)
        link = RecordingLink(
            link_id=uuid4(),
            account_id=mail_link.account_id,
            vmbox_id=mail_link.vmbox_id,
            message_id=mail_link.message_id,
            signer=mail_link.recipient,
            expires_at=min(now + _OPENED_LIFETIME, mail_link.expires_at),
        )
        return OpenedMail(
            caller=caller,
            context=context,
            recording=recording,
            mail_link=mail_link,
            token=self.tokens.issue(link, now),
            link=link,
        )

    async def verify(self, token: str) -> tuple[RecordingLink, Caller]:
        """Returns the link of a token, and its signer. Raises LinkInvalid."""
        try:
            link = self.tokens.verify(token, self.clock())
            if isinstance(link.signer, Claims):
                return link, await self.sessions.check_claims(link.signer)
        except TokenInvalid:
            raise LinkInvalid from None
        caller, _ = await self.mail_links.check(link.account_id, link.vmbox_id, link.signer)
        return link, caller

    async def get(self, link: RecordingLink, signer: Caller) -> tuple[AccountFacts, Recording]:
        """Returns the recording of a link, and its account.

        Raises LinkInvalid, VmboxNotFound, MessageNotFound, AudioMissing.
        """
        try:
            account = await self.sessions.authorise(signer, link.account_id)
            signer.access.check_permission(Permission.MESSAGES_READ)
            signer.access.check_vmbox(link.vmbox_id)
        except (AccountNotFound, Forbidden):
            raise LinkInvalid from None
        return account, await self.recordings.get(account, link.vmbox_id, link.message_id)

    async def _access_ends_at(self, claims: Claims) -> datetime:
        """Returns the expiry of the API key of a token, or the end of time."""
        key = None
        if claims.key_id is not None:
            cache = self.sessions.account_cache
            key = await cache.get_api_key(claims.account_id, claims.key_id)
        return _NEVER if key is None or key.expires_at is None else key.expires_at
