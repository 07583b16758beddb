"""`make bench`: training speed beside a plain PyTorch loop."""

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.download import ready_dataset
from digit_recognizer.commands.options import DatasetName, DeviceName, Folders, Positive, Workers

COUNT, MINUTES = "{:,.0f}", "{:,.1f}"
# For each heading, the figures below it: their labels and formats.
SECTIONS = {
    "training, images/s; the default network, in the same batches": {
        "images_per_second": ("this project, {processes} at a time", COUNT),
        "plain_images_per_second": ("plain PyTorch loop, fp32", COUNT),
        "speedup": ("ratio", "{:.1f}x"),
    },
    "minutes of training, extrapolated from images/s; others in the plain loop": {
        "minutes": ("default of this project", MINUTES),
        "deotte_minutes": ("Deotte's 15 networks", MINUTES),
        "deotte_speedup": ("ratio", "{:.0f}x"),
        "baranarca_minutes": ("10 networks of the public 0.99689", MINUTES),
        "baranarca_speedup": ("ratio", "{:.0f}x"),
    },
    "MFU (model FLOPs utilisation), of the machine's {precision} matrix peak;"
    " {flops_per_image:,} FLOPs per image, forward and backward": {
        "matrix_flops_per_second": ("product of 4096 x 4096, FLOP/s", "{:.2e}"),
        "mfu": ("MFU of training", "{:.0%}"),
    },
}


def bench_text(report: Mapping[str, Any]) -> str:
    """Format the content of ``bench.json``: medians, with the lowest and highest of the rounds."""
    words = {**report["environment"], **report["settings"]}
    lines = [
        f"{report['dataset']}: {words['rows']:,} training rows; {words['hardware']},"
        f" {words['cores']} cores, {words['device']} in {words['precision']},"
        f" torch {words['versions']['torch']}",
        f"medians of {len(report['rounds'])} rounds, one thing after the other in each"
        " (lowest to highest)",
    ]
    for heading, figures in SECTIONS.items():
        lines += ["", heading.format(**words)]
        for name, (label, show) in figures.items():
            figure = report["figures"][name]
            median, low, high = (show.format(figure[key]) for key in ("median", "min", "max"))
            lines.append(f"  {label.format(**words):<46}{median:>10}  ({low} to {high})")
    return "\n".join(lines)


def bench(
    *,
    data: DatasetName = None,
    rounds: Annotated[Positive, Parameter(help="rounds, each of which measures everything")] = 3,
    seconds: Annotated[Positive, Parameter(help="seconds of each plain loop in a round")] = 12,
    device: DeviceName = "auto",
    workers: Workers = None,
    folders: Folders = Folders(),
) -> None:
    """Measure training speed beside a plain PyTorch loop."""
    from digit_recognizer.data.dataset import read_provenance

    folder = folders.data_dir / ready_dataset(data, folders)
    read_provenance(folder)  # or an error, before torch takes seconds to import
    from digit_recognizer.extras.bench.measure import run_bench

    report = run_bench(folder, folders.submissions_dir, rounds, seconds, device, workers)
    echo("\n" + bench_text(report))
    echo(f"\nwritten: {folders.submissions_dir / 'bench.json'}")
