"""Values that a run's report shows: for its template, and as JSON for its scripts."""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr
from sklearn.metrics import log_loss

from digit_recognizer.kaggle.ledger import LedgerEntry
from digit_recognizer.report import calibration, diversity
from digit_recognizer.report.headline import ScoreAxis, score_sum
from digit_recognizer.report.sheets import SPRITE_COLUMNS, Sprite
from digit_recognizer.runs.ensemble import RunResults, TrainedRun
from digit_recognizer.runs.metrics import DIGITS, CvReport, duration
from digit_recognizer.runs.predictions import OutOfFold, Proba, mean_proba, oof_by_seed
from digit_recognizer.runs.run import Run
from digit_recognizer.runs.score_interval import position, suspicion
from digit_recognizer.training.augment import augmentation_examples
from digit_recognizer.training.predict import view_images
from digit_recognizer.training.recipe import Recipe

# Digits in the galleries: 2,000 take about 1.5 MB.
MAX_ERRORS = 2000
MAX_ISSUES = 500
MAX_DISPUTED = 60
UNCERTAIN_OF_EACH = 12

Digit = dict[str, Any]  # a digit of a gallery, as the page's scripts read it


def report_context(
    results: RunResults, issues: NDArray[np.int64], upload: LedgerEntry | None
) -> dict[str, Any]:
    """Return the names that ``report.html.j2`` uses; ``data`` is what its scripts read.

    Parameters
    ----------
    results : RunResults
    issues : array
        Indices into ``results.oof`` of labels that are probably wrong.
    upload : LedgerEntry or None
        The last upload of the run's submission.
    """
    sprite = Sprite()
    policies = _policies(results, sprite)
    scaling = _scaling(results.oof)
    test = diversity.ensemble_of([_test_proba(part) for part in results.parts])
    data = _script_data(results, issues, test, sprite)
    data["calibration"] = {key: [*map(asdict, scaling[key])] for key in ("before", "after")}
    cv, score, run = results.cv, upload.public_score if upload else None, results.run
    finished = datetime.fromtimestamp(run.cv_path.stat().st_mtime, UTC)
    return {
        "name": run.name,
        "finished": f"{finished:%Y-%m-%d %H:%M} UTC",
        "files": [path.name for path in _files(run)],
        "request": results.request,
        "settings": asdict(results.request.recipe) if results.request.recipe else {},
        "axis": ScoreAxis.of(cv, score),
        "sum": score_sum(cv),
        "cv": cv,
        "duration": duration(cv.seconds),
        "environment": asdict(results.environment),
        "upload": upload,
        "public_score": score,
        "position": "" if score is None else position(score, cv.expected_score),
        "suspicion": "" if score is None else suspicion(score),
        "data": data,
        "sprite": sprite,
        "policies": policies,
        "calibration": scaling,
        "n_issues": len(issues),
        "n_disputed": int(test.is_disputed.sum()),
        "worst": min(cv.classes, key=lambda row: row.f1),
        "worst_cell": _worst_cell(cv),
    }


def _script_data(
    results: RunResults, issues: NDArray[np.int64], test: diversity.Ensemble, sprite: Sprite
) -> dict[str, Any]:
    oof = results.oof
    held_out = diversity.ensemble_of([oof_by_seed(part.predictions) for part in results.parts])
    return {
        "columns": SPRITE_COLUMNS,
        "errors": _labelled(results, oof.most_confident_errors()[:MAX_ERRORS], sprite),
        "uncertain": _labelled(results, _least_confident(oof), sprite),
        "issues": _labelled(results, issues[:MAX_ISSUES], sprite),
        "disputed": _disputed(results.data.test_images, test, sprite),
        "curves": _curves(results.parts),
        "agreement": diversity.accuracy_by_size(test.mean_proba.argmax(axis=1), test),
        "accuracy": diversity.accuracy_by_size(oof.labels, held_out),
    }


def _files(run: Run) -> tuple[Path, ...]:
    """Return the paths of the files that the report links to."""
    tables = (run.submission_path, run.oof_path, run.cv_path, run.label_issues_path)
    return *tables, run.model_card_path


def _worst_cell(cv: CvReport) -> dict[str, int]:
    """Return the most frequent error: its label, its prediction and how often it occurs."""
    errors = np.array(cv.confusion) * (1 - np.eye(10, dtype=int))
    label, predicted = np.unravel_index(errors.argmax(), errors.shape)
    return {"label": int(label), "predicted": int(predicted), "count": int(errors.max())}


