"""Errors about audio and its upload, as data. The docstring of a class is its text for users."""

from service.domain.errors import Conflict, LimitExceeded, NotFound, Refused


class AudioMissing(NotFound):
    """The message has no audio; upload its audio first."""


class GreetingHasNoAudio(NotFound):
    """The greeting has no audio; upload its audio first."""


class UploadMissing(Conflict):
    """The audio of the upload is not in the store; send it to the upload URL and retry."""


class NoAudio(Conflict):
    """The message has no audio yet; upload its audio first."""


class AudioTooLarge(LimitExceeded, Refused):
    """The audio exceeds the size limit; send a smaller file."""


class AudioEmpty(Refused):
    """The audio is empty; send a file with content."""


class NotAudio(Refused):
    """The file is not audio; send a recording in one of the accepted types."""


class AudioUnreadable(Refused):
    """The audio cannot be decoded; request it in its stored format."""

    def __init__(self, cause: str = "") -> None:
        super().__init__(cause)
        self.cause = cause


class FormatNotAcceptable(Refused):
    """The Accept header excludes all available audio formats; allow another type."""

    def __init__(self, stored_type: str = "") -> None:
        super().__init__(stored_type)
        self.stored_type = stored_type


class CommentUnreadable(AudioUnreadable):
    """The comment or the message cannot be decoded; forward the message without a comment."""


class ConversionUnavailable(Refused):
    """This installation cannot convert audio; install aftertone[audio] or omit the format."""


class WaveformUnavailable(Refused):
    """The message has no waveform, and none can be computed; install aftertone[audio]."""


class RedirectUnavailable(Refused):
    """The audio store has no public endpoint; retry without `redirect`."""


class DirectUploadUnavailable(Refused):
    """The audio store has no public endpoint; send the audio with the message."""


class UploadTokenInvalid(Refused):
    """The upload token is not valid for this mailbox, or has expired; request a new upload."""


class UploadMismatch(Refused):
    """The stored audio differs from the announced audio; request a new upload and send it again."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field
