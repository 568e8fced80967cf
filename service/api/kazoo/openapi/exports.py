"""Operations of exports."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import exports
from service.api.kazoo.openapi import parameters, sample_requests, samples
from service.api.kazoo.openapi.bodies import export_archive, not_modified, success
from service.api.kazoo.openapi.refusals import RANGE_PAST_END
from service.api.kazoo.wire.exports import ExportRow
from service.domain.errors import (
    ExportInProgress,
    ExportNotFound,
    ExportNotReady,
    PreconditionFailed,
    StorageUnavailable,
)

TAG = {"name": "Exports", "description": "Archives of complete accounts"}

_UNKNOWN = ExportNotFound(sample_requests.WEBHOOK_ID)
_ROWS = {"type": "array", "items": ref(ExportRow)}

OPERATIONS = (
    Operation(
        handler=exports.list_exports,
        answers={200: success(_ROWS, [samples.EXPORT], description="The exports")},
    ),
    Operation(
        handler=exports.start_export,
        answers={
            201: success(
                ref(ExportRow), samples.EXPORT, headers=("Location",), description="The new export"
            )
        },
        refusals=(ExportInProgress(),),
    ),
    Operation(
        handler=exports.get_export,
        answers={200: success(ref(ExportRow), samples.EXPORT, description="The export")},
        refusals=(_UNKNOWN,),
    ),
    Operation(
        handler=exports.get_export_archive,
        parameters=parameters.RANGES,
        answers={
            200: export_archive("The complete archive", *parameters.AUDIO_HEADERS),
            206: export_archive(
                "A range of the archive", *parameters.AUDIO_HEADERS, "Content-Range"
            ),
            304: not_modified(),
        },
        refusals=(
            _UNKNOWN,
            ExportNotReady(),
            PreconditionFailed(),
            RANGE_PAST_END,
            StorageUnavailable(),
        ),
    ),
)
