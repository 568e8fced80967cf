"""`aftertone dev --cluster`: all servers and processes of a cluster on this machine."""

import asyncio
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from service.embedded import reaper
from tests.support.log_scan import folder_with_logs
from tests.support.running import NO_TLS
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

MOST_MEMORY_MB = 1500


def memory_mb(pids: Iterable[int]) -> int:
    """Memory of processes, where shared pages are divided among the processes that share them."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total // 1024


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="measures memory in /proc")
async def test_dev_runs_a_cluster_in_limited_memory_and_stops_on_ctrl_c() -> None:
    with folder_with_logs("aftertone-dev-cluster-") as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "service", "dev", "--cluster", "--demo", "--port", "0"),
            *("--folder", str(folder / "data")),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        file = folder / "data" / "dev.env"
        await wait_until(file.exists, within_s=300)
        pids = {process.pid, *reaper.descendants(process.pid)}
        variables = dict(line.split("=", 1) for line in file.read_text().splitlines())
        async with httpx.AsyncClient(verify=NO_TLS, timeout=60) as client:
            path = f"/v2/accounts/{variables['AFTERTONE_ACCOUNT_ID']}/vmboxes"
            token = {"X-Auth-Token": variables["AFTERTONE_AUTH_TOKEN"]}
            boxes = await client.get(variables["AFTERTONE_URL"] + path, headers=token)
        assert len(boxes.json()["data"]) == 3
        used_mb = memory_mb(pids)
        print(f"\n{len(pids)} processes use {used_mb} MB")
        assert used_mb < MOST_MEMORY_MB
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 120) == 0
        assert reaper.parents().keys().isdisjoint(pids)
