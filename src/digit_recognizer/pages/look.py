"""The look that all pages share: one HTML file that needs nothing besides itself."""

import json
from html import escape
from pathlib import Path

# What a browser is told to refuse, so that no page can reach anything but its own server.
POLICY = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline';"
    " script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'; form-action 'none'"
)


def page(title: str, body: str, data: object | None = None, script: str = "") -> str:
    """A whole HTML page: styles, content, data and script in one text.

    Parameters
    ----------
    title : plain text, for the browser's tab
    body : HTML; it holds ``<main id="main">``, which a keyboard user can skip to
    data : plain JSON values; a script reads them with
        ``JSON.parse(document.getElementById("data").textContent)``
    script : JavaScript, run after the body and the data are there

    Raises
    ------
    ValueError
        If `data` holds NaN or infinity, which JSON does not know, or `script` would end
        its own element.
    """
    if "</script" in script.lower():
        raise ValueError("the script holds '</script', which would end it")
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"<title>{escape(title)}</title>",
        '<link rel="icon" href="data:,">',  # else browsers ask a server for one
        f"<style>\n{part('look.css')}</style>",
        "</head>",
        "<body>",
        '<a class="skip" href="#main">Skip to the content</a>',
        body,
    ]
    if data is not None:
        parts.append(f'<script type="application/json" id="data">{embedded(data)}</script>')
    if script:
        parts.append(f"<script>\n{script}</script>")
    return "\n".join([*parts, "</body>", "</html>", ""])


def embedded(data: object) -> str:
    """`data` as JSON that cannot end the script element it stands in.

    Raises
    ------
    ValueError
        If it holds NaN or infinity.
    """
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def part(name: str) -> str:
    """The text of a style sheet or script that lies beside this module."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
