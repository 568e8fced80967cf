"""Dry run of a change of an account or box (`?dry_run=true`)."""

from typing import Any

from service.api.kazoo.dependencies import AnyRequest, read_flag
from service.usecases.retention_preview import RetentionPreview


def is_dry_run(request: AnyRequest) -> bool:
    """Reads `dry_run`. Raises Invalid."""
    return read_flag(request, "dry_run")


def dry_run_field(preview: RetentionPreview) -> dict[str, Any]:
    """Returns the field of a document that says what its change would remove."""
    return {
        "_dry_run": {
            "message_retention_days": preview.retention.message_days,
            "deleted_retention_days": preview.retention.deleted_days,
            "messages_removed": {folder.value: n for folder, n in preview.removed.items()},
        }
    }
