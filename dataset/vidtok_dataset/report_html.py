"""The report as one HTML file that needs no other: style, charts and pictures are in it, and there is no script."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from .charts import THIN, histogram, number, ranks, shares, short

Pictures = Sequence[dict[str, bytes]]
# Nothing in the file can load or run anything, whatever a file's name is.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def page(report: dict[str, Any], pictures: Sequence[Pictures]) -> str:
    """`pictures`: of each example, as files for each of its moments."""
    style = files(__package__).joinpath("report.css").read_text("utf-8")
    title = escape(report["name"])
    body = "\n".join(
        [
            _head(report),
            "<main>",
            _tiles(report),
            _examples(report["examples"], pictures),
            _codes(report) if report["codes"] else _channels(report),
            _distributions(report),
            _left_out(report),
            _made(report),
            "</main>",
            "<footer>Made by vidtok-dataset-report. The same numbers are in report.json.</footer>",
        ]
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title} – video tokens</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<link rel="icon" href="data:,">\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n'
    )


def _head(report: dict[str, Any]) -> str:
    made, counts = report["made"], report["counts"]
    tokenizer = made["tokenizer"].get("name", "no tokenizer, as there are no samples")
    sizes = report["sizes"]
    size = f" at {sizes[0]['width']}×{sizes[0]['height']} pixels" if len(sizes) == 1 else ""
    kind = "codes" if report["codes"] else "latents"
    return (
        '<header><p class="over">Data set of video tokens</p>'
        f"<h1>{escape(report['name'])}</h1>"
        f'<p class="lead">{_many(counts["clips"], "clip")} as {kind} of <b>{escape(str(tokenizer))}</b>{size},'
        f" in the layout <b>{escape(made['layout'])}</b></p></header>"
    )


def _tiles(report: dict[str, Any]) -> str:
    counts, codes, psnr = report["counts"], report["codes"], report["examples"]["psnr"]
    tiles = [
        _tile(number(counts["samples"]), "samples", f"of {_many(counts['clips'], 'clip')}"),
        _tile(*_duration(counts["hours"]), "of video", f"{number(counts['frames'])} frames"),
        _tile(_big(counts["tokens"]), "tokens", f"{number(counts['latent_frames'])} latent frames"),
        _tile(*_size(counts["bytes"]), "on disk", _many(counts["files"], "file")),
    ]
    if codes:
        tiles.append(_tile(_percent(codes["used"] / codes["size"]), "codes used", f"of {number(codes['size'])}"))
        bits = f"{codes['bits']:.2f} <small>/ {codes['most_bits']:.4g} bits</small>"
        tiles.append(_tile(bits, "entropy of a code", f"as {number(round(codes['perplexity']))} even codes"))
    elif report["channels"]:
        tiles.append(_tile(number(len(report["channels"])), "channels", "floats for each cell"))
    if psnr is not None:
        measured = sum(1 for clip in report["examples"]["clips"] if clip["problem"] is None)
        tiles.append(_tile(f"{psnr:.1f} <small>dB</small>", "PSNR", f"of {_many(measured, 'clip')}, below"))
    bad = counts["skipped"] or counts["damaged"]
    found = f"of {_many(counts['clips_planned'], 'clip')}; {number(counts['damaged'])} damaged"
    tiles.append(_tile(number(counts["skipped"]), "left out", found, "warn" if bad else ""))
    return f'<section class="tiles">{"".join(tiles)}</section>'


def _tile(value: str, label: str, more: str, kind: str = "") -> str:
    return f'<div class="tile {kind}"><b>{value}</b><span class="label">{label}</span><span>{more}</span></div>'


def _examples(examples: dict[str, Any], pictures: Sequence[Pictures]) -> str:
    if not examples["clips"] and not examples["problem"]:
        return ""
    parts = ["<section><h2>What the tokens keep</h2>"]
    if examples["problem"]:
        parts.append(f'<p class="note">No examples: {escape(examples["problem"])}.</p>')
    else:
        count = _many(len(examples["clips"]), "clip")
        parts.append(f'<p class="h2">{count}, spread evenly over the data set, with two moments each.</p>')
    cards = [_example(*each) for each in zip(examples["clips"], pictures, strict=True)]
    parts.append(f'<div class="examples">{"".join(cards)}</div>')
    if examples["clips"]:
        more = "A token's colour is made of its digits: red of the first and every third one after it, and so on."
        parts.append(f'<p class="quiet" style="margin-top:14px">{escape(examples["how"])} {more}</p>')
    return "".join([*parts, "</section>"])


def _example(clip: dict[str, Any], pictures: Pictures) -> str:
    measured = "" if clip["problem"] else f'<span class="db">{clip["psnr"]:.1f} dB</span>'
    head = f'<div class="clip-head"><h3>{escape(clip["key"])}</h3>{measured}</div>'
    if clip["problem"]:
        return f'<article class="card">{head}<p class="note">{escape(clip["problem"])}</p></article>'
    cells = ["<div>Original</div><div>From tokens</div><div>Tokens</div>"]
    for moment, files_of in zip(clip["moments"], pictures, strict=True):
        at = f"at {moment['seconds']:.2f} s"
        cells.append(f'<div class="when"><span>{at}</span><span>{moment["psnr"]:.1f} dB</span></div>')
        for name, kind in (("original", "jpeg"), ("reconstruction", "jpeg"), ("tokens", "png")):
            uri = f"data:image/{kind};base64,{base64.b64encode(files_of[name]).decode()}"
            text = escape(f"{name} of {clip['key']} {at}")
            style = f' class="map" style="aspect-ratio:{clip["width"]}/{clip["height"]}"' if name == "tokens" else ""
            cells.append(f'<img{style} src="{uri}" alt="{text}">')
    return f'<article class="card">{head}<div class="moments">{"".join(cells)}</div></article>'


def _codes(report: dict[str, Any]) -> str:
    codes, tokens = report["codes"], report["counts"]["tokens"]
    even = tokens / codes["size"]
    chance = ""
    if codes["dead_share_if_even"] > 0.001:
        chance = (
            f" With so few tokens, {_percent(codes['dead_share_if_even'])} would not be there even if all codes were"
            " equally likely."
        )
    label = "How often each code is there, by rank, logarithmic"
    rank_chart = ranks(codes["by_rank"]["ranks"], codes["by_rank"]["counts"], even, label)
    bits, most_bits = f"{codes['bits']:.2f}", f"{codes['most_bits']:.4g}"
    rows = "".join(
        f'<tr><td><code>{each["code"]}</code></td><td class="n">{number(each["count"])}</td>'
        f'<td class="n">{_percent(each["count"] / max(1, tokens))}</td></tr>'
        for each in codes["most_frequent"][:6]
    )
    full = codes["bits"] / codes["most_bits"]
    digits = "".join(
        f"<div><h3>Digit {at + 1}</h3>"
        f'<p class="quiet">{digit["bits"]:.2f} of {digit["most_bits"]:.3g} bits</p>'
        f"{shares(digit['counts'], f'How often digit {at + 1} has each value')}</div>"
        for at, digit in enumerate(codes["digits"])
    )
    return (
        "<section><h2>How the codebook is used</h2>"
        f'<p class="h2">{number(codes["used"])} of {number(codes["size"])} codes are there; {number(codes["dead"])}'
        f" ({_percent(codes['dead_share'])}) never are.{chance}</p>"
        f'<div class="grid"><div class="card"><h3>Codes by rank</h3><p class="quiet">Tokens of each code, logarithmic.'
        f' <i class="key"></i>All alike: {short(even)} each.</p>{rank_chart}</div>'
        f'<div class="card"><h3>Entropy</h3><p class="quiet">A code tells {bits} bits, of {most_bits} that it'
        f' could.</p><div class="meter"><i style="width:{100 * full:.1f}%"></i></div>'
        '<table><tr><th>most frequent</th><th class="n">tokens</th><th class="n">share</th></tr>'
        f"{rows}</table></div></div>"
        f'<div class="card" style="margin-top:16px"><h3>Digits</h3><p class="quiet">An index is made of'
        f" {_many(len(codes['digits']), 'digit')}, the lowest first; each stands for one number of the latent, in"
        f' steps. <i class="key"></i>All alike.</p><div class="digits">{digits}</div></div></section>'
    )


def _channels(report: dict[str, Any]) -> str:
    if not report["channels"]:
        return ""
    rows = "".join(
        f'<tr><td>{at}</td><td class="n">{each["mean"]:.4f}</td><td class="n">{each["deviation"]:.4f}</td></tr>'
        for at, each in enumerate(report["channels"])
    )
    return (
        "<section><h2>What the latents are</h2>"
        '<p class="h2">Mean and standard deviation of each channel: what a trainer scales by.</p>'
        '<div class="card"><table><tr><th>channel</th><th class="n">mean</th><th class="n">deviation</th></tr>'
        f"{rows}</table></div></section>"
    )


def _distributions(report: dict[str, Any]) -> str:
    motion = (
        "Share of tokens that differ from those of the latent frame before, in a sample."
        if report["codes"]
        else "Mean absolute difference from the latent frame before, in a sample."
    )
    cards = [
        _distribution("Length", "How long a sample is.", "seconds", "s", report["lengths"]),
        _distribution("Motion", motion, "motion", "", report["motion"]),
    ]
    inside = f'<div class="grid" style="margin-top:14px">{"".join(cards)}</div>'
    return f"<section><h2>Lengths and motion</h2>{inside}</section>"


def _distribution(title: str, text: str, axis: str, unit: str, values: dict[str, Any] | None) -> str:
    def of(value: float) -> str:
        return f"{short(value)}{THIN}{unit}".rstrip(THIN)

    head = f'<div class="card"><h3>{title}</h3><p class="quiet">{text}'
    if values is None:
        return f"{head} No sample has one.</p></div>"
    if values["least"]["value"] == values["most"]["value"]:
        return f"{head} It is {of(values['median'])} for every one.</p></div>"
    chart = histogram(
        values["edges"], values["counts"], axis, f"{title}: number of samples by {axis}", values["median"]
    )
    ends = "; ".join(
        f"{word} {of(values[end]['value'])} (<code>{escape(values[end]['key'])}</code>)"
        for word, end in (("least", "least"), ("most", "most"))
    )
    notes = [f"Mean {of(values['mean'])}; {ends}."]
    if values["beyond"]:
        notes.append(f"{_many(values['beyond'], 'sample')} beyond the chart.")
    if values["unknown"]:
        notes.append(f"{_many(values['unknown'], 'sample')} without: one latent frame for each segment.")
    return (
        f'{head} <i class="key"></i>Median: {of(values["median"])}.</p>{chart}'
        f'<p class="quiet" style="margin-top:8px">{" ".join(notes)}</p></div>'
    )


def _left_out(report: dict[str, Any]) -> str:
    counts = report["counts"]
    parts = ["<section><h2>Left out, and damaged</h2>"]
    if not counts["skipped"] and not counts["damaged"]:
        return f'{parts[0]}<p class="fine">Every clip was tokenized, and no decoder complained.</p></section>'
    if counts["skipped"]:
        rows = "".join(_reason(each) for each in report["skipped"])
        parts.append(
            f'<p class="h2">{_many(counts["skipped"], "clip")} could not be tokenized.</p><div class="card">'
            f'<table><tr><th>why</th><th class="n">clips</th></tr>{rows}</table></div>'
        )
    if counts["damaged"]:
        rows = "".join(
            f"<tr><td>{escape(_name(each['path']))}</td><td>{escape(_damage(each))}</td></tr>"
            for each in report["damaged"]
        )
        parts.append(
            f'<p class="h2" style="margin-top:20px">{_many(counts["damaged"], "clip")} with damage, tokenized as'
            " decoders conceal it:</p>"
            f'<div class="card"><table class="two"><tr><th>video</th><th>damage</th></tr>{rows}</table></div>'
        )
    shown = len(report["damaged"])
    if shown < counts["damaged"]:
        parts.append(f'<p class="quiet">The first {shown}; manifest.json has all.</p>')
    return "".join([*parts, "</section>"])


def _reason(each: dict[str, Any]) -> str:
    names = "".join(f"<li>{escape(_name(path))}</li>" for path in each["paths"])
    more = each["clips"] - len(each["paths"])
    if more:
        names += f"<li>and {number(more)} more, in manifest.json</li>"
    return (
        f"<tr><td>{escape(each['reason'])}<details{' open' if each['clips'] <= 3 else ''}><summary>which</summary>"
        f'<ul class="quiet">{names}</ul></details></td><td class="n">{number(each["clips"])}</td></tr>'
    )


def _damage(each: dict[str, Any]) -> str:
    said = []
    if "messages" in each:
        said.append(f"{_many(each['messages'], 'message')} of its decoder, as “{next(iter(each['first']), '')}”")
    if "ends_at" in each:
        said.append(f"it ends at {each['ends_at']} s of {each['should_end_at']}")
    return "; ".join(said)


def _made(report: dict[str, Any]) -> str:
    made = report["made"]
    tokenizer = made["tokenizer"]
    rows: list[tuple[str, str]] = [("tokenizer", escape(str(tokenizer.get("name"))))]
    if "digest" in tokenizer:
        rows.append(("its digest", f"<code>{escape(tokenizer['digest'])}</code>"))
    if levels := tokenizer.get("levels"):
        rows.append(("levels", " × ".join(map(str, levels))))
    if "time_factor" in tokenizer:
        kind = "causal" if tokenizer["is_causal"] else "not causal"
        factor = tokenizer["space_factor"]
        rows.append(("a token", f"{factor}×{factor} pixels of {_many(tokenizer['time_factor'], 'frame')}, {kind}"))
    sizes = [f"{each['width']}×{each['height']} ({_many(each['samples'], 'sample')})" for each in report["sizes"]]
    rows.append(("pictures", _listed(sizes, 8)))
    pixels = [f"<code>{escape(each['pixels'])}</code> ({_many(each['clips'], 'clip')})" for each in made["pixels"]]
    rows.append(("pixels", _listed(pixels, 8)))
    options = [f"{name} = {value}" for name, value in made["options"].items() if value is not None]
    rows.append(("options", "<br>".join(f"<code>{escape(text)}</code>" for text in options)))
    given = {name: value for name, value in made["layout_options"].items() if value is not None}
    layout = [made["layout"], *(f"{name} = {value}" for name, value in given.items())]
    layout.append(f"{number(made['clips_per_shard'])} clips for each shard at most")
    rows.append(("layout", escape(", ".join(layout))))
    if made["side"]:
        rows.append(("side data", f"<code>{escape(made['side'])}</code>"))
    terms = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f'<section><h2>What made it</h2><div class="card" style="margin-top:14px"><dl>{terms}</dl></div></section>'


def _listed(items: Sequence[str], most: int) -> str:
    shown: Iterable[str] = items[:most]
    more = [f"and {number(len(items) - most)} others"] if len(items) > most else []
    return "<br>".join([*shown, *more]) or "none"


def _many(count: int, noun: str) -> str:
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def _percent(share: float) -> str:
    percent = 100 * share
    if 0 < percent < 0.01:
        return f"below 0.01{THIN}%"
    return f"{percent:.3g}{THIN}%" if percent < 99.95 else f"{percent:.4g}{THIN}%"


def _duration(hours: float) -> tuple[str]:
    if hours >= 1:
        return (f"{number(round(hours, 1)) if hours < 1000 else number(round(hours))} <small>h</small>",)
    minutes, seconds = divmod(round(hours * 3600), 60)
    if not minutes:
        return (f"{seconds} <small>s</small>",)
    return (f"{minutes} <small>min</small> {seconds} <small>s</small>",)


def _big(count: int) -> str:
    return number(count) if count < 10_000_000 else short(count)


def _size(count: int) -> tuple[str]:
    for size, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= size:
            return (f"{count / size:.3g} <small>{unit}</small>",)
    return (f"{count} <small>B</small>",)


def _name(path: str) -> str:
    """The end of a path, with the folder that it is in."""
    return "/".join(path.replace("\\", "/").rsplit("/", 2)[-2:])
