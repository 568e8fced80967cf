import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.embedded import reaper
from tests.support.log_scan import folder_with_logs, scanned_stderr
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]

# A stand-in for the API: it answers HTTP on the port that it is given, or ends with a code.
_API = """
import http.server, os, sys
if sys.argv[1:]:
    sys.exit(int(sys.argv[1]))
class Silent(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass
address = (os.environ["AFTERTONE_HOST"], int(os.environ["AFTERTONE_PORT"]))
http.server.HTTPServer(address, Silent).serve_forever()
"""

_DEV = """
import asyncio, sys
from pathlib import Path
from service.cli.dev_text import format_instructions
from service.embedded.dev import DevProcess, run_dev
from service.embedded.errors import EmbeddedError

def on_ready(file, environment):
    print(format_instructions(file, environment), flush=True)

async def prepare(environment):
    assert environment["AFTERTONE_OWNER_DATABASE_URL"]
    names = ("AFTERTONE_ACCOUNT", "AFTERTONE_USERNAME", "AFTERTONE_PASSWORD")
    sign_in = {name: name.lower() for name in names}
    return {"AFTERTONE_ACCOUNT_ID": "a" * 32, "AFTERTONE_AUTH_TOKEN": "t", **sign_in}

folder, port, api, *arguments = sys.argv[1:]
relay = [sys.executable, "-c", "import signal; signal.pause()"]
processes = [
    DevProcess(name="api", argv=[sys.executable, "-c", api, *arguments], serves_http=True),
    DevProcess(name="relay", argv=relay),
]
try:
    asyncio.run(run_dev(
        folder=Path(folder), host="127.0.0.1", port=int(port), prepare=prepare, on_ready=on_ready,
        processes=processes
    ))
except EmbeddedError as error:
    sys.exit(str(error))
"""


class Dev:
    """A running `run_dev` in a process of its own."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.process = process
        self.env: dict[str, str] = {}

    @property
    def env_file(self) -> Path:
        return self.folder / "dev.env"

    async def ready(self) -> str:
        """Returns the output up to the point where it is ready."""
        assert self.process.stdout
        text = ""
        while "List the messages" not in text:
            line = await asyncio.wait_for(self.process.stdout.readline(), 60)
            assert line, await self.end()
            text += line.decode()
        lines = self.env_file.read_text().splitlines()
        self.env = dict(line.split("=", 1) for line in lines)
        return text

    async def end(self) -> tuple[int, str]:
        """Returns the exit code and the text on stderr."""
        _, complaint = await asyncio.wait_for(self.process.communicate(), 60)
        assert self.process.returncode is not None
        return self.process.returncode, scanned_stderr("dev", complaint)

    def below(self) -> set[int]:
        return set(reaper.descendants(self.process.pid))

    def has(self, word: str) -> bool:
        return any(word in reaper.command_of(pid) for pid in self.below())

    def one(self, word: str) -> int:
        """The process, not its reaper, whose command line holds `word`."""
        commands = {pid: reaper.command_of(pid) for pid in self.below()}
        [results] = [p for p, text in commands.items() if word in text and "reaper.py" not in text]
        return results

    async def http(self) -> bytes:
        host, port = self.env["AFTERTONE_URL"].removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read(8)
        writer.close()
        return answer


async def start_dev(folder: Path, port: int = 0, *arguments: str) -> Dev:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _DEV, str(folder), str(port), _API, *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    return Dev(folder, process)


async def until_ended(pids: set[int]) -> None:
    await wait_until(lambda: reaper.parents().keys().isdisjoint(pids))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Folder of all runs of this module: each run continues with the data of the previous one."""
    with folder_with_logs("aftertone-dev-") as made:
        yield made / ".aftertone"


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Dev]:
    started = await start_dev(folder)
    await started.ready()
    try:
        yield started
    finally:
        if started.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                started.process.terminate()
            await started.end()


