"""What the sections of a run's report are built from."""

from collections.abc import Sequence


def percent(share: float, decimals: int = 2) -> str:
    """A share as the page writes it, such as ``99.57 %``, never broken over lines."""
    return f"{100 * share:.{decimals}f}\u00a0%"


def section(key: str, title: str, lead: str, content: str) -> str:
    """A section with a heading, a sentence or two, and what follows; all of them HTML."""
    return (
        f'<section id="{key}" aria-labelledby="{key}-title">\n<h2 id="{key}-title">{title}</h2>\n'
        f"<p>{lead}</p>\n{content}\n</section>"
    )


def table(meaning: str, head: Sequence[str], rows: Sequence[Sequence[str]], name: str = "") -> str:
    """A table whose first cell of each row names it; it scrolls alone where it is too wide."""
    cells = "".join(f'<th scope="col">{title}</th>' for title in head)
    lines = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{cell}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{meaning}"><table id="{name}">'
        f'<caption class="hidden">{meaning}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>"
    )
