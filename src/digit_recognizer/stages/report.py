"""`make report`: a finished run as a page to look at, and its probable label errors as a table."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from digit_recognizer.learning import calibration, teamwork
from digit_recognizer.learning.augment import augmented_digits
from digit_recognizer.learning.expectation import by_seed
from digit_recognizer.learning.label_issues import probable_label_errors
from digit_recognizer.learning.metrics import mean_proba
from digit_recognizer.learning.predict import drawn_views
from digit_recognizer.learning.recipe import RECIPES, Recipe, recipe_as_dict, recipe_of_run
from digit_recognizer.pages.report import report_page
from digit_recognizer.pages.report_content import (
    Augmentation,
    Calibration,
    Curve,
    Digit,
    Report,
    Upload,
)
from digit_recognizer.remote.ledger import Ledger
from digit_recognizer.storage.competition import Competition
from digit_recognizer.storage.files import read_json, write_text
from digit_recognizer.storage.finding import data_of
from digit_recognizer.storage.oof import OutOfFold, read_oof
from digit_recognizer.storage.runs import Predictions, Run, expected_members

MOST_ERRORS = 2000  # in the gallery: about 1.5 MB
MOST_ISSUES = 500
MOST_DISPUTED = 60
UNSURE_OF_EACH = 12


def report(run: Run, data_dir: Path) -> Path:
    """Write ``label_issues.csv`` and ``report.html`` of a finished run anew; return the latter.

    Needs files only: no network and no GPU.

    Raises
    ------
    StorageError
        If the run is not finished, a file is damaged, or the data is no longer what the run
        was trained on.
    """
    if not run.is_done():
        raise run.unfinished()
    environment = read_json(run.environment_path)
    data = data_of(run, data_dir)
    oof = read_oof(run.oof_path)
    suspects = probable_label_errors(oof.labels, oof.proba)
    write_text(run.label_issues_path, label_issues_csv(oof, suspects))
    write_text(run.report_path, report_page(_gathered(run, environment, data, oof, suspects)))
    return run.report_path


def is_drawn(run: Run) -> bool:
    """Whether there is a report that is newer than the run's scores."""
    try:
        drawn = min(path.stat().st_mtime_ns for path in (run.report_path, run.label_issues_path))
        return drawn >= run.cv_path.stat().st_mtime_ns
    except OSError:
        return False


def label_issues_csv(oof: OutOfFold, suspects: NDArray[np.int64]) -> str:
    """Rows whose labels are probably wrong, the most suspicious first.

    Columns ``row,label,suggested,proba_label,proba_suggested,rank``; rows count from 0.
    """
    lines = ["row,label,suggested,proba_label,proba_suggested,rank"]
    for rank, place in enumerate(suspects, start=1):
        label, said = oof.labels[place], oof.predicted[place]
        known, suggested = oof.proba[place, label], oof.proba[place, said]
        lines.append(f"{oof.rows[place]},{label},{said},{known:.6f},{suggested:.6f},{rank}")
    return "\n".join(lines) + "\n"


def _gathered(
    run: Run,
    environment: dict[str, Any],
    data: Competition,
    oof: OutOfFold,
    suspects: NDArray[np.int64],
) -> Report:
    request = run.request()
    parts = [part.read_members() for part in run.parts()]
    on_test = teamwork.team_of([_on_test(members) for members in parts])
    held_out = teamwork.team_of([by_seed(members) for members in parts])
    return Report(
        name=run.name,
        cv=read_json(run.cv_path),
        request=request,
        environment=environment,
        changed=_changed(request),
        upload=_last_upload(run),
        curves=_curves(run),
        errors=_labelled(data, oof, oof.surest_errors()[:MOST_ERRORS]),
        unsure=_labelled(data, oof, _barely_right(oof)),
        issues=_labelled(data, oof, suspects[:MOST_ISSUES]),
        n_issues=len(suspects),
        disputed=_disputed(data, on_test),
        calibration=_calibration(oof),
        augmentations=_augmentations(run, data),
        gain_by_size=teamwork.gain_by_size(on_test),
        accuracy_by_size=teamwork.accuracy_by_size(oof.labels, held_out),
    )


