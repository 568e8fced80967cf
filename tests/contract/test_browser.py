"""Pages in a real browser: one plays and seeks recordings, the other receives events."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, Response, async_playwright

from service.domain.rendition import RenditionFormat
from tests.support.audio_samples import PCM, a_wav, an_mp3, riff
from tests.support.running import AccountClient
from tests.support.waiting import DEADLINE_S, wait_until

_CHROMIUM = shutil.which("chromium")
_PLAYER_PAGE = Path(__file__).parent / "clients" / "player.html"
_EVENTS_PAGE = Path(__file__).parent / "clients" / "events.html"
_GENERIC = "application/octet-stream"
# Seven megabytes are more than a browser reads ahead: a seek to the end needs a new request.
_WAV_S = 440
_WAV = riff(PCM, 16, 8000, a_wav()[44:] * _WAV_S)
# 25 frames of 36 ms, without the headers of the file.
_MP3_S = 3500.1
_MP3 = an_mp3()[-25 * 72 :] * round(_MP3_S / 0.9)
_END_S = 20

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(_CHROMIUM is None, reason="the browser `chromium` is not installed"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=_CHROMIUM)
        yield chromium
        await chromium.close()


class Player:
    """The page for one recording, with its responses and the errors on its console."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.responses: list[Response] = []
        self.errors: list[str] = []
        page.set_default_timeout(DEADLINE_S * 1000)
        page.on("response", lambda response: self.responses.append(response))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._add_line)

    def _add_line(self, line: ConsoleMessage) -> None:
        if line.type == "error":
            self.errors.append(line.text)

    async def load(self, **parameters: str) -> float:
        """Opens the page; returns the duration of the recording in seconds."""
        await self.page.goto(f"{_PLAYER_PAGE.as_uri()}?{urlencode(parameters)}")
        await self.page.wait_for_function("audio.readyState >= HTMLMediaElement.HAVE_METADATA")
        duration: float = await self.page.evaluate("audio.duration")
        return duration

    async def play(self) -> None:
        """Presses the button; returns when the recording plays."""
        await self.page.click("#play")
        await self.page.wait_for_function("audio.currentTime > 0.2")

    async def seek(self, position_s: float) -> None:
        """Moves to a position; returns when the recording plays from there."""
        await self.page.evaluate("(position) => { audio.currentTime = position; }", position_s)
        has_advanced = "(position) => !audio.seeking && audio.currentTime > position + 0.2"
        await self.page.wait_for_function(has_advanced, arg=position_s)

    async def response_from(self, minimum: int) -> Response:
        """Returns the response to a Range request that starts at the byte `minimum` or later."""
        matching: list[Response] = []

        async def has_come() -> bool:
            for response in self.responses:
                requested = await response.request.header_value("range") or "bytes=0-"
                if int(requested.removeprefix("bytes=").partition("-")[0]) >= minimum:
                    matching.append(response)
            return bool(matching)

        await wait_until(has_come)
        return matching[0]


@pytest.mark.parametrize("source", ["link", "raw"])
@pytest.mark.parametrize(
    ("audio", "sent_type", "stored_type", "seconds"),
    [
        pytest.param(_WAV, "audio/x-wav", "audio/x-wav", _WAV_S, id="wav"),
        pytest.param(_MP3, "audio/mpeg", "audio/mpeg", _MP3_S, id="mp3"),
        pytest.param(_WAV, _GENERIC, "audio/wav", _WAV_S, id="untyped-wav"),
        pytest.param(_MP3, _GENERIC, "audio/mpeg", _MP3_S, id="untyped-mp3"),
    ],
)
async def test_a_page_plays_and_seeks_a_recording(
    account: AccountClient,
    browser: Browser,
    source: str,
    audio: bytes,
    sent_type: str,
    stored_type: str,
    seconds: float,
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, audio, sent_type)
    path = account.path("vmboxes", vmbox_id, "messages", media_id)
    message = f"{account.service.url}/v2/{path}"
    async with await browser.new_page() as page:
        player = Player(page)
        duration = await player.load(message=message, token=account.token, source=source)
        assert duration == pytest.approx(seconds, abs=0.05)
        await player.play()
        await player.seek(seconds - _END_S)
        part = await player.response_from(len(audio) // 2)
        headers = await part.all_headers()
        assert part.status == 206
        assert headers["content-type"] == stored_type
        assert headers["content-range"].endswith(f"-{len(audio) - 1}/{len(audio)}")
        assert player.errors == []


@pytest.mark.parametrize("target", RenditionFormat)
async def test_a_page_plays_and_seeks_a_recording_in_every_format(
    account: AccountClient, browser: Browser, target: RenditionFormat
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, a_wav(60.0), "audio/x-wav")
    path = account.path("vmboxes", vmbox_id, "messages", media_id)
    message = f"{account.service.url}/v2/{path}"
    async with await browser.new_page() as page:
        player = Player(page)
        duration = await player.load(
            message=message, token=account.token, source="raw", format=target
        )
        # The MP3 has the padding of its encoder.
        assert duration == pytest.approx(60, abs=0.2)
        await player.play()
        await player.seek(50)
        assert player.errors == []


@pytest.mark.parametrize(
    ("listener", "query"), [("voicemail.message.new", {}), ("message", {"event": "message"})]
)
async def test_an_event_source_gets_events_by_type_and_under_one_name(
    account: AccountClient, browser: Browser, listener: str, query: dict[str, str]
) -> None:
    vmbox_id = await account.a_vmbox()
    path = account.path("vmboxes", vmbox_id, "events")
    parameters = urlencode({**query, "auth_token": account.token})
    events = f"{account.service.url}/v2/{path}?{parameters}"
    async with await browser.new_page() as page:
        page.set_default_timeout(DEADLINE_S * 1000)
        await page.goto(
            f"{_EVENTS_PAGE.as_uri()}?{urlencode({'events': events, 'type': listener})}"
        )
        await page.wait_for_function("source.readyState === EventSource.OPEN")
        media_id = await account.leave(vmbox_id)
        await page.wait_for_function("received.some(({ type }) => type.endsWith('message.new'))")
        assert await page.evaluate("received.at(-1).data.message.media_id") == media_id
