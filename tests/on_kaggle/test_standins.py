import filelock
import numpy as np
import pytest
import safetensors.numpy

from digit_recognizer.learning.models import NETWORKS
from digit_recognizer.on_kaggle.standins import filelock as our_filelock
from digit_recognizer.on_kaggle.standins.safetensors import numpy as ours


@pytest.mark.parametrize("network", NETWORKS)
def test_weights_are_written_as_safetensors_writes_them(network: str) -> None:
    weights = {name: value.numpy() for name, value in NETWORKS[network]().state_dict().items()}
    assert ours.save(weights) == safetensors.numpy.save(weights)


def test_every_type_and_order_is_written_as_safetensors_writes_it() -> None:
    rng = np.random.default_rng(0)
    arrays = {f"{name} é": (rng.random((2, 3)) * 9).astype(name) for name in ours.NAMES}
    arrays |= {"b": np.zeros((0, 4), np.float32), "a": np.ones((), np.float32)}
    assert ours.save(arrays) == safetensors.numpy.save(arrays)
    read = safetensors.numpy.load(ours.save(arrays))
    assert all(np.array_equal(read[name], array) for name, array in arrays.items())


def test_a_lock_can_be_taken_as_filelock_s_is(tmp_path: object) -> None:
    for module in (filelock, our_filelock):
        with module.FileLock(f"{tmp_path}/.lock", timeout=0).acquire(timeout=0):
            pass
        lock = module.FileLock(f"{tmp_path}/.lock")
        with lock:
            lock.release()
        assert issubclass(module.Timeout, Exception)
