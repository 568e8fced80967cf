"""Operations of transcriptions."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import transcriptions
from service.api.kazoo.openapi import sample_requests
from service.api.kazoo.openapi.bodies import success
from service.api.kazoo.openapi.messages import UNKNOWN_MESSAGE
from service.api.kazoo.openapi.vmboxes import UNKNOWN_VMBOX
from service.api.kazoo.wire.transcriptions import (
    TranscriptionDetail,
    TranscriptionRequest,
    transcription_detail,
)
from service.domain.audio_errors import AudioMissing
from service.domain.errors import TranscriptionMissing
from service.domain.transcription import DetailedTranscription, Word, successful_transcription

TAG = {"name": "Transcriptions", "description": "Text of messages with the times of its words"}

_SAMPLE = transcription_detail(
    DetailedTranscription(
        transcription=successful_transcription(
            "Call me back.", language="en", engine="faster-whisper", model="small"
        ),
        words=[
            Word(start_ms=240, end_ms=520, confidence=97, text="Call"),
            Word(start_ms=520, end_ms=680, confidence=94, text="me"),
            Word(start_ms=680, end_ms=1010, confidence=98, text="back."),
        ],
    )
)
_MISSING = (UNKNOWN_VMBOX, UNKNOWN_MESSAGE)

OPERATIONS = (
    Operation(
        handler=transcriptions.get_transcription,
        answers={200: success(ref(TranscriptionDetail), _SAMPLE, description="The transcription")},
        refusals=(*_MISSING, TranscriptionMissing(sample_requests.MESSAGE_ID)),
    ),
    Operation(
        handler=transcriptions.request_transcription,
        answers={
            202: success(
                ref(TranscriptionRequest),
                TranscriptionRequest(media_id=sample_requests.MESSAGE_ID),
                description="The transcription will be made",
            )
        },
        refusals=(*_MISSING, AudioMissing(sample_requests.MESSAGE_ID)),
    ),
)
