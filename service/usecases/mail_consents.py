"""Use cases of mail recipients: confirm an address, unsubscribe an address."""

from dataclasses import dataclass
from uuid import UUID

from service.domain.errors import RecipientLinkInvalid
from service.domain.recipient import Consent
from service.postgres.mail import set_consent
from service.postgres.pool import Database
from service.security import RecipientTokens


@dataclass(frozen=True)
class MailConsents:
    """Answers of recipients. The token of a link in a mail is the only credential."""

    database: Database
    tokens: RecipientTokens

    def address_of(self, token: str) -> str:
        """Returns the address of a link. Raises RecipientLinkInvalid."""
        return self._read(token)[1]

    async def set(self, token: str, consent: Consent) -> str:
        """Records an answer and returns the address. Raises RecipientLinkInvalid."""
        account_id, address = self._read(token)
        async with self.database.connection() as connection:
            await set_consent(connection, account_id, address, consent)
        return address

    def _read(self, token: str) -> tuple[UUID, str]:
        recipient = self.tokens.read(token)
        if recipient is None:
            raise RecipientLinkInvalid
        return recipient
