"""Write `src/vocabulary.ts` from the event's declaration: `python frontend/vocabulary.py`."""

from pathlib import Path

from ml_models.core.event import ALIASES, SERVER_ONLY, EventType

TARGET = Path(__file__).parent / "src" / "vocabulary.ts"


def render() -> str:
    """The TypeScript module."""
    own = [one.value for one in EventType if one not in SERVER_ONLY and one.value != "purchase_seen"]
    names = own + [alias for alias, name in ALIASES.items() if name in own]
    quoted = "\n".join(f"  | {name!r}" for name in names).replace("'", '"')
    return (
        "// Written by frontend/vocabulary.py from the event's declaration; do not edit.\n\n"
        f"export type EventType =\n{quoted};\n\n"
        f'const names =\n  "{"|".join(names)}";\n\n'
        "/** Whether the server knows events of this name; others travel as `custom`. */\n"
        'export const known = (name: string): boolean => names.split("|").includes(name);\n'
    )


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
