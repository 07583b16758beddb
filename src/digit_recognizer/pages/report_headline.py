"""The top of a run's report: what came out, of what, by what, where and when."""

from html import escape
from typing import Any

from digit_recognizer.pages.cv_text import duration
from digit_recognizer.pages.public_score import place, suspicion
from digit_recognizer.pages.report_blocks import percent
from digit_recognizer.pages.report_content import Report, Upload

CONTENTS = {
    "confusion": "Confusion",
    "hardest": "Hardest digits",
    "issues": "Label errors",
    "disputed": "Test rows",
    "training": "Training",
    "calibration": "Calibration",
    "augmentation": "Augmentation",
    "teamwork": "Ensemble",
}


def headline(report: Report) -> str:
    """Name, figures and facts."""
    return f"""<header class="masthead">
<p class="eyebrow">Digit Recognizer, report of a run</p>
<h1>{escape(report.name)}</h1>
<dl class="figures">
{"".join(_figures(report))}</dl>
{_warnings(report)}<dl class="facts">
{"".join(_fact(name, value) for name, value in _facts(report).items() if value)}</dl>
</header>"""


def _figure(name: str, value: str, more: str) -> str:
    return f'<div><dt>{name}</dt><dd>{value}</dd><dd class="small">{more}</dd></div>\n'


def _figures(report: Report) -> list[str]:
    cv, expected = report.cv, report.cv["expected_score"]
    low, high = cv["cv_interval"]
    figures = [
        _figure(
            "Out-of-fold accuracy",
            f"{cv['cv_accuracy']:.5f}",
            f"95 % interval {low:.5f} to {high:.5f}<br>"
            f"{cv['n_errors']:,} errors in {cv['n_rows']:,} rows",
        ),
        _figure(
            "Expected score",
            f"{expected['low']:.4f} to {expected['high']:.4f}",
            f"95 % prediction interval for the submission, around {expected['middle']:.5f}",
        ),
    ]
    if "test_accuracy" in cv:
        meaning = "known labels of the test rows, from solution.csv"
        figures.append(_figure("Accuracy on the test rows", f"{cv['test_accuracy']:.5f}", meaning))
    return [*figures, _public(report.upload, expected, cv["may_submit"])]


def _public(upload: Upload | None, expected: dict[str, float], may_submit: bool) -> str:
    if upload is None:
        advice = "make submit uploads it" if may_submit else "this run may not be submitted"
        return _figure("Public score", "none yet", advice)
    if upload.public_score is None:
        return _figure("Public score", escape(upload.status), f"uploaded {escape(upload.time)}")
    score = upload.public_score
    more = f"{place(score, expected)} the expected interval<br>uploaded {escape(upload.time)}"
    return _figure("Public score", f"{score:.5f}", more)


def _warnings(report: Report) -> str:
    doubts = []
    if report.cv["suspicious"]:
        doubts.append(
            "The out-of-fold accuracy is better than the labels allow: look for test rows that"
            " leaked into the training rows."
        )
    if report.upload is not None and report.upload.public_score is not None:
        doubt = suspicion(report.upload.public_score)
        doubts += [f"{doubt[0].upper()}{doubt[1:]}."] if doubt else []
    return "".join(f'<p class="note">{doubt}</p>\n' for doubt in doubts)


def _fact(name: str, value: str) -> str:
    return f"<div><dt>{name}</dt><dd>{value}</dd></div>\n"


def _facts(report: Report) -> dict[str, str]:
    environment, request = report.environment, report.request
    may = "may be submitted" if report.cv["may_submit"] else "not to be submitted"
    changed = ", ".join(f"{key} {value}" for key, value in report.changed.items())
    blend = ", ".join(request.get("blend_of", ()))
    versions = environment.get("versions", {})
    return {
        "Dataset": f"{escape(request['dataset'])}, {may}",
        "Recipe": escape(request["recipe"] + (f"; {changed}" if changed else "")),
        "Blend of": escape(blend),
        "Members": f"{report.cv['n_members']}",
        "Training": _training(report),
        "Hardware": escape(_hardware(environment)),
        "Commit": _commit(environment),
        "Versions": escape(", ".join(f"{name} {number}" for name, number in versions.items())),
    }


def _training(report: Report) -> str:
    share = report.cv.get("augment_share")
    text = duration(report.cv["seconds"])
    return text if share is None else f"{text}, {percent(share, 1)} of it augmentation"


def _hardware(environment: dict[str, Any]) -> str:
    known = [environment.get(key) for key in ("hardware", "device", "precision")]
    cores = environment.get("cores")
    words = [str(word) for word in known if word]
    return ", ".join([*words, f"{cores} cores"] if cores else words)


def _commit(environment: dict[str, Any]) -> str:
    commit = environment.get("commit")
    if not commit:
        return ""
    changes = " with uncommitted changes" if environment.get("dirty") else ""
    return f"<code>{escape(commit[:12])}</code>{changes}"


def contents() -> str:
    """Links to the sections."""
    links = "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name in CONTENTS.items())
    return f'<nav class="contents" aria-label="Sections"><ul>{links}</ul></nav>'


def closing(report: Report) -> str:
    """What the figures are and are not."""
    return (
        "<footer><p>Held-out rows are judged only by networks that never saw them. No label of a"
        " test row had a part in training. "
        f"{escape(report.name)} was drawn by <code>make report</code>.</p></footer>"
    )
