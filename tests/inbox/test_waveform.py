"""Waveforms of the server in a real browser: in the player, and as pictures."""

from playwright.async_api import Browser, Page

from tests.inbox.browser import MARKS, row, signed_in
from tests.support.audio_samples import PCM, a_wav, riff
from tests.support.running import AccountClient, data_of
from tests.support.waiting import wait_until

TONE_THEN_SILENCE = riff(PCM, 16, 8000, a_wav(2.0)[44:] + bytes(32_000))
_HEIGHTS = """canvas => {
  const { width, height } = canvas;
  const pixels = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  const filled = (from, to) => {
    let rows = new Set();
    for (let y = 0; y < height; y++)
      for (let x = Math.floor(from * width); x < to * width; x++)
        if (pixels[4 * (y * width + x) + 3] > 0) rows.add(y);
    return rows.size / height;
  };
  return [filled(0.05, 0.45), filled(0.55, 0.95)];
}"""

pytestmark = MARKS


async def heights(page: Page) -> tuple[float, float]:
    """The heights of the two halves of the waveform, from 0 to 1."""
    first, second = await page.locator("message-player canvas").evaluate(_HEIGHTS)
    return first, second


async def test_the_player_shows_the_waveform_of_the_server(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    await account.leave(vmbox_id, TONE_THEN_SILENCE, "audio/wav", caller_id_name="Ann")
    async with signed_in(browser, account) as page:
        answers: list[int] = []
        page.on(
            "response",
            lambda answer: answers.append(answer.status) if "/waveform" in answer.url else None,
        )
        # Without it, the page could compute the waveform itself.
        await page.evaluate("() => { delete window.OfflineAudioContext; }")
        await row(page, "Ann").get_by_role("button", expanded=False).click()

        async def is_drawn() -> bool:
            first, second = await heights(page)
            return first > 0.9 and second < 0.2

        await wait_until(is_drawn)
        assert answers == [200]


async def test_a_picture_of_the_waveform_is_decoded(
    browser: Browser, account: AccountClient
) -> None:
    vmbox_id = await account.a_vmbox()
    media_id = await account.leave(vmbox_id, TONE_THEN_SILENCE, "audio/wav")
    message = account.path("vmboxes", vmbox_id, "messages", media_id)
    link = data_of(await account.http.post(f"{message}/link"))["url"]
    async with signed_in(browser, account) as page:
        size = await page.evaluate(
            """async (url) => {
              const picture = new Image();
              picture.src = url;
              await picture.decode();
              return [picture.naturalWidth, picture.naturalHeight];
            }""",
            f"{link}/waveform?points=640",
        )
    assert size == [640, 128]
