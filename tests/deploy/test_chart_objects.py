"""Objects of the chart are valid in a cluster, and their references exist."""

import pytest
from helm_python import lint

from tests.deploy.custom_resources import CUSTOM, as_custom
from tests.deploy.kubernetes_schemas import NEWEST, find_problems
from tests.deploy.rendering import CHART, MATRIX, objects, of_kind, pods, rendered

CASES = pytest.mark.parametrize("case", MATRIX)
_INFORMATION = 1
RESTRICTED_VOLUMES = {"emptyDir", "secret", "configMap", "projected"}


def test_helm_lint_reports_no_problem() -> None:
    findings = lint(CHART)
    assert findings["errors"] == []
    assert [each for each in findings["messages"] if each["severity"] > _INFORMATION] == []


def test_the_schemas_are_those_of_two_versions() -> None:
    assert len(set(NEWEST)) == 2


@CASES
@pytest.mark.parametrize("version", NEWEST)
def test_every_object_is_valid_strictly(case: str, version: str) -> None:
    builtin = [each for each in rendered(case) if each["kind"] not in CUSTOM]
    assert builtin
    for each in builtin:
        assert not find_problems(each, version), f"{each['kind']} {each['metadata']['name']}"


@CASES
def test_every_custom_resource_has_its_shape(case: str) -> None:
    for each in rendered(case):
        if each["kind"] in CUSTOM:
            as_custom(each)


def test_a_field_that_is_unknown_to_kubernetes_is_reported() -> None:
    deployment = of_kind("defaults", "Deployment")[0]
    mistaken = {**deployment, "spec": {**deployment["spec"], "replicass": 3}}

    for version in NEWEST:
        assert find_problems(mistaken, version)


def test_the_matrix_renders_every_kind() -> None:
    assert {each["kind"] for each in rendered("everything on")} == {
        "Deployment", "CronJob", "Job", "Service", "Ingress", "ServiceAccount",
        "HorizontalPodAutoscaler", "ScaledObject", "PodDisruptionBudget", "NetworkPolicy",
        "ServiceMonitor", "PrometheusRule", "ConfigMap",
    }  # fmt: skip
    assert {each["kind"] for each in rendered("minimal")} == {
        "Deployment", "CronJob", "Service", "ServiceAccount"
    }  # fmt: skip
    assert not of_kind("KEDA off", "ScaledObject")
    assert not of_kind("IRSA", "Ingress")


@CASES
def test_names_are_unique_and_contain_the_release(case: str) -> None:
    names = [(each["kind"], each["metadata"]["name"]) for each in rendered(case)]
    assert len(set(names)) == len(names)
    for each in rendered(case):
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "prod"


def test_names_of_a_long_release_are_valid_dns_names() -> None:
    for each in objects({}, release="a-release-with-a-name-that-is-as-long-as-helm-allows"):
        # A CronJob appends 11 characters to its name.
        longest = 52 if each["kind"] == "CronJob" else 63
        assert len(each["metadata"]["name"]) <= longest


@CASES
def test_every_pod_obeys_the_restricted_pod_security_standard(case: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"""
    for pod in (template["spec"] for template in pods(case).values()):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "initContainers"}
        assert pod["automountServiceAccountToken"] is False
        for volume in pod["volumes"]:
            assert volume.keys() - {"name"} <= RESTRICTED_VOLUMES
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"] is True
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]  # noqa: S108


@CASES
def test_every_mount_has_its_volume(case: str) -> None:
    for pod in (template["spec"] for template in pods(case).values()):
        volumes = [volume["name"] for volume in pod["volumes"]]
        mounts = [mount["name"] for mount in pod["containers"][0]["volumeMounts"]]
        assert sorted(mounts) == sorted(volumes)


@CASES
def test_a_deployment_selects_its_own_pods_and_no_others(case: str) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(case).items()}
    for each in of_kind(case, "Deployment"):
        selector = each["spec"]["selector"]["matchLabels"]
        component = each["metadata"]["labels"]["app.kubernetes.io/component"]
        assert [name for name in labels if _fits(selector, labels[name])] == [component]
        for spread in each["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert spread["labelSelector"]["matchLabels"] == selector


@CASES
def test_every_selector_matches_pods(case: str) -> None:
    labels = [pod["metadata"]["labels"] for pod in pods(case).values()]
    for each in of_kind(case, "Service"):
        assert any(_fits(each["spec"]["selector"], own) for own in labels)
    for each in of_kind(case, "PodDisruptionBudget"):
        selector = each["spec"]["selector"]["matchLabels"]
        assert [own for own in labels if _fits(selector, own)]


@CASES
def test_the_service_selects_only_the_api(case: str) -> None:
    (service,) = (each for each in of_kind(case, "Service") if "clusterIP" not in each["spec"])
    results = [
        name
        for name, pod in pods(case).items()
        if _fits(service["spec"]["selector"], pod["metadata"]["labels"])
    ]
    assert results == ["api"]
    ports = pods(case)["api"]["spec"]["containers"][0]["ports"]
    assert {"name": service["spec"]["ports"][0]["targetPort"], "containerPort": 8000} in ports
    for ingress in of_kind(case, "Ingress"):
        backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        assert backend["name"] == service["metadata"]["name"]


@CASES
def test_each_deployment_has_one_autoscaler(case: str) -> None:
    deployments = {each["metadata"]["name"]: each for each in of_kind(case, "Deployment")}
    scaled = [
        each["spec"]["scaleTargetRef"]["name"]
        for each in of_kind(case, "HorizontalPodAutoscaler", "ScaledObject")
    ]
    assert len(set(scaled)) == len(scaled)
    for name, deployment in deployments.items():
        assert ("replicas" not in deployment["spec"]) == (name in scaled)
    assert set(scaled) <= deployments.keys()


def test_the_service_monitor_scrapes_every_process_through_the_metrics_service() -> None:
    case = "everything on"
    (monitor,) = of_kind(case, "ServiceMonitor")
    services = [
        each
        for each in of_kind(case, "Service")
        if _fits(monitor["spec"]["selector"]["matchLabels"], each["metadata"]["labels"])
    ]
    (metrics,) = services
    assert monitor["spec"]["endpoints"][0]["port"] == metrics["spec"]["ports"][0]["name"]
    for each in of_kind(case, "Deployment"):
        template = each["spec"]["template"]
        assert _fits(metrics["spec"]["selector"], template["metadata"]["labels"])
        ports = template["spec"]["containers"][0]["ports"]
        assert {"name": "admin", "containerPort": 9090} in ports


@CASES
def test_every_long_running_process_has_health_probes(case: str) -> None:
    for each in of_kind(case, "Deployment"):
        (container,) = each["spec"]["template"]["spec"]["containers"]
        parameters = {
            probe: container[f"{probe}Probe"]["httpGet"]
            for probe in ("startup", "liveness", "readiness")
        }
        assert parameters == {
            "startup": {"path": "/health/startup", "port": "admin"},
            "liveness": {"path": "/health/live", "port": "admin"},
            "readiness": {"path": "/health/ready", "port": "admin"},
        }


def test_dashboard_and_alerts_are_rendered_from_their_files() -> None:
    files = CHART / "files"
    (dashboard,) = of_kind("everything on", "ConfigMap")
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert dashboard["data"] == {"aftertone.json": (files / "dashboard.json").read_text()}
    (rules,) = of_kind("everything on", "PrometheusRule")
    names = [rule["alert"] for group in rules["spec"]["groups"] for rule in group["rules"]]
    text = (files / "alerts.yaml").read_text()
    assert names
    assert len(names) == text.count("alert:")


def _fits(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()
