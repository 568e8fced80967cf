"""Operations of erasures."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import erasures
from service.api.kazoo.openapi import sample_requests, samples
from service.api.kazoo.openapi.bodies import envelope, success
from service.api.kazoo.wire.erasures import ErasureRow
from service.domain.errors import DeletionHeld, ErasureNotFound, Invalid, Rule

TAG = {"name": "Erasures", "description": "Jobs that delete all data of a person"}

BLOCKED = DeletionHeld({sample_requests.WEBHOOK_ID: sample_requests.NEW_HOLD["name"]})
_NO_NUMBER = Invalid.of("caller_id_number", Rule.REQUIRED)

OPERATIONS = (
    Operation(
        handler=erasures.create_erasure,
        body=envelope(ref("NewErasure"), {"person": sample_requests.NEW_ERASURE}),
        answers={
            201: success(
                ref(ErasureRow), samples.ERASURE, headers=("Location",), description="The job"
            )
        },
        refusals=(BLOCKED, _NO_NUMBER),
    ),
    Operation(
        handler=erasures.get_erasure,
        answers={200: success(ref(ErasureRow), samples.ERASURE, description="The job")},
        refusals=(ErasureNotFound(sample_requests.WEBHOOK_ID),),
    ),
)
