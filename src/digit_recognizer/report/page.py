"""Pages as one HTML file each, and a run's: ``report.html``, with its model card and label issues."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from digit_recognizer.data.files import write_csv, write_text
from digit_recognizer.kaggle.ledger import Ledger, LedgerEntry, last_upload
from digit_recognizer.report import figures
from digit_recognizer.runs.ensemble import RunResults, TrainedRun
from digit_recognizer.runs.metrics import CV_WARNING, CvReport, duration
from digit_recognizer.runs.run import Run
from digit_recognizer.runs.score_interval import suspicion
from digit_recognizer.training.augment import build_transform

FOLDER = Path(__file__).parent
TEMPLATE, CARD_TEMPLATE = FOLDER / "report.html.j2", FOLDER / "model_card.md.j2"
# Digits in the galleries: 2,000 take about 1.1 MB.
MAX_ERRORS = 2000
MAX_ISSUES = 500


def write_report(results: RunResults) -> Path:
    """Write the report, the model card and the label issues of a run; return the report's path."""
    run, oof = results.run, results.oof
    issues = figures.contradictory_labels(results.data, oof)
    others = figures.probable_label_errors(oof.labels, oof.proba)
    issues = np.concatenate([issues, others[~np.isin(others, issues)]])
    uploads = Ledger(run.run_dir.parent).entries()
    upload = last_upload(uploads, run.name, run.submission_path)
    context = report_context(results, issues, upload)
    write_csv(run.label_issues_path, figures.label_issues(oof, issues), float_format="%.6f")
    write_text(run.model_card_path, render(CARD_TEMPLATE, **context))
    write_text(run.report_path, render(TEMPLATE, **context))
    return run.report_path


def is_drawn(run: Run) -> bool:
    """Return whether there is a report that is newer than the run's scores."""
    report, scores = run.report_path, run.cv_path
    return report.is_file() and report.stat().st_mtime_ns >= scores.stat().st_mtime_ns


def report_context(
    results: RunResults, issues: NDArray[np.int64], upload: LedgerEntry | None
) -> dict[str, Any]:
    """Return the names that the report and the model card use; ``data`` is for the page's scripts.

    `issues` are indices into ``results.oof`` of labels that are probably wrong; `upload` is the
    last one of the run's submission.
    """
    cv, run, oof = results.cv, results.run, results.oof
    public_score = upload.public_score if upload else None
    finished = datetime.fromtimestamp(run.cv_path.stat().st_mtime, UTC)
    bins = figures.reliability(oof.labels, oof.proba)
    return {
        "run": run,
        "request": results.request,
        "environment": results.environment,
        "cv": cv,
        "finished": f"{finished:%Y-%m-%d %H:%M} UTC",
        "axis": figures.ScoreAxis(cv, public_score),
        "effect": figures.effect_of_test_rows(cv),
        "upload": upload,
        "public_score": public_score,
        "suspicion": suspicion,
        "cv_warning": CV_WARNING,
        "duration": duration(cv.seconds),
        "is_augmented": any(build_transform(part.recipe).transforms for part in results.parts),
        "is_smoothed": any(part.recipe.label_smoothing for part in results.parts),
        "augmented": [
            (part, figures.data_url(255 - figures.augmentation_grid(part.recipe, results.data)))
            for part in results.parts
        ],
        "n_bins": figures.N_BINS,
        "calibration_error": figures.calibration_error(bins),
        "n_issues": len(issues),
        "n_contradictory": len(figures.contradictory_labels(results.data, oof)),
        "worst": min(cv.classes, key=lambda row: row.f1),
        "worst_cell": _worst_cell(cv),
        "data": {
            "errors": _gallery(results, oof.most_confident_errors()[:MAX_ERRORS]),
            "issues": _gallery(results, issues[:MAX_ISSUES]),
            "curves": _curves(results.parts),
            "calibration": bins.reset_index(names="number").to_dict("records"),
        },
    }


def _worst_cell(cv: CvReport) -> dict[str, int]:
    """Return the most frequent error: its label, its prediction and how often it occurs."""
    errors = np.array(cv.confusion) * (1 - np.eye(10, dtype=int))
    label, predicted = np.unravel_index(errors.argmax(), errors.shape)
    return {"label": int(label), "predicted": int(predicted), "count": int(errors.max())}


def _curves(parts: list[TrainedRun]) -> list[dict[str, Any]]:
    """Return each member's figures by epoch."""
    return [
        {
            "name": f"{part.run.name}, {member.name}" if len(parts) > 1 else member.name,
            "epochs": [vars(epoch) for epoch in epochs],
        }
        for part in parts
        for member, epochs in sorted(part.histories.items())
    ]


def _gallery(results: RunResults, indexes: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return out-of-fold rows; probabilities in hundredths of a percent keep the page small."""
    images, oof = results.data.images, results.oof
    return [
        {
            "image": figures.data_url(images[oof.rows[index]]),
            "row": int(oof.rows[index]),
            "label": int(oof.labels[index]),
            "predicted": int(oof.predicted[index]),
            "p": np.rint(oof.proba[index] * 10_000).astype(int).tolist(),
        }
        for index in indexes
    ]


def render(template: Path, **context: Any) -> str:
    """Return the text of a template: a page, which extends ``base.html.j2``, or Markdown.

    Templates, styles and scripts are looked for in the template's folder, then in this one.
    ``data`` of the context are plain JSON values for the page's scripts; NaN and infinity are a
    ValueError.
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, FOLDER]),
        autoescape=".md" not in template.suffixes,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": format, "percent": percent}
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template(template.name).render(context)


def percent(fraction: float, decimals: int = 2) -> str:
    """Return a fraction in percent, such as ``99.57 %``, with a space that never breaks."""
    return f"{100 * fraction:.{decimals}f}\u00a0%"
