"""Child process that recognizes speech: `python -m service.audio.speech.child`."""
