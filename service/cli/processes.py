"""Commands that run processes or change the whole deployment."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.cli.running import CommandWithList, run, settings_of
from service.settings import Settings, SettingsError

if TYPE_CHECKING:
    from service.embedded.dev import DevProcess


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="HTTP port. 0: any free port.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".aftertone"),
    show_default=True,
    help="Folder for data, keys and logs.",
)
@click.option(
    "--demo",
    is_flag=True,
    help="Create an account with three boxes and a dozen spoken messages, and sign in there.",
)
@click.option(
    "--cluster",
    is_flag=True,
    help="Run Postgres with a standby, three NATS nodes, S3 nodes, and two APIs and relays. "
    "Their data is separate from that of a run without this option.",
)
def dev(port: int, folder: Path, *, demo: bool, cluster: bool) -> None:
    """Run everything on this machine.

    Starts Postgres, NATS, S3 and all processes of the service. Ctrl-C stops them.
    """
    from service.cli.dev_text import format_instructions
    from service.embedded.dev import run_dev
    from service.wiring.dev import prepare_dev_for_people

    # -P: a folder `service` in the current folder must not be imported.
    command = [sys.executable, "-P", "-m", "service"]
    # Reports a wrong setting before anything starts: the processes read the same environment.
    settings = settings_of("dev")
    channels = _dev_channels(settings)
    run(
        run_dev(
            folder=folder,
            host="127.0.0.1",
            port=port,
            prepare=lambda environment: prepare_dev_for_people(
                folder.absolute(), environment, demo=demo
            ),
            on_ready=lambda file, environment: click.echo(format_instructions(file, environment)),
            processes=_dev_processes(command, channels, copies=2 if cluster else 1),
            cluster=cluster,
        )
    )


def _dev_processes(
    command: Sequence[str], channels: Sequence[str], *, copies: int
) -> list[DevProcess]:
    """Returns all processes of the service, with `copies` of API and relay."""
    from service.embedded.dev import DevProcess

    names = [f" {number}" if number > 1 else "" for number in range(1, copies + 1)]
    return [
        *(
            DevProcess(name=f"api{name}", argv=[*command, "api"], serves_http=True, pooled=True)
            for name in names
        ),
        *(DevProcess(name=f"relay{name}", argv=[*command, "relay"]) for name in names),
        DevProcess(name="keeper", argv=[*command, "keeper"]),
        DevProcess(name="notifier", argv=[*command, "notifier", *channels], pooled=True),
    ]


def _dev_channels(settings: Settings) -> list[str]:
    """Returns the channels that have their engine or their extra. Raises ClickException."""
    from service.audio.conversion.pool import is_installed
    from service.wiring.notifiers import CHANNELS
    from service.wiring.transcription import check_local_engine, is_local

    if is_local(settings):
        try:
            check_local_engine(settings)
        except SettingsError as error:
            raise click.ClickException(str(error)) from None
    can_run = {
        "transcription": is_local(settings) or bool(settings.transcription_url),
        "media": is_installed(),
    }
    return [name for name in CHANNELS if can_run.get(name, True)]


@click.command()
def api() -> None:
    """Serve the HTTP API. The process is stateless: run any number of them."""
    from service.wiring.runtime_tuning import tune_allocator

    tune_allocator()
    from service.wiring.api import run_api

    run(run_api(settings_of("api")))


@click.command()
@click.option(
    "--republish-since",
    metavar="TIME",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]),
    help="Make the running relays publish the events since TIME (UTC) again, and exit.",
)
def relay(republish_since: datetime | None) -> None:
    """Publish events to NATS. Several relays share the boxes; surplus ones are on standby."""
    from service import wiring

    settings = settings_of("relay")
    if republish_since is None:
        run(wiring.run_relay(settings))
        return
    republication = run(wiring.republish(settings, republish_since.replace(tzinfo=UTC)))
    until = f"{republication.until:%Y-%m-%d %H:%M:%S} UTC"
    click.echo(f"{republication.events} events published before {until} will be published again")


def _channel_entries() -> list[tuple[str, str]]:
    from service.wiring.notifiers import CHANNELS

    return [(name, inspect.getdoc(open_channel) or "") for name, open_channel in CHANNELS.items()]


@click.command(cls=CommandWithList, title="Channels", entries=_channel_entries)
@click.argument("channels", metavar="CHANNEL...", nargs=-1, required=True)
def notifier(channels: tuple[str, ...]) -> None:
    """Run one or more notifier channels.

    A channel delivers events to another system. Several processes of a channel share its work.
    """
    from service.wiring.notifiers import CHANNELS, run_notifiers

    if unknown := sorted(set(channels) - set(CHANNELS)):
        channel_names = ", ".join(CHANNELS)
        raise click.UsageError(f"Unknown channel {', '.join(unknown)}. Use {channel_names}.")
    settings = settings_of(f"notifier {' '.join(channels)}")
    run(run_notifiers(settings, tuple(dict.fromkeys(channels))))


@click.group()
def epoch() -> None:
    """Manage the epoch of the event feed.

    The epoch orders the events before and after the restore of a backup.
    """


@epoch.command("raise")
def raise_epoch() -> None:
    """Raise the epoch by one.

    Run it after a restore, before the processes start, and after a failover that lost writes.
    """
    from service import wiring

    click.echo(f"the epoch is now {run(wiring.raise_epoch(settings_of('epoch')))}")


def _step_entries() -> list[tuple[str, str]]:
    from service.workers.keeper import SCHEDULE

    hours = {name: every // timedelta(hours=1) for name, (every, _) in SCHEDULE.items()}
    return [
        (name, f"every {count} h" if count > 1 else "every hour") for name, count in hours.items()
    ]


@click.command(cls=CommandWithList, title="Steps", entries=_step_entries)
@click.option("--once", "step", metavar="STEP", help="Run this step, or `all` steps, and exit.")
def keeper(step: str | None) -> None:
    """Run periodic maintenance.

    Every step can be stopped at any time and run again, also while another keeper is running.
    """
    from service import wiring

    settings = settings_of("keeper")
    run(wiring.run_keeper(settings) if step is None else keep_once(settings, step))


async def keep_once(settings: Settings, step_name: str) -> None:
    """Runs steps of the keeper now, with a progress bar."""
    from service import wiring
    from service.cli.progress import ProgressBar, summary_line
    from service.workers.keeper import UnknownStep

    async with wiring.open_keeper(settings) as keeper:
        try:
            steps = keeper.select_steps(step_name)
        except UnknownStep as error:
            raise click.UsageError(str(error)) from None
        for step in steps:
            with ProgressBar(step.name) as bar:
                counts = await keeper.run_once(step, bar)
            click.echo(summary_line(step.name, counts))


@click.command()
def migrate() -> None:
    """Apply the missing migrations. Safe to run at any time, and concurrently."""
    from service import wiring

    for name in run(wiring.run_migrate(settings_of("migrate"))):
        click.echo(f"applied {name}")
    click.echo("the database is up to date")


COMMANDS = (dev, api, relay, notifier, keeper, migrate, epoch)
