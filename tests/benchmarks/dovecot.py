"""Dovecot with the same audio as attachments, if it is installed: a mail server for comparison.

The ceilings of store (LMTP), list, folder (a flag) and raw (the body part, in base64).
"""

import asyncio
import getpass
import os
import shutil
import smtplib
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

from service.embedded.child import Child, Command
from tests.benchmarks.load import Step
from tests.benchmarks.measure import BenchFailed
from tests.benchmarks.requests import some_audio
from tests.support.ports import free_port
from tests.support.waiting import wait_until

NOT_INSTALLED = (
    "Dovecot 2.3 is not installed, so its rows are absent "
    "(Debian packages dovecot-core, dovecot-imapd, dovecot-lmtpd)"
)
MESSAGES = 64
_PAGE = 50
_PROGRAM, _LIBRARY = "/usr/sbin/dovecot", "/usr/lib/dovecot"
_PASSWORD = "bench"
_IMAP_REFUSALS = (b"x NO", b"x BAD")
_LMTP_REFUSALS = (b"4", b"5")
_CONFIGURATION = """\
protocols = imap lmtp
base_dir = {folder}/run
state_dir = {folder}/run
log_path = {folder}/dovecot.log
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{folder}/mail/%u
mail_max_userip_connections = 1000
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={mail} gid={mail_group} home={folder}/mail/%u allow_all_users=yes
}}
service imap-login {{
  {chroot}
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service anvil {{
  {chroot}
}}
service stats {{
  {chroot}
}}
"""


class Dovecot:
    """A server with a mailbox for each client that reads and each that delivers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.imap, self.lmtp = free_port(), free_port()
        self.child = Child(
            "dovecot",
            Command(
                argv=[_PROGRAM, "-F", "-c", str(folder / "dovecot.conf")],
                environment={"PATH": "/usr/sbin:/usr/bin:/bin"},
                folder=folder,
                log=folder / "output.log",
            ),
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, clients: int) -> "AsyncIterator[Dovecot | None]":
        """Starts the server and fills its mailboxes; None if it is not installed."""
        if not await is_installed():
            yield None
            return
        folder = await asyncio.to_thread(_make_folder)
        server = cls(folder)
        try:
            await server._start(clients)
            yield server
        finally:
            await server.child.stop()
            shutil.rmtree(folder, ignore_errors=True)

    async def _start(self, clients: int) -> None:
        is_root = os.geteuid() == 0
        user = getpass.getuser()
        mail = self._folder / "mail"
        mail.mkdir()
        if is_root:
            shutil.chown(mail, "nobody", "nogroup")
        text = _CONFIGURATION.format(
            folder=self._folder,
            internal="dovecot" if is_root else user,
            group="dovecot" if is_root else os.getegid(),
            login="dovenull" if is_root else user,
            mail="nobody" if is_root else os.geteuid(),
            mail_group="nogroup" if is_root else os.getegid(),
            chroot="" if is_root else "chroot =",
            password=_PASSWORD,
            imap=self.imap,
            lmtp=self.lmtp,
        )
        (self._folder / "dovecot.conf").write_text(text)
        await self.child.start()

        async def listens_or_ended() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.lmtp)
            except OSError:
                return not self.child.alive
            writer.close()
            return True

        await wait_until(listens_or_ended)
        if not self.child.alive:
            log = self._folder / "output.log"
            raise BenchFailed(f"Dovecot ended: {log.read_text(errors='replace')[-1000:]}")
        await asyncio.to_thread(self._fill, clients)

    def _fill(self, clients: int) -> None:
        message = a_mail()
        with smtplib.LMTP("127.0.0.1", self.lmtp) as client:
            for reader in range(clients):
                for _ in range(MESSAGES):
                    client.sendmail("bench@example.com", f"read{reader}@example.com", message)

    def trees(self) -> dict[str, int]:
        return {"dovecot": self.child.pid}

    def delivery(self, client: int) -> tuple[list[Step], list[list[Step]]]:
        """Login and exchanges of a client that delivers a message of 64 kB audio."""
        envelope = (
            f"MAIL FROM:<bench@example.com>\r\nRCPT TO:<store{client}@example.com>\r\nDATA\r\n"
        )
        return [Step(b"LHLO bench\r\n", b"250 ", _LMTP_REFUSALS)], [
            [
                Step(envelope.encode(), b"354", _LMTP_REFUSALS),
                Step(a_mail() + b"\r\n.\r\n", b"250", _LMTP_REFUSALS),
            ]
        ]

    def reading(self, client: int, commands: list[str]) -> tuple[list[Step], list[list[Step]]]:
        """Login and exchanges of a client that has selected its mailbox."""
        user = f"read{client}@example.com"
        login = [f"LOGIN {user} {_PASSWORD}", "SELECT INBOX"]
        return [_imap(command) for command in login], [[_imap(command)] for command in commands]


LIST = [f"FETCH {MESSAGES - _PAGE + 1}:{MESSAGES} (UID FLAGS INTERNALDATE ENVELOPE)"]
FLAG = [
    f"STORE {number} {change}FLAGS (\\Seen)"
    for number in range(1, MESSAGES + 1)
    for change in ("+", "-")
]
BODY = [f"FETCH {number} BODY.PEEK[2]" for number in range(1, MESSAGES + 1)]


async def is_installed() -> bool:
    """True if the version that the configuration is for is installed, with IMAP and LMTP."""
    if not all(map(os.path.exists, (_PROGRAM, f"{_LIBRARY}/imap", f"{_LIBRARY}/lmtp"))):
        return False
    process = await asyncio.create_subprocess_exec(
        _PROGRAM, "--version", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return output.startswith(b"2.3.")


def _make_folder() -> Path:
    """Returns a new folder that the other users of a server of root can read."""
    folder = Path(tempfile.mkdtemp(prefix="aftertone-dovecot-"))
    folder.chmod(0o755)
    return folder


def a_mail() -> bytes:
    """A mail with the audio of `store`, with line ends for SMTP."""
    mail = EmailMessage()
    mail["From"], mail["To"] = "Ann <1001@example.com>", "2000@example.com"
    mail["Subject"], mail["Date"] = "Voicemail", "Tue, 01 Dec 2026 06:00:00 +0000"
    mail["Message-ID"] = "<bench@example.com>"
    mail.set_content("A message of 4 seconds")
    mail.add_attachment(some_audio(), "audio", "mpeg", filename="voice.mp3")
    return mail.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _imap(command: str) -> Step:
    return Step(f"x {command}\r\n".encode(), b"x OK", _IMAP_REFUSALS)
