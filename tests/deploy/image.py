"""Runs commands of the image as a container does: its user, a read-only root, PID 1."""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

TOOLS = ("debootstrap", "buildah", "bwrap", "setpriv", "chroot")
BUILD = Path(__file__).with_name("build_image")


def missing() -> str:
    """Returns the program that is missing to build and run the image, or an empty string."""
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian packages of these names)"
    return "" if os.geteuid() == 0 else "debootstrap must be root"


class Config(msgspec.Struct, frozen=True, rename="pascal"):
    """Configuration of the image."""

    user: str
    entrypoint: list[str]
    cmd: list[str]
    env: list[str]
    labels: dict[str, str]
    exposed_ports: dict[str, dict[str, str]]


class _Document(msgspec.Struct, frozen=True):
    config: Config


class _Inspected(msgspec.Struct, frozen=True):
    document: _Document = msgspec.field(name="OCIv1")


class Image:
    """Image with its file system in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        said = (folder / "image.json").read_bytes()
        self.config = msgspec.json.decode(said, type=_Inspected).document.config

    @classmethod
    async def build(cls, folder: Path) -> "Image":
        log = folder / "build.log"
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                BUILD,
                folder,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHON": sys.executable},
            )
            code = await process.wait()
        assert code == 0, log.read_text()[-4000:]
        return cls(folder)

    def argv(
        self, *command: str, variables: Mapping[str, str], mounts: Mapping[str, Path]
    ) -> list[str]:
        """Returns the command line that runs `command`; `mounts` are folders below /run."""
        user, _, group = self.config.user.partition(":")
        environment = {**dict(each.split("=", 1) for each in self.config.env), **variables}
        return [
            *("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"),
            *("bwrap", "--ro-bind", str(self.root), "/", "--proc", "/proc", "--dev", "/dev"),
            *("--tmpfs", "/tmp", "--tmpfs", "/run"),  # noqa: S108
            *(part for at, of in mounts.items() for part in ("--ro-bind", str(of), f"/run/{at}")),
            *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--as-pid-1"),
            *("--die-with-parent", "--clearenv"),
            *(part for each in environment.items() for part in ("--setenv", *each)),
            *command,
        ]


async def run_command(argv: list[str]) -> tuple[int, str]:
    """Runs a command to its end; returns exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def innermost(pid: int) -> int:
    """Returns the process in the sandbox, which has no children yet."""
    while True:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if not children:
            return pid
        pid = int(children[0])
