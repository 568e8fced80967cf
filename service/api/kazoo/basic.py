"""`Authorization: Basic`: the id of an account, and a hash of the name and password of its user.

KAZOO API docs, "Basic Auth". The hash is what `user_auth` takes as `credentials`.
"""

from base64 import b64decode
from uuid import UUID

from service.domain.errors import CredentialsInvalid
from service.domain.message import parse_hex_id
from service.domain.user import CredentialMethod

_METHODS = {32: CredentialMethod.MD5, 40: CredentialMethod.SHA}


def basic_of(authorization: str) -> tuple[UUID, CredentialMethod, str] | None:
    """The account, the hash's method and the hash; None when the header has another scheme.

    Raises CredentialsInvalid when it has this one and names nobody.
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
