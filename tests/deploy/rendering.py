"""Renders the chart with Helm for a matrix of values, without a cluster."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec
from helm_python import Chart

CHART = Path(__file__).parents[2] / "deploy" / "chart"
EXAMPLES = CHART.parent / "examples"

Object = dict[str, Any]

_CHANNELS = ("email", "webhook", "mwi", "callback", "transcription", "media")
_PEER = {"ipBlock": {"cidr": "192.0.2.0/24"}}
_WATCHED = {"enabled": True, "labels": {"release": "prometheus"}}

EVERYTHING: dict[str, Any] = {
    "image": {"digest": "sha256:" + 64 * "a"},
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {
        "nats_url": "nats://nats-0:4222,nats://nats-1:4222",
        "stream_max_bytes": 100_000_000_000,
        "stream_replicas": 3,
        "s3_bucket": "voicemail",
        "max_upload_bytes": 20_000_000,
        "oldest_month": 202001,
        "tokens_in_query": False,
        "retention_days": 365,
        "notifier_retries_s": "60,600",
        "email_sender": "Voicemail <voicemail@example.com>",
        "smtp_ca_file": "/etc/authorities/smtp.pem",
        "webhook_timeout_s": 7.5,
        "ari_url": "http://asterisk:8088",
        "ari_user": "aftertone",
        "transcription_url": "https://speech.example.com/v1/audio/transcriptions",
        "log_level": "warning",
    },
    "secrets": {
        "pooledDatabase": {"name": "pooler"},
        "readDatabase": {"name": "standbys"},
        "natsCredentials": {"name": "nats"},
        "ari": {"name": "asterisk"},
        "transcription": {"name": "speech"},
    },
    "notifiers": {channel: {"enabled": True} for channel in _CHANNELS},
    "keda": {"enabled": True},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "hosts": ["voice.example.com", "voicemail.example.com"],
        "tlsSecret": "voice-tls",
        "annotations": {"nginx.ingress.kubernetes.io/proxy-body-size": "30m"},
    },
    "networkPolicy": {
        "clientsFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
        "destinations": {"postgres": {"to": [_PEER]}, "nats": {"to": [_PEER]}},
        "extraEgress": [{"to": [_PEER], "ports": [{"port": 4318, "protocol": "TCP"}]}],
    },
    "monitoring": dict.fromkeys(("serviceMonitor", "prometheusRule", "dashboard"), _WATCHED),
    "pod": {
        "labels": {"team": "voice"},
        "annotations": {"example.com/note": "yes"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "voice", "operator": "Exists", "effect": "NoSchedule"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "priorityClassName": "high",
        "extraVolumes": [{"name": "authorities", "configMap": {"name": "authorities"}}],
        "extraVolumeMounts": [{"name": "authorities", "mountPath": "/etc/authorities"}],
    },
    "api": {"extraEnv": [{"name": "SSL_CERT_FILE", "value": "/etc/authorities/ca.pem"}]},
}

MATRIX: dict[str, dict[str, Any]] = {
    "defaults": {},
    "everything on": EVERYTHING,
    "minimal": {
        "fullnameOverride": "voicemail",
        "api": {"replicas": 1, "preStopSeconds": 0, "autoscaling": {"enabled": False}},
        "relay": {"replicas": 1},
        "notifiers": {channel: {"enabled": False} for channel in _CHANNELS},
        "migration": {"enabled": False},
        "podDisruptionBudgets": {"enabled": False},
        "networkPolicy": {"enabled": False},
    },
    "IRSA": {
        "secrets": {"s3": {"name": ""}, "nats": {"name": "nats-url"}},
        "storageServiceAccount": {
            "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::123456789012:role/voice"}
        },
        "settings": {"s3_region": "eu-central-1", "s3_sse": "aws:kms"},
    },
    "ingress": {"ingress": {"enabled": True, "hosts": ["voice.example.com"]}},
    "example": msgspec.yaml.decode((EXAMPLES / "values.yaml").read_bytes()),
    "KEDA off": {**EVERYTHING, "keda": {"enabled": False}},
}


@lru_cache
def chart() -> Chart:
    return Chart.load(CHART)


@lru_cache
def rendered(case: str) -> tuple[Object, ...]:
    """Returns all objects of a case of the matrix."""
    return tuple(objects(MATRIX[case]))


def objects(values: dict[str, Any], release: str = "prod") -> Iterator[Object]:
    files = chart().render(values, name=release, namespace="voice")
    for name, text in files.items():
        if name.endswith(".yaml"):
            for document in text.split("\n---\n"):
                if (content := msgspec.yaml.decode(document)) is not None:
                    yield content


def of_kind(case: str, *kinds: str) -> list[Object]:
    return [each for each in rendered(case) if each["kind"] in kinds]


def pods(case: str) -> dict[str, Object]:
    """Returns the pod template of each process by component."""
    result = {}
    for each in of_kind(case, "Deployment", "Job", "CronJob"):
        spec = each["spec"]["jobTemplate"]["spec"] if each["kind"] == "CronJob" else each["spec"]
        template = spec["template"]
        result[template["metadata"]["labels"]["app.kubernetes.io/component"]] = template
    return result


def environment(pod: Object) -> dict[str, str]:
    """Returns the environment of a pod; the value of a Secret is its name and key."""
    (container,) = pod["spec"]["containers"]
    return {each["name"]: _value_of(each) for each in container["env"]}


def _value_of(variable: Object) -> str:
    if "value" in variable:
        return str(variable["value"])
    reference = variable["valueFrom"]["secretKeyRef"]
    return f"{reference['name']}/{reference['key']}"
