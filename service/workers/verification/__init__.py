"""Verification: compares the database with the bucket and the counts with the messages."""

from service.workers.verification.findings import Finding, Findings, Kind
from service.workers.verification.verification import Verification

__all__ = ["Finding", "Findings", "Kind", "Verification"]
