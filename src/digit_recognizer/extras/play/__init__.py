"""`make play`: draw digits in the browser; a run's networks answer."""

import logging
import os
import socket
import threading
import webbrowser
from contextlib import suppress
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from digit_recognizer.commands.console import echo
from digit_recognizer.commands.options import Folders, InferenceRunName, NonNegative
from digit_recognizer.errors import UserError


def play(
    *,
    run: InferenceRunName = None,
    port: Annotated[
        NonNegative, Parameter(validator=Number(gte=0, lte=65535), help="0: any free port")
    ] = 8000,
    browser: Annotated[bool, Parameter(help="open the page in a browser")] = True,
    folders: Folders = Folders(),
) -> None:
    """Draw digits in the browser; a run's networks answer."""
    from digit_recognizer.runs.inference import find_inference_run, rank_runs

    first = find_inference_run(folders.submissions_dir, run)
    import cv2
    import torch
    from werkzeug.serving import make_server

    from digit_recognizer.extras.play.app import build_app

    # Beside other programs, two threads wait for each other: half of the answers took more than
    # 250 ms instead of 22 to 39.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    with listen(port) as listener:
        app = build_app([first, *rank_runs(folders.submissions_dir)], folders.data_dir)
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)  # no line for each stroke
        # A browser opens connections that it does not use at once: each needs a thread.
        server = make_server("127.0.0.1", 0, app, threaded=True, fd=listener.fileno())
        # No traceback for a malformed request; the app's own errors are answered as JSON.
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        with suppress(KeyboardInterrupt):
            address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
            echo(f"draw digits: {address} (on this machine only; phones cannot reach it)")
            echo(f"predictions by {first.title}")
            if first.warning:
                echo(f"warning: {first.warning}")
            echo("Ctrl-C stops the server")
            if browser:
                threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()
            server.serve_forever()
        # Python's own end could be aborted by a thread of the server that has used torch.
        os._exit(0)


def listen(port: int) -> socket.socket:
    """Open a socket that only this machine can reach."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        advice = 'give another port, as in ARGS="--port 0"'
        raise UserError(f"port {port} cannot be opened ({reason}): {advice}") from None
