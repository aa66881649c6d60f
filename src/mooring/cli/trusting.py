"""Whom the command line believes to be a server over TLS.

A server that was found by its data directory shows there which certificate is its own: only who has the key of that one
is believed, whatever names it is for and whoever signed it. One that is named by its URL is judged as AWS's clients
judge it: by AWS_CA_BUNDLE where that is set, else by the issuers that this machine trusts.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from mooring.errors import BadInput, Unavailable

_own: dict[str, Path] = {}
_OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH


def is_own(url: str, certificate: Path) -> None:
    """The server at a URL is one of this machine, and keeps its certificate there."""
    _own[url] = certificate


def context_for(url: str) -> ssl.SSLContext:
    """What a connection to this URL must be shown. Raises `MooringError` where that cannot be read."""
    if (certificate := _own.get(url)) is not None:
        from mooring.processes.certificates import pinned_context

        try:
            return pinned_context(certificate)
        except OSError as error:
            raise Unavailable(f"the certificate of the server at {url} cannot be read: {error}") from None
    bundle = os.environ.get("AWS_CA_BUNDLE") or None
    try:
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:
        raise BadInput(f"AWS_CA_BUNDLE={bundle}: {error.strerror or error}") from None


def may_be_renewed(url: str, error: OSError) -> bool:
    """Whether a server of this machine has shown another certificate than the one that it keeps."""
    return url in _own and isinstance(error, ssl.SSLCertVerificationError)


def refuse_untrusted(url: str, error: OSError) -> None:
    """Say what to do about a certificate that was not believed, if that is what went wrong. Raises `Unavailable`."""
    if not isinstance(error, ssl.SSLCertVerificationError):
        return
    reason = error.verify_message.rstrip(".")
    if url in _own:
        advice = "it is not the one in the data directory of the server"
    elif error.verify_code in _OTHER_NAME:
        advice = "call it by a name that its certificate is for"
    else:
        advice = "set AWS_CA_BUNDLE to a file with that certificate, or with its issuer's"
    raise Unavailable(f"the certificate of {url} is not trusted ({reason}): {advice}") from None
