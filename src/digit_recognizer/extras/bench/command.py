"""The command `bench` and its text."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.download import ready_dataset
from digit_recognizer.commands.options import DatasetName, DeviceName, Folders, Positive


def short_duration(seconds: float) -> str:
    """Format seconds as seconds, minutes or hours, to about three digits."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def tera(value: float) -> str:
    """Format a number in units of 10^12."""
    return f"{value / 1e12:.2f}"


SHOWN = ("median", "low", "high")
Show = Callable[[float], str]
COUNT: Show = "{:,.0f}".format
# For each heading, the figures below it: their labels and formats.
SECTIONS: dict[str, dict[str, tuple[str, Show]]] = {
    "training, images/s; same network ({network}), same batch size ({batch_size})": {
        "images_per_second": ("this project, {processes} at a time", COUNT),
        "plain_images_per_second": ("plain PyTorch loop, fp32", COUNT),
        "speedup": ("ratio (target: 8x)", "{:.1f}x".format),
    },
    "time for the default score beside {baseline_networks} networks of Deotte's,"
    " {baseline_epochs} epochs of {baseline_rows:,} rows in batches of {baseline_batch_size}": {
        "baseline_images_per_second": ("Deotte's in the plain loop, images/s", COUNT),
        "baseline_seconds": ("all of them, extrapolated from that", short_duration),
        "seconds": ("this project, {source}", short_duration),
        "baseline_speedup": ("ratio (target: 50x)", "{:.0f}x".format),
    },
    "MFU (model FLOPs utilisation), of the machine's {precision} matrix peak;"
    " {mflop:.1f} Mflop per image, forward and backward": {
        "matrix_flops_per_second": ("product of 4096 x 4096, TFLOP/s", tera),
        "mfu": ("MFU of training", "{:.0%}".format),
    },
}


def bench_text(report: Mapping[str, Any]) -> str:
    """Format the content of ``bench.json``: medians, with the lowest and highest of the rounds."""
    machine, settings = report["environment"], report["settings"]
    extrapolated = settings["finished_seconds"] is None
    source = "extrapolated from the rate above" if extrapolated else "the finished run"
    words = {**settings, "source": source, "mflop": settings["flops_per_image"] / 1e6}
    lines = [
        f"{report['dataset']}: {settings['rows']:,} training rows; {machine['hardware']},"
        f" {machine['cores']} cores, {machine['device']} in {machine['precision']},"
        f" torch {machine['versions']['torch']}",
        f"medians of {report['rounds']} rounds, one thing after the other in each"
        " (lowest to highest)",
    ]
    for heading, figures in SECTIONS.items():
        lines += ["", heading.format(**words)]
        for name, (label, show) in figures.items():
            median, low, high = (show(report["figures"][name][key]) for key in SHOWN)
            lines.append(f"  {label.format(**words):<46}{median:>10}  ({low} to {high})")
    fractions = sorted(report["profile"].items(), key=lambda item: -item[1])
    lines += ["", "time in an epoch of a single member (the profiler slows small operators)"]
    lines += [f"  {name:<46}{fraction:>10.1%}" for name, fraction in fractions]
    return "\n".join([*lines, "", *_growth_lines(report["growth"])])


def _growth_lines(growth: Mapping[str, Any]) -> list[str]:
    line = growth["line"]
    lines = [
        f"growth of the cost; {growth['epochs']} epochs, start of the processes included",
        "  fraction     rows  members  seconds                  host memory",
    ]
    for case in growth["cases"]:
        median, low, high = (f"{case['seconds'][key]:.1f}" for key in SHOWN)
        memory = case["memory"]
        size = f"{memory['median'] / 2**30:.2f} GiB" if memory else "unknown"
        lines.append(
            f"  {case['fraction']:>8.0%}  {case['rows']:>7,}  {case['members']:>7}"
            f"  {f'{median} ({low} to {high})':<23}  {size}"
        )
    lines.append(
        f"  over rows a straight line: {line['fixed_seconds']:.1f} s, then"
        f" {line['images_per_second']:,.0f} images/s;"
        f" the largest deviation of a case is {line['largest_deviation']:.0%}"
    )
    return lines


def bench(
    *,
    data: DatasetName = None,
    rounds: Annotated[Positive, Parameter(help="how often everything is measured")] = 3,
    seconds: Annotated[Positive, Parameter(help="that plain loops run in each round")] = 12,
    device: DeviceName = "auto",
    folders: Folders = Folders(),
) -> None:
    """Measure training speed beside a plain PyTorch loop."""
    from digit_recognizer.extras.bench.bench import run_bench

    folder = folders.data_dir / ready_dataset(data, folders)
    report = run_bench(folder, folders.submissions_dir, rounds, seconds, device)
    echo("\n" + bench_text(report))
    echo(f"\nwritten: {folders.submissions_dir / 'bench.json'}")
