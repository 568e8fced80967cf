"""All measurements, each with its ceilings."""

import msgspec

from tests.benchmarks import audio, mail, plan
from tests.benchmarks.plan import Subject

SUBJECTS = (
    Subject(
        name="store",
        measure=plan.store,
        ceilings=(plan.s3_put, plan.bare_path, plan.pgbench_store, mail.deliver),
    ),
    Subject(name="store-json", measure=plan.store_json, ceilings=(plan.pgbench_store_json,)),
    Subject(name="store+key", measure=plan.store_once),
    Subject(name="announce", measure=audio.announce),
    Subject(name="complete", measure=audio.complete),
    Subject(
        name="list", measure=plan.list_page, ceilings=(plan.static, plan.bare_list, mail.list_mails)
    ),
    Subject(name="get", measure=plan.get_message, ceilings=(plan.static,)),
    Subject(
        name="folder",
        measure=plan.folder,
        ceilings=(plan.bare_folder, plan.pgbench_folder, mail.flag),
    ),
    Subject(name="raw", measure=plan.raw, ceilings=(plan.s3_get, plan.bare_raw, mail.body)),
    Subject(name="raw cached", measure=audio.raw_cached, ceilings=(plan.static, mail.body)),
    Subject(name="raw redirected", measure=audio.raw_redirected, ceilings=(plan.static,)),
    Subject(name="events", measure=plan.events, paced=True),
)


def without_dovecot(subject: Subject) -> Subject:
    """Returns the measurement without the ceilings that need Dovecot."""
    ceilings = tuple(ceiling for ceiling in subject.ceilings if ceiling not in mail.MEASURES)
    return msgspec.structs.replace(subject, ceilings=ceilings)
