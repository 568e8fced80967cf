"""Dependencies: the offline audit of the lock files, and the SBOM of the image."""

import asyncio
import re
import shlex
import sys
from importlib.metadata import distributions
from pathlib import Path

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from tests.deploy.dependency_audit import (
    ROOT,
    Pin,
    audit,
    find_conflicts,
    find_drift,
    find_licence_problems,
    find_unmet,
    find_unpinned,
    is_accepted,
    read_lock,
)

GOOD = Pin("3.13.0", "", 2)


def test_the_lock_files_have_no_problem() -> None:
    assert audit() == []


@pytest.mark.parametrize(
    "text",
    [
        "aiohttp>=3\n",
        "aiohttp==3.13.0\n",
        "aiohttp @ https://example.com/aiohttp.whl\n",
        "--extra-index-url https://example.com\n",
    ],
)
def test_an_entry_without_a_version_or_hashes_is_a_problem(text: str) -> None:
    assert len(list(find_unpinned(read_lock(text)))) == 1
    pinned = (
        "aiohttp==3.13.0 ; python_version > '3' \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
    )
    assert read_lock(pinned) == {"aiohttp": Pin("3.13.0", "python_version > '3'", 2)}


def test_versions_that_differ_are_problems() -> None:
    assert list(find_conflicts({"a": GOOD}, {"a": GOOD})) == []
    for other in ({}, {"a": Pin("3.14.0", "", 1)}):
        assert len(list(find_conflicts({"a": GOOD}, other))) == 1
    assert list(find_unmet(["a>=3.12"], {"a": GOOD})) == []
    assert len(list(find_unmet(["a>=3.14", "b"], {"a": GOOD}))) == 2
    assert len(list(find_drift({"msgspec": Pin("0.0.1", "", 1)}))) == 1


def test_a_package_with_another_licence_is_a_problem() -> None:
    assert is_accepted("Apache-2.0 OR BSD-3-Clause")
    assert is_accepted("License :: OSI Approved :: MIT License")
    for licence in ("GPL-3.0-only", "License :: Other/Proprietary License", "AGPL-3.0", ""):
        assert not is_accepted(licence)
    assert list(find_licence_problems({"msgspec": GOOD, "not-installed": GOOD})) == []


@pytest.mark.long
async def test_the_sbom_of_the_image_is_valid_and_names_every_package(tmp_path: Path) -> None:
    output = tmp_path / "sbom.cdx.json"
    program, *arguments = _sbom_command()
    replaced = {
        "/opt/aftertone/sbom.cdx.json": str(output),
        "/opt/aftertone/bin/python": sys.executable,
    }
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name(Path(program).name),
        *(replaced.get(argument, argument) for argument in arguments),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()

    content = output.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(content) is None
    document = msgspec.json.decode(content)
    assert document["metadata"]["component"]["name"] == "aftertone"
    listed = {canonicalize_name(each["name"]): each for each in document["components"]}
    installed = {canonicalize_name(each.name) for each in distributions()} - {"aftertone"}
    assert listed.keys() >= installed
    assert all(each["version"] and each["purl"] for each in listed.values())


def _sbom_command() -> list[str]:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    match = re.search(r"^RUN (\S+/cyclonedx-py (?:.*\\\n)*.*)$", text, re.MULTILINE)
    assert match is not None
    return shlex.split(match[1].replace("\\\n", " "))
