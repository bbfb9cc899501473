"""Writes mixed.safetensors with the reference implementation (pip install safetensors numpy)."""
import numpy as np
from safetensors.numpy import save_file

save_file(
    {
        "b.weight": np.arange(6, dtype=np.float32).reshape(2, 3) / 4,
        "a.ids": np.array([1, -2, 3], dtype=np.int64),
        "z.half": np.array([0.5, -1.5], dtype=np.float16),
        "m.flag": np.array([True, False]),
        "é<&>": np.array(2.5, dtype=np.float64),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "i32": np.array([[7]], dtype=np.int32),
        "u8": np.array([255, 0, 1], dtype=np.uint8),
    },
    "mixed.safetensors",
    metadata={"format": "pt"},
)
