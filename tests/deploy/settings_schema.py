"""Generates the `settings` part of the chart schema. Run as a module, it updates the schema."""

import json
from pathlib import Path
from typing import Any

import msgspec

from service.settings import Settings

SCHEMA = Path(__file__).parents[2] / "deploy" / "chart" / "values.schema.json"

# Secrets and their mounts; addresses and ports that the objects of the chart share.
WRITTEN_BY_THE_CHART = frozenset(
    {
        "database_url",
        "read_database_url",
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
    """Returns the schema of all settings that can be set in the values."""
    struct = msgspec.json.schema(Settings)["$defs"]["Settings"]
    return {
        "description": "AFTERTONE_* variables by name, without the prefix and in lower case.",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: _helm_schema(rules)
            for name, rules in struct["properties"].items()
            if name not in WRITTEN_BY_THE_CHART
        },
    }


def _helm_schema(rules: dict[str, Any]) -> dict[str, Any]:
    kept = {word: value for word, value in rules.items() if word != "title"}
    if "pattern" in kept:
        # Helm uses \z for the \Z of Python.
        kept["pattern"] = kept["pattern"].replace(r"\Z", r"\z")
    return kept


def main() -> None:
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["settings"] = settings_schema()
    SCHEMA.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
