"""Files of PyTorch are read without it, and hold nothing but tensors and plain values."""

import pickle
import zipfile

import numpy as np
import pytest
import torch

from epitool.errors import CheckpointError
from epitool.nn.looks import FEATURES
from epitool.nn.refiner import load_refiner
from epitool.nn.refiner_networks import RefinementNetwork
from epitool.nn.tensors import read_plain


def test_tensors_are_those_that_were_written(tmp_path):
    whole = torch.arange(12.0).reshape(3, 4)
    written = {
        "whole": whole, "part": whole[1:, ::2], "turned": whole.T.double(), "half": whole.half(), "long": whole.long(),
        "none": torch.zeros(0, 3), "number": torch.tensor(2.5),
    }  # fmt: skip
    torch.save({"format": "f", "weights": written, "names": ["a"]}, tmp_path / "x.pt")
    content = read_plain(tmp_path / "x.pt", "f", "epitool refine")
    assert content["names"] == ["a"]
    for name, tensor in written.items():
        np.testing.assert_array_equal(content["weights"][name], tensor.numpy())
        assert content["weights"][name].dtype == tensor.numpy().dtype


def test_objects_are_refused(tmp_path):
    torch.save({"format": "f", "of": tmp_path}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="more than tensors"):
        read_plain(tmp_path / "x.pt", "f", "epitool refine")


@pytest.mark.parametrize(("offset", "shape", "strides"), [(1, (3,), (1,)), (-1, (1,), (1,)), (0, (2, 2), (2, 1))])
def test_tensors_outside_their_storage_are_refused(tmp_path, offset, shape, strides):
    class Tensor:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Storage(), offset, shape, strides, False, None)

    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return ("storage", torch.FloatStorage, "0", "cpu", 3) if isinstance(obj, Storage) else None

    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        with archive.open("x/data.pkl", "w") as file:
            Pickler(file, 2).dump({"format": "f", "x": Tensor()})
        archive.writestr("x/data/0", np.zeros(3, np.float32).tobytes())
    with pytest.raises(CheckpointError, match=r"x\.pt"):
        read_plain(tmp_path / "x.pt", "f", "epitool refine")


def test_the_unit_answers_in_numpy_what_its_network_answers_in_pytorch():
    refiner = load_refiner()
    network = RefinementNetwork(refiner.options.width, refiner.options.dropout)
    network.load_state_dict({name: torch.tensor(values) for name, values in refiner.weights.items()})
    inputs = np.random.default_rng(0).normal(size=(300, FEATURES)).astype(np.float32)
    inputs[:, 32:48] = np.abs(inputs[:, 32:48])  # confidences
    inputs[100:200, 35], inputs[200:, 49:] = 0, 0  # a joint that is not seen, and no hint
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(refiner.infer(inputs), expected, atol=1e-5)
