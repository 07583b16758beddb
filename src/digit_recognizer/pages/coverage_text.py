"""The counts of `make coverage` as plain text."""

from collections.abc import Mapping
from typing import Any


def coverage_text(resamples: Mapping[str, Any] | None, resplits: Mapping[str, Any] | None) -> str:
    """The content of ``coverage.json``, either half of which may be missing."""
    lines = ["how often the score lies inside its expected interval (95 of 100 is the aim)"]
    if resamples:
        runs = " ".join(resamples["runs"])
        lines += ["", f"resamples of {resamples['n_rows']:,} out-of-fold rows of {runs}"]
        for counts in resamples["tallies"]:
            seeds = counts["n_seeds"]
            lines.append(
                f"  {seeds} network{'s' if seeds > 1 else ' '} for an out-of-fold row:"
                f" {_counts(counts)}"
            )
        lines.append("  They share one set of rows and networks: they are not independent.")
    if resplits and "tally" in resplits:
        lines += ["", f"re-splits of {resplits['dataset']}, trained anew"]
        for trial in resplits["trials"]:
            lines.append(
                f"  score {trial['score']:.5f}, expected {trial['low']:.5f} to {trial['high']:.5f}"
            )
        lines.append(f"  {_counts(resplits['tally'])}")
    return "\n".join(lines)


def _counts(counts: Mapping[str, Any]) -> str:
    return (
        f"{counts['inside']} of {counts['n']} inside, {counts['below']} below, {counts['above']}"
        f" above; mean width {counts['mean_width']:.5f}; the cautious interval has"
        f" {counts['cautious_inside']} inside and {counts['cautious_mean_width']:.5f}"
    )
