"""Examples of a Postgres cluster and a NATS cluster. The matrix of the chart contains their values.

The shapes contain only what the examples use, after
https://cloudnative-pg.io/documentation/current/cloudnative-pg.v1/ and the values of the NATS chart.
"""

from typing import Any, Literal

import msgspec

from service.settings import Settings
from tests.deploy.rendering import EXAMPLES, MATRIX, of_kind


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Rejects unknown fields."""


class SecretName(_Strict, frozen=True):
    name: str


class InitDb(_Strict, frozen=True):
    database: str
    owner: str
    secret: SecretName


class Bootstrap(_Strict, frozen=True):
    initdb: InitDb


class Role(_Strict, frozen=True):
    name: str
    ensure: Literal["present", "absent"]
    login: bool
    password_secret: SecretName


class Managed(_Strict, frozen=True):
    roles: list[Role]


class Synchronous(_Strict, frozen=True):
    method: Literal["any", "first"]
    number: int
    data_durability: Literal["required", "preferred"]


class Configuration(_Strict, frozen=True):
    synchronous: Synchronous
    parameters: dict[str, str]


class Affinity(_Strict, frozen=True):
    enable_pod_anti_affinity: bool
    pod_anti_affinity_type: Literal["required", "preferred"]
    topology_key: str


class Storage(_Strict, frozen=True):
    size: str


class ClusterSpec(_Strict, frozen=True, kw_only=True):
    instances: int
    image_name: str
    primary_update_method: Literal["switchover", "restart"]
    bootstrap: Bootstrap
    managed: Managed
    postgresql: Configuration
    affinity: Affinity
    topology_spread_constraints: list[dict[str, Any]]
    storage: Storage
    wal_storage: Storage
    resources: dict[str, dict[str, str]]


class PostgresCluster(_Strict, frozen=True, tag_field="kind", tag="Cluster"):
    api_version: Literal["postgresql.cnpg.io/v1"]
    metadata: SecretName
    spec: ClusterSpec


def test_postgres_loses_no_commit_with_one_server() -> None:
    cluster = msgspec.yaml.decode((EXAMPLES / "postgres.yaml").read_bytes(), type=PostgresCluster)
    assert cluster.spec.instances - cluster.spec.postgresql.synchronous.number >= 2
    assert cluster.spec.postgresql.synchronous.data_durability == "required"
    assert [role.name for role in cluster.spec.managed.roles] == ["aftertone"]


def test_nats_keeps_a_quorum_and_as_many_copies_as_the_stream() -> None:
    values = msgspec.yaml.decode((EXAMPLES / "nats-values.yaml").read_bytes())
    servers = values["config"]["cluster"]["replicas"]
    copies = MATRIX["example"]["settings"]["stream_replicas"]
    assert servers == copies == 3
    assert servers - values["podDisruptionBudget"]["merge"]["spec"]["maxUnavailable"] > servers / 2


def test_connections_of_the_api_fit_into_postgres() -> None:
    cluster = msgspec.yaml.decode((EXAMPLES / "postgres.yaml").read_bytes(), type=PostgresCluster)
    pool = next(
        field.default
        for field in msgspec.structs.fields(Settings)
        if field.name == "database_pool_size"
    )
    processes = MATRIX["example"]["api"]["autoscaling"]["maxReplicas"]
    assert processes * (2 * pool + 1) < int(cluster.spec.postgresql.parameters["max_connections"])


def test_processes_reach_the_servers_of_the_example() -> None:
    policies = of_kind("example", "NetworkPolicy")
    cluster = msgspec.yaml.decode((EXAMPLES / "postgres.yaml").read_bytes(), type=PostgresCluster)
    assert f"'{cluster.metadata.name}'" in str([each["spec"].get("egress") for each in policies])
