"""A stand-in where rich is not installed: VidTok's networks print with it."""

print = print
