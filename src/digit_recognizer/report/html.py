"""Pages as one HTML file each: Jinja templates with their styles, scripts and data inside."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup


def render(template: Path, **context: Any) -> str:
    """Return the page of a template, which extends ``base.html.j2``.

    Templates, styles and scripts are looked for in the template's folder, then in this one.
    ``data`` of the context are plain JSON values for the page's scripts; NaN and infinity are a
    ValueError.
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
    environment.filters |= {"number": format, "percent": percent}
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.globals["source"] = lambda name: Markup(loader.get_source(environment, name)[0])
    return environment.get_template(template.name).render(context)


def percent(fraction: float, decimals: int = 2) -> str:
    """Return a fraction in percent, such as ``99.57 %``, with a space that never breaks."""
    return f"{100 * fraction:.{decimals}f}\u00a0%"
