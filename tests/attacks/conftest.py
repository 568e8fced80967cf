"""Collects the attacks where the memory of a process can be measured."""

from pathlib import Path

collect_ignore_glob = [] if Path("/proc/self/clear_refs").exists() else ["test_*.py"]
