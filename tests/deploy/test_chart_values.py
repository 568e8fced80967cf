"""Values of the chart and their effect on the environment of each process."""

import json
import math
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import asyncpg
import msgspec
import pytest
from helm_python.errors import HelmError
from msgspec import inspect

from service.__main__ import cli
from service.settings import Settings, read_settings
from service.wiring.notifiers import CHANNELS
from tests.deploy.rendering import CHART, MATRIX, chart, environment, objects, of_kind, pods
from tests.deploy.settings_schema import SCHEMA, WRITTEN_BY_THE_CHART, settings_schema

CASES = pytest.mark.parametrize("case", MATRIX)
VALUES: dict[str, Any] = msgspec.yaml.decode((CHART / "values.yaml").read_bytes())


@pytest.mark.parametrize(
    "values",
    [
        {"replicas": 3},
        {"api": {"replica": 3}},
        {"api": {"replicas": "3"}},
        {"api": {"autoscaling": {"minReplicas": 0}}},
        {"image": {"digest": "latest"}},
        {"settings": {"retention_day": 30}},
        {"settings": {"retention_days": 0}},
        {"settings": {"retention_days": "30"}},
        {"settings": {"s3_sse": "aws"}},
        {"settings": {"notifier_retries_s": "60;120"}},
        {"settings": {"database_url": "postgresql://a:b@c/d"}},
        {"settings": {"smtp_url": "smtp://user:password@host"}},
        {"secrets": {"database": {"name": ""}}},
        {"secrets": {"databse": {"name": "x"}}},
        {"notifiers": {"sms": {"enabled": True}}},
        {"notifiers": {"email": {"enabled": True}}},  # without settings.email_sender
        {"notifiers": {"transcription": {"enabled": True}}},  # without settings.transcription_url
        {"notifiers": {"mwi": {"scaling": {"lag": 5}}}},
        {"ingress": {"enabled": True}},  # without hosts
        {"ingress": {"enabled": "yes", "hosts": ["a"]}},
        {"service": {"type": "External"}},
        {"networkPolicy": {"destinations": {"postgres": {"ports": []}}}},
        {"networkPolicy": {"destinations": {"postgres": {"port": [5432]}}}},
        {"pod": {"tmpSizeLimit": "much"}},
        {"monitoring": {"serviceMonitor": {"interval": 30}}},
        {"keeper": {"schedule": ""}},
    ],
    ids=json.dumps,
)
def test_a_misspelled_or_invalid_value_is_rejected(values: dict[str, Any]) -> None:
    with pytest.raises(HelmError):
        chart().validate_schema(values)
    with pytest.raises(HelmError):
        chart().render(values, name="prod", namespace="voice")


def test_the_local_speech_engine_needs_a_model_and_no_url() -> None:
    values: dict[str, Any] = {
        "settings": {"transcription_engine": "faster-whisper"},
        "notifiers": {"transcription": {"enabled": True}},
    }
    with pytest.raises(HelmError):
        chart().validate_schema(values)
    values["settings"]["transcription_model"] = "/models/small"
    chart().validate_schema(values)


def test_every_value_has_a_description() -> None:
    rules_of = dict(_schema_items(json.loads(SCHEMA.read_text())))
    assert len(rules_of) > 150
    for path, rules in rules_of.items():
        assert rules["description"].endswith("."), path


def test_every_described_value_has_a_default() -> None:
    schema = dict(_schema_items(json.loads(SCHEMA.read_text())))
    described = {path for path in schema if "settings." not in path}
    defaults = {path for path, _ in _items(VALUES)}
    missing = {
        path for path in described - defaults if "." not in path or path.split(".")[0] in VALUES
    }
    # The items of lists and resources have no defaults.
    assert missing - {"imagePullSecrets.name"} == {"global"}


