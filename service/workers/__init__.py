"""Background processes: relay, notifiers and keeper."""
