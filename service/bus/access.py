"""Credentials and TLS of the connections to NATS."""

import ssl
from typing import Any

import msgspec

from service.domain.errors import BusUnavailable


class BusAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Files of the client: `.creds`, certificate authorities, and its own certificate and key."""

    credentials_file: str = ""
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""

    def options(self) -> dict[str, Any]:
        """Returns options of the NATS client. Raises BusUnavailable if a file cannot be used."""
        options: dict[str, Any] = {"user_credentials": self.credentials_file or None}
        if self.ca_file or self.certificate_file:
            options["tls"] = self._tls()
        return options

    def _tls(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.certificate_file:
                context.load_cert_chain(self.certificate_file, self.key_file or None)
        except (OSError, ssl.SSLError) as error:
            raise BusUnavailable(f"a TLS file cannot be used: {error}") from None
        return context
