# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# OpenCV and NumPy ship no complete types.
"""The document dataset: one printed line of an identity document a picture, with the text that it shows.

Names, numbers, dates and parts of machine-readable zones, set in the fonts that matplotlib ships, over an
uneven ground with guilloche lines, skewed, blurred, noisy and compressed. Fonts of the held-out split are in
no other, and its skew, blur and noise reach further than those of the others.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .dataset import SPLITS, Sample, Split
from .folders import Found, pictures, split_by_group, text_table, unusable

FORMAT = 'millrace-veid-ocr-v1'
HEIGHT, WIDTH = 24, 192
SHAPE = (HEIGHT, WIDTH, 1)
CHARSET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<-./ '
"""What the model reads; class k + 1 is CHARSET[k], class 0 the blank between characters."""

MAX_CHARS = 14
MIN_CHARS = 6
TEXTS_FILE = 'labels.csv'

FONTS = {
    'train': (
        'DejaVuSans',
        'DejaVuSans-Bold',
        'DejaVuSans-Oblique',
        'DejaVuSansMono',
        'DejaVuSansMono-BoldOblique',
        'DejaVuSerif-Bold',
        'DejaVuSerif-Italic',
        'STIXGeneralBol',
        'STIXGeneralItalic',
        'cmr10',
        'cmtt10',
    ),
    'validation': ('DejaVuSans-BoldOblique', 'STIXGeneralBolIta'),
    'heldout': ('DejaVuSerif', 'DejaVuSansMono-Bold', 'STIXGeneral', 'cmss10'),
}
"""Font files of each split; all in the wheel of matplotlib."""

STRENGTH = {'train': 0.8, 'validation': 0.8, 'heldout': 1.0}
"""Reach of skew, blur and noise: the held-out lines go a quarter beyond what a training sees."""

SCHEMA = {
    'task': 'text-recognition',
    'charset': CHARSET,
    'features': [{'name': 'input', 'dtype': 'uint8', 'shape': list(SHAPE)}],
    'label': {'name': 'texts', 'dtype': 'str', 'maxLength': MAX_CHARS},
    'columns': {'labels': 'characters in the text', 'groups': 'font', 'kinds': 'name, number, date or mrz'},
}

KINDS = ('name', 'number', 'date', 'mrz')
_NO_ANGLE = {'cmr10', 'cmss10'}
"""Fonts in the old encoding of TeX, which have another sign in the place of `<`."""

_STREAM = 0x646F6373
_OVERSAMPLING = 2


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / 'fonts' / 'ttf'
    return ImageFont.truetype(str(folder / f'{name}.ttf'), size, layout_engine=ImageFont.Layout.BASIC)


def draw_text(kind: str, rng: np.random.Generator) -> str:
    """A text of MIN_CHARS to MAX_CHARS characters; letters and digits are drawn evenly."""

    def letters(count: int) -> str:
        return ''.join(CHARSET[int(index)] for index in rng.integers(0, 26, count))

    def digits(count: int) -> str:
        return ''.join(str(int(digit)) for digit in rng.integers(0, 10, count))

    if kind == 'name':
        first = int(rng.integers(3, 7))
        return f'{letters(first)} {letters(int(rng.integers(2, MAX_CHARS - first)))}'
    if kind == 'date':
        mark = '.-/'[int(rng.integers(0, 3))]
        return f'{digits(2)}{mark}{digits(2)}{mark}{digits(4)}'
    if kind == 'number':
        head = int(rng.integers(1, 4))
        return f'{letters(head)}{digits(int(rng.integers(5, MAX_CHARS - head - 1)))}-{digits(1)}'[:MAX_CHARS]
    first = int(rng.integers(3, 7))
    return f'{letters(first)}<<{letters(2)}{digits(int(rng.integers(1, 4)))}<'[:MAX_CHARS]


def _ink(text: str, font: str, rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """Cover [HEIGHT, WIDTH] of the set text after skew and shear, 0..1."""
    height, width = HEIGHT * _OVERSAMPLING, WIDTH * _OVERSAMPLING
    size = int(rng.integers(29, 37))
    face = _font(font, size)
    while face.getlength(text) > width - 24:
        size -= 1
        face = _font(font, size)
    canvas = Image.new('L', (width, height), 0)
    room = width - face.getlength(text)
    left = float(rng.uniform(6, max(7.0, room - 8)))
    ImageDraw.Draw(canvas).text((left, height / 2), text, fill=255, font=face, anchor='lm')
    angle, shear = strength * float(rng.uniform(-1.8, 1.8)), strength * float(rng.uniform(-0.12, 0.12))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, float(rng.uniform(0.97, 1.02)))
    matrix[0, 1] += shear
    matrix[0, 2] -= shear * height / 2
    matrix[1, 2] += float(rng.uniform(-2.5, 2.5))
    turned = cv2.warpAffine(
        np.asarray(canvas, np.float32) / 255, matrix, (width, height), flags=cv2.INTER_LINEAR
    )
    return cv2.resize(turned, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)


def _ground(rng: np.random.Generator) -> NDArray[np.float32]:
    """Paper [HEIGHT, WIDTH] with uneven light and guilloche lines, about 0.55 to 1."""
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    light = rng.uniform(-0.08, 0.08) * (x / WIDTH - 0.5) + rng.uniform(-0.06, 0.06) * (y / HEIGHT - 0.5)
    ground = np.float32(rng.uniform(0.7, 0.92)) + light
    for _ in range(int(rng.integers(1, 4))):
        wave = rng.uniform(2, 6) * np.sin(2 * np.pi * (x / rng.uniform(30, 110) + rng.uniform(0, 1)))
        phase = (y + wave + rng.uniform(-0.4, 0.4) * x) / rng.uniform(3.5, 9)
        ground = ground - np.float32(rng.uniform(0.01, 0.07)) * (np.sin(2 * np.pi * phase) > 0.55)
    return ground.astype(np.float32)


def render_line(text: str, font: str, rng: np.random.Generator, strength: float = 1.0) -> NDArray[np.uint8]:
    """The picture [HEIGHT, WIDTH, 1] uint8 of `text`; `strength` scales skew, blur and noise."""
    ground = _ground(rng)
    ink = np.float32(rng.uniform(0.03, 0.3))
    picture = ground + _ink(text, font, rng, strength) * (ink - ground)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.25 + strength * float(rng.uniform(0.0, 0.5)))
    picture += np.float32(strength * rng.uniform(0.005, 0.045)) * rng.standard_normal(
        picture.shape, dtype=np.float32
    )
    stream = io.BytesIO()
    grey = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(grey).save(stream, 'JPEG', quality=int(rng.integers(55, 96)))
    return np.asarray(Image.open(stream), np.uint8).reshape(SHAPE)


def sampler(split: str, seed: int) -> Callable[[int], Sample]:
    """Draws picture `number` of a split; kinds and fonts take turns."""

    def draw(number: int) -> Sample:
        rng = np.random.Generator(np.random.PCG64([_STREAM, SPLITS.index(split), seed, number]))
        kind = KINDS[number % len(KINDS)]
        font = FONTS[split][number // len(KINDS) % len(FONTS[split])]
        text = draw_text(kind, rng)
        if font in _NO_ANGLE:
            text = text.replace('<', '-')
        assert MIN_CHARS <= len(text) <= MAX_CHARS
        return Sample(render_line(text, font, rng, STRENGTH[split]), len(text), font, kind, text)

    return draw


def read_folder(folder: Path) -> tuple[dict[str, Split], str]:
    """A user's lines: pictures and `labels.csv` with the columns file, text and, if known, group.

    Raises `dataset_unusable`, for a text with signs outside CHARSET too.
    """
    texts = text_table(folder, TEXTS_FILE)
    found: list[Found] = []
    for path, _ in pictures(folder):
        name = path.relative_to(folder).as_posix()
        if name not in texts:
            raise unusable(f'{name} has no line in {TEXTS_FILE}; add its text or remove it.')
        text, group = texts[name]
        if not 1 <= len(text) <= MAX_CHARS or any(char not in CHARSET for char in text):
            raise unusable(f'The text of {name} must have 1 to {MAX_CHARS} characters out of "{CHARSET}".')
        found.append(Found(path, len(text), group, 'line', text))
    return split_by_group(found, SHAPE, lambda _: 'The folder of lines')
