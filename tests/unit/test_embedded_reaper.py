import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from service.embedded import reaper
from service.embedded.child import Child, Command
from service.embedded.errors import EmbeddedError
from tests.support.waiting import wait_until


def a_child(script: str, log: Path, *, grace_s: float = 5) -> Child:
    command = Command(
        argv=["/bin/sh", "-c", script], environment=dict(os.environ), log=log, grace_s=grace_s
    )
    return Child("a child", command)


async def output_with(log: Path, word: str) -> list[str]:
    """Waits until the child has written `word`; returns its output."""
    await wait_until(lambda: word in log.read_text())
    return (await asyncio.to_thread(log.read_text)).split()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "child.log"


async def test_the_reaper_passes_the_exit_code_on(log: Path) -> None:
    child = a_child("exit 7", log)
    await child.start()
    assert await child.wait() == 7
    assert not child.alive


async def test_an_end_by_a_signal_has_the_exit_code_of_shells(log: Path) -> None:
    child = a_child("echo ready; sleep 60", log)
    await child.start()
    await output_with(log, "ready")
    await child.kill()
    assert await child.wait() == 128 + signal.SIGKILL


async def test_a_child_that_ignores_the_stop_signal_is_killed_after_the_grace_period(
    log: Path,
) -> None:
    child = a_child("trap '' TERM; echo ready; while :; do sleep 1; done", log, grace_s=0.3)
    await child.start()
    await output_with(log, "ready")
    await child.stop()
    assert await child.wait() == 128 + signal.SIGKILL
    assert child.pid not in reaper.parents()


async def test_a_suspended_child_stops_cleanly(log: Path) -> None:
    child = a_child("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done", log)
    await child.start()
    await output_with(log, "ready")
    child.suspend()
    await child.stop()
    assert await child.wait() == 3


async def test_descendants_of_a_killed_child_end(log: Path) -> None:
    child = a_child("sleep 60 & echo $! ready; exec sleep 61", log)
    await child.start()
    grandchild = int((await output_with(log, "ready"))[0])
    assert reaper.descendants(child.pid) == [grandchild]
    await child.kill()
    assert reaper.parents().keys().isdisjoint({child.pid, grandchild})


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux makes the reaper the parent of orphans"
)
async def test_a_grandchild_in_its_own_session_ends_with_the_child(log: Path) -> None:
    start = "import subprocess as s; print(s.Popen(['sleep', '60'], start_new_session=True).pid)"
    child = a_child(f'"{sys.executable}" -c "{start}"; echo ready; exit 0', log)
    await child.start()
    grandchild = int((await output_with(log, "ready"))[0])
    await child.wait()
    assert grandchild not in reaper.parents()


async def test_a_killed_reaper_does_not_leave_its_child_running(log: Path) -> None:
    child = a_child("sleep 60 & echo $! ready; wait", log)
    await child.start()
    grandchild = int((await output_with(log, "ready"))[0])
    os.kill(child.reaper_pid, signal.SIGKILL)
    await child.wait()
    assert not child.alive
    assert reaper.parents().keys().isdisjoint({child.pid, grandchild})


async def test_signals_that_python_ignores_are_not_ignored_by_the_child(log: Path) -> None:
    child = a_child("kill -PIPE $$; echo survived", log)
    await child.start()
    assert await child.wait() == 128 + signal.SIGPIPE


async def test_a_missing_program_is_reported_in_one_sentence(log: Path) -> None:
    child = Child("The clock", Command(argv=["/no/such/clock"], environment={}, log=log))
    with pytest.raises(
        EmbeddedError, match=r"^The clock cannot start: .*/no/such/clock is missing"
    ):
        await child.start()
