"""Test of the conversion for `aftertone settings check`: converts a short recording."""

import io
import tempfile
import wave

from service.audio.conversion.operations import Convert
from service.audio.conversion.pool import AudioInput, ConversionPool
from service.domain.audio_errors import AudioUnreadable, ConversionUnavailable
from service.domain.errors import Unavailable
from service.domain.rendition import RenditionFormat


async def probe_conversion(pool: ConversionPool) -> list[str]:
    """Returns the problems found when a second of silence is converted to MP3."""
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(_silence())
        source.flush()
        try:
            await pool.run(
                Convert(format=RenditionFormat.MP3),
                [AudioInput(source, "audio/wav")],
                target,
                owner="probe",
            )
        except AudioUnreadable as error:
            return [f"a conversion failed ({error.cause}); check the limits of the conversion"]
        except (ConversionUnavailable, Unavailable) as error:
            return [str(error)]
    return []


def _silence() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(8000)
        recording.writeframes(bytes(16_000))
    return file.getvalue()
