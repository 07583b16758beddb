"""`make play`: draw digits in the browser; a run's networks answer."""

import errno
import logging
import socket
import threading
import time
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import Folders, whole_number
from digit_recognizer.errors import UserError

if TYPE_CHECKING:
    from flask import Flask

SHUTDOWN_SECONDS = 1.0  # for requests to end after Ctrl-C; idle connections do not end


def play(
    *,
    run: Annotated[
        str | None, Parameter(help="the run's name, or pretrained; else the best finished run")
    ] = None,
    port: Annotated[
        int,
        Parameter(
            converter=whole_number, validator=Number(gte=0, lte=65535), help="0: any free port"
        ),
    ] = 8000,
    browser: Annotated[bool, Parameter(help="open the page in a browser")] = True,
    folders: Folders = Folders(),
) -> None:
    """Draw digits in the browser; a run's networks answer."""
    from digit_recognizer.extras.play.app import build_app
    from digit_recognizer.extras.play.predictor import limit_threads
    from digit_recognizer.runs.answering import find_answering_run, rank_runs

    first = find_answering_run(folders.submissions_dir, run)
    others = [other for other in rank_runs(folders.submissions_dir) if other.run != first.run]
    limit_threads()
    with listen(port) as listener:
        app = build_app([first, *others], folders.data_dir)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        echo(f"draw digits: {address} (on this machine only; phones cannot reach it)")
        echo(f"answers of {first.title}")
        if first.warning:
            echo(f"warning: {first.warning}")
        echo("Ctrl-C stops the server")
        if browser:
            open_browser(address)  # the socket listens already: the page waits for `serve`
        serve(app, listener)


def open_browser(address: str) -> None:
    """Open the page where there is a browser with a window."""
    with suppress(webbrowser.Error):
        found = webbrowser.get()
        if type(found) is not webbrowser.GenericBrowser:  # w3m and its like would take the terminal
            found.open(address)


def listen(port: int) -> socket.socket:
    """Open a socket that only this machine can reach."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except OSError as error:
        listener.close()
        in_use = error.errno == errno.EADDRINUSE
        reason = "is used by another program" if in_use else f"cannot be opened ({error.strerror})"
        raise UserError(f'port {port} {reason}: give another, as in ARGS="--port 0"') from None
    return listener


def serve(app: "Flask", listener: socket.socket) -> None:
    """Serve `app` until Ctrl-C."""
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # no line for strokes and bad requests
    # A browser opens connections that it does not use at once: each needs a thread.
    server = make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno())
    server.serve_forever()  # returns at Ctrl-C
    # A thread that still answers while Python shuts down can abort the process.
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(max(0.0, deadline - time.monotonic()))
