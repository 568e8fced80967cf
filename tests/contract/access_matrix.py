"""Table of routes and principals: the expected access, and the reference text made from it.

`python -m tests.contract.access_matrix` writes the text into the README of the KAZOO dialect.

The columns are: administrators; users without administrator rights; an API key with the scope
`messages:read`; an API key with all scopes except `account:admin`, for one box; a recording link,
whose token is sent as the token of the request and in `{link_token}`.

A route without a permission (`-`) belongs to no account.

* `yes`: allowed.
* `own`: allowed for the boxes of the caller, their greetings, and its own user; lists contain only
  these. 403 otherwise.
* `no`: 403; 401 for a recording link, and for another token in `{link_token}`.
"""

import re
from pathlib import Path

import msgspec

README = Path(__file__).parents[2] / "service" / "api" / "kazoo" / "README.md"
BEGIN, END = "<!-- access: begin -->\n", "<!-- access: end -->\n"
COLUMNS = ("administrator", "user", "`messages:read` key", "box key", "recording link")

NO_PERMISSION = "-"

_TABLE = """
PUT    /v2/api_auth                                         -              yes yes yes yes yes
PUT    /v2/user_auth                                        -              yes yes yes yes yes
GET    /v2/user_auth/{token}                                -              yes yes yes yes no
GET    /v2/accounts/{account_id}/user_auth/{token}          account:read   yes yes yes yes no
GET    /v2/auth/tokeninfo                                   -              yes yes yes yes yes
POST   /v2/auth/tokeninfo                                   -              yes yes yes yes yes
GET    /v2/schemas                                          -              yes yes yes yes yes
GET    /v2/schemas/{schema_name}                            -              yes yes yes yes yes
GET    /v2/token_auth                                       -              yes yes yes yes no
DELETE /v2/token_auth                                       -              yes yes yes yes no
POST   /v2/recordings                                       -              yes yes yes yes yes
GET    /v2/recordings/{link_token}                          -              no  no  no  no  yes
GET    /v2/recordings/{link_token}/waveform                 -              no  no  no  no  yes
GET    /v2/accounts/{account_id}                            account:read   yes yes yes yes no
PUT    /v2/accounts/{account_id}                            account:admin  yes no  no  no no
POST   /v2/accounts/{account_id}                            account:admin  yes no  no  no no
PATCH  /v2/accounts/{account_id}                            account:admin  yes no  no  no no
DELETE /v2/accounts/{account_id}                            account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/children                   account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/descendants                account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/api_key                    account:admin  yes no  no  no no
PUT    /v2/accounts/{account_id}/api_key                    account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/api_keys                   account:admin  yes no  no  no no
PUT    /v2/accounts/{account_id}/api_keys                   account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/api_keys/{key_id}          account:admin  yes no  no  no no
DELETE /v2/accounts/{account_id}/api_keys/{key_id}          account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/holds                      account:admin  yes no  no  no no
PUT    /v2/accounts/{account_id}/holds                      account:admin  yes no  no  no no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}/holds   account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/holds/{hold_id}            account:admin  yes no  no  no no
DELETE /v2/accounts/{account_id}/holds/{hold_id}            account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/holds/{hold_id}/messages   account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/holds/{hold_id}/messages/{message_id}/raw account:admin yes no no no no
GET    /v2/accounts/{account_id}/holds/{hold_id}/export     account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/deliveries                 account:admin  yes no  no  no no
POST   /v2/accounts/{account_id}/deliveries                 account:admin  yes no  no  no no
POST   /v2/accounts/{account_id}/erasures                   account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/erasures/{erasure_id}      account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/exports                    account:admin  yes no  no  no no
PUT    /v2/accounts/{account_id}/exports                    account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/exports/{export_id}        account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/exports/{export_id}/raw    account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/users                      user:self      yes own no  no no
PUT    /v2/accounts/{account_id}/users                      account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/users/{user_id}            user:self      yes own no  no no
POST   /v2/accounts/{account_id}/users/{user_id}            user:self      yes own no  no no
PATCH  /v2/accounts/{account_id}/users/{user_id}            user:self      yes own no  no no
DELETE /v2/accounts/{account_id}/users/{user_id}            account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/trash                      vmboxes:read   yes no  no  no no
POST   /v2/accounts/{account_id}/trash                      vmboxes:write  yes no  no  no no
DELETE /v2/accounts/{account_id}/trash                      vmboxes:write  yes no  no  no no
GET    /v2/accounts/{account_id}/vmboxes                    vmboxes:read   yes own no  own no
PUT    /v2/accounts/{account_id}/vmboxes                    vmboxes:write  yes no  no  no no
GET    /v2/accounts/{account_id}/vmboxes/messages           messages:read  yes own yes own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}         vmboxes:read   yes own no  own no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}         vmboxes:write  yes own no  own no
PATCH  /v2/accounts/{account_id}/vmboxes/{vmbox_id}         vmboxes:write  yes own no  own no
DELETE /v2/accounts/{account_id}/vmboxes/{vmbox_id}         vmboxes:write  yes own no  own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/mwi     vmboxes:read   yes own no  own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/greeting vmboxes:read  yes own no  own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/greeting/raw vmboxes:read yes own no own no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}/pin     vmboxes:read   yes own no  own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/events  events:read    yes own no  own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages messages:read  yes own yes own no
PUT    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages messages:write yes own no  own no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/upload messages:write yes own no own no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages messages:write yes own no  own no
DELETE /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages messages:write yes own no  own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/trash   messages:read  yes own yes own no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}/trash   messages:write yes own no  own no
DELETE /v2/accounts/{account_id}/vmboxes/{vmbox_id}/trash   messages:write yes own no  own no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/raw messages:read yes own yes own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id} messages:read yes own yes own no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id} messages:write yes own no own no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id}/forward messages:write yes own no own no
DELETE /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id} messages:write yes own no own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id}/raw messages:read yes own yes own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id}/waveform messages:read yes own yes own no
PUT    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id}/raw messages:write yes own no own no
POST   /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id}/link messages:read yes own yes own no
GET    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id}/transcription messages:read yes own yes own no
PUT    /v2/accounts/{account_id}/vmboxes/{vmbox_id}/messages/{message_id}/transcription messages:write yes own no own no
GET    /v2/accounts/{account_id}/callflows                  account:read   yes yes yes yes no
GET    /v2/accounts/{account_id}/devices                    account:read   yes yes yes yes no
GET    /v2/accounts/{account_id}/cdrs                       account:read   yes yes yes yes no
GET    /v2/accounts/{account_id}/faxboxes                   account:read   yes yes yes yes no
GET    /v2/accounts/{account_id}/audit                      account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/events                     events:read    yes own no  own no
GET    /v2/accounts/{account_id}/media                      vmboxes:read   yes own no  own no
PUT    /v2/accounts/{account_id}/media                      vmboxes:write  yes own no  own no
GET    /v2/accounts/{account_id}/media/{media_id}           vmboxes:read   yes own no  own no
POST   /v2/accounts/{account_id}/media/{media_id}           vmboxes:write  yes own no  own no
PATCH  /v2/accounts/{account_id}/media/{media_id}           vmboxes:write  yes own no  own no
DELETE /v2/accounts/{account_id}/media/{media_id}           vmboxes:write  yes own no  own no
GET    /v2/accounts/{account_id}/media/{media_id}/raw       vmboxes:read   yes own no  own no
PUT    /v2/accounts/{account_id}/media/{media_id}/raw       vmboxes:write  yes own no  own no
POST   /v2/accounts/{account_id}/media/{media_id}/raw       vmboxes:write  yes own no  own no
GET    /v2/webhooks                                         -              yes yes yes yes yes
GET    /v2/accounts/{account_id}/webhooks                   account:admin  yes no  no  no no
PUT    /v2/accounts/{account_id}/webhooks                   account:admin  yes no  no  no no
PATCH  /v2/accounts/{account_id}/webhooks                   account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/webhooks/attempts          account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/webhooks/{webhook_id}      account:admin  yes no  no  no no
POST   /v2/accounts/{account_id}/webhooks/{webhook_id}      account:admin  yes no  no  no no
PATCH  /v2/accounts/{account_id}/webhooks/{webhook_id}      account:admin  yes no  no  no no
DELETE /v2/accounts/{account_id}/webhooks/{webhook_id}      account:admin  yes no  no  no no
GET    /v2/accounts/{account_id}/webhooks/{webhook_id}/attempts account:admin yes no no no no
POST   /v2/accounts/{account_id}/webhooks/{webhook_id}/ping account:admin  yes no  no  no no
GET    /authenticated                                       account:read   yes yes yes yes no
GET    /voip/mailbox                                        vmboxes:read   yes own no  own no
POST   /voip/mailbox                                        vmboxes:write  yes no  no  no no
GET    /voip/mailbox/{uuid}                                 vmboxes:read   yes own no  own no
PUT    /voip/mailbox/{uuid}                                 vmboxes:write  yes own no  own no
DELETE /voip/mailbox/{uuid}                                 vmboxes:write  yes own no  own no
GET    /voip/mailbox/{uuid}/messages                        messages:read  yes own yes own no
GET    /voip/mailbox/{uuid}/messages/{message_uuid}         messages:read  yes own yes own no
DELETE /voip/mailbox/{uuid}/messages/{message_uuid}         messages:write yes own no  own no
GET    /voip/mailbox/{uuid}/messages/{message_uuid}/audio   messages:read  yes own yes own no
GET    /voip/mailbox/{uuid}/recipients                      vmboxes:read   yes own no  own no
POST   /voip/mailbox/{uuid}/recipients                      vmboxes:write  yes own no  own no
DELETE /voip/mailbox/{uuid}/recipients/{recipient_uuid}     vmboxes:write  yes own no  own no
"""  # noqa: E501


class RouteAccess(msgspec.Struct, frozen=True):
    """A route, its permission, and one word for each column."""

    method: str
    path: str
    permission: str
    words: tuple[str, ...]

    @property
    def names_object(self) -> bool:
        """True when the path contains the id of something that the caller may own."""
        return re.search(r"\{(vmbox_id|uuid|user_id|media_id)\}", self.path) is not None


ROUTES = tuple(
    RouteAccess(method, path, permission, tuple(words))
    for method, path, permission, *words in map(str.split, _TABLE.strip().splitlines())
)


def permission_of(route: RouteAccess) -> str:
    return NO_PERMISSION if route.permission == NO_PERMISSION else f"`{route.permission}`"


def reference() -> str:
    """The table as Markdown."""
    head = ("route", "permission", *COLUMNS)
    rows = [
        (f"`{route.method} {route.path}`", permission_of(route), *route.words) for route in ROUTES
    ]
    lines = ("| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows))
    return "\n".join(lines) + "\n"


def written() -> str:
    """The table as it is in the README."""
    return README.read_text().partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(before + BEGIN + reference() + END + rest.partition(END)[2])
