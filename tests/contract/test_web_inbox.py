"""The files of the web inbox: complete, small, cached for ever, and without foreign parts."""

import re
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
import pytest_asyncio

from service.api import web
from tests.support.running import RunningService

ASSETS = Path(web.__file__).parent / "assets"
MAX_BYTES = 100_000
LANGUAGES = ("de", "en", "es", "fr")
_IMPORT = re.compile(r"""(?:from|import)\s+"(\.[^"]+)";""")
_LATER_IMPORT = re.compile(r"""import\("(\.[^"]+)"\)""")
_TEXT = re.compile(r'\btext\("(\w+)"')
_COLUMNS = re.compile(r"(?:columns: |ATTEMPTS = )\[([^]]+)\]")
_ENTRY = re.compile(r"""^  (\w+): "(.*)",$""", re.MULTILINE)


@pytest_asyncio.fixture(loop_scope="session")
async def entry(service: RunningService) -> str:
    """The address of the first script."""
    async with httpx.AsyncClient() as visitor:
        page = await visitor.get(f"{service.url}/inbox")
    assert page.status_code == 200
    script = re.search(r'<script type="module" src="([^"]+)">', page.text)
    assert script is not None
    address: str = urljoin(service.url, script[1])
    return address


async def _load(entry: str, *patterns: re.Pattern[str]) -> dict[str, bytes]:
    """The scripts that a script imports, with their addresses."""
    waiting, loaded = [entry], dict[str, bytes]()
    async with httpx.AsyncClient() as visitor:
        while waiting:
            address = waiting.pop()
            answer = await visitor.get(address)
            assert answer.status_code == 200, address
            assert answer.headers["content-type"].startswith("text/javascript")
            assert "immutable" in answer.headers["cache-control"]
            loaded[address] = answer.content
            names = [name for pattern in patterns for name in pattern.findall(answer.text)]
            imports = [urljoin(address, name) for name in names]
            waiting += [name for name in imports if name not in loaded and name not in waiting]
    return loaded


async def test_every_imported_script_is_served_and_may_be_cached_for_ever(entry: str) -> None:
    loaded = await _load(entry, _IMPORT, _LATER_IMPORT)
    scripts = {path for path in ASSETS.rglob("*.js") if path.parent.name != "texts"}
    assert len(loaded) == len(scripts)


async def test_the_first_view_needs_few_bytes_even_without_compression(entry: str) -> None:
    loaded = await _load(entry, _IMPORT)
    style = (ASSETS / "style.css").stat().st_size
    largest_texts = max(path.stat().st_size for path in (ASSETS / "texts").iterdir())
    assert sum(map(len, loaded.values())) + style + largest_texts < MAX_BYTES


async def test_a_file_of_another_version_is_not_served(entry: str) -> None:
    digest = entry.split("/")[-2]
    async with httpx.AsyncClient() as visitor:
        for address in (entry.replace(digest, "0" * 32), entry.replace("main.js", "../routes.py")):
            assert (await visitor.get(address)).status_code == 404


async def test_without_the_setting_neither_the_page_nor_its_files_are_served(
    service: RunningService, entry: str
) -> None:
    api = await service.another_api(AFTERTONE_WEB_INBOX="false")
    async with httpx.AsyncClient() as visitor:
        for address in (f"{service.url}/inbox", entry):
            assert (await visitor.get(address)).status_code == 200
            there = address.replace(service.url, api.url)
            assert (await visitor.get(there)).status_code == 404
    await api.stop()


async def test_the_policy_allows_only_files_of_the_page(entry: str) -> None:
    async with httpx.AsyncClient() as visitor:
        policy = (await visitor.get(entry)).headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_language_has_every_text_with_its_placeholders(language: str) -> None:
    def texts(of: str) -> dict[str, list[str]]:
        entries = _ENTRY.findall((ASSETS / "texts" / f"{of}.js").read_text())
        return {key: sorted(re.findall(r"\{\w+\}", value)) for key, value in entries}

    scripts = [path.read_text() for path in ASSETS.rglob("*.js")]
    used = {key for script in scripts for key in _TEXT.findall(script)}
    columns = " ".join(names for script in scripts for names in _COLUMNS.findall(script))
    used |= {f"column_{name}" for name in re.findall(r"\w+", columns)}
    assert used
    assert used <= texts(language).keys()
    assert texts(language) == texts("en")
