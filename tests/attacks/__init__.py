"""Attacks on one API process, and the service that another tenant gets meanwhile."""
