"""The web application of `make play`, for one user on one machine.

Another website that is open in the user's browser must not reach it: a foreign name that was made
to point here (DNS rebinding) is refused by its Host, a foreign page by its Origin.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from flask import Flask, Response, abort, jsonify, request
from numpy.typing import NDArray
from torch import nn
from werkzeug.exceptions import HTTPException

from digit_recognizer.data.digit_image import decode_digits
from digit_recognizer.errors import UserError
from digit_recognizer.report.page import render
from digit_recognizer.report.figures import data_url
from digit_recognizer.runs.answering import AnsweringRun, doubt, load_networks
from digit_recognizer.runs.predictions import blend_proba, mean_proba
from digit_recognizer.training.device import describe_device
from digit_recognizer.training.predict import predict_logits
from digit_recognizer.training.recipe import Recipe

TEMPLATE = Path(__file__).with_name("play.html.j2")
LARGEST = 16 * 2**20  # bytes; a phone's photo has 3 to 8 MB
HOSTS = ["127.0.0.1", "localhost"]
ONE_AT_A_TIME = Lock()  # two predictions at a time would each take twice as long
CPU = describe_device("cpu")  # for small networks and one image, a GPU is no faster


def build_app(runs: Sequence[AnsweringRun]) -> Flask:
    """Return the application: the page at ``/``; ``POST /read/<run>``, which answers a picture.

    The first of `runs` is loaded at once, others when they are chosen. Every refusal is JSON with
    an ``error`` that says why.
    """
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST, TRUSTED_HOSTS=HOSTS)
    by_name = {answering.run.name: answering.run for answering in runs}
    page = render(TEMPLATE, data=None, runs=runs)

    @cache
    def networks(name: str) -> list[list[tuple[nn.Module, Recipe]]]:
        return load_networks(by_name[name], CPU)

    def read(name: str) -> Response:
        if name not in by_name:
            abort(404, f"There is no run called {name}: load the page again.")
        with ONE_AT_A_TIME:
            images = decode_digits(request.get_data(), "The picture")
            return jsonify([answer(image, networks(name)) for image in images])

    networks(runs[0].run.name)
    app.add_url_rule("/", view_func=lambda: page, endpoint="page")
    app.add_url_rule("/read/<name>", view_func=read, methods=["POST"])
    app.before_request(_refuse_other_sites)
    app.after_request(_refuse_frames)
    app.register_error_handler(HTTPException, _refusal)
    app.register_error_handler(UserError, lambda error: (jsonify(error=str(error)), 422))
    return app


def answer(
    image: NDArray[np.uint8], parts: Sequence[Sequence[tuple[nn.Module, Recipe]]]
) -> dict[str, Any]:
    """Return what the networks of `load_networks` make of an image [28, 28], for JSON.

    ``image`` is a data URL of it, ``proba`` [10] the ensemble's answer, ``members`` [K, 10] that of
    each network.
    """
    logits = [
        [predict_logits(network, image[None], recipe, CPU) for network, recipe in part]
        for part in parts
    ]
    proba = blend_proba(logits)[0]
    return {
        "image": data_url(image),
        "label": int(proba.argmax()),
        "doubt": doubt(proba),
        "proba": proba.tolist(),
        "members": [mean_proba([one])[0].tolist() for part in logits for one in part],
    }


def _refuse_other_sites() -> None:
    origin = request.headers.get("Origin")
    if origin is not None and origin != request.host_url.rstrip("/"):
        abort(403, "The drawing board answers its own page only.")


def _refuse_frames(response: Response) -> Response:
    response.headers["X-Frame-Options"] = "DENY"
    return response


def _refusal(error: HTTPException) -> tuple[Response, int]:
    return jsonify(error=error.description), error.code or 500
