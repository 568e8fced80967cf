"""Operations of tokens."""

from service.api.description.openapi.fields import Json
from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import sessions
from service.api.kazoo.openapi import sample_requests, samples
from service.api.kazoo.openapi.bodies import envelope, link, success
from service.api.kazoo.wire.documents import SessionResponse
from service.domain.errors import (
    CredentialsInvalid,
    Forbidden,
    Invalid,
    Rule,
    SignInLocked,
    TokenInvalid,
    TooManyRequests,
    TooManySignIns,
)

TAG = {"name": "Signing in", "description": "Tokens for API keys and for users"}

_ACCOUNT = link(
    "get_account", "The account of the token", account_id="$response.body#/data/account_id"
)


def _session(description: str, example: SessionResponse = samples.SESSION) -> Json:
    return success(
        ref(SessionResponse), example, description=description, links={"account": _ACCOUNT}
    )


_TOKEN_REFUSALS = (
    CredentialsInvalid(),
    TokenInvalid(),
    Forbidden(),
    SignInLocked(wait_s=900),
    TooManyRequests(wait_s=1),
    TooManySignIns(),
)

OPERATIONS = (
    Operation(
        handler=sessions.sign_in_with_api_key,
        signed_in=False,
        body=envelope(ref("ApiKey"), {"key": {"api_key": sample_requests.API_KEY}}),
        answers={201: _session("The session; the token is in `auth_token`")},
        refusals=(
            CredentialsInvalid(),
            Invalid.of("api_key", Rule.MIN_LENGTH, target=64, value="short"),
        ),
    ),
    Operation(
        handler=sessions.sign_in_as_user,
        signed_in=False,
        body=envelope(ref("Credentials"), {"md5": sample_requests.CREDENTIALS}),
        answers={201: _session("The session; the token is in `auth_token`", samples.USER_SESSION)},
        refusals=(
            CredentialsInvalid(),
            SignInLocked(wait_s=900),
            TooManySignIns(),
            Invalid.of("account_name", Rule.REQUIRED),
        ),
    ),
    Operation(
        handler=sessions.get_user_auth,
        answers={200: _session("The session", samples.USER_SESSION)},
        refusals=(Forbidden(),),
    ),
    Operation(
        handler=sessions.get_account_user_auth,
        answers={200: _session("The session", samples.USER_SESSION)},
    ),
    Operation(
        handler=sessions.get_token_info,
        signed_in=False,
        parameters=("token_of_session",),
        answers={200: _session("The session", samples.USER_SESSION)},
        refusals=_TOKEN_REFUSALS,
    ),
    Operation(
        handler=sessions.read_token_info,
        signed_in=False,
        body=envelope(ref("SessionToken"), {"token": {"token": sample_requests.TOKEN}}),
        answers={200: _session("The session", samples.USER_SESSION)},
        refusals=(*_TOKEN_REFUSALS, Invalid.of("token", Rule.REQUIRED)),
    ),
    Operation(
        handler=sessions.get_token_auth,
        answers={200: _session("The session")},
    ),
    Operation(
        handler=sessions.end_token,
        answers={200: success({"type": "object"}, {}, description="The token is revoked")},
    ),
)
