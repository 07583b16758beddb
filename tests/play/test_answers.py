"""What the drawing board answers, asked through its web application and its command."""

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from play.strokes import encoded, png

from digit_recognizer.cli import main
from digit_recognizer.learning.device import find_placements
from digit_recognizer.pages.play import LARGEST
from digit_recognizer.stages.play import Reader, app_of, choose
from digit_recognizer.stages.predict import ensemble_proba
from digit_recognizer.storage.datasets import load
from digit_recognizer.storage.files import read_json, write_json
from digit_recognizer.storage.pictures import PictureError, picture_digit
from digit_recognizer.storage.runs import Run, RunError

PNG = "image/png"


@pytest.fixture(scope="module")
def reader(drawing: Path, drawing_run: Run) -> Reader:
    notes: list[str] = []
    reader = Reader(drawing_run, drawing / "data", notes.append)
    assert notes == []
    return reader


@pytest.fixture(scope="module")
def client(drawing_run: Run, reader: Reader) -> FlaskClient:
    return app_of(drawing_run, reader).test_client()


@pytest.mark.parametrize("digit", [0, 1, 4, 7])
def test_a_drawn_digit_is_read_as_make_predict_reads_it(
    digit: int, client: FlaskClient, drawing_run: Run
) -> None:
    answer = client.post("/read", data=png(digit), content_type=PNG).get_json()
    assert answer["label"] == digit
    image = picture_digit(png(digit), "drawn")
    assert base64.b64decode(answer["image"]) == image.tobytes()
    expected = ensemble_proba(drawing_run, image[None], find_placements("cpu")[0][0])[0]
    # bf16 rounds a batch of five views otherwise than five batches
    np.testing.assert_allclose(answer["proba"], expected, atol=0.02)
    np.testing.assert_allclose(np.mean(answer["members"], axis=0), answer["proba"], atol=1e-5)
    assert len(answer["members"]) == 2


def test_the_nearest_training_digit_of_a_training_digit_is_itself(
    client: FlaskClient, drawing: Path
) -> None:
    data, _ = load(drawing / "data" / "sample")
    for row in (3, 700):
        sent = encoded(data.images[row])
        nearest = client.post("/read", data=sent, content_type=PNG).get_json()["neighbours"]
        assert len(nearest) == 10
        assert (nearest[0]["row"], nearest[0]["distance"]) == (row, 0)
        assert nearest[0]["label"] == data.labels[row]
        assert base64.b64decode(nearest[0]["image"]) == data.images[row].tobytes()
        distances = [near["distance"] for near in nearest]
        assert distances == sorted(distances)


@pytest.mark.parametrize(
    ("body", "kind", "code", "reason"),
    [
        (png(None), PNG, 422, "an empty canvas is not a digit"),
        (encoded(np.full((50, 50), 255, np.uint8)), PNG, 422, "an empty canvas is not a digit"),
        (b"", PNG, 422, "is not a PNG or JPEG picture"),
        (png(7)[:100], PNG, 422, "is not a PNG or JPEG picture"),
        (b"7", "text/plain", 415, "send image/png or image/jpeg, not text/plain"),
        (b"7", None, 415, "send image/png or image/jpeg, not nothing"),
        (bytes(LARGEST + 1), PNG, 413, "more than 16 MB: send a smaller one"),
    ],
)  # fmt: skip
def test_a_bad_picture_is_refused_with_the_reason(
    client: FlaskClient, body: bytes, kind: str | None, code: int, reason: str
) -> None:
    refused = client.post("/read", data=body, content_type=kind)
    assert refused.status_code == code
    assert reason in refused.get_json()["error"]


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(0, 3000))
def test_whatever_the_bytes_are_they_are_an_image_or_refused(noise: bytes, place: int) -> None:
    whole = png(4, 64)
    place %= len(whole)
    for body in (noise, whole[:place] + noise + whole[place + len(noise) :]):
        try:
            assert picture_digit(body, "noise").shape == (28, 28)
        except PictureError as error:
            assert str(error).startswith("noise: ")


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (28, 28)])
def test_a_picture_of_any_shape_is_answered_or_refused(
    client: FlaskClient, shape: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    assert client.post("/read", data=encoded(noise), content_type=PNG).status_code in (200, 422)


def test_other_names_and_other_sites_are_refused(client: FlaskClient) -> None:
    rebound = client.get("/", headers={"Host": "evil.example:8000"})
    assert rebound.status_code == 400
    assert "evil.example" in rebound.get_json()["error"]
    for origin in ("http://evil.example", "http://localhost:9999", "null"):
        foreign = client.post("/read", data=png(1), content_type=PNG, headers={"Origin": origin})
        assert foreign.status_code == 403
        assert foreign.get_json() == {"error": "the drawing board answers its own page only"}
    own = {"Origin": "http://127.0.0.1:8000", "Host": "127.0.0.1:8000"}
    assert client.post("/read", data=png(1), content_type=PNG, headers=own).status_code == 200


def test_unknown_addresses_and_methods_are_refused_in_json(client: FlaskClient) -> None:
    assert client.get("/read").status_code == 405
    assert client.get("/elsewhere").status_code == 404
    assert client.get("/elsewhere").get_json()["error"]


def test_the_page_may_run_its_own_script_only_and_ask_nobody_else(client: FlaskClient) -> None:
    headers = client.get("/").headers
    policy = headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers


def test_without_its_training_data_a_run_answers_all_the_same(
    drawing_run: Run, tmp_path: Path
) -> None:
    notes: list[str] = []
    reader = Reader(drawing_run, tmp_path, notes.append)
    reading = reader.read(png(7))
    assert reading.proba.argmax() == 7
    assert reading.neighbours == []
    assert len(notes) == 1
    assert "no nearest training digits" in notes[0]


def test_the_parts_of_a_blend_weigh_the_same(drawing: Path, tmp_path: Path) -> None:
    submissions = tmp_path / "submissions"
    for name in ("two", "one"):
        shutil.copytree(drawing / "submissions" / "drawing", submissions / name)
    one = Run(submissions / "one")
    write_json(one.recipe_path, {**one.request(), "folds": "1"})
    shutil.rmtree(one.member_dir("fold0-seed0"))
    environment = read_json(submissions / "one" / "environment.json")
    both = Run(submissions / "both")
    write_json(both.recipe_path, {"dataset": "sample", "blend_of": ["two", "one"]})
    write_json(both.environment_path, environment)
    reader = Reader(both, drawing / "data", lambda note: None)
    assert reader.member_names == ["two/fold0-seed0", "two/fold1-seed0", "one/fold1-seed0"]
    reading = reader.read(png(4))
    first, second, again = reading.members
    np.testing.assert_array_equal(second, again)
    np.testing.assert_allclose(reading.proba, 0.25 * first + 0.75 * second, atol=1e-9)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=5), st.integers(1, 20))