def test_no_object_of_the_schema_accepts_unknown_properties() -> None:
    for path, rules in _schema_items(json.loads(SCHEMA.read_text())):
        if "properties" in rules:
            assert rules["additionalProperties"] is False, path


def test_chart_settings_have_the_descriptions_of_the_service() -> None:
    actual = json.loads(SCHEMA.read_text())["properties"]["settings"]
    assert actual == settings_schema(), "python -m tests.deploy.settings_schema"


def test_every_setting_is_in_the_group_of_the_reference() -> None:
    struct = inspect.type_info(Settings)
    assert isinstance(struct, inspect.StructType)
    groups: dict[str, set[str]] = {}
    for field in struct.fields:
        assert isinstance(field.type, inspect.Metadata)
        title = (field.type.extra_json_schema or {})["title"]
        if field.name not in WRITTEN_BY_THE_CHART:
            groups.setdefault(title, set()).add(field.name)

    assert sorted(map(sorted, groups.values())) == sorted(map(sorted, _groups().values()))


def test_every_group_of_settings_is_used_by_a_process() -> None:
    """A value that no process receives would have no effect."""
    processes = _block("processes").values()
    assert _groups().keys() <= {need for facts in processes for need in facts["needs"]}


@CASES
def test_every_variable_is_a_setting_with_a_valid_value(case: str) -> None:
    for pod in pods(case).values():
        read_settings(environment(pod))


def test_large_and_unusual_values_are_passed_on_unchanged() -> None:
    environments = {name: environment(pod) for name, pod in pods("everything on").items()}
    assert environments["relay"]["AFTERTONE_STREAM_MAX_BYTES"] == "100000000000"
    assert environments["api"]["AFTERTONE_MAX_UPLOAD_BYTES"] == "20000000"
    assert environments["api"]["AFTERTONE_TOKENS_IN_QUERY"] == "false"
    assert environments["webhook"]["AFTERTONE_WEBHOOK_TIMEOUT_S"] == "7.5"
    assert environments["email"]["AFTERTONE_EMAIL_SENDER"] == "Voicemail <voicemail@example.com>"


@CASES
def test_a_process_receives_only_the_secrets_that_it_needs(case: str) -> None:
    environments = {name: environment(pod).keys() for name, pod in pods(case).items()}
    assert _processes_with("AFTERTONE_OWNER_DATABASE_URL", environments) <= {"keeper", "migrate"}
    assert _processes_with("AFTERTONE_DATABASE_URL", environments) == environments.keys() - {
        "keeper"
    }
    assert not _processes_with("AFTERTONE_NATS_URL", environments) & {"api", "migrate"}
    assert _processes_with("AFTERTONE_KEY_RING_FILE", environments) <= {"api", "email", "webhook"}
    assert _processes_with("AFTERTONE_SMTP_URL", environments) <= {"email"}
    assert _processes_with("AFTERTONE_ARI_PASSWORD", environments) <= {"mwi"}
    assert _processes_with("AFTERTONE_TRANSCRIPTION_KEY", environments) <= {"transcription"}
    assert _processes_with("AWS_SECRET_ACCESS_KEY", environments) <= {
        "api",
        "email",
        "keeper",
        "media",
        "transcription",
    }


def test_by_default_policies_do_not_open_database_ports_to_the_internet() -> None:
    policies = {
        each["metadata"]["name"]: each["spec"] for each in of_kind("defaults", "NetworkPolicy")
    }
    for need in ("postgres", "nats", "lamps"):
        (name,) = (name for name in policies if name.endswith(f"-to-{need}"))
        (rule,) = policies[name]["egress"]
        blocks = [peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer]
        assert blocks
        assert all(ip_network(block).is_private for block in blocks)


def test_the_rate_limit_is_on_by_default() -> None:
    api = environment(pods("defaults")["api"])
    assert float(api["AFTERTONE_RATE_LIMIT_PER_S"]) > 0


