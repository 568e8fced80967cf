"""Requests to untrusted addresses: allowed targets and hostile responses."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Hashable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from service.domain.errors import DnsUnavailable
from service.domain.webhook import is_web_address, sign_request
from service.security import LOOPBACK, OutboundHttp, OutboundLimits, TargetForbidden
from service.security.outbound_http import is_public
from service.settings import parse_networks
from service.usecases.slots import SharedSlots
from service.wiring.factories import lookup_slots
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.webhook_receiver import MEGABYTE, WebhookReceiver

PUBLIC = "93.184.215.14"


@pytest_asyncio.fixture(loop_scope="session")
async def receiver() -> AsyncIterator[WebhookReceiver]:
    async with WebhookReceiver().running() as running:
        yield running


class Names:
    """Resolver with given answers that counts queries. The last answer repeats."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.queries: list[tuple[str, int]] = []
        self._answers = list(answers)

    async def __call__(self, host: str, port: int, _owner: Hashable) -> Sequence[str]:
        self.queries.append((host, port))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


def outward(names: Names, **limits: Any) -> OutboundHttp:
    return OutboundHttp(
        OutboundLimits(**{"timeout_s": 0.5, "connect_timeout_s": 0.5, **limits}), names
    )


def to_here(**limits: Any) -> OutboundHttp:
    return outward(Names(["127.0.0.1"]), private_networks=LOOPBACK, **limits)


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "8.8.8.8", "2606:2800:21f:cb07::1", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_a_globally_routable_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address that is refused
        "255.255.255.255",
        "224.0.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "fe80::1",
        "fe80::1%lo",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "no address",
    ],
)
def test_a_private_or_reserved_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://@example.com/",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://example.com:port/",
        "http://example.com/#part",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/a b",
        "http://exam\nple.com/",
        "http://[::1/",
        "javascript:alert(1)",
    ],
)
def test_an_invalid_url_is_refused(text: str) -> None:
    assert not is_web_address(text)


@pytest.mark.parametrize(
    "text", ["http://example.com", "https://a.example:8443/x?y=%20z", "http://[2001:db8::1]/"]
)
def test_a_valid_web_address_is_accepted(text: str) -> None:
    assert is_web_address(text)


@pytest.mark.parametrize(
    "result", [["10.0.0.1"], [PUBLIC, "10.0.0.1"], ["::ffff:127.0.0.1"], ["fe80::1%eth0"]]
)
async def test_a_host_with_one_private_address_is_rejected(
    result: list[str], receiver: WebhookReceiver
) -> None:
    names = Names(result)
    with pytest.raises(TargetForbidden):
        await outward(names).check("https://example.com/hook")
    assert names.queries == [("example.com", 443)]
    answer = await outward(names).post(receiver.url(host="example.com"), {}, b"{}")
    assert answer.response_code is None
    assert answer.error == "The host has an address that is not public; use a public host"
    assert receiver.received == []


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://0/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://localhost/",
        "http://LOCALHOST./",
        "http://169.254.169.254/latest/meta-data/",
    ],
)
async def test_literal_addresses_are_checked_too(uri: str) -> None:
    async with OutboundHttp.open(OutboundLimits(timeout_s=2), lookup_slots(64)) as real:
        with pytest.raises(TargetForbidden):
            await real.check(uri)
        answer = await real.post(uri, {}, b"{}")
    assert answer.response_code is None
    assert answer.error is not None


