"""Measures how far a student's tokens agree with its teacher's."""

import argparse
import json

import numpy as np

from footage import VIDEOS, read_video
from graph_runner import decode, encode
from measure import centre, psnr
from shape import BLOCK, GROUP
from teacher import Folder
from token_figures import split


def compare_tokens(found: np.ndarray, expected: np.ndarray, levels: tuple[int, ...]) -> dict[str, object]:
    """Figures of two flat arrays of token indices: how many are the same, by tokens and by channels."""
    far = np.abs(split(found, levels) - split(expected, levels))
    right = split(expected, levels).T
    return {
        "agreement": {
            "tokens": float(np.mean(found == expected)),
            "channels": (far == 0).mean(0).tolist(),
            "channels-within-one-level": (far <= 1).mean(0).tolist(),
        },
        "luck": {"tokens": 1 / float(np.prod(levels)), "channels": [1 / level for level in levels]},
        "best-constant": {
            "tokens": float(np.unique(expected, return_counts=True)[1].max() / len(expected)),
            "channels": [float(np.bincount(channel).max() / len(channel)) for channel in right],
        },
    }


def run(arguments: argparse.Namespace) -> None:
    folders = {"student": Folder(arguments.student), "teacher": Folder(arguments.teacher)}
    digest, other = (folder.description.digest for folder in folders.values())
    if digest != other:
        raise SystemExit(f"{arguments.student} is not for the tokens of {arguments.teacher}: its digest is {digest}")
    encoders = {name: folder.runner("encoder", arguments.threads) for name, folder in folders.items()}
    decoders = {name: folder.runner("decoder", arguments.threads) for name, folder in folders.items()}

    videos, all_tokens = {}, {name: [] for name in encoders}
    for path in sorted(path for path in arguments.data.iterdir() if path.suffix.lower() in VIDEOS):
        video = read_video(path, arguments.frames)
        video = centre(video[: 1 + (len(video) - 1) // GROUP * GROUP], arguments.size, arguments.size)
        figures = {"mean-colour": psnr(video, np.broadcast_to(video.mean((0, 1, 2)), video.shape))}
        for encoded_by, encoder in encoders.items():
            tokens = encode(encoder, video)
            all_tokens[encoded_by].append(tokens.ravel())
            for shown_by, decoder in decoders.items():
                shown = decode(decoder, tokens, folders[shown_by].description.decoder_delay, BLOCK)
                figures[f"{encoded_by}-encoder-{shown_by}-decoder"] = psnr(video, shown)
        videos[path.name] = figures
    if not videos:
        raise SystemExit(f"{arguments.data} holds no video ({' '.join(sorted(VIDEOS))})")
    found, expected = (np.concatenate(all_tokens[name]) for name in ("student", "teacher"))
    mean = {name: float(np.mean([figures[name] for figures in videos.values()])) for name in figures}
    agreement = compare_tokens(found, expected, folders["teacher"].description.levels)
    report = {"tokens": agreement, "psnr": {"mean": mean, "videos": videos}}
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "figures.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))
