"""Settings in the chart's schema, generated from the struct; as a program, writes the schema."""

import json
from pathlib import Path
from typing import Any

import msgspec

from service.settings import Settings

SCHEMA = Path(__file__).parents[2] / "deploy" / "chart" / "values.schema.json"

# Secrets, and where they are mounted; addresses and ports, which the chart's objects agree on.
WRITTEN_BY_THE_CHART = frozenset(
    {
        "database_url",
        "owner_database_url",
        "key_ring_file",
        "nats_credentials_file",
        "smtp_url",
        "ari_password",
        "transcription_key",
        "host",
        "port",
        "admin_host",
        "admin_port",
    }
)


def settings_schema() -> dict[str, Any]:
    """The part `settings` of the values: every setting that an operator may choose there."""
    struct = msgspec.json.schema(Settings)["$defs"]["Settings"]
    return {
        "description": "AFTERTONE_* variables by name, without the prefix and in lower case.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: _told(rules)
            for name, rules in struct["properties"].items()
            if name not in WRITTEN_BY_THE_CHART
        },
    }


def _told(rules: dict[str, Any]) -> dict[str, Any]:
    kept = {word: value for word, value in rules.items() if word != "title"}
    if "pattern" in kept:
        # Helm's expressions know \z for Python's \Z.
        kept["pattern"] = kept["pattern"].replace(r"\Z", r"\z")
    return kept


def main() -> None:
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["settings"] = settings_schema()
    SCHEMA.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
