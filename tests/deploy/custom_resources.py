"""The custom resources that the chart writes, as far as it uses them: KEDA's and Prometheus's.

After https://keda.sh/docs/latest/reference/scaledobject-spec/ and
https://prometheus-operator.dev/docs/api-reference/api/.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
Labels = dict[str, str]
# KEDA accepts only strings in the metadata of a trigger.
Number = Annotated[str, Meta(pattern=r"^[0-9]+$")]
Duration = Annotated[str, Meta(pattern=r"^[0-9]+(ms|s|m|h|d)$")]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Rejects unknown fields."""


class Metadata(_Strict, frozen=True):
    name: Name
    labels: Labels


class Target(_Strict, frozen=True):
    name: Name


class JetStreamLag(_Strict, frozen=True, kw_only=True):
    nats_server_monitoring_endpoint: Annotated[str, Meta(pattern=r"^[-a-z0-9.]+:\d+$")]
    use_https: Literal["true", "false"]
    account: str
    stream: str
    consumer: str
    lag_threshold: Number


class RowsInPostgres(_Strict, frozen=True, kw_only=True):
    connection_from_env: str
    query: str
    target_query_value: Number


class JetStreamTrigger(_Strict, frozen=True, tag_field="type", tag="nats-jetstream"):
    metadata: JetStreamLag


class PostgresTrigger(_Strict, frozen=True, tag_field="type", tag="postgresql"):
    metadata: RowsInPostgres


class Scaling(_Strict, frozen=True, kw_only=True):
    scale_target_ref: Target
    min_replica_count: Annotated[int, Meta(ge=0)]
    max_replica_count: Annotated[int, Meta(ge=1)]
    polling_interval: Annotated[int, Meta(ge=1)]
    cooldown_period: Annotated[int, Meta(ge=1)]
    triggers: Annotated[list[JetStreamTrigger | PostgresTrigger], Meta(min_length=1)]


class ScaledObject(_Strict, frozen=True, kw_only=True, tag_field="kind"):
    api_version: Literal["keda.sh/v1alpha1"]
    metadata: Metadata
    spec: Scaling


class MatchLabels(_Strict, frozen=True):
    match_labels: Labels


class Relabeling(_Strict, frozen=True, kw_only=True):
    action: Literal["replace"]
    target_label: str
    replacement: str | None = None
    source_labels: list[str] | None = None


class Endpoint(_Strict, frozen=True, kw_only=True):
    port: str
    path: Annotated[str, Meta(pattern="^/")]
    interval: Duration
    relabelings: list[Relabeling]


class Monitoring(_Strict, frozen=True, kw_only=True):
    selector: MatchLabels
    endpoints: list[Endpoint]


class ServiceMonitor(_Strict, frozen=True, kw_only=True, tag_field="kind"):
    api_version: Literal["monitoring.coreos.com/v1"]
    metadata: Metadata
    spec: Monitoring


class Rule(_Strict, frozen=True, kw_only=True, rename=None):
    expr: str
    alert: str | None = None
    record: str | None = None
    labels: Labels = {}
    annotations: Labels = {}
    for_: Duration | None = msgspec.field(name="for", default=None)
    keep_firing_for: Duration | None = None


class RuleGroup(_Strict, frozen=True, kw_only=True, rename=None):
    name: str
    rules: Annotated[list[Rule], Meta(min_length=1)]
    interval: Duration | None = None


class Rules(_Strict, frozen=True):
    groups: Annotated[list[RuleGroup], Meta(min_length=1)]


class PrometheusRule(_Strict, frozen=True, kw_only=True, tag_field="kind"):
    api_version: Literal["monitoring.coreos.com/v1"]
    metadata: Metadata
    spec: Rules


CUSTOM = frozenset({"ScaledObject", "ServiceMonitor", "PrometheusRule"})


def as_custom(content: dict[str, Any]) -> ScaledObject | ServiceMonitor | PrometheusRule:
    """Decodes a custom resource. Raises msgspec.ValidationError."""
    return msgspec.convert(content, ScaledObject | ServiceMonitor | PrometheusRule)
