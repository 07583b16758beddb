"""`make play`: draw digits in the browser; a run's networks answer."""

import errno
import logging
import socket
import threading
import time
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import FinishedRun, Folders, whole_number
from digit_recognizer.errors import UserError

if TYPE_CHECKING:
    from flask import Flask

SHUTDOWN_SECONDS = 1.0  # for requests to end after Ctrl-C; idle connections do not end


def play(
    *,
    run: FinishedRun = None,
    port: Annotated[
        int,
        Parameter(
            converter=whole_number, validator=Number(gte=0, lte=65535), help="0: any free port"
        ),
    ] = 8000,
    folders: Folders = Folders(),
) -> None:
    """Draw digits in the browser; a run's networks answer."""
    from digit_recognizer.extras.play.app import build_app
    from digit_recognizer.extras.play.predictor import Predictor, limit_threads
    from digit_recognizer.runs.run import find_run

    found = find_run(folders.submissions_dir, run)
    limit_threads()
    with listen(port) as listener:
        app = build_app(found, Predictor(found, folders.data_dir))
        echo(f"draw digits for {found.name}: http://127.0.0.1:{listener.getsockname()[1]}/")
        echo("Ctrl-C stops the server")
        serve(app, listener)


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

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line for each stroke
    # A browser opens connections that it does not use at once: each needs a thread.
    server = make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno())
    server.serve_forever()  # returns at Ctrl-C
    # A thread that still answers while Python shuts down can abort the process.
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        thread.join(max(0.0, deadline - time.monotonic()))
