# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingImports=false
# scikit-learn and torch have no complete types.
"""`python -m millrace_training.spectra.baseline DATASET`: what tuned classical models reach on the same
spectra.

Every candidate learns from the training split, preprocessed as the net's default, once as it is and once with
as many augmented spectra beside it; the validation split chooses. The test split is measured for all of them,
so the net can also be held against the best of them in hindsight.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import preprocessing
from .files import SpectraDataset, Split, read_dataset
from .measures import share
from .steps import Normalise, SquareRoot

_SEED = 1


def _candidates(train_rows: int) -> Iterator[tuple[str, Any]]:
    from sklearn.decomposition import PCA
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    components = min(96, train_rows // 2)
    for strength in (3.0, 30.0):
        reduce = PCA(components, random_state=_SEED, svd_solver='randomized', whiten=False)
        yield f'PCA {components} and RBF SVM, C={strength:g}', make_pipeline(reduce, SVC(C=strength))
    for strength in (0.1, 1.0, 10.0):
        yield f'logistic regression, C={strength:g}', LogisticRegression(C=strength, max_iter=300)
    scaled = make_pipeline(
        StandardScaler(), PCA(components, random_state=_SEED, svd_solver='randomized'), SVC(C=10.0)
    )
    yield f'scaled, PCA {components} and RBF SVM, C=10', scaled
    yield 'extra trees, 400', ExtraTreesClassifier(400, n_jobs=2, random_state=_SEED)


def _augmented(split: Split) -> NDArray[np.float32]:
    """The spectra changed as the net's default augmentation changes them."""
    import torch

    from millrace_training.pytorch.augmentation import AugmentationOptions, augment
    from millrace_training.recipes.base import parse_params
    from millrace_training.recipes.isotope import IsotopeParams

    options = parse_params(IsotopeParams, {}).augmentation
    assert options is not None
    generator = torch.Generator().manual_seed(_SEED)
    chosen = AugmentationOptions(**options.model_dump())
    return augment(torch.from_numpy(split.spectra), chosen, generator).numpy()


def measure_baselines(data: SpectraDataset, limit: int | None = None) -> dict[str, Any]:
    """Every candidate (the first `limit` of them) with its accuracies; `chosen` is the validation split's
    choice.
    """
    fitted = preprocessing.fit([SquareRoot(), Normalise()], data.train.spectra)

    def prepared(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
        return preprocessing.apply(fitted, spectra)

    plain, labels = prepared(data.train.spectra), data.train.labels
    both = np.concatenate([plain, prepared(_augmented(data.train))])
    validation, heldout = prepared(data.validation.spectra), prepared(data.heldout.spectra)
    found: list[dict[str, Any]] = []
    for name, model in list(_candidates(len(labels)))[:limit]:
        for is_augmented in (False, True):
            started = time.monotonic()
            model.fit(both if is_augmented else plain, np.tile(labels, 2) if is_augmented else labels)
            seconds = time.monotonic() - started
            right = model.predict(heldout) == data.heldout.labels
            conditions = data.heldout.conditions
            found.append(
                {
                    'model': name,
                    'augmented': is_augmented,
                    'validation': float((model.predict(validation) == data.validation.labels).mean()),
                    'test': share(right),
                    'byCondition': {
                        condition: share(right[conditions == condition])['accuracy']
                        for condition in sorted(set(conditions.tolist()))
                    },
                    'seconds': round(seconds, 1),
                }
            )
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    chosen = max(found, key=lambda entry: entry['validation'])
    best = max(found, key=lambda entry: entry['test']['accuracy'])
    return {'candidates': found, 'chosen': chosen, 'bestInHindsight': best}


if __name__ == '__main__':
    json.dump(measure_baselines(read_dataset(Path(sys.argv[1]))), sys.stdout, indent=2)
