"""What measures recipes and their promises: `compare`, `coverage`, `bench`."""

from argparse import Namespace

from digit_recognizer.commands.dataset import ready_dataset
from digit_recognizer.commands.screen import say
from digit_recognizer.commands.training import asked_recipe, check_recipes, trained_run
from digit_recognizer.learning.recipe import named_recipe


def compare(arguments: Namespace) -> None:
    """Train recipes as far as missing, and set them side by side."""
    names = list(dict.fromkeys((arguments.recipes or "").split()))
    check_recipes(arguments, names)
    from digit_recognizer.pages.compare_table import compare_text
    from digit_recognizer.stages import compare as stage
    from digit_recognizer.stages.train import Request

    dataset = ready_dataset(arguments)
    runs = []
    for name in names or stage.COMPARED:
        runs.append((name, run := trained_run(arguments, dataset, name)))
        say(f"{name}: {run.run_dir} is finished")
    reference = stage.find_reference(
        [run for name, run in runs if name == "default"] or [runs[0][1]],
        Request(dataset, "default", asked_recipe(arguments, "default")).run_name,
    )
    rows, paths = stage.compare(arguments.data_dir, arguments.submissions_dir, runs, reference)
    say(compare_text(rows, reference.name if reference else None))
    say("\n" + "\n".join(f"written: {path}" for path in paths))


def coverage(arguments: Namespace) -> None:
    """Count how often scores lie in their expected interval."""
    recipe = asked_recipe(arguments, arguments.recipe)
    from digit_recognizer.pages.coverage_text import coverage_text
    from digit_recognizer.stages.coverage import count_resamples, count_resplits

    folders = (arguments.submissions_dir, arguments.data_dir)
    resamples = resplits = None
    if arguments.runs is not None:
        resamples = count_resamples(*folders, arguments.runs.split(), arguments.resamples)
    if arguments.resplits > 0:
        dataset = ready_dataset(arguments)
        resplits = count_resplits(
            *folders, dataset, recipe, arguments.resplits, arguments.device, arguments.workers, say
        )
    say(coverage_text(resamples, resplits))


def bench(arguments: Namespace) -> None:
    """Measure training beside a plain loop and Deotte's networks."""
    from digit_recognizer.pages.bench_text import bench_text
    from digit_recognizer.stages import bench as stage

    dataset = ready_dataset(arguments)
    report = stage.bench(
        arguments.data_dir,
        arguments.submissions_dir,
        dataset,
        arguments.device,
        named_recipe("deotte"),
        stage.Effort(arguments.rounds, arguments.seconds),
        say,
    )
    say("\n" + bench_text(report))
    say(f"\nwritten: {arguments.submissions_dir / 'bench.json'}")
