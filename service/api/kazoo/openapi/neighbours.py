"""Operations of the stubs of KAZOO's other resources."""

from litestar.exceptions import HTTPException

from service.api.description.openapi.operations import Operation
from service.api.kazoo import neighbours
from service.api.kazoo.openapi.bodies import pages
from service.api.kazoo.openapi.vmboxes import BAD_SIZE

TAG = {
    "name": "Stubs",
    "description": "Empty lists of KAZOO's resources that this service does not have",
}

OPERATIONS = tuple(
    Operation(
        handler=stub,
        parameters=("paginate", "page_size", "if_none_match"),
        answers=pages({"type": "object"}, None, description="An empty list", metadata=True),
        refusals=(HTTPException(status_code=404), BAD_SIZE),
    )
    for stub in neighbours.ROUTES
)
