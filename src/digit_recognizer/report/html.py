"""Pages as one HTML file each: Jinja templates with their styles, scripts and data inside."""

import json
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render(template: Path, **context: Any) -> str:
    """Return the page of a template, which extends ``base.html.j2``.

    Parameters
    ----------
    template : its folder is searched for styles and scripts too, before this one
    context : ``data``, plain JSON values for the page's scripts, which read them with
        ``JSON.parse(document.getElementById("data").textContent)``; and the template's own names

    Raises
    ------
    ValueError
        If `data` holds NaN or infinity, which JSON does not know, or a style or script would
        end its own element.
    """
    loader = FileSystemLoader([template.parent, Path(__file__).parent])
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"embedded": embedded, "number": format, "percent": percent}
    environment.globals["source"] = lambda name: _source(loader.get_source(environment, name)[0])
    return environment.get_template(template.name).render(context)


def embedded(data: object) -> Markup:
    """Return `data` as JSON that cannot end the script element it stands in."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def percent(fraction: float, decimals: int = 2) -> str:
    """Return a fraction in percent, such as ``99.57 %``, with a space that never breaks."""
    return f"{100 * fraction:.{decimals}f}\u00a0%"


def _source(text: str) -> Markup:
    """Return a style sheet or script as it stands in its element."""
    if end := re.search("</(script|style)", text, re.IGNORECASE):
        raise ValueError(f"a style or script holds '{end[0]}', which would end its element")
    return Markup(text)
