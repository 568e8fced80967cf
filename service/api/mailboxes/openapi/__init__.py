"""This dialect's section of the OpenAPI document."""

from service.api.description.openapi.document import Section
from service.api.description.openapi.operations import Common, paths
from service.api.description.openapi.sharing import share_refusals
from service.api.mailboxes.openapi import mailboxes, messages, recipients
from service.api.mailboxes.openapi.parts import SECURITY_SCHEMES, parameters, responses, security
from service.api.mailboxes.openapi.schemas import schemas

_ABOUT = """\
## Mailboxes under `/voip`

Yay.com's API of voicemail boxes, over the same boxes and messages.

* A body is the bare object; unknown keys are ignored. Ids are taken with and without dashes.
* An answer is an envelope around `result`, with the HTTP status in `status_code` and its words in
  `status_message`. A 400 about fields names each with the rule that it breaks, in
  `result.errors`.
* Credentials come with every request, or a token does. `X-Auth-For` names an account below the
  own one, in whose place the request stands.
"""


def section() -> Section:
    """Everything under `/voip`, and `/authenticated`."""
    common = Common(
        parameters=("auth_for", "mailbox_request_id"), responses=responses, security=security
    )
    resources = (mailboxes, messages, recipients)
    described = paths("", [one for part in resources for one in part.OPERATIONS], common)
    return Section(
        about=_ABOUT,
        tags=[part.TAG for part in resources],
        paths=described,
        components={
            "schemas": schemas(),
            "parameters": parameters(),
            "responses": share_refusals(described, prefix="Mailbox"),
            "securitySchemes": SECURITY_SCHEMES,
        },
    )
