"""What deals with Kaggle: `submit`, `scores`, `kernel`; and `doctor`, who checks the way there."""

import sys
from argparse import Namespace

from digit_recognizer.commands.dataset import has_competition_data
from digit_recognizer.commands.looking import draw_report, print_result
from digit_recognizer.commands.screen import ask, say
from digit_recognizer.commands.training import asked_recipe
from digit_recognizer.learning.recipe import BLENDS, RecipeError, parts_of


def submit(arguments: Namespace) -> None:
    """Check a run's submission, upload it, fetch its score."""
    from digit_recognizer.display import waiting_progress
    from digit_recognizer.stages import submit as stage
    from digit_recognizer.stages.ensemble import finish
    from digit_recognizer.storage.finding import find_run

    run = None
    if arguments.run or not arguments.file:
        run = find_run(arguments.submissions_dir, arguments.run)
        finish(run, arguments.data_dir)
    with waiting_progress() as waiting:
        stage.submit(
            run,
            arguments.submissions_dir,
            arguments.data_dir,
            arguments.file,
            arguments.message,
            arguments.yes,
            arguments.force,
            ask if sys.stdin.isatty() else None,
            say,
            waiting,
        )


def scores(arguments: Namespace) -> None:
    """Fetch the scores and compare all runs."""
    from digit_recognizer.pages.scores_table import scores_table
    from digit_recognizer.stages import scores as stage

    result = stage.scores(arguments.submissions_dir, say)
    say(scores_table(result.runs, result.rank_correlation))
    if result.failure:
        raise result.failure


def kernel(arguments: Namespace) -> None:
    """Train on Kaggle's GPU and bring the run back."""
    from digit_recognizer.display import waiting_progress
    from digit_recognizer.stages import kernel as stage
    from digit_recognizer.stages.train import Request
    from digit_recognizer.storage.datasets import COMPETITION

    if arguments.recipe in BLENDS:
        parts = ", ".join(parts_of(arguments.recipe))
        raise RecipeError(
            f"{arguments.recipe} is a blend of {parts}: run 'make kernel' with each of them as"
            f" RECIPE, then 'make train RECIPE={arguments.recipe}' blends them here"
        )
    recipe = asked_recipe(arguments, arguments.recipe)
    request = Request(COMPETITION, arguments.recipe, recipe)
    with waiting_progress() as waiting:
        run = stage.kernel(
            arguments.submissions_dir,
            request.as_dict(),
            arguments.run or request.run_name,
            arguments.force,
            arguments.wait * 60.0,
            say,
            waiting,
        )
    if run:
        print_result(run)
        if has_competition_data(arguments.data_dir):  # the page shows digits of it
            draw_report(run, arguments.data_dir)


def doctor(arguments: Namespace) -> int:
    """Check what download, train and submit need; 1 if something needed is missing."""
    from digit_recognizer.pages.scores_table import checks_text
    from digit_recognizer.stages import doctor as stage

    checks = stage.doctor(arguments.data_dir, arguments.submissions_dir, arguments.device)
    say(checks_text([(item.well, item.what, item.found, item.advice) for item in checks]))
    return int(any(item.needed and not item.well for item in checks))
