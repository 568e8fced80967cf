import re
from pathlib import Path

from service.settings import Settings, reference

PAGE = Path(__file__).parents[2] / "deploy" / "SETTINGS.md"


def test_the_page_of_settings_matches_the_struct() -> None:
    assert PAGE.read_text() == reference(), "aftertone settings reference > deploy/SETTINGS.md"


def test_every_setting_is_on_the_page_once() -> None:
    rows = re.findall(r"^\| `AFTERTONE_(\w+)` \| (.+) \|$", reference(), re.MULTILINE)
    headings = re.findall(r"^## (.+)$", reference(), re.MULTILINE)

    assert [name.lower() for name, _ in rows] == list(Settings.__struct_fields__)
    assert len(headings) == len(set(headings))


def test_every_description_is_a_sentence() -> None:
    meanings = re.findall(r"^\| `AFTERTONE_\w+` .+ \| ([^|]+) \|$", reference(), re.MULTILINE)

    assert len(meanings) == len(Settings.__struct_fields__)
    for meaning in meanings:
        assert re.fullmatch(r"[A-Z`].+\.", meaning), meaning
