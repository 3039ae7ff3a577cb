"""Builds the ONNX graphs of VidTok's networks straight from a checkpoint's tensors."""
