"""Parameters, recipes and their description."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from millrace_training.describe import describe
from millrace_training.errors import RecipeError
from millrace_training.metrics import wilson_interval
from millrace_training.recipes import get_recipe, recipe_names
from millrace_training.recipes.base import json_params, parse_params
from millrace_training.rounding import rounded

VERICHAIN = get_recipe('verichain')


@pytest.mark.parametrize(
    ('values', 'words'),
    [
        ({'epochs': 0}, 'epochs: Input should be greater than or equal to 1'),
        ({'epochs': 5.5}, 'epochs'),
        ({'epochs': '5'}, 'epochs'),
        ({'epochs': True}, 'epochs'),
        ({'learningRate': math.nan}, 'learningRate'),
        ({'learningRate': math.inf}, 'learningRate'),
        ({'learningRate': 0}, 'learningRate'),
        ({'learning_rate': 0.1}, 'learning_rate: Extra inputs'),
        ({'epoch': 5}, 'epoch: Extra inputs'),
        ({'samples': 1, 'seed': -1}, 'seed'),
        ({'batchSize': 257}, 'batchSize'),
        ({'deterministic': 1}, 'deterministic'),
    ],
)
def test_bad_parameters_are_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        parse_params(VERICHAIN.Params, values)
    assert caught.value.code == 'invalid_params'


@given(
    st.fixed_dictionaries(
        {},
        optional={
            'epochs': st.integers(1, 200),
            'samples': st.integers(20, 20_000),
            'seed': st.integers(0, 2**32 - 1),
            'batchSize': st.integers(1, 256),
            'learningRate': st.floats(0, 1, exclude_min=True),
            'deterministic': st.booleans(),
        },
    )
)
def test_parameters_survive_the_wire(values: dict[str, Any]) -> None:
    params = parse_params(VERICHAIN.Params, values)
    wire = json.loads(json.dumps(json_params(params)))
    assert parse_params(VERICHAIN.Params, wire) == params
    assert values.items() <= wire.items()


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r'known are .*isotope.*verichain') as caught:
        get_recipe('nothing')
    assert caught.value.code == 'unknown_recipe'


def test_the_description_is_complete_and_needs_no_framework() -> None:
    code = (
        'import sys; import millrace_training.describe as d; d.describe(); '
        'print(bool({"tensorflow", "torch", "matplotlib", "pyarrow"} & {*sys.modules}))'
    )
    assert subprocess.check_output([sys.executable, '-c', code], text=True).strip() == 'False'
    printed = subprocess.check_output([sys.executable, '-m', 'millrace_training.describe'], text=True)
    assert json.loads(printed) == describe()
    recipes = {recipe['name']: recipe for recipe in describe()['recipes']}
    isotope, verichain = recipes['isotope'], recipes['verichain']
    assert (isotope['framework'], isotope['pool']) == ('torch', 'torch')
    assert (verichain['framework'], verichain['pool']) == ('tensorflow', 'cpu')
    assert [*recipes] == recipe_names() == sorted(recipes)
    assert {'veid-face', 'veid-liveness', 'veid-ocr'} <= recipes.keys()
    assert verichain['params']['additionalProperties'] is False
    assert verichain['params']['properties']['learningRate'] == {
        'default': 0.004,
        'description': 'Peak of the cosine schedule of Adam',
        'exclusiveMinimum': 0,
        'maximum': 1,
        'type': 'number',
    }
    assert verichain['defaults'].keys() == verichain['params']['properties'].keys()
    assert verichain['dataset']['defaults'] == {'samples': 1000, 'heldoutSamples': 600, 'seed': 7}


def test_wilson_interval_agrees_with_published_values() -> None:
    # Newcombe, Statistics in Medicine 1998, table I: 81/263 and 0/20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@given(st.integers(1, 5_000), st.data())
def test_wilson_interval_holds_the_proportion(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1


def test_impossible_figures_are_refused() -> None:
    with pytest.raises(ValueError, match='successes'):
        wilson_interval(3, 2)
    with pytest.raises(ValueError, match='finite'):
        rounded(math.nan)
