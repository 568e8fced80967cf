"""Conversion and measurement of audio in child processes.

Decoders are native code that reads hostile files. They run in child processes with limits, never
in this process. Only `child/` imports PyAV.
"""
