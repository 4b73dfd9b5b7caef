"""Keys of the keyed ids in the lake (`core.keyed_ids`), derived from the shop's secret."""

from __future__ import annotations

import hmac

from django.core.signing import Signer

__all__ = ["lake_keys"]

_CONTEXT = b"ml_models.keyed-ids.1"


def lake_keys() -> list[bytes]:
    """Keys from `SECRET_KEY`, then `SECRET_KEY_FALLBACKS`, 32 bytes each: the first keys, all are tried in reading."""
    signer = Signer()
    secrets = (secret.encode() if isinstance(secret, str) else secret for secret in (signer.key, *signer.fallback_keys))
    return [hmac.digest(secret, _CONTEXT, "sha256") for secret in secrets]
