"""The hub's own clients against a hub on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from conftest import Bench
from hub import hub_routes
from local_http import LocalHttp
from millrace_analysis.errors import IngestError

REPOSITORY = 'iaea/radiation-spectra'
FILES = {
    'README.md': b'---\nlicense: cc0-1.0\n---\n# Spectra\n',
    'data/train-00000.jsonl': b'{"spectrum": [1, 2, 3], "isotope": "Cs-137"}\n'
    b'{"spectrum": [4, 5, 6], "isotope": "Co-60"}\n',
    'data/test-00000.jsonl': b'{"spectrum": [7, 8, 9], "isotope": "K-40"}\n'
    b'{"spectrum": [1, 1, 9], "isotope": "U-238"}\n',
    'run.py': b'raise SystemExit("code of a repository was run")\n',
}
# The client would ask this address before it could be refused.
OUTWARD = {
    **FILES,
    'README.md': b'---\nconfigs:\n- config_name: default\n  data_files: "http://localhost:9/secret.csv"\n---\n',
}


@pytest.fixture(scope='module')
def hub() -> Iterator[LocalHttp]:
    # The clients read the address once a process, so that all tests share the hub.
    others = {**hub_routes('iaea/outward', OUTWARD), **hub_routes('iaea/empty', {'README.md': b'#'})}
    # Whatever is of no repository is not there, and comes last.
    missing = others.pop('/')
    with LocalHttp({**others, **hub_routes(REPOSITORY, FILES), '/': missing}) as server:
        yield server


def operator(hub: LocalHttp) -> dict[str, Any]:
    return {'credentials': {'default-hugging_face': {'type': 'hugging_face', 'endpoint': hub.origin}}}


def test_the_files_of_one_split_are_read(bench: Bench, hub: LocalHttp) -> None:
    source = {'type': 'hugging_face', 'repository': REPOSITORY, 'split': 'test'}
    made = bench.run(source, operator(hub), target='isotope', split={'seed': 0, 'validation': 0, 'test': 0})
    assert made.all().column('isotope').to_pylist() == ['K-40', 'U-238']
    assert str(made.all().schema.field('spectrum').type) == 'fixed_size_list<item: float>[3]'
    assert [one['name'] for one in made.json('dataset.json')['source']['files']] == ['data/test-00000.jsonl']


def test_without_a_split_all_files_are_read(bench: Bench, hub: LocalHttp) -> None:
    assert bench.run({'type': 'hugging_face', 'repository': REPOSITORY}, operator(hub)).all().num_rows == 4


@pytest.mark.parametrize(
    'source, code, named',
    [
        ({'repository': REPOSITORY, 'split': 'dev'}, 'source_not_found', 'it has test, train'),
        ({'repository': 'iaea/none'}, 'source_not_found', 'iaea/none'),
        ({'repository': 'iaea/empty'}, 'source_empty', 'iaea/empty'),
        ({'repository': 'iaea/outward'}, 'source_not_allowed', 'files of its repository'),
        ({'repository': REPOSITORY, 'credentials': 'nobody'}, 'source_not_allowed', 'nobody'),
    ],
)
def test_what_the_hub_does_not_have_or_may_not_name(
    bench: Bench, hub: LocalHttp, source: dict[str, str], code: str, named: str
) -> None:
    with pytest.raises(IngestError) as caught:
        bench.run({'type': 'hugging_face', **source}, operator(hub))
    assert caught.value.code == code
    assert named in caught.value.message
