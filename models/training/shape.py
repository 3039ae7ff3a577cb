"""What tokens stand for, and what else is known without PyTorch."""

GROUP, BLOCK = 4, 8  # frames, and pixels a side, that a token stands for
PARTS = ("encoder", "decoder", "both")  # what can be trained with a teacher
LUMA = (0.299, 0.587, 0.114)
NAME = "vidtok-small-488-32768"  # of the tokenizer that is built into the plugin