@pytest.mark.parametrize(
    ("networks", "address", "is_allowed"),
    [
        ("127.0.0.0/8,::1/128", "127.0.0.1", True),
        ("127.0.0.0/8,::1/128", "::ffff:127.0.0.1", True),
        ("127.0.0.0/8,::1/128", "::1", True),
        ("127.0.0.0/8,::1/128", "169.254.169.254", False),
        ("127.0.0.0/8,::1/128", "10.0.0.1", False),
        ("10.1.0.0/16, fd00::/8", "10.1.2.3", True),
        ("10.1.0.0/16, fd00::/8", "64:ff9b::a01:203", True),
        ("10.1.0.0/16, fd00::/8", "fd00::5", True),
        ("10.1.0.0/16, fd00::/8", "10.2.0.1", False),
        ("false", "127.0.0.1", False),
        ("", PUBLIC, True),
        ("true", "169.254.169.254", True),
    ],
)
async def test_only_the_networks_of_the_setting_are_allowed(
    networks: str, address: str, is_allowed: bool
) -> None:
    limited = outward(Names([address]), private_networks=parse_networks(networks))
    if is_allowed:
        await limited.check("https://example.com/")
        return
    with pytest.raises(TargetForbidden, match="not public"):
        await limited.check("https://example.com/")


async def test_http_is_refused_unless_the_target_is_loopback_or_a_setting_allows_it(
    receiver: WebhookReceiver,
) -> None:
    with pytest.raises(TargetForbidden, match="use https"):
        await outward(Names([PUBLIC])).check("http://example.com/")
    mixed = outward(Names(["127.0.0.1", PUBLIC]), private_networks=LOOPBACK)
    with pytest.raises(TargetForbidden, match="use https"):
        await mixed.check("http://example.com/")
    answer = await outward(Names([PUBLIC])).post("http://example.com/", {}, b"{}")
    assert (answer.response_code, answer.error) == (
        None,
        "The URL uses http, which is not encrypted; use https",
    )
    await outward(Names([PUBLIC])).check("https://example.com/")
    await outward(Names([PUBLIC]), allow_http=True).check("http://example.com/")
    assert (await to_here().post(receiver.url(), {}, b"{}")).response_code == 200


async def test_a_host_that_later_resolves_to_a_private_address_is_rejected(
    receiver: WebhookReceiver,
) -> None:
    names = Names([PUBLIC], ["127.0.0.1"])
    rebound = outward(names, allow_http=True)
    await rebound.check(receiver.url(host="rebound.example"))
    answer = await rebound.post(receiver.url(host="rebound.example"), {}, b"{}")
    assert answer.error == "The host has an address that is not public; use a public host"
    assert receiver.received == []


async def test_the_connection_uses_the_checked_address(
    receiver: WebhookReceiver,
) -> None:
    names = Names(["127.0.0.1"], ["192.0.2.1"])
    answer = await outward(names, private_networks=LOOPBACK).post(
        receiver.url(host="name.example"), {"X-Word": "a"}, b"{}"
    )
    assert (answer.response_code, answer.error) == (200, None)
    assert names.queries == [("name.example", receiver.port)]
    [received] = receiver.received
    assert received.headers["host"] == f"name.example:{receiver.port}"
    assert received.headers["x-word"] == "a"


async def test_a_host_without_an_address_differs_from_a_failed_lookup() -> None:
    unknown = outward(Names(socket.gaierror(socket.EAI_NONAME, "unknown")))
    with pytest.raises(TargetForbidden, match="no address"):
        await unknown.check("http://unknown.example/")
    failing = outward(Names(socket.gaierror(socket.EAI_AGAIN, "again")))
    with pytest.raises(DnsUnavailable):
        await failing.check("http://unknown.example/")
    for item in (unknown, failing):
        answer = await item.post("http://unknown.example/", {}, b"{}")
        assert answer.response_code is None
        assert answer.error


@pytest.mark.parametrize(
    ("act", "code", "words"),
    [
        ("stall", None, "no response within 0.5 s"),
        ("hang_up", None, "connection closed"),
        ("babble", None, "not HTTP"),
        ("redirect", 302, "redirects are not followed"),
        ("error", 500, "response status 500"),
        ("gone", 410, "response status 410"),
    ],
)
async def test_errors_do_not_contain_text_of_the_target(
    act: str, code: int | None, words: str, receiver: WebhookReceiver
) -> None:
    acts = {
        "stall": receiver.stall,
        "hang_up": receiver.hang_up,
        "babble": receiver.babble,
        "redirect": receiver.status(302, Location=receiver.url("/elsewhere")),
        "error": receiver.status(500),
        "gone": receiver.status(410),
    }
    receiver.acts["/hook"] = acts[act]
    answer = await to_here().post(receiver.url(), {}, b"{}")
    assert answer.response_code == code
    assert answer.error is not None
    assert words in answer.error
    assert receiver.to("/elsewhere") == []
    assert 0 <= answer.duration_ms < 5000


