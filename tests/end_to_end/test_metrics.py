"""Metrics of running processes are complete, plausible and independent of client input."""

import asyncio
import random
import re
import sys
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from service.embedded.child import Child, Command
from service.metrics import DEFINITIONS
from tests.support.admin import AdminPort, Samples
from tests.support.forked import run_command
from tests.support.ports import free_port
from tests.support.running import NO_TLS, AccountClient, RunningService
from tests.support.waiting import wait_until

# Metrics that exist only after failures.
_ONLY_IN_TROUBLE = {"aftertone_sql_errors_total"}
_AUDIO = b"\0audio" * 10_000
_AN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-|[0-9a-f]{32}")


@pytest_asyncio.fixture(loop_scope="session")
async def scraped_api(service: RunningService) -> AsyncIterator[tuple[RunningService, AdminPort]]:
    admin = AdminPort(free_port())
    other = await service.another_api(**admin.environment)
    yield other, admin
    await other.stop()


@pytest.mark.long
async def test_unknown_paths_add_no_metric_series(
    scraped_api: tuple[RunningService, AdminPort], account: AccountClient
) -> None:
    other, admin = scraped_api
    vmbox_id = await account.a_vmbox()
    there = AccountClient(other, account.account_id, account.realm, account.token)
    await strange_requests(other, there, vmbox_id)
    before = series_of(await admin.samples())
    for _ in range(3):
        await strange_requests(other, there, vmbox_id)
    text = await admin.text()
    await there.http.aclose()
    assert series_of(await admin.samples()) == before
    assert not _AN_ID.search(text)
    assert account.account_id not in text
    routes = {dict(labels)["route"] for name, labels in before if "requests_total" in name}
    assert "none" in routes
    assert all(route == "none" or route.startswith("/") for route in routes)


async def strange_requests(other: RunningService, there: AccountClient, vmbox_id: str) -> None:
    """Sends requests with unknown paths, methods and ids."""
    paths = [f"/{word}" for word in _words()]
    paths += [f"/v2/accounts/{uuid4().hex}/{word}" for word in _words()]
    paths += [f"/v2/accounts/{there.account_id}/vmboxes/{word}" for word in _words()]
    paths += [f"/v2/accounts/{there.account_id}/vmboxes/{uuid4().hex}/messages/{vmbox_id}/raw"]
    methods = ["GET", "PUT", "DELETE", "PROPFIND", "X" + "".join(random.choices("ABCDEF", k=5))]
    async with httpx.AsyncClient(base_url=other.url, verify=NO_TLS) as stranger:
        for client in (stranger, there.http):
            for path in paths:
                for method in methods:
                    await client.request(method, f"{other.url}{path}")


def _words() -> list[str]:
    return ["".join(random.choices("abcdefgh0123", k=9)), f"{random.randrange(10**9)}"]


def series_of(samples: Samples) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Returns all series except those of statements, which depend on timing."""
    return {(name, labels) for name, labels in samples if "_sql_" not in name}


@pytest_asyncio.fixture(loop_scope="session")
async def workers(service: RunningService) -> AsyncIterator[list[AdminPort]]:
    """Runs a relay, a keeper and a notifier."""
    await service.processes["relay"].stop()
    admins = [AdminPort(free_port()) for _ in range(3)]
    kinds = (["relay"], ["keeper"], ["notifier", "webhook", "mwi", "callback"])
    children = []
    for arguments, admin in zip(kinds, admins, strict=True):
        command = Command(
            argv=[sys.executable, "-m", "service", *arguments],
            environment={**service.environment, **admin.environment},
            log=service.folder / f"scraped-{arguments[0]}.log",
        )
        children.append(Child(arguments[0], command))
    await asyncio.gather(*(child.start() for child in children))
    for admin in admins:
        await wait_until(admin.is_ready)
    yield admins
    await asyncio.gather(*(child.stop() for child in children))
    await service.start("relay")


@pytest.mark.long
async def test_every_metric_is_exposed_by_a_running_process(
    scraped_api: tuple[RunningService, AdminPort],
    account: AccountClient,
    workers: list[AdminPort],
) -> None:
    other, api = scraped_api
    relay, keeper, notifier = workers
    there = AccountClient(other, account.account_id, account.realm, account.token)
    vmbox_id = await there.a_vmbox()
    media_id = await there.leave(vmbox_id, _AUDIO)
    response = await there.http.get(there.path("vmboxes", vmbox_id, "messages", media_id, "raw"))
    sign_in = {"credentials": "0badc0de" * 4, "realm": account.realm}
    refused = await there.http.put("user_auth", json={"data": sign_in})
    await there.http.aclose()
    assert response.content == _AUDIO
    assert refused.status_code == 401
    await run_once(other, "recount")
    await wait_until(lambda: above(0, relay, "aftertone_event_latency_seconds_count"))
    await wait_until(lambda: above(-1, relay, "aftertone_count_drift"))
    await wait_until(
        lambda: above(0, notifier, "aftertone_deliveries_total", channel="mwi", result="done")
    )
    results = [await port.samples() for port in (api, relay, keeper, notifier)]
    expected = {re.sub("_(bucket|sum|count)$", "", name) for item in results for name, _ in item}
    assert {definition.name for definition in DEFINITIONS} - expected <= _ONLY_IN_TROUBLE
    assert [value for item in results for value in item.values() if value < 0] == []
    assert not any([_AN_ID.search(await port.text()) for port in (api, *workers)])

    async def value(name: str, port: AdminPort = relay, **labels: str) -> float:
        return await port.value(f"aftertone_{name}", **labels)

    assert await value("http_request_bytes_total", api) >= len(_AUDIO)
    assert await value("http_response_bytes_total", api) >= len(_AUDIO)
    assert await value("s3_duration_seconds_count", api, operation="put") == 1
    assert await value("sql_duration_seconds_count", api, query="insert_message") == 1
    assert await value("database_connections_max", api, pool="hot") == 16
    assert await value("http_requests_in_flight", api) == 0
    assert await value("relay_active") == 1
    assert await value("outbox_backlog") == 0
    assert await value("count_drift") == 0
    assert await value("months_ahead") >= 3
    assert 0 <= await value("event_latency_seconds_sum") < 60


async def above(least: float, port: AdminPort, name: str, **labels: str) -> bool:
    return await port.value(name, **labels) > least


async def run_once(service: RunningService, step: str) -> None:
    """Runs a keeper step in its own process, which ends before it can be scraped."""
    finished = await run_command(service.environment, "keeper", "--once", step)
    assert finished.code == 0
