"""The end of every run: its members' predictions become a submission and an honest report."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.learning import metrics
from digit_recognizer.learning.expectation import expected_score, take_apart
from digit_recognizer.storage.competition import Competition, write_submission
from digit_recognizer.storage.files import read_json, write_json
from digit_recognizer.storage.finding import data_of
from digit_recognizer.storage.oof import write_oof
from digit_recognizer.storage.opening import lock_run
from digit_recognizer.storage.runs import Predictions, Run, RunError, expected_members

ENOUGH_ROWS = 10_000  # of fewer, a good network may get all right


def finish(run: Run, data_dir: Path) -> dict[str, Any]:
    """Write ``oof.csv``, ``submission.csv`` and, last, ``cv.json``; return the last's content.

    Needs the members' predictions and the labels only: no network, no GPU. Does nothing
    where all three are there. A blend's are the mean over its parts, each weighing the same.

    Raises
    ------
    StorageError
        If members are missing or damaged, or the data is no longer what they were trained on.
    """
    if run.is_done():
        return read_json(run.cv_path)
    environment = read_json(run.environment_path)
    predictions = [part.read_members() for part in run.parts()]
    _refuse_changed_parts(run, environment)
    data = data_of(run, data_dir)
    with lock_run(run):
        return _write(run, data, predictions, environment)


def _refuse_changed_parts(run: Run, environment: dict[str, Any]) -> None:
    for name, digest in environment.get("parts", {}).items():
        if Run(run.run_dir.parent / name).predictions_digest() != digest:
            raise RunError(
                f"{run.run_dir}: {name} changed since it was blended: delete {run.name} and blend"
                " again"
            )


def _write(
    run: Run,
    data: Competition,
    predictions: list[dict[str, Predictions]],
    environment: dict[str, Any],
) -> dict[str, Any]:
    rows, folds, proba = blended_out_of_fold(predictions)
    labels = data.labels[rows]
    test_labels = blended_test_proba(predictions).argmax(axis=1)
    report = metrics.cv_report(labels, folds, proba)
    report["expected_score"] = expected_score(labels, take_apart(predictions))
    if data.solution is not None:
        report["test_accuracy"] = float((test_labels == data.solution).mean())
    report["n_members"] = sum(map(len, predictions))
    report["seconds"] = sum(part.seconds() for part in run.parts())
    report["augment_share"] = augment_share(run.parts())
    report["may_submit"] = environment["may_submit"]
    report["suspicious"] = report["cv_accuracy"] > metrics.SUSPICIOUS and len(rows) > ENOUGH_ROWS
    write_oof(run.oof_path, rows, labels, folds, proba)
    write_submission(run.submission_path, test_labels)
    write_json(run.cv_path, report)
    return read_json(run.cv_path)


def augment_share(parts: list[Run]) -> float:
    """The share of the epochs' time that augmentation took."""
    epochs = [
        epoch
        for part in parts
        for name in expected_members(part.request())
        for epoch in part.read_history(name)
    ]
    spent = sum(epoch["seconds"] for epoch in epochs)
    return sum(epoch["augment_seconds"] for epoch in epochs) / spent


def blended_out_of_fold(
    predictions: list[dict[str, Predictions]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Held-out rows [N], their folds [N] and probabilities [N, 10], mean over the parts.

    Whatever the parts' folds are, each part's probabilities of a row are those of members that
    never saw it, and so is their mean. The folds that are told are those of the first part.
    """
    held_out = [out_of_fold(item) for item in predictions]
    rows, folds, _ = held_out[0]
    return rows, folds, _mean([proba for _, _, proba in held_out])


def blended_test_proba(predictions: list[dict[str, Predictions]]) -> NDArray[np.float64]:
    """Probabilities [M, 10] of the test rows: mean over the parts of the mean over members."""
    return _mean(
        [
            metrics.mean_proba([member.test_logits for member in members.values()])
            for members in predictions
        ]
    )


def _mean(probas: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    # Sorted sums do not depend on the order of the parts to the last bit.
    mean: NDArray[np.float64] = np.sort(np.stack(probas), axis=0).mean(axis=0)
    return mean


def out_of_fold(
    predictions: dict[str, Predictions],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Held-out rows [N] in order, their folds [N] and probabilities [N, 10], mean over seeds."""
    by_fold: dict[int, list[Predictions]] = {}
    for name, item in predictions.items():
        by_fold.setdefault(int(name.split("-")[0].removeprefix("fold")), []).append(item)
    rows = np.concatenate([items[0].val_index for items in by_fold.values()])
    folds = np.concatenate([np.full(len(i[0].val_index), fold) for fold, i in by_fold.items()])
    proba = np.concatenate(
        [metrics.mean_proba([item.val_logits for item in items]) for items in by_fold.values()]
    )
    order = np.argsort(rows)
    return rows[order], folds[order], proba[order]
