"""Free ports of a cluster by name, stored so that a restart uses the same ones."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from service.embedded.keys import write_private
from service.embedded.ports import LOOPBACK, find_free, is_free


def load_named_ports(file: Path, names: Sequence[str]) -> dict[str, int]:
    """Returns the stored ports if there is a free one for each name, otherwise new ones."""
    try:
        stored = msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    except (OSError, msgspec.DecodeError):
        stored = {}
    if stored.keys() == set(names) and all(map(is_free, stored.values())):
        return stored
    chosen = dict(zip(names, find_free(LOOPBACK, len(names)), strict=True))
    write_private(file, msgspec.json.encode(chosen))
    return chosen
