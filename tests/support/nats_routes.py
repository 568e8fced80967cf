"""Proxies between the nodes of a NATS cluster, so that a test can cut a node off."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from service.embedded.cluster.nats import NatsNode
from tests.support.proxy import Proxy

# Nodes also learn routes from each other. This address never answers.
_NO_ADVERTISED_ADDRESS = 'advertise: "127.0.0.1:1"'


class NatsRoutes:
    """One proxy for each direction between two nodes. Clients still reach every node."""

    def __init__(self) -> None:
        self._proxies: dict[tuple[NatsNode, NatsNode], Proxy] = {}

    @classmethod
    @asynccontextmanager
    async def before(cls, nodes: Sequence[NatsNode]) -> "AsyncIterator[NatsRoutes]":
        """Puts proxies between nodes that have not been started yet."""
        routes = cls()
        async with AsyncExitStack() as stack:
            for node in nodes:
                for other in nodes:
                    if node is not other:
                        routes._proxies[node, other] = await stack.enter_async_context(
                            Proxy.before(other.ports.route)
                        )
                node.routes = tuple(
                    proxy.port for (first, _), proxy in routes._proxies.items() if first is node
                )
                node.cluster_options = _NO_ADVERTISED_ADDRESS
            yield routes

    async def isolate(self, node: NatsNode) -> None:
        """Cuts a node off from the others."""
        for pair, proxy in self._proxies.items():
            if node in pair:
                await proxy.refuse()

    async def heal(self) -> None:
        for proxy in self._proxies.values():
            await proxy.restore()
