"""Write `docs/settings.md` from the dataclasses of `ml_models.settings`: python docs/settings_page.py.

A test fails when the page is stale, so it cannot say anything that the code does not.
"""

import ast
import collections.abc
import inspect
import types
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from ml_models import settings as ml_settings
from ml_models.core.validation import OneOf, default_of, limits

PAGE = Path(__file__).with_name("settings.md")

HEAD = """\
# Settings

<!-- Written by docs/settings_page.py from src/ml_models/settings.py; change that file, then run `make docs`. -->

Every setting is optional: the app added to a bare project works. Write what you want different into Django's settings;
a dictionary needs only the keys you change. Settings are read at first use, never at import.

`python manage.py check` reports every problem at once, each with its remedy: an unknown key (`ml.E001`), a wrong
type (`ml.E002`), an impossible value (`ml.E003`), a class that cannot be found (`ml.E004`), an unknown model
(`ml.E005`), an unknown source or list type (`ml.E007`). The same problems stop the first use with one error that lists
them all. A setting named `ML_...` that is not of this app is a warning (`ml.W001`). With `ML_ENABLED = False`
nothing is checked and nothing runs.

True and False are written without quotes: any text counts as true, even `"false"`. From an environment variable:

```python
ML_ENABLED = os.environ.get("ML_ENABLED", "true").lower() in ("1", "true", "yes", "on")
```
"""


def docstrings(cls: type) -> dict[str, str]:
    """Field name -> the docstring that stands under it in the source."""
    (body,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for field, after in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            found[field.target.id] = inspect.cleandoc(str(after.value.value))
    return found


def type_words(hint: Any) -> str:
    """A type as the reader of a settings file sees it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_words(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join("None" if one is type(None) else type_words(one) for one in arguments)
    if origin is tuple:
        return f"list of {type_words(arguments[0])}"
    if origin is collections.abc.Mapping:
        return f"dictionary of {type_words(arguments[1])}"
    return {"str": "text", "int": "whole number", "float": "number", "Path": "folder", "bool": "True or False"}.get(
        getattr(hint, "__name__", ""), "anything"
    )


def _default(field: Any) -> str:
    value = default_of(field)
    if isinstance(value, Path):
        value = str(value)
    if isinstance(value, tuple):
        value = list(value)
    text = f"{value:_}" if isinstance(value, int) and not isinstance(value, bool) and value >= 10_000 else repr(value)
    return text.replace("'", '"')


def _one(title: str, hint: Any, field: Any, text: str) -> str:
    lists = [str(limit) for limit in limits(hint) if isinstance(limit, OneOf)]
    known = f"\n\nKnown names: {lists[0].removeprefix('one of ')}." if lists else ""
    return f"{title}\n\n*{type_words(hint)}*, default `{_default(field)}`\n\n{text}{known}\n"


def page() -> str:
    """The page's text."""
    top, hints = docstrings(ml_settings.MLSettings), get_type_hints(ml_settings.MLSettings, include_extras=True)
    by_name = {field.name: field for field in fields(ml_settings.MLSettings)}
    parts = [HEAD]
    for name, attribute in ml_settings.SCALARS.items():
        text = top[attribute].removeprefix(f"`{name}`: ")
        parts.append(_one(f"## `{name}`", hints[attribute], by_name[attribute], text[0].upper() + text[1:]))
    for name, (_, cls) in ml_settings.SECTIONS.items():
        text = inspect.cleandoc(cls.__doc__ or "").removeprefix(f"`{name}`: ")
        parts.append(f"## `{name}`\n\n{text[0].upper() + text[1:]}\n")
        inner, documented = get_type_hints(cls, include_extras=True), docstrings(cls)
        for field in fields(cls):
            parts.append(_one(f"### `{name}[{field.name!r}]`", inner[field.name], field, documented[field.name]))
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
