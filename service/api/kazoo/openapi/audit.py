"""Operation of the audit."""

from service.api.description.openapi.operations import Operation
from service.api.description.openapi.structs import ref
from service.api.kazoo import audit
from service.api.kazoo.openapi import samples
from service.api.kazoo.openapi.bodies import pages
from service.api.kazoo.openapi.parameters import CREATED, PAGES
from service.api.kazoo.openapi.vmboxes import BAD_LIST
from service.api.kazoo.wire.audit import AuditRow
from service.domain.errors import Invalid, Rule

TAG = {"name": "Audit", "description": "Records of changes, of reads and of refused requests"}

_BAD_ID = Invalid.of("vmbox", Rule.WRONG_FORMAT, value="x", message=audit.BAD_ID)

OPERATIONS = (
    Operation(
        handler=audit.list_audit,
        parameters=(*PAGES, *CREATED, "action", "user", "vmbox", "message"),
        answers=pages(ref(AuditRow), samples.AUDIT_ROW, description="A page of audit records"),
        refusals=(_BAD_ID, *BAD_LIST),
    ),
)
