"""`train.yaml`: what is taken, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from millrace_factory.config import read_config
from millrace_factory.errors import ExitCode, FactoryError

CONFIG = Path(__file__).parents[3] / 'ml' / 'crowdmind' / 'configs' / 'train.yaml'


@pytest.mark.parametrize(
    ('config', 'words'),
    [
        ({'modle': {}}, 'modle: Extra inputs'),
        ({'training': {'epoch': 3}}, 'training.epoch: Extra inputs'),
        ({'training': {'epochs': '3'}}, 'training.epochs'),
        ({'training': {'epochs': 0}}, 'epochs: Input should be greater'),
        ({'data': {'train_ratio': 0.9}}, 'add up to 1.2'),
        ({'model': {'activation': 'sine'}}, 'activation'),
        ({'budget': {'flash': 1}}, 'budget.flash: Extra inputs'),
        ([1], 'the file'),
    ],
)
def test_a_configuration_with_unknown_or_wrong_keys_is_refused(
    tmp_path: Path, config: Any, words: str
) -> None:
    path = tmp_path / 'train.yaml'
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(FactoryError) as caught:
        read_config(path)
    assert caught.value.exit_code == ExitCode.CONFIGURATION
    assert words in caught.value.message


def test_text_that_is_no_yaml_and_files_that_are_large_are_refused(tmp_path: Path) -> None:
    path = tmp_path / 'train.yaml'
    for text, words in (('a: [', 'is not YAML'), ('a: !!python/name:os.system x', 'is not YAML')):
        path.write_text(text)
        with pytest.raises(FactoryError, match=words):
            read_config(path)
    path.write_text('#' * 70_000)
    with pytest.raises(FactoryError, match='over 65536 bytes'):
        read_config(path)


def test_the_configuration_that_comes_along_is_valid() -> None:
    params = read_config(CONFIG)
    assert (params.seed, params.patience, params.calibration_samples) == (42, 10, 100)
    assert params.budget and params.budget.arena_bytes == 8192
