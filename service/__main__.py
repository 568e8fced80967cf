"""The command line, `aftertone ...`: all commands under one name."""

import signal

import click

from service.cli import admin, configuration, notifications, processes


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="aftertone")
def cli() -> None:
    """Aftertone stores voicemail: messages in Postgres, audio in S3, events on NATS JetStream.

    Settings come from AFTERTONE_* variables. `aftertone dev` needs none: it brings its servers.
    """


for command in (
    *processes.COMMANDS,
    *configuration.COMMANDS,
    *notifications.COMMANDS,
    *admin.COMMANDS,
):
    cli.add_command(command)


def main() -> None:
    """The entry point of the `aftertone` command."""
    # The first process of a container has no default: nothing would end a command that is to end.
    signal.signal(signal.SIGTERM, _end)
    cli(prog_name="aftertone")


def _end(number: int, _frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    main()
