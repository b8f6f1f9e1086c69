"""Choice of the processor that networks run on."""

from __future__ import annotations

import torch

from epitool.errors import UsageError
from epitool.options.shared import check_device


def computes_bfloat16(device: torch.device) -> bool:
    """Return whether a device multiplies bfloat16 matrices natively; elsewhere this is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older releases
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def pick_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is the first CUDA device, or the CPU where there is none.

    Raises:
        UsageError: There is no device of that name.
    """
    check_device(name)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(f"--device {name}: PyTorch finds {torch.cuda.device_count()} CUDA devices; use cpu")
    return device
