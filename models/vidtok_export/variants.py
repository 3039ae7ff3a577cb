"""The variants of a tokenizer's graphs: a target and a precision each."""

TARGETS = ("cpu", "gpu")
PRECISIONS = ("fp32", "fp16")