@pytest.mark.parametrize(
    ("ingress", "settings", "expected"),
    [
        (False, {}, None),
        (True, {}, "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fc00::/7"),
        (True, {"trusted_proxies": ""}, ""),
        (True, {"trusted_proxies": "192.0.2.0/24"}, "192.0.2.0/24"),
        (False, {"trusted_proxies": "192.0.2.0/24"}, "192.0.2.0/24"),
    ],
)
def test_the_api_trusts_the_proxies_of_the_ingress(
    ingress: bool, settings: dict[str, str], expected: str | None
) -> None:
    values = {"ingress": {"enabled": ingress, "hosts": ["voice.example.com"]}, "settings": settings}
    (api,) = (
        environment(each["spec"]["template"])
        for each in objects(values)
        if each["kind"] == "Deployment" and each["metadata"]["name"].endswith("-api")
    )
    assert api.get("AFTERTONE_TRUSTED_PROXIES") == expected


def test_the_web_inbox_can_be_switched_off() -> None:
    values = {"settings": {"web_inbox": False}}
    (api,) = (
        environment(each["spec"]["template"])
        for each in objects(values)
        if each["kind"] == "Deployment" and each["metadata"]["name"].endswith("-api")
    )
    assert read_settings({"AFTERTONE_WEB_INBOX": api["AFTERTONE_WEB_INBOX"]}).web_inbox is False


def test_only_the_api_mounts_the_keys_that_sign_tokens() -> None:
    mounted = {
        name: volume["secret"]["secretName"]
        for name, pod in pods("everything on").items()
        for volume in pod["spec"]["volumes"]
        if volume["name"] == "key-ring"
    }
    notifiers = dict.fromkeys(["email", "webhook"], "aftertone-notifier-key-ring")
    assert mounted == {"api": "aftertone-key-ring", **notifiers}


