"""The command line, `aftertone ...`: all commands under one name."""

import click

from service.cli import configuration, desk, notifications, processes


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
    *desk.COMMANDS,
):
    cli.add_command(command)


def main() -> None:
    """The entry point of the `aftertone` command."""
    cli(prog_name="aftertone")


if __name__ == "__main__":
    main()
