"""Speech recognition in child processes. Only `child/` imports faster-whisper."""
