"""How samples are written: a class for each layout, by name."""

from .base import FileEntry, Layout, LayoutError, ShardInfo, verify
from .commavq import CommaVQ, CommaVQFlat
from .frame_files import FrameFiles
from .hdf5 import Hdf5
from .lerobot import LeRobot
from .mds import Mds
from .one_x import OneXV1, OneXV2
from .parquet import Parquet
from .safetensors_files import Safetensors
from .vidtok_files import Vidtok
from .web_dataset import WebDataset

LAYOUTS: dict[str, type[Layout]] = {
    layout.name: layout
    for layout in (
        OneXV1,
        OneXV2,
        CommaVQ,
        CommaVQFlat,
        WebDataset,
        Safetensors,
        Vidtok,
        FrameFiles,
        Hdf5,
        Parquet,
        Mds,
        LeRobot,
    )
}

__all__ = ["LAYOUTS", "FileEntry", "Layout", "LayoutError", "ShardInfo", "verify"]
