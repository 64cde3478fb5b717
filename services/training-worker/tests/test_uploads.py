"""A user's own pictures: what is taken in, and what is refused with which words."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Recorder
from millrace_training.data.dataset import load_dataset
from millrace_training.data.images import decode
from millrace_training.data.uploads import MAX_IMAGE_BYTES, read_upload
from millrace_training.errors import RecipeError
from PIL import Image


def picture(seed: int, *, size: tuple[int, int] = (240, 230), brighter: int = 0, kind: str = 'PNG') -> bytes:
    rng = np.random.default_rng(seed)
    pixels = (rng.integers(0, 120, (size[1] // 10 + 1, size[0] // 10 + 1, 3)) + brighter).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size).save(buffer, kind)
    return buffer.getvalue()


def write_images(folder: Path, real: int, ai: int, brighter: int = 0) -> None:
    for name, count, offset, light in (('real', real, 0, 0), ('ai', ai, 10_000, brighter)):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            (folder / name / f'{index}.png').write_bytes(picture(offset + index, brighter=light))


def pack(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, 'w') as archive:
        for path in sorted(folder.rglob('*.png')):
            archive.write(path, f'photos/{path.relative_to(folder)}')
        archive.writestr('__MACOSX/real/0.png', b'junk')
        archive.writestr('../real/evil.txt', b'junk')


def test_folder_and_zip_are_the_same_dataset(tmp_path: Path) -> None:
    write_images(tmp_path / 'folder', real=20, ai=30)
    (tmp_path / 'packed').mkdir()
    pack(tmp_path / 'folder', tmp_path / 'packed' / 'images.zip')
    folder, packed = load_dataset(tmp_path / 'folder', 500), load_dataset(tmp_path / 'packed', 500)
    assert folder.digest == packed.digest
    assert [len(s) for s in (folder.train, folder.validation, folder.heldout)] == [35, 5, 10]
    assert folder.train.encoded == packed.train.encoded
    everything = folder.train.encoded + folder.validation.encoded + folder.heldout.encoded
    assert len(set(everything)) == 50
    assert folder.generator is None


def test_names_and_order_of_files_do_not_matter(tmp_path: Path) -> None:
    write_images(tmp_path / 'a', real=12, ai=12)
    write_images(tmp_path / 'b', real=12, ai=12)
    (tmp_path / 'b' / 'real' / '0.png').rename(tmp_path / 'b' / 'real' / 'zebra.png')
    assert read_upload(tmp_path / 'a')[1] == read_upload(tmp_path / 'b')[1]


def test_copies_count_once(tmp_path: Path) -> None:
    write_images(tmp_path, real=10, ai=10)
    (tmp_path / 'real' / 'copy.png').write_bytes((tmp_path / 'real' / '0.png').read_bytes())
    splits, _ = read_upload(tmp_path)
    assert sum(len(images) for images in splits.values()) == 20


def test_pictures_are_cut_not_shrunk() -> None:
    pixels = np.zeros((300, 400, 3), np.uint8)
    pixels[38:262, 88:312] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, 'PNG')
    assert decode(buffer.getvalue(), 'x').min() == 255


def test_small_grey_pictures_are_enlarged() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.full((40, 90), 77, np.uint8)).save(buffer, 'PNG')
    assert decode(buffer.getvalue(), 'x').shape == (224, 224, 3)


Damage = Callable[[Path], None]


def _one_class(folder: Path) -> None:
    for path in (folder / 'ai').iterdir():
        path.unlink()


def _few(folder: Path) -> None:
    for path in sorted((folder / 'real').iterdir())[3:]:
        path.unlink()


def _both(folder: Path) -> None:
    (folder / 'ai' / 'x.png').write_bytes((folder / 'real' / '0.png').read_bytes())


def _text(folder: Path) -> None:
    (folder / 'real' / 'x.jpg').write_text('not an image')


def _cut(folder: Path) -> None:
    path = folder / 'real' / '0.png'
    path.write_bytes(path.read_bytes()[:200])


def _large(folder: Path) -> None:
    with (folder / 'real' / 'x.png').open('wb') as stream:
        stream.truncate(MAX_IMAGE_BYTES + 1)


def _bomb(folder: Path) -> None:
    Image.new('1', (9_000, 9_000)).save(folder / 'real' / 'x.png')


def _zips(folder: Path) -> None:
    for name in ('a.zip', 'b.zip'):
        (folder / name).write_bytes(b'')


def _bad_zip(folder: Path) -> None:
    (folder / 'a.zip').write_bytes(b'PK\x03\x04 nothing')


@pytest.mark.parametrize(
    ('damage', 'words'),
    [
        (_one_class, 'ai/ holds 0'),
        (_few, 'real/ holds 3'),
        (_both, 'both classes'),
        (_text, 'not a readable image'),
        (_cut, 'not a readable image'),
        (_large, 'make it smaller'),
        (_bomb, 'pixels'),
        (_zips, 'several zip files'),
        (_bad_zip, 'not a readable zip'),
    ],
)
def test_what_cannot_be_trained_on_is_refused(tmp_path: Path, damage: Damage, words: str) -> None:
    write_images(tmp_path, real=12, ai=12)
    damage(tmp_path)
    with pytest.raises(RecipeError, match=words) as caught:
        load_dataset(tmp_path, 500)
    assert caught.value.code == 'dataset_unusable'


def test_a_large_file_in_a_zip_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / 'x.zip', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('real/x.png', b'\0' * (MAX_IMAGE_BYTES + 1))
    with pytest.raises(RecipeError, match=r'real/x\.png is over'):
        read_upload(tmp_path)


def test_an_upload_can_be_trained_on(tmp_path: Path) -> None:
    from millrace_training.jobs import run_training
    from millrace_training.recipes.base import Job

    write_images(tmp_path / 'data', real=20, ai=20, brighter=60)
    job = Job('verichain', tmp_path / 'data', tmp_path / 'work', None, 'upload')
    _, _, meta = run_training(job, {'epochs': 1, 'batchSize': 8}, Recorder().report)
    assert meta['dataset']['generator'] is None
    assert meta['evaluation']['images'] == 8
    assert list(meta['evaluation']['bySource']) == ['upload']
