"""Draws the ratios of a run: a point for every case, a panel for every pass."""

from pathlib import Path

from .results import Row, Run, geometric_mean

COLORS = {"contiguous": "#c44e3f", "channels_last": "#2f6db3"}
LABELS = {"contiguous": "NCHW", "channels_last": "channels_last"}
ROW_INCHES = 0.17


def plot(run: Run, path: Path) -> list[Path]:
    """Writes one picture for each setting; with several, their names stand in the files'."""
    settings = list(dict.fromkeys(row.setting for row in run.rows))
    written = []
    for setting in settings:
        target = path
        if len(settings) > 1:
            target = path.with_stem(f"{path.stem}-{setting.replace(', ', '-').replace(' ', '-')}")
        target.parent.mkdir(parents=True, exist_ok=True)
        _draw([row for row in run.rows if row.setting == setting], run.facts, target)
        written.append(target)
    return written


def _draw(rows: list[Row], facts: dict[str, str], path: Path) -> None:
    """Cases from the top down, sorted by their kind, which a band marks."""
    from matplotlib.figure import Figure

    passes = list(dict.fromkeys(row.which for row in rows))
    kinds = list(dict.fromkeys(row.kind for row in rows))
    names = {kind: list(dict.fromkeys(r.name for r in rows if r.kind == kind)) for kind in kinds}
    lines = [name for kind in kinds for name in names[kind]]
    height = ROW_INCHES * len(lines) + 1.7
    figure = Figure(figsize=(3.4 + 2.9 * len(passes), height), layout="constrained")
    panels = figure.subplots(1, len(passes), sharey=True, sharex=True, squeeze=False)[0]
    for panel, which in zip(panels, passes, strict=True):
        _draw_panel(panel, [row for row in rows if row.which == which], lines)
        panel.set_title(which.replace("_", " "), fontsize=10)
        top = 0
        for index, kind in enumerate(kinds):
            if index % 2 == 0:
                panel.axhspan(top - 0.5, top + len(names[kind]) - 0.5, color="#f2f2f2", zorder=0)
            top += len(names[kind])
    panels[0].set_yticks(
        range(len(lines)), [name.rsplit(" (x", 1)[0] for name in lines], fontsize=7
    )
    panels[0].set_ylim(len(lines) - 0.5, -0.5)
    _label_kinds(panels[-1], kinds, names)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.suptitle(
        f"Speed of cnnops over torch: {rows[0].benchmark}, {rows[0].setting}\n"
        f"{facts['machine']}; {facts['versions']}",
        fontsize=9,
    )
    figure.savefig(path, dpi=110)


def _draw_panel(panel, rows, lines):
    """The ratios of one pass, a colour for each format, their geometric means as lines."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    panel.set_xscale("log", base=2)
    for memory_format, color in COLORS.items():
        chosen = {row.name: row.ratio for row in rows if row.memory_format == memory_format}
        if not chosen:
            continue
        mean = geometric_mean(chosen.values())
        places = [lines.index(name) for name in chosen]
        label = LABELS[memory_format]
        panel.scatter(
            chosen.values(), places, s=16, color=color, label=label, zorder=3, linewidth=0
        )
        panel.axvline(mean, color=color, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
        place, side = (0, "left") if memory_format == "contiguous" else (1, "right")
        panel.annotate(
            f"mean {mean:.2f}",
            (place, 1),
            xycoords="axes fraction",
            xytext=(0, 4),
            textcoords="offset points",
            fontsize=8,
            color=color,
            horizontalalignment=side,
        )
    panel.axvline(1, color="black", linewidth=1, zorder=2)
    panel.xaxis.set_major_locator(FixedLocator([2.0**power for power in range(-5, 8)]))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(_as_fraction))
    panel.grid(axis="x", color="#dddddd", linewidth=0.6, zorder=1)
    panel.tick_params(labelsize=8, length=0)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.set_xlabel("torch's time / cnnops' time", fontsize=8)


def _as_fraction(ratio: float, _) -> str:
    return f"{ratio:g}" if ratio >= 1 else f"1/{1 / ratio:g}"


def _label_kinds(panel, kinds, names):
    """Names the bands at the right border."""
    top = 0
    for kind in kinds:
        panel.annotate(
            kind,
            (1.02, top + (len(names[kind]) - 1) / 2),
            xycoords=("axes fraction", "data"),
            fontsize=8,
            verticalalignment="center",
        )
        top += len(names[kind])
