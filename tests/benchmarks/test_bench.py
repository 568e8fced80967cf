"""The bench itself: what it counts and refuses to count, and the statements that it sends."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.benchmarks.chart import write_chart
from tests.benchmarks.growth import changes_of
from tests.benchmarks.load import Job, Step
from tests.benchmarks.measure import REPOSITORY, BenchFailed, Result, loaded, percentile
from tests.benchmarks.relay import COMBINATIONS
from tests.benchmarks.report import Comparison, growth_as_text
from tests.benchmarks.statements import folder_script, store_script
from tests.benchmarks.subjects import SUBJECTS

_REQUEST = b"PUT / HTTP/1.1\r\nHost: bench\r\nContent-Length: 4\r\n\r\n"


@asynccontextmanager
async def a_server(answer: bytes) -> AsyncIterator[int]:
    """Answers every request alike, in two pieces; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readexactly(len(_REQUEST) + 4):
                writer.write(answer[:9])
                await writer.drain()
                writer.write(answer[9:])
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port: int = server.sockets[0].getsockname()[1]
        yield port


def a_job(port: int) -> Job:
    requests = [[_REQUEST]] * 3
    return Job(
        host="127.0.0.1", port=port, requests=requests, body=b"body", warm_up_s=0.1, seconds=0.3
    )


async def test_answers_are_counted_and_timed() -> None:
    async with a_server(b"HTTP/1.1 201 Created\r\ncontent-length: 3\r\n\r\nyes") as port:
        result = await loaded("store", a_job(port), {})
    assert result.clients == 3
    assert result.requests > 0
    assert result.rate > 0
    assert 0 < result.p50_ms <= result.p99_ms


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy",
        b"HTTP/1.1 200 OK\r\n\r\nno length",
    ],
)
async def test_an_answer_that_is_no_success_fails_the_measurement(answer: bytes) -> None:
    async with a_server(answer) as port:
        with pytest.raises(BenchFailed, match=answer.splitlines()[0].decode()):
            await loaded("store", a_job(port), {})


async def test_pgbench_gets_a_value_for_every_parameter_of_the_services_statements() -> None:
    scripts = [await store_script(with_audio=True), await store_script(with_audio=False)]
    scripts.append(await folder_script())
    for script in scripts:
        assert "$" not in script.text
        assert len(script.variables) > 8


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    hundred = [float(value) for value in range(1, 101)]
    assert (percentile(hundred, 50), percentile(hundred, 99)) == (50, 99)
    assert percentile([7.0], 99) == 7


def test_growth_is_the_change_of_each_ratio_and_of_a_rate_without_ceiling(tmp_path: Path) -> None:
    def result(name: str, rate: float) -> Result:
        return Result(name=name, clients=2, requests=9, rate=rate, p50_ms=1, p99_ms=2)

    def run(rate: float) -> list[Comparison]:
        ceiling = [result("bare", 100.0), result("bare", 300.0)]
        return [
            Comparison(subject=[result("list", rate)], ceilings=[ceiling]),
            Comparison(subject=[result("get", rate)]),
        ]

    changes = list(changes_of(run(100.0), run(150.0)))
    assert [(each.ceiling, each.base, each.grown) for each in changes] == [
        ("bare", 0.5, 0.75),
        ("(rate)", 100.0, 150.0),
    ]
    assert growth_as_text(changes).count("+50 %") == 2
    write_chart(run(100.0), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
async def test_growth_is_measured_in_two_runs(tmp_path: Path) -> None:
    options = ["--seconds", "0.3", "--rounds", "1", "--clients", "1", "--output", str(tmp_path)]
    options += ["--only", "get", "--messages", "20000", "--months", "30"]
    bench = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks", *options), cwd=REPOSITORY
    )
    assert await bench.wait() == 0
    results = msgspec.json.decode((tmp_path / "results.json").read_bytes())
    assert [row["ceiling"] for row in results["growth"]] == ["static reply"]


@pytest.mark.long
async def test_every_measurement_ends_with_its_row_and_its_ceilings(tmp_path: Path) -> None:
    options = ["--seconds", "0.3", "--rounds", "1", "--clients", "2", "--output", str(tmp_path)]
    bench = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks", *options), cwd=REPOSITORY
    )
    assert await bench.wait() == 0
    results = msgspec.json.decode((tmp_path / "results.json").read_bytes())
    measured = {row["subject"][0]["name"]: row for row in results["comparisons"]}
    assert measured.keys() == {subject.name for subject in SUBJECTS}
    for subject in SUBJECTS:
        row = measured[subject.name]
        assert row["subject"][0]["requests"] > 0
        assert len(row["ratios"]) == len(row["ceilings"])


async def test_an_exchange_of_lines_is_counted_once_and_a_refusal_fails_it() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 bench\r\n")
        while line := await reader.readline():
            # The lines before the last one begin otherwise, or come in another piece.
            await writer.drain()
            writer.write(b"250-one\r\n250 two\r\n" if line == b"LHLO\r\n" else line + line)
        writer.close()

    def steps(*lines: bytes) -> list[Step]:
        return [Step(line + b"\r\n", line[:3], (b"5",)) for line in lines]

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        job = Job(
            host="127.0.0.1",
            port=server.sockets[0].getsockname()[1],
            logins=[[Step(b"LHLO\r\n", b"250 ", (b"5",))]] * 2,
            exchanges=[[steps(b"354 x", b"250 y")]] * 2,
            warm_up_s=0.1,
            seconds=0.3,
        )
        assert (await loaded("lines", job, {})).requests > 0
        refused = msgspec.structs.replace(job, exchanges=[[steps(b"354 x", b"550 no")]] * 2)
        with pytest.raises(BenchFailed, match="550 no"):
            await loaded("lines", refused, {})


@pytest.mark.long
async def test_relays_are_measured_with_each_number_of_shards_and_processes() -> None:
    bench = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.benchmarks.relay", "--events", "800", "--seconds", "0.3"),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await bench.communicate()
    assert bench.returncode == 0
    rows = [line for line in output.decode().splitlines() if line.startswith("| ")]
    assert len(rows) == 2 * 2 + len(COMBINATIONS) + 2
