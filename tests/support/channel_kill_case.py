"""Base of the cases in which a notifier channel is killed repeatedly."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from tests.support.running import AccountClient

Kill = tuple[int, int]
"""Counts of effects when a kill began and when the process had ended."""


class ChannelKillCase(ABC):
    """One channel at work for an account of its own; `check` raises when an effect is wrong."""

    channel: str

    def __init__(self, account: AccountClient, inspector: asyncpg.Connection) -> None:
        self.account = account
        self.inspector = inspector
        self.environment: dict[str, str] = {}
        self.kills: list[Kill] = []
        self.acts = 0

    @classmethod
    @abstractmethod
    def open(
        cls, account: AccountClient, inspector: asyncpg.Connection
    ) -> AbstractAsyncContextManager["ChannelKillCase"]:
        """Opens a case with everything that the channel needs."""

    @abstractmethod
    async def act(self, number: int) -> None:
        """Causes an event that the channel must deliver."""

    @abstractmethod
    async def complete(self) -> bool:
        """Returns whether every delivery of the acts is complete."""

    @abstractmethod
    async def check(self) -> str:
        """Checks every effect once all is complete; returns figures to print."""

    def effects(self) -> Sequence[str]:
        """Returns the keys of the effects so far, in order."""
        return []

    async def progress(self) -> int:
        """Returns a number that grows while the channel works."""
        return (await self.statuses()).get("done", 0)

    def repeated(self) -> int:
        """Returns the count of repeated effects; checks that a kill explains each of them."""
        last: dict[str, int] = {}
        count = 0
        for place, key in enumerate(self.effects()):
            if key in last:
                count += 1
                assert any(last[key] < gone and begun <= place for begun, gone in self.kills), key
            last[key] = place
        return count

    async def statuses(self) -> dict[str, int]:
        """Returns the number of deliveries by status."""
        rows = await self.inspector.fetch(
            "SELECT status, count(*) FROM deliveries WHERE account_id = $1 AND channel = $2"
            " AND target <> '' GROUP BY status",
            UUID(self.account.account_id),
            self.channel,
        )
        return dict(map(tuple, rows))

    async def events(self, event_type: str) -> list[dict[str, Any]]:
        rows = await self.inspector.fetch(
            "SELECT data FROM outbox WHERE hex(account_id) = $1 AND type = $2 ORDER BY seq",
            self.account.account_id,
            event_type,
        )
        return [msgspec.json.decode(row["data"]) for row in rows]
