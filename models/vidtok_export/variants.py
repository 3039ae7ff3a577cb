"""Which graphs of a tokenizer there can be."""

TARGETS = ("cpu", "gpu")
PRECISIONS = ("fp32", "fp16")
