"""The fenced snippets of the integration guide, each named by its heading and its place under it."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

GUIDE = Path(os.environ.get("ML_GUIDE", Path(__file__).parents[2] / "../shared/spec/integration_guide.md")).resolve()


@dataclass(frozen=True)
class Snippet:
    """One fenced block."""

    name: str
    """Heading path in lower case and place under it, such as `configuration/basic-settings#1`."""
    language: str
    text: str


def _slug(heading: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def snippets(text: str) -> dict[str, Snippet]:
    """Name -> snippet, in the guide's order."""
    headings: list[str] = []
    found: dict[str, Snippet] = {}
    count = 0
    lines = iter(text.splitlines())
    for line in lines:
        if match := re.match(r"(#{2,4}) (.+)", line):
            level = len(match[1]) - 2
            headings[level:] = [_slug(match[2])]
            count = 0
        elif match := re.match(r"```(\w*)$", line):
            count += 1
            body = []
            for inner in lines:
                if inner == "```":
                    break
                body.append(inner)
            name = f"{'/'.join(headings)}#{count}"
            found[name] = Snippet(name, match[1], "\n".join(body) + "\n")
    return found


def table(text: str, heading: str) -> list[dict[str, str]]:
    """Rows of the first table under a heading, by column."""
    section = text.split(f"### {heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    columns = [cell.strip() for cell in rows[0]]
    return [dict(zip(columns, (cell.strip() for cell in row), strict=True)) for row in rows[2:]]