def test_as_many_members_answer_as_fit_taken_in_turn(sizes: list[int], most: int) -> None:
    names = [[f"{part}-{turn}" for turn in range(size)] for part, size in enumerate(sizes)]
    chosen = choose(names, most)
    assert sum(map(len, chosen)) == min(most, sum(sizes))
    for kept, members in zip(chosen, names, strict=True):
        assert kept == members[: len(kept)]
        if len(kept) < len(members):  # whoever could give more gave as many as anyone, or one less
            assert len(kept) >= max(map(len, chosen)) - 1


def test_damaged_and_missing_networks_are_one_line(drawing: Path, tmp_path: Path) -> None:
    shutil.copytree(drawing / "submissions" / "drawing", tmp_path / "worn")
    worn = Run(tmp_path / "worn")
    worn.weights_path("fold1-seed0").write_bytes(b"not safetensors at all")
    with pytest.raises(RunError, match=r"model\.safetensors: is damaged: delete its folder and"):
        Reader(worn, drawing / "data", print)
    worn.weights_path("fold1-seed0").unlink()
    with pytest.raises(RunError, match=r"model\.safetensors: is damaged: delete its folder and"):
        Reader(worn, drawing / "data", print)
    shutil.rmtree(worn.member_dir("fold1-seed0"))
    with pytest.raises(RunError, match=r"is not finished: run 'make train DATA=\w+ RECIPE="):
        Reader(worn, drawing / "data", print)


def test_a_port_that_is_taken_is_one_line_with_the_remedy(
    drawing: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        folders = ["--data-dir", str(drawing / "data")]
        folders += ["--submissions-dir", str(drawing / "submissions")]
        assert main(["play", *folders, "--port", port]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == (
        f'error: port {port} is taken by another program: give another, as in ARGS="--port 0"\n'
    )


def test_the_command_says_where_it_is_answers_and_ends_cleanly_at_ctrl_c(drawing: Path) -> None:
    words = ["--data-dir", str(drawing / "data"), "--port", "0"]
    words += ["--submissions-dir", str(drawing / "submissions")]
    with subprocess.Popen(
        [sys.executable, "-m", "digit_recognizer", "play", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as server:
        assert server.stdout is not None
        first = server.stdout.readline()
        assert first.startswith("drawing board of drawing: http://127.0.0.1:")
        with urllib.request.urlopen(first.split(": ")[1].strip(), timeout=30) as page:
            assert b"Draw a digit" in page.read()
        assert server.stdout.readline() == "Ctrl-C ends it\n"
        server.send_signal(signal.SIGINT)
        rest, errors = server.communicate(timeout=30)
    assert server.returncode == 0, errors
    assert rest == ""
    assert errors == ""
