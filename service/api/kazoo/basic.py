"""`Authorization: Basic`: the id of an account, and the `credentials` hash of one of its users.

KAZOO API docs, "Basic Auth".
"""

from base64 import b64decode
from uuid import UUID

from service.domain.errors import CredentialsInvalid
from service.domain.message import parse_hex_id
from service.domain.user import CredentialMethod

_METHODS = {32: CredentialMethod.MD5, 40: CredentialMethod.SHA}


def basic_of(authorization: str) -> tuple[UUID, CredentialMethod, str] | None:
    """Reads the account, the hash and its method. Returns None for another scheme.

    Raises CredentialsInvalid for malformed credentials.
    """
    scheme, _, coded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        account, _, digest = b64decode(coded.strip(), validate=True).decode("ascii").partition(":")
    except ValueError:
        raise CredentialsInvalid from None
    account_id, method = parse_hex_id(account), _METHODS.get(len(digest))
    if account_id is None or method is None:
        raise CredentialsInvalid
    return account_id, method, digest.lower()
