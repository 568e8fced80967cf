"""What can go wrong with the embedded servers; always one sentence that says what to do."""


class EmbeddedError(Exception):
    """An embedded server or `aftertone dev` cannot run; the text is fit for a terminal."""


class PortTaken(EmbeddedError):
    """Another program listens on a port that one of our servers needs."""
