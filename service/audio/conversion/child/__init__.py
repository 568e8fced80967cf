"""Child process that reads and writes audio. Nothing outside of this package imports PyAV."""
