"""The drawing board: its page, and the web application that answers it.

It is for one person at one machine. Another website that this person's browser visits must not
reach it: a foreign name that was made to point here (DNS rebinding) is refused by its Host,
a foreign page by its Origin, and the page itself may load and ask nothing from elsewhere.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from flask import Flask, Response, abort, jsonify, request
from numpy.typing import NDArray
from werkzeug.exceptions import HTTPException

from digit_recognizer.pages.look import page, part
from digit_recognizer.storage.pictures import NoDigitError, PictureError

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


@dataclass(frozen=True)
class Neighbour:
    """A training digit: its row (from 0), label, distance, and image [28, 28] uint8."""

    row: int
    label: int
    distance: float
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Reading:
    """What the networks make of a picture.

    ``image`` [28, 28] uint8 is what they were given; ``proba`` [10] is the ensemble's,
    ``members`` [K, 10] each network's; ``neighbours`` are the nearest first.
    """

    image: NDArray[np.uint8]
    proba: NDArray[np.float64]
    members: NDArray[np.float64]
    neighbours: Sequence[Neighbour]


def play_page(run: str, dataset: str, members: Sequence[str], of: int) -> str:
    """The page's HTML; `members` answer, of `of` networks that the run has."""
    data = {
        "run": run,
        "dataset": dataset,
        "members": list(members),
        "of": of,
        "largest": LARGEST,
        "types": list(PICTURE_TYPES),
    }
    body = f"<style>\n{part('play.css')}</style>\n{part('play.html')}"
    return page("Draw a digit", body, data, part("play.js"))


def build_app(html: str, read: Callable[[bytes], Reading]) -> Flask:
    """A web application with the page at ``/`` and ``POST /read``, which answers a picture.

    Every refusal is JSON with an ``error`` that says why: 400 for a foreign Host, 403 for a
    foreign Origin, 413 for too many bytes, 415 for another type than PNG or JPEG, 422 for
    what is no picture or shows no digit.
    """
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=LARGEST, TRUSTED_HOSTS=HOSTS)
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
        return jsonify(as_json(read(request.get_data())))

    @app.after_request
    def protect(response: Response) -> Response:
        response.headers.extend(HEADERS)
        return response

    app.register_error_handler(HTTPException, _refusal)
    app.register_error_handler(PictureError, _no_digit)
    return app


def _refusal(error: HTTPException) -> tuple[Response, int]:
    reason = error.description or error.name
    if error.code == 413:
        reason = f"the picture has more than {LARGEST // 2**20} MB: send a smaller one"
    return jsonify(error=reason), error.code or 500


def _no_digit(error: PictureError) -> tuple[Response, int]:
    if isinstance(error, NoDigitError):
        return jsonify(
            error="nothing stands out from the paper: an empty canvas is not a digit"
        ), 422
    return jsonify(error=str(error)), 422


def as_json(reading: Reading) -> dict[str, Any]:
    """A reading in plain JSON values; images as base64 of their 784 bytes."""
    return {
        "label": int(reading.proba.argmax()),
        "proba": _rounded(reading.proba),
        "members": [_rounded(member) for member in reading.members],
        "image": _pixels(reading.image),
        "neighbours": [
            {
                "row": one.row,
                "label": one.label,
                "distance": round(one.distance, 3),
                "image": _pixels(one.image),
            }
            for one in reading.neighbours
        ],
    }


def content_policy(html: str) -> str:
    """A Content-Security-Policy that runs this page's own style and script and nothing else."""

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


def _rounded(proba: NDArray[np.float64]) -> list[float]:
    return [round(chance, 6) for chance in proba.tolist()]


def _pixels(image: NDArray[np.uint8]) -> str:
    return b64encode(image.tobytes()).decode()
