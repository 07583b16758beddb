"""The web application of `make play`, and the command."""

import signal
import socket
import subprocess
import urllib.request
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from support.drawn import huge_png
from support.runner import call, command
from support.strokes import encoded, png

from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.data.digit_image import decode_digits
from digit_recognizer.errors import FileError
from digit_recognizer.extras.play.app import MAX_UPLOAD_BYTES, build_app
from digit_recognizer.extras.play.predictor import data_url
from digit_recognizer.runs.inference import PRETRAINED, InferenceRun, ensemble_proba
from digit_recognizer.runs.run import Run
from digit_recognizer.training.device import find_devices

READ = "/read/drawing"


@pytest.fixture(scope="module")
def client(drawing: Path, drawing_run: Run) -> FlaskClient:
    return build_app([InferenceRun.read(drawing_run)], drawing / "data").test_client()


@pytest.mark.parametrize("digit", [0, 1, 4, 7])
def test_a_drawn_digit_is_predicted_as_by_make_predict(
    digit: int, client: FlaskClient, drawing_run: Run
) -> None:
    (answer,) = client.post(READ, data=png(digit)).get_json()["digits"]
    assert answer["label"] == digit
    (image,) = decode_digits(png(digit), "drawn")
    assert answer["image"] == data_url(image)
    expected = ensemble_proba(drawing_run, image[None], find_devices("cpu")[0])[0]
    np.testing.assert_allclose(answer["proba"], expected, atol=1e-9)
    np.testing.assert_allclose(np.mean(answer["members"], axis=0), expected, atol=1e-9)
    assert len(answer["members"]) == 2


def test_of_two_runs_called_pretrained_the_first_can_be_chosen(drawing_run: Run) -> None:
    drawing, packaged = InferenceRun.read(drawing_run), InferenceRun.read(PRETRAINED)
    own = replace(packaged, run=Run(drawing_run.run_dir.with_name("pretrained")), is_sample=True)
    app = build_app([drawing, own, drawing, packaged], drawing_run.run_dir.parent)
    choices = app.test_client().get("/").text.split("<option ")[1:]
    assert ["drawing" in choices[0], "pretrained" in choices[1], len(choices)] == [True, True, 2]
    assert "trained on the sample" in choices[1]  # the packaged one is not


def test_the_nearest_training_digit_of_a_training_digit_is_itself(
    client: FlaskClient, drawing: Path
) -> None:
    data = load_dataset(drawing / "data" / "sample")
    for row in (3, 700):
        (answer,) = client.post(READ, data=encoded(data.images[row])).get_json()["digits"]
        first, *others = answer["neighbours"]
        assert len(others) == 9
        itself = {"row": row, "label": data.labels[row], "image": data_url(data.images[row])}
        assert first == itself


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"", 422, "is not a PNG or JPEG picture"),
        (png(7)[:100], 422, "is not a PNG or JPEG picture"),
        (huge_png(10_000), 422, "The picture: has more than 64 million pixels: send a smaller"),
        (bytes(MAX_UPLOAD_BYTES + 1), 413, "exceeds the capacity limit"),
    ],
)
def test_a_bad_picture_is_refused_with_the_reason(
    client: FlaskClient, body: bytes, code: int, reason: str
) -> None:
    refused = client.post(READ, data=body)
    assert refused.status_code == code
    assert reason in refused.get_json()["error"]


def test_a_picture_without_a_digit_is_answered_with_none_and_the_reason(
    client: FlaskClient,
) -> None:
    answered = client.post(READ, data=encoded(np.full((50, 50), 255, np.uint8)))
    assert answered.status_code == 200
    assert answered.get_json()["digits"] == []
    assert "shows no digit" in answered.get_json()["error"]


@given(st.binary(max_size=200), st.integers(0, 3000))
def test_whatever_the_bytes_are_they_are_an_image_or_refused(noise: bytes, start: int) -> None:
    whole = png(4, 64)
    start %= len(whole)
    for body in (noise, whole[:start] + noise + whole[start + len(noise) :]):
        try:
            assert {digit.shape for digit in decode_digits(body, "noise")} == {(28, 28)}
        except FileError as error:
            assert str(error).startswith("noise: ")


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (28, 28)])
def test_a_picture_of_any_shape_is_answered(client: FlaskClient, shape: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert client.post(READ, data=encoded(noise)).status_code == 200


def test_other_names_and_other_sites_are_refused(client: FlaskClient) -> None:
    rebound = client.get("/", headers={"Host": "evil.example:8000"})
    assert rebound.status_code == 400
    assert "evil.example" in rebound.get_json()["error"]
    for origin in ("http://evil.example", "http://localhost:9999", "null"):
        foreign = client.post(READ, data=png(1), headers={"Origin": origin})
        assert foreign.status_code == 403
        assert foreign.get_json() == {
            "error": "This server answers requests from its own page only."
        }
    own = {"Origin": "http://127.0.0.1:8000", "Host": "127.0.0.1:8000"}
    assert client.post(READ, data=png(1), headers=own).status_code == 200
    page = client.get("/").headers
    assert page["X-Frame-Options"] == "DENY"
    assert "Access-Control-Allow-Origin" not in page


def test_unknown_addresses_methods_and_runs_are_refused_in_json(client: FlaskClient) -> None:
    assert client.get(READ).status_code == 405
    assert client.get("/elsewhere").get_json()["error"]
    gone = client.post("/read/gone", data=png(1))
    assert gone.get_json() == {"error": "There is no run called gone: load the page again."}


def test_a_port_in_use_is_one_line_with_the_fix(
    drawing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert call(drawing, "play", "--port", port) == 1
    assert capsys.readouterr() == (
        "",
        f"error: port {port} cannot be opened (Address already in use):"
        ' give another port, as in ARGS="--port 0"\n',
    )


def test_the_command_prints_its_address_answers_and_ends_cleanly_at_ctrl_c(drawing: Path) -> None:
    words = command("play", drawing, "--port", "0", "--no-browser", "--run", "drawing")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **pipes) as server, ExitStack() as ended:
        ended.callback(server.kill)  # where an assertion fails; the end of `with` waits for it
        first = server.stdout.readline()
        assert first.startswith("draw digits: http://127.0.0.1:")
        assert server.stdout.readline().startswith("predictions by drawing: CV accuracy 0.")
        assert "the sample" in server.stdout.readline()
        with urllib.request.urlopen(first.split()[2], timeout=30) as page:
            assert b"Draw a digit" in page.read()
        assert server.stdout.readline() == "Ctrl-C stops the server\n"
        port = int(first.split()[2].rstrip("/").rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as malformed:
            malformed.sendall(b"GET http://[::1/ HTTP/1.1\r\n\r\n")
            assert malformed.recv(1000) == b""  # and nothing on the terminal, below
        server.send_signal(signal.SIGINT)
        rest, errors = server.communicate(timeout=30)
    assert (server.returncode, rest, errors) == (0, "", "")