async def test_dev_serves_prints_its_url_and_stops_on_ctrl_c(folder: Path) -> None:
    dev = await start_dev(folder)
    text = await dev.ready()
    assert dev.env["AFTERTONE_URL"] in text
    assert f"{dev.env['AFTERTONE_URL']}/docs" in text
    assert "Account aftertone_account, user aftertone_username" in text
    assert text.count("curl ") >= 2
    assert dev.env["AFTERTONE_ACCOUNT_ID"] == "a" * 32
    assert dev.env["AFTERTONE_S3_BUCKET"] == "aftertone"
    assert dev.env["AFTERTONE_DATABASE_URL"].startswith("postgresql://aftertone:")
    assert dev.env_file.stat().st_mode & 0o777 == 0o600
    assert (await dev.http()).startswith(b"HTTP/")
    pids = dev.below()
    dev.process.send_signal(signal.SIGINT)
    assert await dev.end() == (0, "")
    assert not dev.env_file.exists()
    assert reaper.parents().keys().isdisjoint(pids)


async def until_restarted(dev: Dev, word: str, killed: int) -> None:
    def is_restarted() -> bool:
        # There is no such process between the two.
        with contextlib.suppress(ValueError):
            return dev.one(word) != killed
        return False

    await wait_until(is_restarted)


@pytest.mark.long
async def test_killed_children_are_restarted_and_a_second_dev_is_refused(folder: Path) -> None:
    async with running(folder) as dev:
        for word in ("class Silent", "signal.pause", "nats-server", "bin/weed", "postgres/cluster"):
            killed = dev.one(word)
            os.kill(killed, signal.SIGKILL)
            await until_restarted(dev, word, killed)
        code, complaint = await (await start_dev(folder)).end()
        assert code == 1
        assert complaint.startswith("Another `aftertone dev` is running in ")
        assert complaint.count("\n") == 1
        assert dev.env_file.exists()


async def test_dev_killed_with_sigkill_leaves_no_process_and_starts_again(
    folder: Path,
) -> None:
    async with running(folder) as dev:
        pids = dev.below()
        port = int(dev.env["AFTERTONE_URL"].rpartition(":")[2])
        dev.process.kill()
        await dev.process.wait()
    assert dev.env_file.exists()
    # On the same port: the old API may still hold it.
    following = await start_dev(folder, port)
    await following.ready()
    await until_ended(pids)
    pids = following.below()
    following.process.terminate()
    assert await following.end() == (0, "")
    await until_ended(pids)


async def test_a_second_signal_kills_at_once(folder: Path) -> None:
    async with running(folder) as dev:
        pids = dev.below()
        os.kill(dev.one("bin/weed"), signal.SIGSTOP)
        dev.process.send_signal(signal.SIGINT)
        await wait_until(lambda: not dev.has("class Silent"))
        dev.process.send_signal(signal.SIGINT)
        code, complaint = await dev.end()
    assert (code, complaint) == (0, "")
    await until_ended(pids)


async def test_a_signal_during_the_start_stops_dev_cleanly(folder: Path) -> None:
    dev = await start_dev(folder)
    await wait_until(lambda: dev.has("nats-server"))
    pids = dev.below()
    dev.process.send_signal(signal.SIGTERM)
    assert await dev.end() == (0, "")
    await until_ended(pids)


async def test_a_taken_http_port_is_reported_in_one_sentence(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, complaint = await (await start_dev(folder, port)).end()
    assert code == 1
    assert complaint == (
        f"Port {port} is in use: choose another port with --port (0: any free port).\n"
    )
    assert not (folder / "dev.env").exists()


@pytest.mark.long
async def test_a_process_that_keeps_ending_stops_dev_with_one_sentence(folder: Path) -> None:
    dev = await start_dev(folder, 0, "3")
    code, complaint = await dev.end()
    assert code == 1
    last = complaint.splitlines()[-1]
    assert last == "api ended 5 times within 30 s. Last reason: exit code 3."
    assert "Traceback" not in complaint
    assert not dev.env_file.exists()
