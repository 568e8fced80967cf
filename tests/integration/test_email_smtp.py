"""SMTP: encryption, login, reuse of connections, rejections."""

from pathlib import Path

import pytest

from service.workers.channels import Done, Failed, Outcome
from service.workers.channels.email import SmtpSender, SmtpServer
from tests.support.smtp import HOST, certificate, only, running_mail_server
from tests.support.waiting import wait_until

CONTENT = b"Subject: x\r\nMessage-ID: <1@example.com>\r\n\r\n.text\r\n"


async def sent(
    url: str,
    recipient: str = "ann@example.com",
    times: int = 1,
    utf8: bool = False,
    timeout_s: float = 30,
    **options: str,
) -> Outcome:
    server = SmtpServer.parse(url)
    async with SmtpSender.open(server, timeout_s=timeout_s, **options) as sender:
        for _ in range(times):
            outcome = await sender.send("us@example.com", recipient, CONTENT, utf8=utf8)
        return outcome


async def test_a_connection_is_reused() -> None:
    async with running_mail_server() as server:
        assert await sent(server.url, times=5) == Done()
    assert len(server.mails) == 5
    assert server.sessions == 1
    assert {mail.content for mail in server.mails} == {CONTENT}
    assert {mail.sender for mail in server.mails} == {"us@example.com"}


async def test_a_connection_closed_by_the_server_is_replaced() -> None:
    async with running_mail_server(timeout=0.1) as server:
        smtp = SmtpServer.parse(server.url)
        async with SmtpSender.open(smtp, timeout_s=30) as sender:
            for _ in range(3):
                assert await sender.send("a@b.c", "d@e.f", CONTENT, utf8=False) == Done()
                await wait_until(lambda: server.open_sessions == 0)
    assert len(server.mails) == 3
    assert server.sessions == 3


async def test_a_refusal_keeps_the_session_and_gives_the_reason_without_markup() -> None:
    async with running_mail_server() as server:
        smtp = SmtpServer.parse(server.url)
        async with SmtpSender.open(smtp, timeout_s=30) as sender:
            refused = await sender.send("a@b.c", "refused.x@e.f", CONTENT, utf8=False)
            assert await sender.send("a@b.c", "d@e.f", CONTENT, utf8=False) == Done()
    assert isinstance(refused, Failed)
    assert refused.permanent
    assert "550" in refused.error
    assert server.sessions == 1


@pytest.mark.parametrize("who", ["greylisted", "policy", "unlucky", "stalled", "cut"])
async def test_a_temporary_failure_is_not_permanent(who: str) -> None:
    async with running_mail_server() as server:
        timeout_s = 0.5 if who == "stalled" else 30
        failed = await sent(server.url, f"{who}.x@e.f", timeout_s=timeout_s)
    assert isinstance(failed, Failed)
    assert not failed.permanent
    assert server.mails == []


async def test_a_missing_server_is_a_temporary_failure() -> None:
    failed = await sent(f"smtp://{HOST}:9")
    assert isinstance(failed, Failed)
    assert not failed.permanent
    assert failed.error.startswith("no SMTP session")


async def test_tls_is_used_when_the_server_offers_it(tmp_path: Path) -> None:
    context, _ = certificate(tmp_path)
    async with running_mail_server(tls_context=context) as server:
        assert await sent(server.url) == Done()
    assert server.mails[0].encrypted


async def test_required_tls_is_verified(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path)
    async with running_mail_server(tls_context=context) as server:
        url = server.url.replace("smtp:", "smtp+starttls:")
        assert isinstance(await sent(url), Failed)
        assert await sent(url, ca_file=str(authority)) == Done()
    async with running_mail_server() as server:
        assert isinstance(await sent(server.url.replace("smtp:", "smtp+starttls:")), Failed)
    assert server.mails == []


async def test_implicit_tls(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path)
    async with running_mail_server(tls=context) as server:
        url = server.url.replace("smtp:", "smtps:")
        assert isinstance(await sent(url), Failed)
        assert await sent(url, ca_file=str(authority)) == Done()
    assert [mail.encrypted for mail in server.mails] == [True]


async def test_sign_in(tmp_path: Path) -> None:
    context, authority = certificate(tmp_path)
    options = {"authenticator": only("us@example.com", "p@ss"), "auth_required": True}
    async with running_mail_server(tls_context=context, **options) as server:
        url = server.url.replace("smtp://", "smtp+starttls://us%40example.com:{}@")
        assert await sent(url.format("p%40ss"), ca_file=str(authority)) == Done()
        failed = await sent(url.format("wrong"), ca_file=str(authority))
        assert isinstance(failed, Failed)
        assert not failed.permanent
        assert "wrong" not in failed.error
    assert [mail.user for mail in server.mails] == ["us@example.com"]


def test_a_password_is_not_sent_unencrypted_to_another_host() -> None:
    assert SmtpServer.parse("smtp://u:p@mail.example.com").start_tls is True
    assert SmtpServer.parse("smtp://u:p@127.0.0.1").start_tls is None
    assert SmtpServer.parse("smtp://mail.example.com").start_tls is None


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("smtp://mail.example.com", 25),
        ("smtp+starttls://mail.example.com", 587),
        ("smtps://mail.example.com", 465),
        ("smtps://[::1]:2465", 2465),
    ],
)
def test_a_url_has_a_default_port(url: str, port: int) -> None:
    assert SmtpServer.parse(url).port == port


@pytest.mark.parametrize("url", ["", "mail.example.com", "http://x", "smtp://", "smtp://x:port"])
def test_an_invalid_url_is_rejected(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SmtpServer.parse(url)
