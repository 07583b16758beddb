"""A run's report: ``report.html``, ``MODEL_CARD.md``, and ``label_issues.csv``."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from digit_recognizer.data.competition import Dataset
from digit_recognizer.data.files import write_text
from digit_recognizer.kaggle.ledger import Ledger
from digit_recognizer.report.context import report_context
from digit_recognizer.report.html import render
from digit_recognizer.runs.ensemble import RunResults
from digit_recognizer.runs.predictions import OutOfFold, Proba
from digit_recognizer.runs.run import Run

TEMPLATE = Path(__file__).with_name("report.html.j2")
CARD_TEMPLATE = Path(__file__).with_name("model_card.md.j2")


def write_report(results: RunResults) -> Path:
    """Write the report, the model card and the label issues of a finished run.

    Returns the report's path.
    Needs no network and no GPU.
    """
    run, oof = results.run, results.oof
    issues = contradictory_labels(results.data, oof)
    others = probable_label_errors(oof.labels, oof.proba)
    issues = np.concatenate([issues, others[~np.isin(others, issues)]])
    uploads = [entry for entry in Ledger(run.run_dir.parent).entries() if entry.run == run.name]
    context = report_context(results, issues, uploads[-1] if uploads else None)
    write_text(run.label_issues_path, label_issues_csv(oof, issues))
    write_text(run.model_card_path, render(CARD_TEMPLATE, **context))
    write_text(run.report_path, render(TEMPLATE, **context))
    return run.report_path


def is_drawn(run: Run) -> bool:
    """Return whether there is a report that is newer than the run's scores."""
    try:
        drawn = min(path.stat().st_mtime_ns for path in (run.report_path, run.label_issues_path))
        return drawn >= run.cv_path.stat().st_mtime_ns
    except OSError:
        return False


def contradictory_labels(data: Dataset, oof: OutOfFold) -> NDArray[np.int64]:
    """Return the out-of-fold errors [K] whose image has another label in another row."""
    first = data.first_rows()
    contradicted = first[data.labels != data.labels[first]]
    return np.flatnonzero(np.isin(first[oof.rows], contradicted) & ~oof.correct)


def probable_label_errors(labels: NDArray[np.int64], proba: Proba) -> NDArray[np.int64]:
    """Return the rows whose labels confident learning calls wrong, the most suspicious first.

    A row is called wrong if another class's probability reaches the mean that this class has
    on rows which bear it as their label. The order is that of the label's own probability.

    This is a finding to look at, not an input: no score or weight may depend on it, because a
    row's own label went into it.

    Parameters
    ----------
    labels : array, shape [N]
    proba : array, shape [N, 10], each row's from members that never saw it

    Returns
    -------
    array, shape [K], int64: indices into `labels`

    References
    ----------
    Northcutt, Jiang, Chuang 2021: Confident learning, J. Artif. Intell. Res. 70:1373, by the
    authors' library.
    """
    if len(np.unique(labels)) == 1:  # no other label is known, and the library refuses
        return np.empty(0, dtype=np.int64)
    # Imported here: Kaggle's image, where runs are trained too, lacks it.
    from cleanlab.filter import find_label_issues

    found: NDArray[np.int64] = find_label_issues(
        labels,
        proba,
        filter_by="confident_learning",
        return_indices_ranked_by="self_confidence",
        n_jobs=1,
    )
    return found


def label_issues_csv(oof: OutOfFold, issues: NDArray[np.int64]) -> str:
    """Return the table of probable label errors, the most suspicious first.

    Columns ``row,label,suggested,proba_label,proba_suggested,rank``; rows count from 0.
    """
    labels, suggested = oof.labels[issues], oof.predicted[issues]
    table = {
        "row": oof.rows[issues],
        "label": labels,
        "suggested": suggested,
        "proba_label": oof.proba[issues, labels],
        "proba_suggested": oof.proba[issues, suggested],
        "rank": np.arange(1, len(issues) + 1),
    }
    text: str = pd.DataFrame(table).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    return text
