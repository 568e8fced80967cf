"""Servers of a cluster on one machine: Postgres with a standby, three NATS nodes, S3 nodes."""

from service.embedded.cluster.servers import EmbeddedCluster

__all__ = ["EmbeddedCluster"]
