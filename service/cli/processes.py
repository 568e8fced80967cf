"""Commands that run the service, and what an operator does to it as a whole."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from service.cli.running import run, settings_of
from service.settings import Settings


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="HTTP port; 0 takes any free one.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".aftertone"),
    show_default=True,
    help="Where data, keys and logs are kept.",
)
def dev(port: int, folder: Path) -> None:
    """Run everything on embedded servers, until Ctrl-C."""
    from service import wiring
    from service.embedded.dev import run_dev
    from service.wiring.notifiers import CHANNELS

    command = [sys.executable, "-m", "service"]
    # Its processes read the same environment: what they would refuse is said before they start.
    settings = settings_of("dev")
    # All but what dev does not bring: an engine for speech recognition.
    channels = [name for name in CHANNELS if name != "transcription" or settings.transcription_url]
    run(
        run_dev(
            folder=folder,
            host="127.0.0.1",
            port=port,
            prepare=lambda environment: wiring.prepare_dev(folder.absolute(), environment),
            processes={
                **{name: [*command, name] for name in ("api", "relay", "keeper")},
                "notifier": [*command, "notifier", *channels],
            },
        )
    )


@click.command()
def api() -> None:
    """Serve HTTP. Stateless: run as many as you like."""
    from service.wiring.runtime_tuning import tune_allocator

    tune_allocator()
    from service.wiring.api import run_api

    run(run_api(settings_of("api")))


@click.command()
@click.option(
    "--republish-since",
    metavar="TIME",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]),
    help="Have events published since TIME (UTC) sent again by the active relay, and exit.",
)
def relay(republish_since: datetime | None) -> None:
    """Publish events. One is active, further ones stand by."""
    from service import wiring

    settings = settings_of("relay")
    if republish_since is None:
        run(wiring.run_relay(settings))
        return
    done = run(wiring.republish(settings, republish_since.replace(tzinfo=UTC)))
    click.echo(
        f"{done.events} events published until {done.until:%Y-%m-%d %H:%M:%S} UTC go out again"
    )


@click.command()
@click.argument("channels", metavar="CHANNEL...", nargs=-1, required=True)
def notifier(channels: tuple[str, ...]) -> None:
    """Deliver what happens to the outside; copies share the work.

    CHANNEL is email, webhook, mwi, callback or transcription; several run in one process.
    """
    from service.wiring.notifiers import CHANNELS, run_notifiers

    if unknown := sorted(set(channels) - set(CHANNELS)):
        known = ", ".join(CHANNELS)
        raise click.UsageError(f"There is no channel {', '.join(unknown)}; there are {known}.")
    settings = settings_of(f"notifier {' '.join(channels)}")
    run(run_notifiers(settings, tuple(dict.fromkeys(channels))))


@click.group()
def epoch() -> None:
    """The epoch of this deployment, which orders events before and after a restored backup."""


@epoch.command("raise")
def raise_epoch() -> None:
    """Raise the epoch. For after a restore, with API and keeper stopped."""
    from service import wiring

    click.echo(f"the epoch is {run(wiring.raise_epoch(settings_of('epoch')))} now")


@click.command()
@click.option("--once", "step", metavar="STEP", help="Run this step alone, now, or `all` of them.")
def keeper(step: str | None) -> None:
    """Do what must be done again and again.

    Steps: partitions, expiry, pending, idempotency, tokens, deliveries, attempts, webhooks, purge,
    orphans, recount. Each may be cut short anywhere and run again, also beside a running keeper.
    """
    from service import wiring

    settings = settings_of("keeper")
    run(wiring.run_keeper(settings) if step is None else _keep_once(settings, step))


async def _keep_once(settings: Settings, wanted: str) -> None:
    from service import wiring
    from service.cli.progress import ProgressBar, summary_line
    from service.workers.keeper import UnknownStep

    async with wiring.keeper(settings) as running:
        try:
            steps = running.select_steps(wanted)
        except UnknownStep as error:
            raise click.UsageError(str(error)) from None
        for step in steps:
            with ProgressBar(step.name) as bar:
                counts = await running.run_once(step, bar)
            click.echo(summary_line(step.name, counts))


@click.command()
def migrate() -> None:
    """Bring the database up to date. Safe to run at any time, by several at once."""
    from service import wiring

    for name in run(wiring.run_migrate(settings_of("migrate"))):
        click.echo(f"applied {name}")
    click.echo("the database is up to date")


COMMANDS = (dev, api, relay, notifier, keeper, migrate, epoch)
