"""The end of every run: its members' predictions become a submission and an honest report."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digit_recognizer.learning import metrics
from digit_recognizer.storage import datasets
from digit_recognizer.storage.competition import Competition, write_submission
from digit_recognizer.storage.files import read_json, write_json
from digit_recognizer.storage.runs import Predictions, Run, RunError, write_oof


def finish(run: Run, data_dir: Path) -> dict[str, Any]:
    """Write ``oof.csv``, ``submission.csv`` and, last, ``cv.json``; return the last's content.

    Needs the members' predictions and the labels only: no network, no GPU. Does nothing
    where all three are there.

    Raises
    ------
    StorageError
        If members are missing or damaged, or the data is no longer what they were trained on.
    """
    if run.is_done():
        return read_json(run.cv_path)
    request = run.request()
    environment = read_json(run.environment_path)
    members = expected_members(request)
    missing = [name for name in members if not run.predictions_path(name).is_file()]
    if missing:
        raise RunError(
            f"{run.run_dir}: {len(missing)} of {len(members)} members are not trained:"
            f" run 'make train RUN={run.name}' with the same settings as before"
        )
    data, provenance = datasets.load(data_dir / request["dataset"])
    if provenance.sha256 != environment["data"]:
        raise RunError(f"{run.run_dir}: was trained on other data than {data_dir} holds now")
    predictions = {name: run.read_member(name) for name in members}
    with run.lock():
        return _write(run, data, predictions, environment)


def expected_members(request: dict[str, Any]) -> list[str]:
    """Names of all members that a request asks for."""
    seeds, folds = range(request["n_seeds"]), range(request["n_splits"])
    return [f"fold{fold}-seed{seed}" for seed in seeds for fold in folds]


def _write(
    run: Run,
    data: Competition,
    predictions: dict[str, Predictions],
    environment: dict[str, Any],
) -> dict[str, Any]:
    rows, folds, proba = out_of_fold(predictions)
    labels = data.labels[rows]
    test_logits = [item.test_logits for item in predictions.values()]
    test_labels = metrics.mean_proba(test_logits).argmax(axis=1)
    report = metrics.cv_report(labels, folds, proba)
    gain = metrics.ensemble_gain(test_logits)
    report["expected_score"] = metrics.expected_score(
        report["cv_accuracy"], len(rows), len(test_labels), gain
    )
    report["ensemble_gain"] = gain
    if data.solution is not None:
        report["test_accuracy"] = float((test_labels == data.solution).mean())
    report["n_members"] = len(predictions)
    report["seconds"] = run.seconds()
    report["augment_share"] = augment_share(run, list(predictions))
    report["may_submit"] = environment["may_submit"]
    report["suspicious"] = report["cv_accuracy"] > metrics.SUSPICIOUS and len(rows) > 10_000
    write_oof(run.oof_path, rows, labels, folds, proba)
    write_submission(run.submission_path, test_labels)
    write_json(run.cv_path, report)
    return read_json(run.cv_path)


def augment_share(run: Run, members: list[str]) -> float:
    """The share of the epochs' time that augmentation took."""
    epochs = [epoch for name in members for epoch in run.read_history(name)]
    spent = sum(epoch["seconds"] for epoch in epochs)
    return sum(epoch["augment_seconds"] for epoch in epochs) / spent


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
