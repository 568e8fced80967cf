"""Measurements of Dovecot, beside those of the service."""

from tests.benchmarks.dovecot import BODY, FLAG, LIST
from tests.benchmarks.measure import Result
from tests.benchmarks.plan import Bench


async def deliver(bench: Bench, clients: int) -> Result:
    """A mail with 64 kB of audio over LMTP, to a mailbox of each client."""
    server = bench.stack.dovecot
    assert server is not None
    logins, exchanges = zip(*(server.delivery(client) for client in range(clients)), strict=True)
    return await bench.exchange(
        "Dovecot deliver", server.lmtp, list(logins), list(exchanges), server.trees()
    )


async def list_mails(bench: Bench, clients: int) -> Result:
    """Flags, dates and envelopes of 50 mails."""
    return await _read(bench, "Dovecot list", LIST, clients)


async def flag(bench: Bench, clients: int) -> Result:
    """Sets a flag, then removes it."""
    return await _read(bench, "Dovecot flag", FLAG, clients)


async def body(bench: Bench, clients: int) -> Result:
    """The audio of a mail."""
    return await _read(bench, "Dovecot body", BODY, clients)


async def _read(bench: Bench, name: str, commands: list[str], clients: int) -> Result:
    server = bench.stack.dovecot
    assert server is not None
    sessions = [server.reading(client, commands) for client in range(clients)]
    logins, exchanges = zip(*sessions, strict=True)
    return await bench.exchange(name, server.imap, list(logins), list(exchanges), server.trees())


MEASURES = (deliver, list_mails, flag, body)
