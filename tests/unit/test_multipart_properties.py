"""Properties of the multipart reader, with generated bodies cut at any position."""

import base64
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.api.body.multipart import MalformedBody
from tests.support.multipart import JSON, METADATA_PART, REFUSALS, a_body, part, read

CUTS = st.lists(st.integers(min_value=0, max_value=5_000), max_size=40)
CONTENTS = st.one_of(
    st.binary(max_size=200),
    st.lists(
        st.sampled_from(
            [b"\r", b"\n", b"\r\n", b"-", b"--", b"--frontie", b"--frontier", b"\r\n--", b"r", b"a"]
        ),
        max_size=30,
    ).map(b"".join),
).filter(lambda content: b"\r\n--frontier" not in b"\r\n" + content)
PARTS = st.one_of(
    st.just(METADATA_PART),
    CONTENTS.map(lambda content: part(content, "Content-Type: audio/wav")),
    CONTENTS.map(lambda content: part(content)),
    CONTENTS.map(
        lambda content: part(base64.encodebytes(content), "Content-Transfer-Encoding: base64")
    ),
    CONTENTS.map(
        lambda content: part(
            b"data:audio/wav;base64," + base64.b64encode(content),
            "Content-Transfer-Encoding: base64",
        )
    ),
)
BODIES = st.lists(PARTS, max_size=3).map(lambda parts: a_body(*parts))


async def read_or_error(body: bytes, cuts: Iterable[int]) -> Any:
    try:
        return await read(body, cuts=cuts)
    except REFUSALS as refusal:
        return type(refusal)


@given(body=BODIES, preamble=st.sampled_from([b"", b"\r\n", b"hello\r\n"]), cuts=CUTS)
async def test_the_result_does_not_depend_on_the_chunks(
    body: bytes, preamble: bytes, cuts: list[int]
) -> None:
    whole = await read_or_error(preamble + body, ())
    assert await read_or_error(preamble + body, cuts) == whole
    assert await read_or_error(preamble + body, range(len(preamble + body))) == whole


@given(content=CONTENTS, cuts=CUTS)
async def test_a_file_is_read_unchanged(content: bytes, cuts: list[int]) -> None:
    body = a_body(METADATA_PART, part(content, "Content-Type: audio/wav"))
    received, audio = await read(body, cuts=cuts)
    assert (received.metadata, received.content_type, audio) == (JSON, "audio/wav", content)


@given(
    body=st.one_of(st.binary(max_size=300), BODIES),
    hole=st.tuples(st.integers(0, 400), st.integers(0, 40), st.binary(max_size=20)),
    cuts=CUTS,
)
async def test_every_body_is_read_or_refused(
    body: bytes, hole: tuple[int, int, bytes], cuts: list[int]
) -> None:
    start, length, filling = hole
    await read_or_error(body[:start] + filling + body[start + length :], cuts)


@given(content_type=st.text(max_size=80))
async def test_every_content_type_is_read_or_refused(content_type: str) -> None:
    for header in (content_type, f"multipart/mixed; boundary={content_type}"):
        with pytest.raises(MalformedBody):
            await read(b"", header)
