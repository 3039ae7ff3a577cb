"""How `tiny.ckpt` was made, with PyTorch 2.15: `python3 make_checkpoint.py tiny.ckpt`.

A real file of torch.save with what the reader must cope with: other types than float32, views with strides
and offsets, tensors that are not asked for, a module's `_metadata`. The tests expect these values by formula.
"""

import sys

import torch

state = torch.nn.Conv2d(2, 3, 1).state_dict(prefix="loss.")  # an OrderedDict that has _metadata
grid = torch.arange(12.0)
state["encoder.plain"] = torch.arange(6.0).reshape(2, 3) / 8
state["encoder.transposed"] = (torch.arange(6.0).reshape(2, 3) / 8).T
state["encoder.slice"] = grid[4:8].clone()
state["encoder.offset"] = grid[4:]
state["encoder.scalar"] = torch.tensor(0.5)
state["decoder.half"] = torch.arange(4).half() / 4
state["decoder.bfloat16"] = torch.arange(-2, 2).bfloat16() / 4
state["decoder.double"] = torch.arange(3).double() / 3
state["model_ema.num_updates"] = torch.tensor(7, dtype=torch.int)
torch.save({"epoch": 3, "state_dict": state, "pytorch-lightning_version": "2.0"}, sys.argv[1])
