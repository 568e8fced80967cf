"""All measurements, each with its ceilings."""

from tests.benchmarks import audio, plan
from tests.benchmarks.plan import Subject

SUBJECTS = (
    Subject(
        name="store",
        measure=plan.store,
        ceilings=(plan.s3_put, plan.bare_path, plan.pgbench_store),
    ),
    Subject(name="store-json", measure=plan.store_json, ceilings=(plan.pgbench_store_json,)),
    Subject(name="store+key", measure=plan.store_once),
    Subject(name="announce", measure=audio.announce),
    Subject(name="complete", measure=audio.complete),
    Subject(name="list", measure=plan.list_page, ceilings=(plan.static, plan.bare_list)),
    Subject(name="get", measure=plan.get_message, ceilings=(plan.static,)),
    Subject(name="folder", measure=plan.folder, ceilings=(plan.bare_folder, plan.pgbench_folder)),
    Subject(name="raw", measure=plan.raw, ceilings=(plan.s3_get, plan.bare_raw)),
    Subject(name="raw cached", measure=audio.raw_cached, ceilings=(plan.static,)),
    Subject(name="raw redirected", measure=audio.raw_redirected, ceilings=(plan.static,)),
    Subject(name="events", measure=plan.events, paced=True),
)
