"""Estimators keep scikit-learn's contract, and say of p-values, thresholds and polarity what is so."""

import io
import pickle
import re
import shutil
import sysconfig
import tomllib
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import gen_models
from gen_models.analysis.table_anomalies import MEASURES
from gen_models.errors import ConfigError, GenModelsError
from gen_models_sklearn import (
    GenerativeEncoder,
    GenerativeOutlierDetector,
    PyODDetector,
    TableOutlierDetector,
    recipe,
    scoring,
)
from gen_models_sklearn.table_detector import _built
from tests.project import HERE

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 3)) @ RNG.normal(size=(3, 3)) + [10.0, 0.0, -5.0]
FAR = X[:40] + 40.0
ONE = {"arguments": {"components": 1, "em_steps": 2}}
FLOW = {"_target_": "gen_models.flows.affine_flow.AffineFlow"}
WIDE = {"arguments": {"latent": 2, "hidden": [64]}, "steps": 3}
SMALL = {
    "detector": GenerativeOutlierDetector(**ONE),
    "flow": GenerativeOutlierDetector(FLOW, steps=3),
    "encoder": GenerativeEncoder("vae", arguments={"latent": 2, "hidden": [8]}, steps=3),
    "responsibilities": GenerativeEncoder("gmm", arguments={"components": 2, "em_steps": 3}),
    "pyod": PyODDetector(**ONE),
    "table": TableOutlierDetector(steps=2),
}
SKIPPED = {"check_array_api_input"}  # by scikit-learn, unless a variable of the environment asks for it


def answers(estimator, rows=X):
    if isinstance(estimator, GenerativeEncoder):
        return estimator.transform(rows)
    return estimator.decision_function(rows)


def assert_same(one, other):
    assert np.array_equal(answers(one), answers(other))


# scikit-learn's contract


@pytest.mark.parametrize("name", SMALL)
def test_scikit_learns_own_checks_pass(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few calibration rows
        found = check_estimator(SMALL[name], on_skip=None)
    assert {one["check_name"] for one in found if one["status"] != "passed"} <= SKIPPED
    assert len(found) > 40


@pytest.mark.parametrize("name", SMALL)
def test_an_estimator_is_its_settings_and_bytes(name):
    fitted = clone(SMALL[name]).fit(X)
    assert_same(fitted, clone(fitted).fit(X))
    assert_same(fitted, pickle.loads(pickle.dumps(fitted)))  # noqa: S301
    file = io.BytesIO()
    joblib.dump(fitted, file)
    file.seek(0)
    assert_same(fitted, joblib.load(file))
    other = clone(fitted).set_params(seed=1).fit(X)
    if name not in ("pyod", "responsibilities"):  # whose EM does not depend on it here
        assert not np.array_equal(answers(fitted), answers(other))
    plain = (bytes, dict, str, int, float, np.ndarray, type(None))
    assert all(isinstance(value, plain) for value in vars(fitted).values())
    assert not any(isinstance(value, torch.Tensor) for value in vars(fitted).values())


def test_a_fit_leaves_torchs_generator_as_it_was():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    clone(SMALL["flow"]).fit(X).predict(X)
    assert torch.equal(torch.rand(3), expected)


def test_a_fit_reseeds_no_gpu(monkeypatch):
    """torch's generators of GPUs would not be put back."""
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("a GPU's generator was seeded"))
    clone(SMALL["flow"]).fit(X).predict(X)


def test_the_model_of_an_estimator_is_the_callers_to_train():
    fitted = clone(SMALL["flow"]).fit(X)
    before, mine = answers(fitted), fitted.model_
    gen_models.fit(mine.requires_grad_(True), FAR, steps=5)
    assert not np.array_equal(-gen_models.score(mine, X), fitted.score_samples(X))
    assert np.array_equal(answers(fitted), before)


@pytest.mark.parametrize("name", ["detector", "table"])
def test_rows_may_lie_in_memory_as_they_like(name):
    fitted = clone(SMALL[name]).fit(X)
    read_only = X.copy()
    read_only.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (read_only, X[::-1], X[:, ::-1], np.asfortranarray(X)[::-2]):
            assert np.array_equal(fitted.predict(rows), fitted.predict(rows.copy(order="C")))


def test_an_answer_does_not_depend_on_the_other_rows():
    encoder = GenerativeEncoder("ae", arguments={"latent": 2, "hidden": [64]}, steps=3).fit(X)
    assert np.allclose(encoder.transform(X)[:1], encoder.transform(X[:1]), rtol=1e-12, atol=1e-14)


