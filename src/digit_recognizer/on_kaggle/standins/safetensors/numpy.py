"""safetensors.numpy's `save`, to the byte.

The format (https://github.com/huggingface/safetensors#format): the length of a JSON header as
8 bytes, little-endian; the header; the raw numbers.
"""

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

# In the order in which safetensors sorts them, the last first.
NAMES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "uint16": "U16",
    "float16": "F16",
    "int32": "I32",
    "uint32": "U32",
    "float32": "F32",
    "float64": "F64",
    "int64": "I64",
    "uint64": "U64",
}
ORDER = {name: place for place, name in enumerate(NAMES)}


def save(tensors: Mapping[str, NDArray[np.generic]]) -> bytes:
    """The bytes of a ``.safetensors`` file."""
    header, start = {}, 0
    names = sorted(tensors, key=lambda name: (-ORDER[tensors[name].dtype.name], name))
    for name in names:
        array = tensors[name]
        header[name] = {
            "dtype": NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [start, start + array.nbytes],
        }
        start += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    parts = [tensors[name].astype(tensors[name].dtype.newbyteorder("<")) for name in names]
    return len(text).to_bytes(8, "little") + text + b"".join(part.tobytes() for part in parts)
