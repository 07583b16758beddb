"""The drawing board: its page, and the web application that answers it.

It is for one user on one machine. Another website that is open in the user's browser must not
reach it: a foreign name that was made to point here (DNS rebinding) is refused by its Host,
a foreign page by its Origin, and the page itself may load nothing from elsewhere.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from flask import Flask, Response, abort, jsonify, request
from numpy.typing import NDArray
from werkzeug.exceptions import HTTPException

from digit_recognizer.errors import ImageError, NoDigitError, UserError
from digit_recognizer.extras.play.predictor import Predictor, Reading
from digit_recognizer.report.html import render
from digit_recognizer.runs.answering import PRETRAINED, AnsweringRun, doubt

TEMPLATE = Path(__file__).with_name("play.html.j2")
LARGEST = 16 * 2**20  # bytes; a phone's photo has 3 to 8 MB
PICTURE_TYPES = ("image/png", "image/jpeg")
HOSTS = ["127.0.0.1", "localhost"]
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def build_app(runs: Sequence[AnsweringRun], data_dir: Path) -> Flask:
    """Return the web application: the page at ``/``, and ``POST /read?run=<name>``, which answers a picture.

    The first of `runs` is chosen at first; its networks are loaded at once, others when asked.
    Every refusal is JSON with an ``error`` that says why: 400 for a foreign Host, 403 for a
    foreign Origin, 404 for another run, 413 for too many bytes, 415 for another type than PNG or
    JPEG, 422 for what is no picture or shows no digit.
    """
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST, TRUSTED_HOSTS=HOSTS)
    by_name = {answering.run.name: answering for answering in runs}

    @lru_cache(maxsize=3)  # of two default runs, networks and training digits take 300 MB
    def predictor(name: str) -> Predictor:
        return Predictor(by_name[name].run, data_dir)

    predictor(runs[0].run.name)
    html = render(TEMPLATE, data=_page_data(runs))
    policy = content_policy(html)

    @app.before_request
    def refuse_other_sites() -> None:
        origin = request.headers.get("Origin")
        if origin is not None and origin != request.host_url.rstrip("/"):
            abort(403, "the drawing board answers its own page only")

    @app.get("/")
    def board() -> Response:
        return Response(html, mimetype="text/html", headers={"Content-Security-Policy": policy})

    @app.post("/read")
    def answer() -> Response:
        if request.mimetype not in PICTURE_TYPES:
            abort(415, f"send {' or '.join(PICTURE_TYPES)}, not {request.mimetype or 'nothing'}")
        name = request.args.get("run", runs[0].run.name)
        if name not in by_name:
            abort(404, f"there is no run called {name}: load the page again")
        answering = predictor(name)
        readings = answering.predict(request.get_data())
        return jsonify(
            digits=[as_json(reading) for reading in readings],
            members=answering.member_names,
            of=answering.n_members,
        )

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.extend(HEADERS)
        return response

    app.register_error_handler(HTTPException, _refusal)
    app.register_error_handler(ImageError, _no_digit)
    app.register_error_handler(UserError, lambda error: (jsonify(error=str(error)), 422))
    return app


def _page_data(runs: Sequence[AnsweringRun]) -> dict[str, Any]:
    shown = [
        {
            "name": answering.run.name,
            "accuracy": f"{answering.cv.cv_accuracy:.4f}",
            "shipped": answering.run == PRETRAINED,
            "warning": answering.warning,
        }
        for answering in runs
    ]
    return {"runs": shown, "largest": LARGEST, "types": PICTURE_TYPES}


def _refusal(error: HTTPException) -> tuple[Response, int]:
    reason = error.description or error.name
    if error.code == 413:
        reason = f"the picture has more than {LARGEST // 2**20} MB: send a smaller one"
    return jsonify(error=reason), error.code or 500


def _no_digit(error: ImageError) -> tuple[Response, int]:
    message = str(error)
    if isinstance(error, NoDigitError) and "does not stand out" in message:
        message = "nothing stands out from the paper: an empty canvas is not a digit"
    return jsonify(error=message), 422


def as_json(reading: Reading) -> dict[str, Any]:
    """Return a reading in plain JSON values; images as base64 of their 784 bytes."""
    neighbours = [
        {**vars(near), "distance": round(near.distance, 3), "image": _pixels(near.image)}
        for near in reading.neighbours
    ]
    return {
        "label": int(reading.proba.argmax()),
        "doubt": doubt(reading.proba),
        "proba": reading.proba.round(6).tolist(),
        "members": reading.members.round(6).tolist(),
        "image": _pixels(reading.image),
        "neighbours": neighbours,
    }


def content_policy(html: str) -> str:
    """Return a Content-Security-Policy that runs this page's own style and script and nothing else."""

    def hashes(element: str) -> str:
        # The browser hashes what stands between the tags; data blocks are never run.
        texts = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        digests = (b64encode(sha256(text.encode()).digest()).decode() for text in texts)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; script-src {hashes('script')}; style-src {hashes('style')};"
        " img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none';"
        " frame-ancestors 'none'"
    )


def _pixels(image: NDArray[np.uint8]) -> str:
    return b64encode(image.tobytes()).decode()
