"""Constants that are needed without PyTorch."""

GROUP, BLOCK = 4, 8  # frames, and pixels per side, that a token stands for
PARTS = ("encoder", "decoder", "both")  # the parts that can be trained with a teacher
LUMA = (0.299, 0.587, 0.114)
NAME = "vidtok-small-488-32768"  # the tokenizer that is built into the plugin
# Of `small_network.Configuration`, what train.py's --network may set.
SIZES = (
    "width",
    "deep_width",
    "encoder_blocks",
    "encoder_deep_blocks",
    "decoder_deep_blocks",
    "decoder_blocks",
    "decoder_width",
    "decoder_deep_width",
)
