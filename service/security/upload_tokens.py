"""Tokens of direct uploads. They hold the whole upload, so the service stores nothing."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from uuid import UUID

import msgspec

from service.domain.audio_errors import UploadTokenInvalid
from service.domain.direct_upload import DirectUpload
from service.security.encryption import SecretBox, SecretUnreadable

MAX_UPLOAD_TOKEN = 8192

_decoder = msgspec.json.Decoder(DirectUpload)


class UploadTokens:
    """Issues and reads tokens. A token is encrypted, and valid for one mailbox only."""

    def __init__(self, secrets: SecretBox) -> None:
        self._secrets = secrets

    def issue(self, account_id: UUID, vmbox_id: UUID, upload: DirectUpload) -> str:
        content = msgspec.json.encode(upload).decode()
        sealed = self._secrets.seal(content, _context(account_id, vmbox_id))
        return urlsafe_b64encode(sealed).decode().rstrip("=")

    def read(self, token: str, account_id: UUID, vmbox_id: UUID, now: datetime) -> DirectUpload:
        """Returns the upload of `token`. Raises UploadTokenInvalid."""
        if len(token) > MAX_UPLOAD_TOKEN:
            raise UploadTokenInvalid
        try:
            sealed = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
            content = self._secrets.open(sealed, _context(account_id, vmbox_id))
            upload = _decoder.decode(content)
        except (SecretUnreadable, ValueError):
            raise UploadTokenInvalid from None
        if now >= upload.expires_at:
            raise UploadTokenInvalid
        return upload


def _context(account_id: UUID, vmbox_id: UUID) -> bytes:
    return b"upload " + account_id.bytes + vmbox_id.bytes