def test_a_workload_identity_replaces_the_access_key() -> None:
    annotated = [each for each in of_kind("IRSA", "ServiceAccount") if _role(each)]
    assert [each["metadata"]["name"] for each in annotated] == ["prod-aftertone-storage"]
    for process, pod in pods("IRSA").items():
        assert not environment(pod).keys() & {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
        storage = pod["spec"]["serviceAccountName"] == "prod-aftertone-storage"
        assert storage == (process in {"api", "email", "keeper", "media", "transcription"})


def test_a_secret_nats_url_replaces_the_setting() -> None:
    assert environment(pods("IRSA")["relay"])["AFTERTONE_NATS_URL"] == "nats-url/url"
    assert environment(pods("defaults")["relay"])["AFTERTONE_NATS_URL"] == "nats://nats:4222"


def test_api_and_notifiers_use_the_pooler_and_the_relay_connects_directly() -> None:
    environments = {name: environment(pod) for name, pod in pods("everything on").items()}
    direct = {"relay", "migrate"}
    urls = {name: values.get("AFTERTONE_DATABASE_URL") for name, values in environments.items()}
    assert {name for name, url in urls.items() if url == "aftertone-database/url"} == direct
    assert {url for name, url in urls.items() if name not in {*direct, "keeper"}} == {"pooler/url"}
    assert environments["api"]["AFTERTONE_READ_DATABASE_URL"] == "standbys/url"
    assert _processes_with("AFTERTONE_READ_DATABASE_URL", environments) == {"api"}


@CASES
def test_every_container_runs_an_existing_command(case: str) -> None:
    for process, pod in pods(case).items():
        command, *arguments = pod["spec"]["containers"][0]["args"]
        assert command in cli.commands
        if command == "notifier":
            assert arguments == [process]
            assert process in CHANNELS


def test_every_channel_has_a_deployment() -> None:
    assert VALUES["notifiers"].keys() == CHANNELS.keys()
    assert pods("everything on").keys() >= CHANNELS.keys()


@CASES
def test_the_grace_period_covers_the_pause_and_running_requests(case: str) -> None:
    for each in of_kind(case, "Deployment"):
        pod = each["spec"]["template"]["spec"]
        pause = pod["containers"][0].get("lifecycle", {"preStop": {"sleep": {"seconds": 0}}})
        settings = read_settings(environment(each["spec"]["template"]))
        needed = pause["preStop"]["sleep"]["seconds"] + math.ceil(settings.stop_timeout_s)
        assert needed < pod["terminationGracePeriodSeconds"] <= needed + 5


def test_a_longer_stop_timeout_extends_the_grace_period() -> None:
    for each in objects({"settings": {"stop_timeout_s": 90.5}, "api": {"preStopSeconds": 10}}):
        if each["metadata"]["name"] == "prod-aftertone-api" and each["kind"] == "Deployment":
            spec = each["spec"]["template"]["spec"]
            assert spec["terminationGracePeriodSeconds"] == 10 + 91 + 2


def test_the_migration_uses_no_object_of_the_release() -> None:
    """Hooks run before the objects of the release are created."""
    (job,) = of_kind("everything on", "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["serviceAccountName"] == "default"


def test_the_webhook_channel_reaches_the_internet_and_named_services_only() -> None:
    allowed = [
        (policy["metadata"]["name"].removeprefix("prod-aftertone").removeprefix("-to-"), rule)
        for policy in of_kind("everything on", "NetworkPolicy")
        if _covers(policy["spec"]["podSelector"], "webhook")
        for rule in policy["spec"].get("egress", [])
    ]
    assert [name for name, _ in allowed] == ["", "", "nats", "postgres", "internet"]
    for name, rule in allowed:
        assert rule["to"], name
    *_, (_, internet) = allowed
    (four, six) = (peer["ipBlock"] for peer in internet["to"])
    assert {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"} <= {*four["except"]}
    assert {"fc00::/7", "fe80::/10"} <= {*six["except"]}


async def test_keda_counts_waiting_work_with_valid_indexed_queries(
    inspector: asyncpg.Connection,
) -> None:
    scaled = of_kind("everything on", "ScaledObject")
    queries = [
        trigger["metadata"]["query"]
        for each in scaled
        for trigger in each["spec"]["triggers"]
        if trigger["type"] == "postgresql"
    ]
    # The channel mwi has no deliveries, and the relay has no channel.
    assert len(queries) == len({*CHANNELS} - {"mwi"} | {"relay"})
    for query in queries:
        assert await inspector.fetchval(query) == 0
        plan = await inspector.fetch(f"EXPLAIN {query}")
        assert "Seq Scan" not in "\n".join(row[0] for row in plan)


def _schema_items(rules: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in rules.get("properties", {}).items():
        here = f"{path}.{name}".removeprefix(".")
        yield here, inner
        yield from _schema_items(inner, here)
        yield from _schema_items(inner.get("items", {}), here)


def _items(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        here = f"{path}.{name}".removeprefix(".")
        yield here, value
        if isinstance(value, dict):
            yield from _items(value, here)


def _groups() -> dict[str, list[str]]:
    return _block("groups")


def _block(name: str) -> dict[str, Any]:
    """Returns the content of a template without logic."""
    text = (CHART / "templates" / "_settings.tpl").read_text()
    _, _, block = text.partition(f'{{{{- define "aftertone.{name}" -}}}}')
    content: dict[str, Any] = msgspec.yaml.decode(block.partition("{{- end }}")[0])
    return content


def _processes_with(name: str, environments: dict[str, Any]) -> set[str]:
    return {process for process, names in environments.items() if name in names}


def _role(account: dict[str, Any]) -> bool:
    return "eks.amazonaws.com/role-arn" in account["metadata"].get("annotations", {})


def _covers(selector: dict[str, Any], component: str) -> bool:
    selected = selector["matchLabels"].get("app.kubernetes.io/component", component)
    expressions = selector.get("matchExpressions", [])
    return selected == component and all(component in each["values"] for each in expressions)