async def test_a_refused_connection_is_a_failed_attempt() -> None:
    answer = await to_here().post(f"http://127.0.0.1:{free_port()}/", {}, b"{}")
    assert (answer.response_code, answer.error) == (None, "connection failed")


async def test_a_server_without_tls_fails_for_https(receiver: WebhookReceiver) -> None:
    uri = receiver.url().replace("http:", "https:")
    answer = await to_here(timeout_s=3).post(uri, {}, b"{}")
    assert answer.response_code is None
    assert answer.error is not None
    assert "TLS" in answer.error


async def test_only_the_start_of_a_huge_reply_is_read(receiver: WebhookReceiver) -> None:
    receiver.acts["/hook"] = receiver.flood
    answer = await to_here(timeout_s=5).post(receiver.url(), {}, b"{}")
    assert (answer.response_code, answer.error) == (200, None)
    assert receiver.sent < 20 * MEGABYTE


async def test_a_reply_that_never_ends_is_a_success(receiver: WebhookReceiver) -> None:
    receiver.acts["/hook"] = receiver.drip
    answer = await to_here().post(receiver.url(), {}, b"{}")
    assert (answer.response_code, answer.error) == (200, None)


@pytest.mark.parametrize(
    ("value", "pause_s"), [("30", 30), ("999999", 3600), ("-1", 0), ("tomorrow", 0)]
)
async def test_retry_after_is_bounded(
    value: str, pause_s: float, receiver: WebhookReceiver
) -> None:
    receiver.acts["/hook"] = receiver.status(429, **{"Retry-After": value})
    answer = await to_here().post(receiver.url(), {}, b"{}")
    assert answer.retry_after_s == pause_s


def test_the_signature_is_that_of_the_published_example() -> None:
    """Test vector of the reference libraries of Standard Webhooks."""
    headers = sign_request(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        datetime.fromtimestamp(1614265330, UTC),
        b'{"test": 2432232314}',
    )
    assert headers["webhook-id"] == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    assert headers["webhook-timestamp"] == "1614265330"
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_dead_names_of_one_account_leave_lookups_for_others(
    receiver: WebhookReceiver,
) -> None:
    answer_now = threading.Event()

    def getaddrinfo(host: str, *more: Any, **options: Any) -> Any:
        """A resolver that gets no answer for names in `dead.test`."""
        if host.endswith("dead.test"):
            answer_now.wait(30)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return socket.getaddrinfo(host, *more, **options)

    limits = OutboundLimits(
        private_networks=LOOPBACK, timeout_s=10, connect_timeout_s=0.2, max_lookups=8
    )
    async with OutboundHttp.open(
        limits, SharedSlots(8, 4, DnsUnavailable), getaddrinfo
    ) as outbound:
        lookups = (outbound.check(f"https://{n}.dead.test/", "attacker") for n in range(16))
        for outcome in await asyncio.gather(*lookups, return_exceptions=True):
            assert isinstance(outcome, DnsUnavailable)
        # The requests have ended. The lookups have not, and keep their threads.
        with pytest.raises(DnsUnavailable):
            await outbound.check("https://127.0.0.1/", "attacker")
        response = await outbound.post(receiver.url(), {}, b"{}", "tenant")
        assert response.error is None

        answer_now.set()
        await wait_until(lambda: _can_resolve(outbound))


async def _can_resolve(outbound: OutboundHttp) -> bool:
    try:
        await outbound.check("https://127.0.0.1/", "attacker")
    except DnsUnavailable:
        return False
    return True
