"""The section of this dialect in the OpenAPI document."""

from service.api.description.openapi.document import Section
from service.api.description.openapi.operations import Common, paths
from service.api.description.openapi.sharing import share_refusals
from service.api.mailboxes.openapi.operations import OPERATIONS, TAGS
from service.api.mailboxes.openapi.parts import SECURITY_SCHEMES, parameters, refusals, security
from service.api.mailboxes.openapi.schemas import schemas

_ABOUT = """\
## Mailboxes under `/voip`

Yay.com's API of voicemail boxes, for the same boxes and messages as `/v2`.

* A request body is a JSON object without an envelope. Unknown keys are ignored.
* Ids are accepted with and without dashes.
* A response is an envelope with `result`, the HTTP status in `status_code` and its phrase in
  `status_message`. A 400 for invalid fields contains the broken rule of each field in
  `result.errors`.
* Each request contains credentials or a token. `X-Auth-For` is the name of a descendant account
  that the request acts for.
"""


def section() -> Section:
    common = Common(
        parameters=("auth_for", "mailbox_request_id"), responses=refusals, security=security
    )
    items = paths("", OPERATIONS, common)
    return Section(
        about=_ABOUT,
        tags=TAGS,
        paths=items,
        components={
            "schemas": schemas(),
            "parameters": parameters(),
            "responses": share_refusals(items, prefix="Mailbox"),
            "securitySchemes": SECURITY_SCHEMES,
        },
    )
