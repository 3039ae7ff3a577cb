"""Writes the frames of a video as PyAV reads them, RGB, to an .npy file: read_video.py VIDEO FILE

It runs with the PyAV that PYTHONPATH leads to, and prints that one's version.
"""

import sys

import av
import numpy as np

with av.open(sys.argv[1]) as video:
    frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
np.save(sys.argv[2], np.stack(frames))
print(av.__version__)
