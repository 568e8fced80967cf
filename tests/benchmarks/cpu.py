"""CPU time by process tree, read from /proc; nothing where there is no /proc."""

import os
from collections.abc import Mapping
from pathlib import Path

from service.embedded.reaper import descendants

Seconds = dict[str, float]


def cpu_of(trees: Mapping[str, int]) -> Seconds | None:
    """The CPU seconds of each named process and of all below it, ended children included."""
    if not Path("/proc/self/stat").exists():
        return None
    tick = os.sysconf("SC_CLK_TCK")
    return {name: sum(map(_ticks, (pid, *descendants(pid)))) / tick for name, pid in trees.items()}


def spent(before: Seconds | None, after: Seconds | None, requests: int) -> Seconds | None:
    """Milliseconds of CPU per request and process; processes without CPU time are left out."""
    if before is None or after is None or not requests:
        return None
    each = {name: (after[name] - before[name]) * 1000 / requests for name in after}
    return {name: value for name, value in each.items() if value >= 0.0005}


def _ticks(pid: int) -> int:
    """User and system time of a process and of its children that have ended and been reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return 0
    # The name stands in parentheses and may hold spaces and parentheses itself.
    fields = stat.rpartition(b")")[2].split()
    return sum(map(int, fields[11:15]))
