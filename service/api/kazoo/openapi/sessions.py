"""Operations of signing in, and of tokens."""

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.kazoo import sessions
from service.api.kazoo.openapi import samples
from service.api.kazoo.openapi.bodies import envelope, link, success
from service.api.kazoo.openapi.schemas import ref
from service.domain.errors import CredentialsInvalid, Forbidden, Invalid, Rule, TooManySignIns

TAG = {"name": "Signing in", "description": "Tokens, for API keys and for users"}

_NAME = TAG["name"]
_ACCOUNT = link(
    "get_account", "The account of the token", account_id="$response.body#/data/account_id"
)


def _signed_in(text: str, *, owner: bool = False) -> Json:
    who = samples.SIGNED_IN | ({"owner_id": samples.OWNER_ID} if owner else {})
    return success(ref("SignedIn"), who, text=text, links={"account": _ACCOUNT})


OPERATIONS = (
    Operation(
        handler=sessions.sign_in_with_api_key,
        tag=_NAME,
        signed_in=False,
        body=envelope(ref("ApiKey"), {"key": {"api_key": samples.API_KEY}}),
        answers={201: _signed_in("Signed in; the token is in `auth_token`")},
        refusals=(
            CredentialsInvalid(),
            Invalid.of("api_key", Rule.MIN_LENGTH, target=64, value="short"),
        ),
    ),
    Operation(
        handler=sessions.sign_in_as_user,
        tag=_NAME,
        signed_in=False,
        body=envelope(ref("Credentials"), {"md5": samples.CREDENTIALS}),
        answers={201: _signed_in("Signed in; the token is in `auth_token`", owner=True)},
        refusals=(
            CredentialsInvalid(),
            TooManySignIns(),
            Invalid.of("account_name", Rule.REQUIRED),
        ),
    ),
    Operation(
        handler=sessions.get_user_auth,
        tag=_NAME,
        answers={200: _signed_in("What it stands for", owner=True)},
        refusals=(Forbidden(),),
    ),
    Operation(
        handler=sessions.get_token_auth,
        tag=_NAME,
        answers={200: _signed_in("What it stands for")},
    ),
    Operation(
        handler=sessions.end_token,
        tag=_NAME,
        answers={200: success({"type": "object"}, {}, text="It is no good any more")},
    ),
)
