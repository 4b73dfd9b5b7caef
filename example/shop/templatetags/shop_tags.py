from decimal import Decimal

from django import template

from shop.recommendations import block

register = template.Library()

SYMBOLS = {"EUR": "€", "GBP": "£", "USD": "$"}


@register.filter
def money(amount: Decimal, currency: str = "EUR") -> str:
    """`€1,234.50`."""
    return f"{SYMBOLS.get(currency, currency + ' ')}{amount:,.2f}"


@register.inclusion_tag("shop/_block.html", takes_context=True)
def recommendations(context, kind, title, limit=6, product=None, exclude=(), note=""):
    """A titled row of recommended products; nothing where there is nothing to show."""
    request = context["request"]
    made = block(request, kind, limit=limit, product=product, exclude=exclude)
    if kind == "personalized" and not made.learnt:
        note = "What others look at this week. Look at two or three things, and this follows you."
    return {"kind": kind, "title": title, "note": note, "block": made, "request": request}


@register.simple_tag(takes_context=True)
def query(context, **changes):
    """The address's query with some parameters changed; None removes one."""
    parameters = context["request"].GET.copy()
    for name, value in changes.items():
        if value is None:
            parameters.pop(name, None)
        else:
            parameters[name] = value
    return "?" + parameters.urlencode() if parameters else "."