def test_it_works_in_pipelines_and_searches():
    pipeline = make_pipeline(StandardScaler(), GenerativeEncoder("gmm", **ONE), StandardScaler())
    assert np.allclose(pipeline.fit_transform(X), 0)  # the responsibility of one component is 1
    pipeline = make_pipeline(StandardScaler(), GenerativeOutlierDetector())
    assert (pipeline.fit(X).predict(FAR) == -1).all()
    order = RNG.permutation(len(X) + len(FAR))
    rows, labels = np.concatenate([X, FAR])[order], np.repeat([1, -1], [len(X), len(FAR)])[order]

    def ranking(estimator, x, y):
        return roc_auc_score(y == 1, estimator.score_samples(x))

    assert (cross_val_score(GenerativeOutlierDetector(**ONE), rows, labels, scoring=ranking, cv=3) > 0.9).all()
    grid = {"fpr": [0.1, 0.2], "batch": np.array([32, 64])}
    search = GridSearchCV(clone(SMALL["flow"]).set_params(steps=1), grid, scoring=ranking, cv=2)
    assert search.fit(rows, labels).best_score_ > 0.9


# The detector's promises


def test_the_polarity_is_scikit_learns_and_pyods_the_other():
    detector, pyod = GenerativeOutlierDetector().fit(X), PyODDetector().fit(X)
    assert detector.score_samples(FAR).max() < detector.score_samples(X).min()
    assert (detector.predict(FAR) == -1).all() and (detector.decision_function(FAR) < 0).all()
    assert pyod.decision_function(FAR).min() > pyod.decision_function(X).max()
    assert (pyod.predict(FAR) == 1).all() and pyod.labels_.mean() == pytest.approx(0.1)
    assert np.array_equal(pyod.decision_scores_, pyod.decision_function(X))
    for method in ("linear", "unify"):
        proba = pyod.predict_proba(FAR, method)
        assert np.allclose(proba.sum(axis=1), 1) and (proba[:, 1] > 0.99).all()


def test_the_score_is_that_of_the_library():
    detector = GenerativeOutlierDetector(**ONE).fit(X)
    assert np.array_equal(detector.score_samples(X), -gen_models.score(detector.model_, X, "nll"))
    for name in ("reconstruction", "latent_mahalanobis"):
        vae = GenerativeOutlierDetector("vae", arguments={"latent": 2, "hidden": [8]}, steps=2, anomaly_score=name)
        assert vae.fit(X).score_samples(FAR).max() < vae.score_samples(X).mean()


def test_p_values_and_thresholds_hold_for_rows_like_those_of_the_fit():
    """Over many fits, P(p <= t) is at most t, and within 1/(n + 1) of it: neither guessed nor loose."""
    fpr, p = 0.2, []
    draws = np.random.default_rng(1)
    for seed in range(40):
        rows = draws.standard_t(3, size=(140, 2))
        detector = GenerativeOutlierDetector(**ONE, seed=seed, fpr=fpr).fit(rows[:100])
        p.append(detector.pvalues(rows[100:]))
        assert np.array_equal(detector.predict(rows[100:]) == -1, p[-1] <= fpr)
    p = np.concatenate(p)
    least = 1 / (len(detector.calibration_scores_) + 1)
    for t in (0.05, 0.1, 0.2, 0.5):
        assert t - least - 0.03 < (p <= t).mean() < t + 0.03


def test_the_detector_of_tables_is_the_benchmarks_and_keeps_its_promises():
    train, new = X[:200], np.concatenate([X[200:], FAR])
    detector = TableOutlierDetector(steps=20, fpr=0.1, calibration=0.25).fit(train)
    assert (detector.predict(FAR) == -1).all() and (detector.predict(X[200:]) == -1).mean() < 0.25
    assert detector.select(new, alpha=0.2)[100:].all()
    found = detector.measures(new)
    weights = _built(3, detector.weights_).effective_weights
    assert weights.keys() == MEASURES.keys() and weights["local"] < MEASURES["local"]
    weighted = sum(weight * found[name] for name, weight in weights.items()) / sum(weights.values())
    assert np.allclose(detector.score_samples(new), -weighted)
    again = TableOutlierDetector(steps=20, fpr=0.1, calibration=0.25).fit(train * [1e-6, 1e3, 1] + [0, 1e5, 3])
    assert np.allclose(again.score_samples(new * [1e-6, 1e3, 1] + [0, 1e5, 3]), -weighted, rtol=0.01, atol=0.01)
    few = TableOutlierDetector(steps=2, kernels=50).fit(train)
    assert len(few.weights_) < len(clone(few).set_params(kernels=1000).fit(train).weights_)


