"""Length of an MP4 recording (ISO 14496-12), progressive or fragmented."""

import struct
from operator import mul

import msgspec

from service.audio.lengths.reader import ForwardReader
from service.domain.audio_errors import AudioEmpty, NotAudio

_MAX_BOXES = 200_000
_MAX_DEPTH = 6
_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"mvex", b"moof", b"traf"})
_SOUND, _VIDEO = b"soun", b"vide"

# Flags of `tfhd` and `trun` (8.8.7, 8.8.8), with the size of the field that each announces.
_BASE_OFFSET, _DESCRIPTION, _DEFAULT_DURATION = 0x1, 0x2, 0x8
_DATA_OFFSET, _FIRST_FLAGS = 0x1, 0x4
_DURATIONS, _SAMPLE_FIELDS = 0x100, (0x100, 0x200, 0x400, 0x800)


class _Malformed(Exception):
    """A box contradicts the format."""


class _Track(msgspec.Struct):
    """Track with the sum of its sample durations, in units of its time scale."""

    track_id: int = 0
    kind: bytes = b""
    units_per_s: int = 0
    duration: int = 0


def mp4_length_ms(reader: ForwardReader) -> int | None:
    """Returns the length of the audio track, from the durations of its samples."""
    walk = _Walk(reader)
    try:
        is_complete = walk.read_boxes(0, reader.size)
    except (_Malformed, struct.error):
        return None
    tracks = walk.tracks
    if any(track.kind == _VIDEO for track in tracks):
        raise NotAudio
    lengths = [
        track.duration * 1000 / track.units_per_s
        for track in tracks
        if track.kind == _SOUND and track.units_per_s
    ]
    if is_complete and not walk.media_bytes and not any(lengths):
        raise AudioEmpty
    # Samples of a progressive file that was cut off are missing.
    is_measured = is_complete or walk.is_fragmented
    return round(max(lengths, default=0)) or None if is_measured else None


class _Walk:
    """Reads the boxes of a file in their order."""

    def __init__(self, reader: ForwardReader) -> None:
        self.tracks: list[_Track] = []
        self.media_bytes = 0
        self.is_fragmented = False
        self._reader = reader
        self._boxes_left = _MAX_BOXES
        # By track, from `trex`.
        self._default_durations: dict[int, int] = {}
        # The track of the current fragment, and the duration of its samples.
        self._track = _Track()
        self._sample_duration = 0

    def read_boxes(self, position: int, end: int, depth: int = 0) -> bool:
        """Reads boxes up to `end`. Returns False if the last one continues beyond it."""
        while position + 8 <= end:
            self._boxes_left -= 1
            if self._boxes_left < 0 or depth > _MAX_DEPTH:
                raise _Malformed
            header = self._reader.read(position, 16)
            size, name = struct.unpack_from(">I4s", header)
            start = position + 8
            if size == 1:
                (size,) = struct.unpack_from(">Q", header, 8)
                start += 8
            position = end if size == 0 else position + size
            if position < start:
                raise _Malformed
            self._read_box(name, start, min(position, end), depth)
        return position <= end

    def _read_box(self, name: bytes, start: int, end: int, depth: int) -> None:
        match name:
            case b"mdat":
                self.media_bytes += end - start
            case b"trak":
                self.tracks.append(_Track())
                self.read_boxes(start, end, depth + 1)
            case _ if name in _CONTAINERS:
                self.read_boxes(start, end, depth + 1)
            case b"tkhd" | b"mdhd" | b"hdlr" | b"stts" if self.tracks:
                _read_track_box(self.tracks[-1], name, self._reader.read(start, end - start))
            case b"trex":
                track_id, duration = struct.unpack_from(">4xI4xI", self._reader.read(start, 24))
                self._default_durations[track_id] = duration
            case b"tfhd":
                self._begin_fragment(self._reader.read(start, end - start))
            case b"trun":
                self._track.duration += self._run_duration(self._reader.read(start, end - start))

    def _begin_fragment(self, box: bytes) -> None:
        self.is_fragmented = True
        flags, track_id = struct.unpack_from(">II", box)
        self._track = next((t for t in self.tracks if t.track_id == track_id), _Track())
        self._sample_duration = self._default_durations.get(track_id, 0)
        if flags & _DEFAULT_DURATION:
            offset = 8 + 8 * bool(flags & _BASE_OFFSET) + 4 * bool(flags & _DESCRIPTION)
            (self._sample_duration,) = struct.unpack_from(">I", box, offset)

    def _run_duration(self, box: bytes) -> int:
        """Returns the duration of the samples of a `trun` box."""
        flags, count = struct.unpack_from(">II", box)
        if not flags & _DURATIONS:
            return int(count * self._sample_duration)
        fields = sum(bool(flags & field) for field in _SAMPLE_FIELDS)
        offset = 8 + 4 * bool(flags & _DATA_OFFSET) + 4 * bool(flags & _FIRST_FLAGS)
        if offset + 4 * fields * count > len(box):
            raise _Malformed
        return sum(struct.unpack_from(f">{fields * count}I", box, offset)[::fields])


def _read_track_box(track: _Track, name: bytes, box: bytes) -> None:
    has_long_times = box[:1] == b"\x01"
    match name:
        case b"tkhd":
            (track.track_id,) = struct.unpack_from(">I", box, 20 if has_long_times else 12)
        case b"mdhd":
            (track.units_per_s,) = struct.unpack_from(">I", box, 20 if has_long_times else 12)
        case b"hdlr":
            # QuickTime has another handler below, of the data.
            track.kind = track.kind or box[8:12]
        case _:
            (count,) = struct.unpack_from(">I", box, 4)
            if 8 + 8 * count > len(box):
                raise _Malformed
            numbers = struct.unpack_from(f">{2 * count}I", box, 8)
            track.duration += sum(map(mul, numbers[::2], numbers[1::2]))
