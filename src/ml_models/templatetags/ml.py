"""`{% load ml %}{% ml_tracking %}`: the tracker's script element, set as the settings say."""

from __future__ import annotations

import base64
import hashlib
import logging
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from django import template
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.forms.utils import flatatt
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ml_models.data_collection import counters
from ml_models.settings import MLSettings, get_settings

__all__ = ["ml_tracking", "register"]

register = template.Library()
logger = logging.getLogger("bunoraa.ml")

SCRIPT = "js/ml-tracking.js"
ENDPOINT = "/api/ml/track/"
"""Where events go in a shop whose URLconf does not name the API."""


@register.simple_tag(takes_context=True)
def ml_tracking(context: template.Context, defer: bool = True) -> SafeString | str:
    """The script element, or nothing where `ML_ENABLED` is False or nothing is collected.

    It is deferred: it holds nothing up and runs when the page is parsed. `{% ml_tracking defer=False %}` in front of
    inline scripts that call `BunoraaML` at once. Never raises into the page; a failure is counted and logged.
    """
    try:
        settings = get_settings()
        if not (settings.enabled and settings.data_collection.enabled):
            return ""
        address = static(SCRIPT)
        integrity = _integrity(address)
        attributes: dict[str, Any] = {
            "src": _versioned(address, integrity),
            "integrity": integrity,
            "nonce": _nonce(context),
            "defer": bool(defer),
            **_data(settings),
        }
        return format_html("<script{}></script>", flatatt({k: v for k, v in attributes.items() if v is not None}))
    except Exception:  # wrong settings, static files that were not collected: the page is shown without the tracker
        if counters.add("tag.failed") % 1000 == 1:
            logger.exception("The tracker could not be put into a page. Counted from here.")
        return ""


def _data(settings: MLSettings) -> dict[str, str | None]:
    """What the script reads of the settings; None for what it does anyway."""
    tracking, privacy = settings.tracking, settings.privacy
    try:
        endpoint = reverse("ml:track")
    except NoReverseMatch:
        endpoint = ENDPOINT
    return {
        "data-api-url": endpoint,
        "data-product-views": None if tracking.track_product_views else "off",
        "data-clicks": None if tracking.track_clicks else "off",
        "data-forms": None if tracking.track_forms else "off",
        "data-engagement": None if tracking.track_engagement else "off",
        "data-consent": "required" if privacy.consent == "required" else None,
        "data-consent-cookie": None if privacy.consent_cookie == "_ml_consent" else privacy.consent_cookie,
        "data-gpc": None if privacy.respect_gpc else "off",
    }


def _nonce(context: template.Context) -> str | None:
    """The nonce of the page's Content-Security-Policy, from Django's own or from django-csp."""
    nonce = context.get("csp_nonce")
    if nonce is None:
        nonce = getattr(context.get("request"), "csp_nonce", None)
    # Both are lazy and false until they are asked for: asking is what puts them into the policy.
    return None if nonce is None else str(nonce) or None


def _versioned(address: str, integrity: str | None) -> str:
    """The address with its file's hash where the name has none: a browser would refuse an older file it has cached."""
    parts = urlsplit(address)
    if integrity is None or not parts.path.endswith(SCRIPT):
        return address
    version = urlencode({"v": integrity.removeprefix("sha384-")[:12]})
    return parts._replace(query="&".join(filter(None, (parts.query, version)))).geturl()


def _integrity(address: str) -> str | None:
    """The hash of the file behind this address, None where what is served there cannot be known.

    That is so for another host (which would need CORS as well), for files that are not on this machine, and where the
    collected file differs from the one of the package.
    """
    if urlsplit(address).netloc or not apps.is_installed("django.contrib.staticfiles"):
        return None
    from django.contrib.staticfiles import finders
    from django.contrib.staticfiles.storage import staticfiles_storage as storage

    stored = getattr(storage, "stored_name", None)
    name = stored(SCRIPT) if stored is not None and not urlsplit(address).path.endswith(SCRIPT) else SCRIPT
    try:
        collected = Path(storage.path(name))
    except (NotImplementedError, ImproperlyConfigured):  # files elsewhere; no STATIC_ROOT
        collected = None
    if name != SCRIPT:  # a name with a hash in it is that file and no other
        return _hash(collected) if collected is not None else None
    source = finders.find(SCRIPT)
    found = {_hash(path) for path in (collected, Path(source) if source else None) if path is not None} - {None}
    return found.pop() if len(found) == 1 else None


def _hash(path: Path) -> str | None:
    try:
        about = path.stat()
    except OSError:  # not collected
        return None
    return _sha384(path, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=8)
def _sha384(path: Path, changed: int, size: int) -> str:
    """The integrity value of a file as it was when it last changed."""
    return "sha384-" + base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()