@pytest.mark.parametrize(
    "fitted",
    [
        GenerativeOutlierDetector("ae", **WIDE),
        GenerativeOutlierDetector("vae", **WIDE, anomaly_score="latent_mahalanobis"),
        TableOutlierDetector(steps=2),
    ],
)
def test_decisions_do_not_depend_on_how_rows_are_cut(fitted):
    """A calibration row ties with itself, whatever rows it is scored with."""
    fitted.fit(X)
    for decide in (fitted.predict, fitted.pvalues):
        whole = decide(X)
        for cut in (1, 2, 7, 50, 133, 298):
            assert np.array_equal(np.concatenate([decide(X[:cut]), decide(X[cut:])]), whole)


def test_a_row_at_the_threshold_of_pyod_is_not_above_it_when_it_comes_alone():
    pyod = PyODDetector("ae", **WIDE).fit(X)
    for row, score in zip(X[:100], pyod.decision_scores_, strict=False):
        pyod.threshold_ = score
        assert pyod.predict(row[None]) == 0


def test_the_training_rows_of_a_score_are_drawn_from_all():
    ordered = np.sort(np.random.default_rng(2).normal(size=(3000, 1)), axis=0)
    detector = GenerativeOutlierDetector(**ONE, anomaly_score="typicality").fit(ordered)
    (mean,) = detector.states_["typicality"].values()
    assert abs(mean - gen_models.score(detector.model_, ordered).mean()) < 0.1


@pytest.mark.parametrize("name", ["typicality", "latent_neighbours", "mean_rank"])
def test_a_score_is_fitted_once_and_keeps_no_training_row(name, monkeypatch):
    pyod = PyODDetector("vae", **WIDE, anomaly_score=name).fit(X)
    assert pyod.anomaly_score_ == name
    assert all(np.shape(value) != X.shape for value in vars(pyod).values())
    expected = gen_models.score(pyod.model_, FAR, name, reference=X)
    monkeypatch.setattr(scoring, "fit_scores", lambda *_, **__: pytest.fail("the score was fitted again"))
    assert np.array_equal(pyod.decision_function(FAR), expected)
    pyod.set_params(anomaly_score="reconstruction")  # for the next fit
    assert np.array_equal(pyod.decision_function(FAR), expected)


def test_calibration_rows_are_not_trained_on():
    """With training rows among them, a mixture that has a component for nearly each row would call most others."""
    over = GenerativeOutlierDetector(arguments={"components": 40}, calibration=0.5)
    assert (over.fit(X[:200]).predict(X[200:]) == -1).mean() < 0.25


def test_selected_rows_are_mostly_outliers():
    detector = GenerativeOutlierDetector(**ONE, calibration=0.5).fit(X[:200])
    selected = detector.select(np.concatenate([X[200:], FAR]), alpha=0.1)
    assert selected[100:].all() and selected[:100].sum() <= 12
    assert not detector.select(X[200:], alpha=0.01).any()


def test_too_few_calibration_rows_call_nothing_and_say_so():
    with pytest.warns(UserWarning, match="calibration rows are too few for fpr=0.1"):
        detector = GenerativeOutlierDetector(**ONE).fit(X[:20])
    assert (detector.predict(FAR) == 1).all()
    assert detector.pvalues(FAR).max() == 1 / 5
    with pytest.warns(UserWarning, match="4 calibration rows are too few for alpha=0.1, so select calls no row"):
        assert not detector.select(FAR).any()


def test_images_are_rows_too():
    images, digits = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8)
    detector = GenerativeOutlierDetector("vae", arguments={"latent": 4, "hidden": [16]}, levels=17, steps=150)
    detector.fit(images[digits == 0])
    assert (detector.predict(images[digits == 1]) == -1).mean() > 0.8
    assert detector.sample(2, seed=3).shape == (2, 1, 8, 8)
    with pytest.raises(ValueError, match="give such rows"):
        detector.predict(images.reshape(-1, 1, 4, 16))


# The encoder


