"""The result of `make bench` for the terminal."""

from collections.abc import Callable
from typing import Any

TARGETS = {"training": 8, "rival": 50}  # ratios that this project has set itself


def bench_text(report: dict[str, Any]) -> str:
    """The content of ``bench.json``: medians, with the lowest and highest of the rounds."""
    sections = (_head, _training, _rival, _peak, _profile, _growth)
    return "\n".join(line for section in sections for line in [*section(report), ""]).rstrip()


def _head(report: dict[str, Any]) -> list[str]:
    machine = report["environment"]
    return [
        f"{report['dataset']}: {report['n_rows']:,} training rows; {machine['hardware']},"
        f" {machine['cores']} cores, {machine['device']} in {machine['precision']},"
        f" torch {machine['versions']['torch']}",
        f"medians of {report['rounds']} rounds, one thing after the other in each"
        " (lowest to highest)",
    ]


def _training(report: dict[str, Any]) -> list[str]:
    part = report["training"]
    same = f"same network ({part['network']}), same batch size ({part['batch_size']})"
    return [
        f"training, images/s; {same}",
        _row(f"ours, {part['processes']} at a time", part["ours"], "{:,.0f}".format),
        _row("plain PyTorch loop, fp32", part["plain"], "{:,.0f}".format),
        _row("ratio", part["ratio"], "{:.1f}x".format) + _aim("training"),
    ]


def _rival(report: dict[str, Any]) -> list[str]:
    part = report["rival"]
    how = "extrapolated from the rate above" if part["ours_is_extrapolated"] else "the finished run"
    return [
        f"time for the default score beside {part['networks']} networks of Deotte's, {part['epochs']}"
        f" epochs of {part['rows']:,} rows in batches of {part['batch_size']}",
        _row("Deotte's in the plain loop, images/s", part["images_per_second"], "{:,.0f}".format),
        _row("all of them, extrapolated from that", part["extrapolated_seconds"], short_duration),
        _row(f"ours, {how}", part["our_seconds"], short_duration),
        _row("ratio", part["ratio"], "{:.0f}x".format) + _aim("rival"),
    ]


def _peak(report: dict[str, Any]) -> list[str]:
    part = report["peak"]
    return [
        f"share of the machine's {part['precision']} matrix peak;"
        f" {part['training_flops_per_image'] / 1e6:.1f} Mflop for an image, forward and backward",
        _row("product of 4096 x 4096, TFLOP/s", part["flops_per_second"], _tera),
        _row("training reaches", part["share"], "{:.0%}".format),
    ]


def _profile(report: dict[str, Any]) -> list[str]:
    shares = sorted(report["profile"].items(), key=lambda item: -item[1])
    return [
        "where an epoch of one member alone spends its time (the profiler slows small operators)",
        *(f"  {name:<38}{share:>10.1%}" for name, share in shares),
    ]


def _growth(report: dict[str, Any]) -> list[str]:
    part = report["growth"]
    line = part["line"]
    lines = [
        f"how cost grows; {part['epochs']} epochs, start of the processes included",
        "  share     rows  members  seconds                  host memory",
    ]
    for case in part["cases"]:
        seconds, memory = case["seconds"], case["memory"]
        shown = f"{seconds['median']:.1f} ({seconds['low']:.1f} to {seconds['high']:.1f})"
        lines.append(
            f"  {case['share']:>5.0%}  {case['rows']:>7,}  {case['members']:>7}  {shown:<23}"
            f"  {memory['median'] / 2**30:.2f} GiB"
        )
    lines.append(
        f"  over rows a straight line: {line['fixed_seconds']:.1f} s and then"
        f" {line['images_per_second']:,.0f} images/s;"
        f" no case is further than {line['largest_deviation']:.0%} from it"
    )
    return lines


def _row(name: str, values: dict[str, Any], show: Callable[[float], str]) -> str:
    reach = f"({show(values['low'])} to {show(values['high'])})"
    return f"  {name:<38}{show(values['median']):>10}  {reach}"


def _aim(part: str) -> str:
    return f"  aim: {TARGETS[part]}x"


def _tera(value: float) -> str:
    return f"{value / 1e12:.2f}"


def short_duration(seconds: float) -> str:
    """Seconds, minutes or hours, to three digits or so."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
