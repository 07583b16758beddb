"""`make play`: a page on this machine where a person draws and a run's networks answer."""

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flask import Flask
from numpy.typing import NDArray
from werkzeug.serving import make_server

from digit_recognizer.learning.device import find_placements
from digit_recognizer.learning.metrics import mean_proba
from digit_recognizer.learning.neighbours import Neighbours
from digit_recognizer.learning.reader import ImageReader, keep_to_one_core
from digit_recognizer.learning.recipe import recipe_of_run
from digit_recognizer.pages.play import Neighbour, Reading, build_app, play_page
from digit_recognizer.storage.competition import Competition
from digit_recognizer.storage.files import StorageError
from digit_recognizer.storage.finding import data_of
from digit_recognizer.storage.pictures import picture_digit
from digit_recognizer.storage.runs import Run
from digit_recognizer.storage.weights import network_names, read_weights

# An answer takes 20 ms of one core's time with six of the default networks, 7 of them theirs:
# twice as many, or heavier ones, still answer within 100 ms.
MOST_MEMBERS = 12
LAST_ANSWER = 1.0  # seconds for requests to end after Ctrl-C; idle connections do not
N_NEIGHBOURS = 10


class PortError(StorageError):
    """The port cannot be had."""


@dataclass(frozen=True)
class _Loaded:
    """A member's network in memory; `part` is the run of a blend that it belongs to."""

    part: str
    name: str
    reader: ImageReader


class Reader:
    """A run's networks and training digits, kept in memory to read one picture after another."""

    def __init__(self, run: Run, data_dir: Path, say: Callable[[str], None]) -> None:
        parts = run.parts()
        names = [network_names(part) for part in parts]
        self.of = sum(map(len, names))
        self.members = [
            _load(part, name)
            for part, chosen in zip(parts, choose(names, MOST_MEMBERS), strict=True)
            for name in chosen
        ]
        self._data = _training_digits(run, data_dir, say)
        self._neighbours = Neighbours(self._data.images) if self._data else None
        self._alone = threading.Lock()  # two at once would each take twice as long

    @property
    def member_names(self) -> list[str]:
        """Names of the members that answer; those of a blend with their run's."""
        blended = len({member.part for member in self.members}) > 1
        return [f"{m.part}/{m.name}" if blended else m.name for m in self.members]

    def read(self, picture: bytes) -> Reading:
        """What the networks make of a PNG or JPEG picture.

        Raises
        ------
        PictureError
            If it is no picture or shows no digit.
        """
        with self._alone:
            image = picture_digit(picture, "the picture")
            logits = [member.reader.logits(image) for member in self.members]
            return Reading(
                image=image,
                proba=self._blended(logits),
                members=np.concatenate([mean_proba([one]) for one in logits]),
                neighbours=self._nearest(image),
            )

    def _blended(self, logits: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Probabilities [10]: the parts weigh the same, however many members each has."""
        by_part: dict[str, list[NDArray[np.float32]]] = {}
        for member, one in zip(self.members, logits, strict=True):
            by_part.setdefault(member.part, []).append(one)
        proba = np.concatenate([mean_proba(part) for part in by_part.values()])  # [parts, 10]
        mean: NDArray[np.float64] = proba.mean(axis=0)
        return mean

    def _nearest(self, image: NDArray[np.uint8]) -> list[Neighbour]:
        if self._neighbours is None or self._data is None:
            return []
        rows, distances = self._neighbours.nearest(image, N_NEIGHBOURS)
        return [
            Neighbour(row, int(self._data.labels[row]), distance, self._data.images[row])
            for row, distance in zip(rows.tolist(), distances.tolist(), strict=True)
        ]


def choose(names: list[list[str]], most: int) -> list[list[str]]:
    """Of each part's members, as many as fit into `most` together, taken in turn."""
    turns = [(turn, part) for part, members in enumerate(names) for turn in range(len(members))]
    kept = set(sorted(turns)[:most])
    return [
        [name for turn, name in enumerate(members) if (turn, part) in kept]
        for part, members in enumerate(names)
    ]


def _load(part: Run, name: str) -> _Loaded:
    recipe = recipe_of_run(part.request())
    # Beside each other, small networks on one image gain nothing from a GPU.
    placement = find_placements("cpu")[0][0]
    return _Loaded(part.name, name, ImageReader(recipe, read_weights(part, name), placement))


def _training_digits(run: Run, data_dir: Path, say: Callable[[str], None]) -> Competition | None:
    """The rows that the run was trained on; None, and a word about it, if they are not there."""
    try:
        return data_of(run, data_dir)
    except StorageError as error:
        say(f"note: no nearest training digits: {error}")
        return None


def play(run: Run, data_dir: Path, port: int, say: Callable[[str], None]) -> None:
    """Serve the page to this machine alone, until Ctrl-C.

    Parameters
    ----------
    port : 0 takes any that is free
    say : takes the page's address, and what is missing

    Raises
    ------
    PortError
        If the port is taken or not allowed.
    RunError
        If a member is not trained, or its network is missing or damaged.
    """
    keep_to_one_core()
    with listen(port) as listening:
        reader = Reader(run, data_dir, say)
        app = app_of(run, reader)
        say(f"drawing board of {run.name}: http://127.0.0.1:{listening.getsockname()[1]}/")
        say("Ctrl-C ends it")
        _serve(app, listening)


def app_of(run: Run, reader: Reader) -> Flask:
    """The page and its answers, as a WSGI application."""
    page = play_page(run.name, run.request()["dataset"], reader.member_names, reader.of)
    return build_app(page, reader.read)


def listen(port: int) -> socket.socket:
    """A socket that this machine alone can reach; PortError if the port cannot be had."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        listening.close()
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken by another program" if taken else f"cannot be had ({error.strerror})"
        raise PortError(f'port {port} {reason}: give another, as in ARGS="--port 0"') from None
    return listening


def _serve(app: Flask, listening: socket.socket) -> None:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # not a line for each stroke
    # A browser opens connections that it does not use at once: each needs a thread.
    server = make_server("127.0.0.1", 0, app, threaded=True, fd=listening.fileno())
    server.serve_forever()  # returns at Ctrl-C
    # A thread that still answers while Python is taken down under it now and then aborts all.
    deadline = time.monotonic() + LAST_ANSWER
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(max(0.0, deadline - time.monotonic()))
