"""From frame probabilities to text, and how right a text is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from millrace_training.metrics import wilson_interval
from millrace_training.rounding import rounded

from .documents import CHARSET, MAX_CHARS, render_line
from .measures import roc_auc

BLANK = 0


def encode(texts: Sequence[str]) -> NDArray[np.int32]:
    """Classes [n, MAX_CHARS] of the texts, filled up with BLANK."""
    classes = np.zeros((len(texts), MAX_CHARS), np.int32)
    for row, text in enumerate(texts):
        classes[row, : len(text)] = [CHARSET.index(char) + 1 for char in text]
    return classes


def decode(frames: NDArray[np.float32]) -> tuple[list[str], NDArray[np.float64]]:
    """Texts of frame probabilities [n, frames, classes] by the best path of CTC (Graves et al., ICML 2006),
    and the mean log probability of each path.
    """
    best = frames.argmax(axis=2)
    first = np.concatenate([np.ones((len(best), 1), bool), best[:, 1:] != best[:, :-1]], axis=1)
    texts = [
        ''.join(CHARSET[index - 1] for index in row[keep])
        for row, keep in zip(best, first & (best != BLANK), strict=True)
    ]
    return texts, np.log(np.clip(frames.max(axis=2), 1e-9, 1)).mean(axis=1)


def edits(said: str, truth: str) -> tuple[int, int]:
    """Levenshtein distance and the characters that a shortest alignment matches."""
    row: list[tuple[int, int]] = [(column, 0) for column in range(len(truth) + 1)]
    for index, char in enumerate(said, start=1):
        diagonal, row[0] = row[0], (index, 0)
        for column, wanted in enumerate(truth, start=1):
            above = row[column]
            same = char == wanted
            ways = (
                (diagonal[0] + (not same), -(diagonal[1] + same)),
                (above[0] + 1, -above[1]),
                (row[column - 1][0] + 1, -row[column - 1][1]),
            )
            distance, matched = min(ways)
            diagonal, row[column] = above, (distance, -matched)
    return row[-1]


def reading_report(said: Sequence[str], truth: Sequence[str], confidence: NDArray[Any]) -> dict[str, Any]:
    """Character accuracy (1 - edit distance / characters), precision, recall and F1 by alignment,
    share of lines read whole, and the ROC AUC of the confidence as a sign of a line read whole.
    """
    found = [edits(one, other) for one, other in zip(said, truth, strict=True)]
    total, produced = sum(map(len, truth)), sum(map(len, said))
    wrong, matched = (sum(part) for part in zip(*found, strict=True))
    right = max(0, total - wrong)
    low, high = wilson_interval(right, total)
    precision, recall = matched / max(1, produced), matched / total
    whole = np.array([distance == 0 for distance, _ in found])
    return {
        'accuracy': rounded(right / total),
        'interval95': [rounded(low), rounded(high)],
        'precision': rounded(precision),
        'recall': rounded(recall),
        'f1': rounded(2 * precision * recall / max(1e-9, precision + recall)),
        'rocAuc': rounded(roc_auc(confidence, whole)),
        'lineAccuracy': rounded(float(whole.mean())),
        'characters': total,
        'lines': len(truth),
        'edits': wrong,
    }


def character_accuracy(said: Sequence[str], truth: Sequence[str]) -> float:
    """1 - edit distance / characters, at least 0."""
    wrong = sum(edits(one, other)[0] for one, other in zip(said, truth, strict=True))
    return rounded(max(0.0, 1 - wrong / sum(map(len, truth))))


_GLYPH = (12, 16)


def _segments(picture: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """The connected columns of ink of a line, left to right, each scaled to _GLYPH."""
    grey = picture.reshape(picture.shape[:2])
    _, ink = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    columns = np.concatenate([[False], (ink > 0).sum(axis=0) > 1, [False]])
    starts, ends = (
        np.flatnonzero(np.diff(columns.astype(np.int8)) == 1),
        np.flatnonzero(np.diff(columns.astype(np.int8)) == -1),
    )
    parts: list[NDArray[np.float32]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if end - start >= 2:
            rows = np.flatnonzero(ink[:, start:end].any(axis=1))
            part = ink[rows[0] : rows[-1] + 1, start:end].astype(np.float32)
            glyph = cv2.resize(part, _GLYPH, interpolation=cv2.INTER_AREA)
            parts.append(np.asarray(glyph, np.float32).reshape(-1))
    return parts


def template_texts(pictures: NDArray[np.uint8]) -> list[str]:
    """The pictures [n, h, w, 1] read by the nearest of known glyphs: binarised, cut at empty columns."""
    rng = np.random.Generator(np.random.PCG64(0))
    names: list[str] = []
    glyphs: list[NDArray[np.float32]] = []
    for char in CHARSET.strip():
        for font in ('DejaVuSans', 'STIXGeneralBol', 'DejaVuSansMono'):
            segments = _segments(render_line(char, font, rng))
            if segments:
                names.append(char)
                glyphs.append(max(segments, key=lambda part: float(part.sum())))
    known = np.stack([glyph / (np.linalg.norm(glyph) + 1e-6) for glyph in glyphs])
    texts: list[str] = []
    for picture in pictures:
        parts = _segments(picture)
        texts.append(''.join(names[int(np.argmax(known @ part))] for part in parts))
    return texts