def _changed(request: dict[str, Any]) -> dict[str, Any]:
    """The settings that differ from the recipe that the run is named after."""
    if request["recipe"] not in RECIPES or "blend_of" in request:
        return {}
    named = recipe_as_dict(RECIPES[request["recipe"]])
    asked = recipe_as_dict(recipe_of_run(request))
    return {key: value for key, value in asked.items() if named[key] != value}


def _last_upload(run: Run) -> Upload | None:
    uploads = [item for item in Ledger(run.run_dir.parent).entries() if item.run == run.name]
    if not uploads:
        return None
    return Upload(uploads[-1].time, uploads[-1].status, uploads[-1].public_score)


def _curves(run: Run) -> list[Curve]:
    several = len(run.parts()) > 1
    return [
        Curve(f"{part.name}, {name}" if several else name, part.read_history(name))
        for part in run.parts()
        for name in expected_members(part.request())
    ]


def _on_test(members: dict[str, Predictions]) -> NDArray[np.float64]:
    """Each member's probabilities of the test rows [K, M, 10]."""
    return np.stack([mean_proba([member.test_logits]) for member in members.values()])


def _barely_right(oof: OutOfFold) -> NDArray[np.int64]:
    """Places of the rows of each class that were right but least sure."""
    sure = oof.proba.max(axis=1)
    right = [np.flatnonzero((oof.labels == d) & (oof.predicted == d)) for d in range(10)]
    return np.concatenate([p[np.argsort(sure[p], kind="stable")][:UNSURE_OF_EACH] for p in right])


def _labelled(data: Competition, oof: OutOfFold, places: NDArray[np.int64]) -> list[Digit]:
    return [
        Digit(
            int(oof.rows[place]),
            data.images[oof.rows[place]],
            oof.proba[place],
            int(oof.predicted[place]),
            int(oof.labels[place]),
        )
        for place in places
    ]


def _disputed(data: Competition, team: teamwork.Team) -> list[Digit]:
    """The test rows that the members contradict each other about, or that one is unsure of."""
    mean = team.together
    alone = len(team.members) == 1
    amount = entr(mean).sum(axis=1) if alone else teamwork.disagreement(team)
    places = np.argsort(-amount, kind="stable")[:MOST_DISPUTED]
    said = team.members.argmax(axis=2)  # [K, M]
    return [
        Digit(
            int(place) + 1,
            data.test_images[place],
            mean[place],
            int(mean[place].argmax()),
            votes=() if alone else tuple(np.bincount(said[:, place], minlength=10).tolist()),
        )
        for place in places
    ]


def _calibration(oof: OutOfFold) -> Calibration:
    scaled, temperatures = calibration.rescaled_out_of_fold(oof.labels, oof.folds, oof.proba)
    before, after = (calibration.log_loss(oof.labels, proba) for proba in (oof.proba, scaled))
    return Calibration(
        calibration.reliability(oof.labels, oof.proba),
        calibration.reliability(oof.labels, scaled),
        (before, after),
        temperatures,
    )


def _augmentations(run: Run, data: Competition) -> list[Augmentation]:
    """What the run's policy draws; parts of a blend that draw the same share one entry."""
    known: dict[bytes, Augmentation] = {}
    for part in run.parts():
        recipe = recipe_of_run(part.request())
        drawn = augmented_digits(recipe, data.images, data.labels)
        views = drawn_views(drawn[2, 0], recipe)
        key = drawn.tobytes() + views.tobytes()
        entry = known.setdefault(key, Augmentation([], _policy_text(recipe), drawn, views))
        entry.runs.append(part.name)
    return list(known.values())


def _policy_text(recipe: Recipe) -> str:
    strengths = {
        "rotation": f"up to {recipe.rotation:g}°",
        "zoom": f"up to {100 * recipe.zoom:g} %",
        "shift": f"up to {recipe.shift:g} pixels",
        "shear": f"up to {recipe.shear:g}°",
        "elastic": f"{recipe.elastic:g} pixels",
        "crop": f"to {recipe.crop} pixels",
    }
    used = [f"{name} {text}" for name, text in strengths.items() if getattr(recipe, name)]
    return ", ".join(used) if used else "no augmentation"
