"""Aftertone: an event-driven voicemail store."""