def test_an_encoder_decodes_what_it_encodes_if_the_model_can():
    encoder = GenerativeEncoder(FLOW, steps=3).fit(X)
    assert np.allclose(encoder.inverse_transform(encoder.transform(X)), X, atol=1e-6)
    assert encoder.sample(4).shape == (4, 3)
    mixture = GenerativeEncoder("gmm", **ONE).fit(X)
    assert not hasattr(mixture, "inverse_transform")
    assert not hasattr(GenerativeEncoder("ae", arguments={"latent": 2}, steps=1).fit(X), "sample")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"model": "gmn"}, "unknown model 'gmn': did you mean 'gmm'"),
        ({"model": {"target": "x"}}, "needs the key _target_"),
        ({"model": {"_target_": "os.system"}}, "outside the roots"),
        ({"arguments": {"component": 1}}, "did you mean 'components'"),
        ({"calibration": 0}, "calibration = 0"),
        ({"fpr": 1.0}, r"fpr = 1\.0"),
        ({"steps": -1}, "steps = -1"),
        ({"seed": None}, "seed = None"),
        ({"anomaly_score": "reconstruction"}, "unknown score 'reconstruction'"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": 1.0}, r"seed = 1\.0"),
        ({"device": "gpu"}, "device = 'gpu' cannot be used .*: give 'cpu'"),
        ({"arguments": ["components"]}, r"arguments = \['components'\] cannot be used: give a mapping"),
        ({"arguments": {"levels": 17}}, "levels = 17 cannot be used .*: give levels= to the estimator"),
        ({"model": {**FLOW, "event_shape": [2]}}, r"event_shape = \[2\] cannot be used .*: leave it out"),
    ],
)
def test_a_wrong_setting_is_one_line_before_the_training(settings, match, monkeypatch):
    if settings != {"steps": -1}:
        monkeypatch.setattr(gen_models, "fit", lambda *_, **__: pytest.fail("the model was trained first"))
    with pytest.raises(ConfigError, match=match) as caught:
        GenerativeOutlierDetector(**{**ONE, **settings}).fit(X)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("contamination", ["auto", None, 0, 0.6, True])
def test_a_contamination_that_is_no_share_is_one_line(contamination):
    with pytest.raises(ConfigError, match=f"contamination = {contamination!r} .*: give a share above 0, at most 0.5"):
        PyODDetector(**ONE, contamination=contamination).fit(X)


def test_the_spec_of_a_fitted_model_can_be_trained_again():
    fitted = clone(SMALL["flow"]).fit(X)
    assert_same(fitted, clone(fitted).set_params(model=fitted.spec_).fit(X))


def test_an_installed_package_knows_the_confs_by_name(tmp_path, monkeypatch):
    """Where no checkout is beside it: the files are where pyproject.toml lets pip put them, below sys.prefix."""
    files = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    for place, patterns in files.items():
        for path in (path for pattern in patterns for path in HERE.glob(pattern)):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, tmp_path / place)
    installed = recipe.CONFS[1].relative_to(sysconfig.get_path("data"))
    monkeypatch.setattr(recipe, "CONFS", (tmp_path / "site-packages", tmp_path / installed))
    assert recipe.recipe("gmm", None, [2], None).spec["_target_"].endswith("GaussianMixture")
    assert all(recipe._read(path.stem) for path in (HERE / "conf" / "model").glob("*.yaml"))


def test_the_page_runs(capsys):
    page: dict[str, object] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", (HERE / "docs" / "estimators.md").read_text(), re.DOTALL):
        exec(compile(block, "docs/estimators.md", "exec"), page)
    printed = capsys.readouterr().out
    areas = {name.strip(): float(area) for name, area in re.findall(r"^(.*?) +AUROC ([\d.]+)", printed, re.MULTILINE)}
    assert {"isolation forest", "5 neighbours", "gmm", "ae"} <= set(areas)
    assert areas["gmm"] > 0.9


@pytest.mark.parametrize("detector", [GenerativeOutlierDetector(), TableOutlierDetector()])
def test_words_are_refused_with_a_hint_how_they_become_numbers(detector):
    rows = np.array([["north", 1.0], ["south", 2.0]] * 20, dtype=object)
    with pytest.raises(ValueError, match=r"'north'; Schema\.encode of gen_models\.table turns words"):
        detector.fit(rows)


def test_images_with_channels_last_are_not_taken_for_images_of_many_channels():
    with pytest.raises(ValueError, match=r"\(4, 16, 8, 3\), and channels come first: give numpy.moveaxis\(X, -1, 1\)"):
        GenerativeOutlierDetector("vae", steps=1).fit(np.zeros((4, 16, 8, 3)))


@pytest.mark.parametrize("ask", ["pvalues", "select", "predict", "score_samples"])
@pytest.mark.parametrize("detector", [GenerativeOutlierDetector(), TableOutlierDetector()], ids=repr)
def test_what_is_not_fitted_says_so(detector, ask):
    with pytest.raises(NotFittedError):
        getattr(detector, ask)(np.zeros((3, 2)))


def test_a_score_that_rows_do_not_allow_is_answered_by_those_that_they_do():
    rows = np.random.default_rng(0).normal(size=(300, 3))
    with pytest.raises(GenModelsError, match="'complexity' cannot be used for such rows: choose from ") as told:
        GenerativeOutlierDetector("gmm", anomaly_score="complexity").fit(rows)
    named = str(told.value).rpartition("choose from ")[2].split(", ")
    assert "nll" in named
    for name in named:
        scores = GenerativeOutlierDetector("gmm", anomaly_score=name).fit(rows).score_samples(rows)
        assert np.isfinite(scores).all()
