"""Errors of the embedded servers. The text of each says what to do."""


class EmbeddedError(Exception):
    """An embedded server or `aftertone dev` cannot run; the text is printed to the terminal."""


class PortTaken(EmbeddedError):
    """A port that a server needs is in use."""
