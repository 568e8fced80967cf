"""Audio formats: the content type and extension of an upload, from its bytes and its declaration.

No other module decides them. The result is stored with the audio; downloads, archives, mails
and transcriptions use what is stored.
"""

import re

import msgspec

from service.audio.lengths.frames import ADTS, MPEG, id3_size
from service.audio.non_audio import is_clearly_not_audio
from service.domain.audio_errors import NotAudio

GENERIC_TYPE = "application/octet-stream"
_GENERIC_EXTENSION = "bin"


class AudioFormat(msgspec.Struct, frozen=True, kw_only=True):
    """Audio format. `types` begins with the type that is stored, `extensions` with the default.

    `kept_types` are synonyms that are stored as the client declares them: existing clients expect
    them in responses.
    """

    types: tuple[str, ...]
    extensions: tuple[str, ...]
    kept_types: frozenset[str] = frozenset()


WAV = AudioFormat(
    types=(
        "audio/wav",
        "audio/x-wav",
        "audio/wave",
        "audio/x-wave",
        "audio/vnd.wave",
        "audio/x-pn-wav",
    ),
    extensions=("wav",),
    kept_types=frozenset({"audio/x-wav"}),
)
MP3 = AudioFormat(
    types=(
        "audio/mpeg",
        "audio/mp3",
        "audio/mpeg3",
        "audio/x-mp3",
        "audio/x-mpeg",
        "audio/x-mpeg-3",
        "audio/x-mpeg3",
        "audio/mpg",
        "audio/x-mpg",
    ),
    extensions=("mp3",),
    kept_types=frozenset({"audio/mp3"}),
)
OGG = AudioFormat(
    types=(
        "audio/ogg",
        "audio/x-ogg",
        "application/ogg",
        "application/x-ogg",
        "audio/opus",
        "audio/vorbis",
        "audio/speex",
    ),
    extensions=("ogg", "oga", "opus", "spx"),
)
MP4 = AudioFormat(
    types=("audio/mp4", "audio/x-m4a", "audio/m4a", "audio/x-mp4", "video/mp4", "audio/3gpp"),
    extensions=("mp4", "m4a"),
)
WEBM = AudioFormat(types=("audio/webm", "video/webm"), extensions=("webm",))
AAC = AudioFormat(types=("audio/aac", "audio/aacp", "audio/x-aac"), extensions=("aac",))
FLAC = AudioFormat(types=("audio/flac", "audio/x-flac"), extensions=("flac",))
AMR = AudioFormat(types=("audio/amr", "audio/amr-wb"), extensions=("amr", "awb"))
AU = AudioFormat(types=("audio/basic", "audio/au", "audio/x-au"), extensions=("au", "snd"))
AIFF = AudioFormat(types=("audio/aiff", "audio/x-aiff"), extensions=("aiff", "aif"))
GSM = AudioFormat(types=("audio/x-gsm", "audio/gsm"), extensions=("gsm",))

_FORMATS = (WAV, MP3, OGG, MP4, WEBM, AAC, FLAC, AMR, AU, AIFF, GSM)
_BY_TYPE = {name: kind for kind in _FORMATS for name in kind.types}
_BY_EXTENSION = {name: kind for kind in _FORMATS for name in kind.extensions}

ACCEPTED_TYPES = frozenset(_BY_TYPE) | {GENERIC_TYPE}
"""Types that a client may declare, with their synonyms."""
STORED_TYPES = (
    *(name for kind in _FORMATS for name in (kind.types[0], *kind.kept_types)),
    GENERIC_TYPE,
)
"""Types of stored audio."""

_M4A_TYPES = frozenset({"audio/x-m4a", "audio/m4a"})
_M4A_BRANDS = (b"M4A ", b"M4B ")
_WEBM_HEAD = re.compile(rb"\x1aE\xdf\xa3.{0,64}\x42\x82.webm", re.DOTALL)


class AudioType(msgspec.Struct, frozen=True, kw_only=True):
    """Decision about an upload. `format` is None if the bytes have the signature of no format."""

    content_type: str
    extension: str
    format: AudioFormat | None


def is_accepted(content_type: str) -> bool:
    return media_type_of(content_type) in ACCEPTED_TYPES


def media_type_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def determine_type(head: bytes, content_type: str, filename: str | None = None) -> AudioType:
    """Returns the type of an upload with the first bytes `head`, a declared type and a name.

    The bytes decide. Bytes of an unknown format have the declared type; if that is generic, the
    type of the extension of `filename`. Raises NotAudio if the bytes are clearly not audio.
    """
    declared = media_type_of(content_type)
    suffix = (filename or "").lower().rpartition(".")[2] if "." in (filename or "") else ""
    detected = detect_format(head)
    if detected is None and is_clearly_not_audio(head):
        raise NotAudio
    kind = detected or _BY_TYPE.get(declared) or _BY_EXTENSION.get(suffix)
    if kind is None:
        return AudioType(content_type=GENERIC_TYPE, extension=_GENERIC_EXTENSION, format=None)
    stored = declared if declared in kind.kept_types else kind.types[0]
    # Bytes of an unknown format keep the type and the extension that the client sent.
    is_named = suffix in (_BY_EXTENSION if detected is None else kind.extensions)
    extension = suffix if is_named else _default_extension(kind, head, declared)
    # Frames have no signature, so they are searched only in a file that is declared as such.
    measured_as = kind if kind in (MP3, AAC) else detected
    return AudioType(content_type=stored, extension=extension, format=measured_as)


def _default_extension(kind: AudioFormat, head: bytes, declared: str) -> str:
    if kind is MP4 and (declared in _M4A_TYPES or head[8:12] in _M4A_BRANDS):
        return "m4a"
    return kind.extensions[0]


def types_like(content_type: str) -> tuple[str, ...]:
    """Returns the names of the format of stored audio, or only the type if it is not known."""
    kind = _BY_TYPE.get(media_type_of(content_type))
    return (content_type,) if kind is None else kind.types


def find_format(head: bytes, content_type: str) -> AudioFormat | None:
    """Returns the format of stored audio by its first bytes, else by its stored type."""
    return detect_format(head) or _BY_TYPE.get(media_type_of(content_type))


def detect_format(head: bytes) -> AudioFormat | None:
    """Returns the format of a file with these first bytes, or None if it is not recognised."""
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return WAV
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    if head[4:8] in (b"ftyp", b"styp") and not is_clearly_not_audio(head[:16]):
        return MP4
    if _WEBM_HEAD.match(head):
        return WEBM
    for magic, kind in (
        (b"OggS", OGG),
        (b"fLaC", FLAC),
        (b"#!AMR\n", AMR),
        (b"#!AMR-WB\n", AMR),
        (b".snd\0", AU),
    ):
        if head.startswith(magic):
            return kind
    return _detect_frames(head[id3_size(head) :]) or (MP3 if head.startswith(b"ID3") else None)


def _detect_frames(head: bytes) -> AudioFormat | None:
    """Recognises the formats without a signature, by two frames in succession."""
    for stream, kind in ((ADTS, AAC), (MPEG, MP3)):
        frame = stream.parse(head)
        if frame is not None:
            following = head[frame.size :]
            if stream.parse(following) if following else len(head) == frame.size:
                return kind
    return None
