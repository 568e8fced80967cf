"""What `aftertone dev` tells about itself: `dev.env` for programs, a few lines for people."""

import shlex
from collections.abc import Mapping
from pathlib import Path

from service.embedded.keys import write_private


def write_env(file: Path, environment: Mapping[str, str]) -> None:
    """A file that both a shell (`. dev.env`) and a reader of KEY=value lines take."""
    lines = (f"{name}={shlex.quote(value)}\n" for name, value in environment.items())
    write_private(file, "".join(lines).encode())


_BOX = """\
Make a box:
    BOX=$(curl -s -X PUT "$AFTERTONE_URL/v2/accounts/$AFTERTONE_ACCOUNT_ID/vmboxes" \\
      -H "X-Auth-Token: $AFTERTONE_AUTH_TOKEN" -H "Content-Type: application/json" \\
      -d "{\\"data\\":{\\"name\\":\\"Front desk\\",\\"mailbox\\":\\"$(date +%s)\\"}}" \\
      | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["id"])')
"""

_TEXT = """
Aftertone is ready on {url}
API documentation:   {url}/docs
Addresses and keys:  {file}   (removed when this stops; Ctrl-C stops it)
Mails that it sends: {mail}/*.eml

In another shell, in this folder:
    set -a; . {quoted}; set +a
{box}
Leave a message, a second of silence:
    python3 -c 'import wave; f = wave.open("message.wav", "wb"); f.setparams(
      (1, 2, 8000, 0, "NONE", "")); f.writeframes(bytes(16000))'
    curl -X PUT "$AFTERTONE_URL/v2/accounts/$AFTERTONE_ACCOUNT_ID/vmboxes/{vmbox}/messages" \\
      -H "X-Auth-Token: $AFTERTONE_AUTH_TOKEN" \\
      -F 'message={{"data":{{"caller_id_name":"Ann"}}}};type=application/json' \\
      -F 'audio=@message.wav;type=audio/wav'

List the messages:
    curl "$AFTERTONE_URL/v2/accounts/$AFTERTONE_ACCOUNT_ID/vmboxes/{vmbox}/messages" \\
      -H "X-Auth-Token: $AFTERTONE_AUTH_TOKEN"
"""


def welcome(file: Path, environment: Mapping[str, str]) -> str:
    """The lines to copy. They take every value from `dev.env`, so no secret reaches a terminal."""
    has_box = "AFTERTONE_VMBOX_ID" in environment
    return _TEXT.format(
        url=environment["AFTERTONE_URL"],
        file=file,
        mail=file.parent / "mail",
        quoted=shlex.quote(str(file)),
        box="" if has_box else f"\n{_BOX}",
        vmbox="$AFTERTONE_VMBOX_ID" if has_box else "$BOX",
    )