def _curves(parts: list[TrainedRun]) -> list[dict[str, Any]]:
    """Return each member's figures by epoch, to 6 digits."""
    keys = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
    return [
        {
            "name": f"{part.run.name}, {member.name}" if len(parts) > 1 else member.name,
            **{key: [float(f"{getattr(epoch, key):.6g}") for epoch in epochs] for key in keys},
        }
        for part in parts
        for member, epochs in part.histories.items()
    ]


def _test_proba(part: TrainedRun) -> Proba:
    """Return each member's probabilities of the test rows [K, M, 10]."""
    return np.stack([mean_proba([member.test_logits]) for member in part.predictions.values()])


def _least_confident(oof: OutOfFold) -> NDArray[np.int64]:
    """Return the indices of each class's correct rows with the lowest confidence."""
    order = np.argsort(oof.proba.max(axis=1), kind="stable")
    correct = order[oof.labels[order] == oof.predicted[order]]
    of_class = [correct[oof.labels[correct] == digit] for digit in range(10)]
    return np.concatenate([indexes[:UNCERTAIN_OF_EACH] for indexes in of_class])


def _labelled(results: RunResults, indexes: NDArray[np.int64], sprite: Sprite) -> list[Digit]:
    oof, images = results.oof, results.data.images
    return [
        {
            **_digit(row, images[row], oof.proba[index], sprite),
            "predicted": int(oof.predicted[index]),
            "label": int(oof.labels[index]),
        }
        for index, row in zip(indexes, oof.rows[indexes].tolist(), strict=True)
    ]


def _disputed(
    images: NDArray[np.uint8], ensemble: diversity.Ensemble, sprite: Sprite
) -> list[Digit]:
    """Return the test rows on which members disagree most, or one member is least confident."""
    mean, single = ensemble.mean_proba, len(ensemble.members) == 1
    amount = entr(mean).sum(axis=1) if single else diversity.disagreement(ensemble)
    order = np.argsort(-amount, kind="stable")
    votes = ensemble.members.argmax(axis=2)  # [K, M]
    digits = []
    for row in (order if single else order[ensemble.is_disputed[order]])[:MAX_DISPUTED].tolist():
        digits.append(_digit(row + 1, images[row], mean[row], sprite))
        if not single:
            digits[-1]["votes"] = np.bincount(votes[:, row], minlength=10).tolist()
    return digits


def _digit(row: int, image: NDArray[np.uint8], proba: Proba, sprite: Sprite) -> Digit:
    """Return a digit; probabilities in hundredths of a percent keep the page small."""
    return {
        "index": sprite.index(image),
        "row": row,
        "predicted": int(proba.argmax()),
        "p": np.rint(proba * 10_000).astype(int).tolist(),
    }


def _scaling(oof: OutOfFold) -> dict[str, Any]:
    """Return figures before and after a temperature that is fitted on the other folds."""
    labels = oof.labels
    scaled, temperatures = calibration.rescaled_out_of_fold(labels, oof.folds, oof.proba)
    before, after = (calibration.reliability(labels, proba) for proba in (oof.proba, scaled))
    by_low = [{item.low: item for item in bins} for bins in (before, after)]
    without_zeros = calibration.rescaled(oof.proba, 1.0)
    return {
        "before": before,
        "after": after,
        "pairs": [[bins.get(low) for bins in by_low] for low in sorted({*by_low[0], *by_low[1]})],
        "error": [calibration.calibration_error(bins) for bins in (before, after)],
        "log_loss": [
            float(log_loss(labels, proba, labels=DIGITS)) for proba in (without_zeros, scaled)
        ],
        "temperatures": temperatures,
    }


def _policies(results: RunResults, sprite: Sprite) -> list[dict[str, Any]]:
    """Return examples of each part's augmentation and views; parts with the same share them."""
    policies: dict[str, dict[str, Any]] = {}
    for part in results.parts:
        drawn = augmentation_examples(part.recipe, results.data.images, results.data.labels)
        examples = {
            "draws": [[sprite.index(image) for image in row] for row in drawn],
            "views": [sprite.index(image) for image in view_images(drawn[2, 0], part.recipe)],
        }
        policy = {"runs": [], "settings": _policy_text(part.recipe), **examples}
        policies.setdefault(str(examples), policy)["runs"].append(part.run.name)
    return list(policies.values())


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
    return ", ".join(used) or "no augmentation"
