"""Text that `aftertone dev` prints when it is ready."""

import shlex
from collections.abc import Mapping
from pathlib import Path

_TEXT = """
Aftertone is ready on {url}
Web inbox:          {url}/inbox
  Account {account}, user {username}, password {password}
API documentation:  {url}/docs
Addresses and keys: {file}   (deleted when Aftertone stops)
Sent mails:         {mail}/*.eml
To stop, press Ctrl-C.

To try it, open another shell in this folder and read the addresses and keys:
    set -a; . {quoted}; set +a

Create a box:
    BOX=$(curl -s -X PUT "$AFTERTONE_URL/v2/accounts/$AFTERTONE_ACCOUNT_ID/vmboxes" \\
      -H "X-Auth-Token: $AFTERTONE_AUTH_TOKEN" -H "Content-Type: application/json" \\
      -d "{{\\"data\\":{{\\"name\\":\\"Front desk\\",\\"mailbox\\":\\"$(date +%s)\\"}}}}" \\
      | python3 -c 'import json, sys; print(json.load(sys.stdin)["data"]["id"])')

Store a message (one second of silence):
    python3 -c 'import wave; f = wave.open("message.wav", "wb"); f.setparams(
      (1, 2, 8000, 0, "NONE", "")); f.writeframes(bytes(16000))'
    curl -X PUT "$AFTERTONE_URL/v2/accounts/$AFTERTONE_ACCOUNT_ID/vmboxes/$BOX/messages" \\
      -H "X-Auth-Token: $AFTERTONE_AUTH_TOKEN" \\
      -F 'message={{"data":{{"caller_id_name":"Ann"}}}};type=application/json' \\
      -F 'audio=@message.wav;type=audio/wav'

List the messages:
    curl "$AFTERTONE_URL/v2/accounts/$AFTERTONE_ACCOUNT_ID/vmboxes/$BOX/messages" \\
      -H "X-Auth-Token: $AFTERTONE_AUTH_TOKEN"
"""


def format_instructions(file: Path, environment: Mapping[str, str]) -> str:
    """Returns the text with commands to copy. They read all secrets from `dev.env`."""
    return _TEXT.format(
        url=environment["AFTERTONE_URL"],
        account=environment["AFTERTONE_ACCOUNT"],
        username=environment["AFTERTONE_USERNAME"],
        password=environment["AFTERTONE_PASSWORD"],
        file=file,
        mail=file.parent / "mail",
        quoted=shlex.quote(str(file)),
    )
