"""The web application of `make play`, for one user on one machine.

Another website that is open in the user's browser must not reach it: a foreign name that was made
to point here (DNS rebinding) is refused by its Host, a foreign page by its Origin.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

from flask import Flask, Response, abort, jsonify, request
from werkzeug.exceptions import HTTPException

from digit_recognizer.errors import NoDigitError, UserError
from digit_recognizer.extras.play.predictor import Predictor
from digit_recognizer.report.page import render
from digit_recognizer.runs.inference import InferenceRun

MAX_UPLOAD_BYTES = 16 * 2**20  # bytes; a phone's photo has 3 to 8 MB
ONE_AT_A_TIME = Lock()  # two predictions at a time would each take twice as long


def build_app(runs: Sequence[InferenceRun], data_dir: Path) -> Flask:
    """Return the application: the page at ``/``; ``POST /read/<run>``, which answers a picture.

    The first of `runs` is loaded at once, others when they are chosen; of those of one name, only
    the first counts. An answer is JSON with ``digits``, a refusal JSON with an ``error`` that says
    why; a picture without a digit has both.
    """
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MAX_UPLOAD_BYTES, TRUSTED_HOSTS=["127.0.0.1", "localhost"])
    by_name: dict[str, InferenceRun] = {}
    for found in runs:
        by_name.setdefault(found.run.name, found)
    page = render(Path(__file__).with_name("play.html.j2"), data=None, runs=by_name.values())

    @lru_cache(maxsize=3)  # of two default runs, networks and training digits take 300 MB
    def predictor(name: str) -> Predictor:
        return Predictor(by_name[name].run, data_dir)

    def read(name: str) -> Response:
        if name not in by_name:
            abort(404, f"There is no run called {name}: load the page again.")
        with ONE_AT_A_TIME:
            return jsonify(digits=predictor(name).predict(request.get_data()))

    predictor(runs[0].run.name)
    app.add_url_rule("/", view_func=lambda: page, endpoint="page")
    app.add_url_rule("/read/<name>", view_func=read, methods=["POST"])
    app.before_request(_refuse_other_sites)
    app.after_request(_protect)
    app.register_error_handler(
        HTTPException, lambda error: (jsonify(error=error.description), error.code or 500)
    )
    # No failure: a browser would log one at the beginning of each stroke, which is only a dot.
    app.register_error_handler(NoDigitError, lambda error: jsonify(digits=[], error=str(error)))
    app.register_error_handler(UserError, lambda error: (jsonify(error=str(error)), 422))
    return app


def _refuse_other_sites() -> None:
    origin = request.headers.get("Origin")
    if origin is not None and origin != request.host_url.rstrip("/"):
        abort(403, "This server answers requests from its own page only.")


def _protect(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    return response
