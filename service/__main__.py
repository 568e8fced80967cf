"""Entry point of the `aftertone` command."""

import signal

import click

from service.cli import (
    admin,
    configuration,
    imports,
    keys,
    months,
    notifications,
    processes,
    transcriptions,
    verify,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="aftertone")
def cli() -> None:
    """Aftertone stores voicemail: messages in Postgres, audio in S3, events on NATS JetStream.

    Settings are AFTERTONE_* environment variables. To try Aftertone, run `aftertone dev`: it needs
    no settings and starts its own servers.
    """


for command in (
    *processes.COMMANDS,
    *months.COMMANDS,
    *verify.COMMANDS,
    *configuration.COMMANDS,
    *notifications.COMMANDS,
    *keys.COMMANDS,
    *admin.COMMANDS,
    *imports.COMMANDS,
    *transcriptions.COMMANDS,
):
    cli.add_command(command)


def main() -> None:
    # PID 1 of a container has no default handler for SIGTERM.
    signal.signal(signal.SIGTERM, _exit_on_signal)
    cli(prog_name="aftertone")


def _exit_on_signal(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
