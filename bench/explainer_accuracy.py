"""How exact explanations are for the rows that a model predicts, and what solving costs, beside shap and targets.

    python bench/explainer_accuracy.py [--quick] [--records 30] [--seeds 3]

Games are models of scikit-learn on data that it ships: each record against the mean of the rows that the model was
trained on, with the first columns as players. The truth is the definition over all 2^d coalitions, each predicted by
the model itself. All methods see the same table of predictions, so they differ in nothing but which rows they ask for
and what they make of them. Prints one row a figure in Markdown. Needs scikit-learn and shap; one thread computes.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import comb
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parent))

from machine import busy, commit, described_machine, versions
from rounds import row

from mooring.explainer.estimation import coalitions as designs
from mooring.explainer.shapley import attributions, coalitions

Array = Any
SPLIT = 0
"""The seed of the split into rows that models are trained on and rows that are explained, and of training."""
TRAINED = 0.7
AT_ONCE = 1 << 16
FRACTIONS = (1 / 40, 1 / 20, 1 / 10, 1 / 8, 1 / 6, 1 / 5, 1 / 4, 1 / 2, 1.0)
"""Of the default budget, in search of the least that reaches shap's error at the whole."""


class Figure(NamedTuple):
    name: str
    found: float
    shown: str
    must: float
    aim: float | None
    beside: str = ""
    """What other methods have."""


class Game(NamedTuple):
    """One record: the prediction of each coalition, whose number has a bit for each player, and the truth of it."""

    table: Array
    truth: Array


@dataclass(frozen=True)
class Kind:
    """A model on data, by name."""

    name: str
    data: str
    players: int

    def games(self, records: int) -> Iterator[Game]:
        predict, base, rows = TRAINED_ON[self.data](self.name, self.players)
        for number in range(min(records, len(rows))):
            table = enumerated(predict, base, rows[number])
            yield Game(table, by_definition(table))


def cancer(name: str, players: int) -> tuple[Callable[[Array], Array], Array, Array]:
    """The probability of a benign tumour."""
    inputs, classes = load_breast_cancer(return_X_y=True)
    train, rest, known, _ = train_test_split(inputs[:, :players], classes, train_size=TRAINED, random_state=SPLIT)
    model = {
        "boosted trees": GradientBoostingClassifier(random_state=SPLIT),
        "forest": RandomForestClassifier(100, random_state=SPLIT),
        "small MLP": make_pipeline(StandardScaler(), MLPClassifier((32, 16), max_iter=1000, random_state=SPLIT)),
    }[name].fit(train, known)
    return lambda rows: model.predict_proba(rows)[:, 1:], train.mean(axis=0), rest


def area(name: str, players: int) -> tuple[Callable[[Array], Array], Array, Array]:
    """A regression: the worst area of a tumour from its other columns."""
    inputs, _ = load_breast_cancer(return_X_y=True)
    train, rest, known, _ = train_test_split(inputs[:, :players], inputs[:, 23], train_size=TRAINED, random_state=SPLIT)
    model = {"boosted trees": GradientBoostingRegressor(random_state=SPLIT)}[name].fit(train, known)
    return lambda rows: model.predict(rows)[:, None], train.mean(axis=0), rest


def wine(name: str, players: int) -> tuple[Callable[[Array], Array], Array, Array]:
    """The probabilities of three classes."""
    inputs, classes = load_wine(return_X_y=True)
    train, rest, known, _ = train_test_split(inputs[:, :players], classes, train_size=TRAINED, random_state=SPLIT)
    model = {"forest": RandomForestClassifier(100, random_state=SPLIT)}[name].fit(train, known)
    return model.predict_proba, train.mean(axis=0), rest


TRAINED_ON = {"breast cancer": cancer, "worst area": area, "wine": wine}


def enumerated(predict: Callable[[Array], Array], base: Array, record: Array) -> Array:
    """(2^d, K): what the model says of the record with each subset of its features, the others being the base's."""
    players = len(base)
    parts = []
    for start in range(0, 1 << players, AT_ONCE):
        numbers = np.arange(start, min(start + AT_ONCE, 1 << players))
        present = (numbers[:, None] >> np.arange(players)) & 1 == 1
        parts.append(predict(np.where(present, record, base)))
    return np.concatenate(parts)


def by_definition(table: Array) -> Array:
    """Each player's marginal contributions, weighted, in extended precision: another way than the solver's."""
    players = len(table).bit_length() - 1
    numbers = np.arange(len(table))
    sizes = sum((numbers >> player) & 1 for player in range(players))
    weights = np.array([np.longdouble(1) / (players * comb(players - 1, size)) for size in range(players)])
    found = []
    for player in range(players):
        without = numbers[(numbers >> player) & 1 == 0]
        gains = (table[without | 1 << player] - table[without]).astype(np.longdouble)
        found.append((weights[sizes[without], None] * gains).sum(axis=0))
    return np.array(found, dtype=float)


def wrong(found: Array, truth: Array) -> float:
    """The relative squared error, over all classes."""
    return float(((found - truth) ** 2).sum() / (truth**2).sum())


def default_samples(players: int) -> int:
    return 2 * players + 2048


def by_mooring(game: Game, samples: int, seed: int) -> tuple[float, float]:
    """Its error, and that of the regression of order 1 on the same pairs, which is paired leverage sampling."""
    players = len(game.truth)
    design = coalitions(players, samples, seed)
    values = game.table[design.masks @ (1 << np.arange(players))]
    empty, full = game.table[0], game.table[-1]
    found = attributions(design, values, empty, full).values
    if design.exact:
        return wrong(found, game.truth), wrong(found, game.truth)
    additive = design.regression.fitted((values[::2] - values[1::2]) / 2, full - empty).values
    return wrong(found, game.truth), wrong(additive, game.truth)


def by_shap(game: Game, samples: int, seed: int) -> float:
    """KernelExplainer's, whose model looks its coalitions up."""
    import shap  # takes seconds, and tests of the rest do without

    players, asked = len(game.truth), 0

    def model(rows: Array) -> Array:
        nonlocal asked
        asked += len(rows)
        return game.table[rows.astype(int) @ (1 << np.arange(players))]

    explainer = shap.KernelExplainer(model, np.zeros((1, players)))
    asked = 0
    np.random.seed(seed)  # shap draws from the global generator
    values = explainer.shap_values(np.ones((1, players)), nsamples=samples, l1_reg=False, silent=True)
    if asked > samples + 1:
        raise SystemExit(f"shap asked for {asked} rows of {samples}")
    return wrong(np.asarray(values).reshape(players, -1), game.truth)


@dataclass
class Errors:
    """Of one kind of game, a number a record and seed."""

    mooring: list[float]
    leverage: list[float]
    shap: list[float]
    fractions: dict[float, list[float]]


def errors(kind: Kind, records: int, seeds: Sequence[int], fractions: Sequence[float]) -> Errors:
    found = Errors([], [], [], {fraction: [] for fraction in fractions})
    samples = default_samples(kind.players)
    for game in kind.games(records):
        for seed in seeds:
            mine, additive = by_mooring(game, samples, seed)
            found.mooring.append(mine)
            found.leverage.append(additive)
            found.shap.append(by_shap(game, samples, seed))
            for fraction in fractions:
                found.fractions[fraction].append(by_mooring(game, int(fraction * samples), seed)[0])
    return found


def exact(records: int) -> Figure:
    """The largest relative error where all coalitions fit the default budget."""
    worst = 0.0
    for players in range(2, 12):
        for name in ("boosted trees", "small MLP"):
            for game in Kind(name, "breast cancer", players).games(records):
                worst = max(worst, by_mooring(game, default_samples(players), 0)[0] ** 0.5)
    return Figure("d = 2 to 11, default budget: largest relative error", worst, f"{worst:.1e}", 1e-9, 1e-12)


def sampled(kind: Kind, records: int, seeds: Sequence[int], must: float, aim: float | None) -> Iterator[Figure]:
    """Its errors beside shap's, beside paired leverage's, and the rows that it takes to be as good as shap."""
    trees = kind.name != "small MLP"
    found = errors(kind, records, seeds, FRACTIONS if trees else ())
    mine, theirs = statistics.median(found.mooring), statistics.median(found.shap)
    label = f"{kind.name}, {kind.data}, d = {kind.players}"
    beside = f"leverage {statistics.median(found.leverage):.1e}, shap {theirs:.1e}"
    yield Figure(f"{label}: median error ÷ shap's", mine / theirs, f"{mine:.1e}", must, aim, beside)
    mean, additive = statistics.mean(found.mooring), statistics.mean(found.leverage)
    beside = f"leverage {additive:.1e}, shap {statistics.mean(found.shap):.1e}"
    yield Figure(f"{label}: mean error ÷ leverage's", mean / additive, f"{mean:.1e}", 1.1, None, beside)
    if trees:
        enough = [each for each, errors in found.fractions.items() if statistics.median(errors) <= theirs]
        least = min(enough, default=float("inf"))
        rows = f"{int(least * default_samples(kind.players))} rows" if enough else "none"
        name = f"{label}: rows for shap's error ÷ shap's rows"
        beside = f"shap {default_samples(kind.players)} rows"
        yield Figure(name, least, rows, 1 / 4 if kind.players <= 16 else 1 / 2, 1 / 10, beside)


def timed(rounds: int) -> Iterator[Figure]:
    """Solving at d = 20 and the default budget: alone with nothing kept, and each of ten records of one call."""
    games = list(Kind("forest", "breast cancer", 20).games(10))
    samples = default_samples(20)

    def solve(some: Sequence[Game], seed: int) -> tuple[float, float]:
        spent = cpu = 0.0
        for game in some:
            began, cpu_began = time.perf_counter(), time.process_time()
            design = coalitions(20, samples, seed)
            spent, cpu = spent + time.perf_counter() - began, cpu + time.process_time() - cpu_began
            values = game.table[design.masks @ (1 << np.arange(20))]
            began, cpu_began = time.perf_counter(), time.process_time()
            attributions(design, values, game.table[0], game.table[-1])
            spent, cpu = spent + time.perf_counter() - began, cpu + time.process_time() - cpu_began
        return spent * 1000 / len(some), cpu * 1000 / len(some)

    def repeated(some: Sequence[Game], warm: bool) -> tuple[float, str]:
        found = []
        for seed in range(rounds):
            designs._kept.cache_clear()
            if warm:
                solve(games[:1], seed)
            found.append(solve(some, seed))
        wall = statistics.median(each[0] for each in found)
        return statistics.median(each[1] for each in found), f"by the clock {wall:.0f} ms"

    # Processor time: it is one thread that computes, and what else the machine does is not its doing.
    one, wall = repeated(games[:1], False)
    yield Figure("solver, d = 20, one record, nothing kept, ms", one, f"{one:.0f} ms", 150, 60, wall)
    ten, wall = repeated(games, False)
    yield Figure("solver, d = 20, each of 10 records, nothing kept, ms", ten, f"{ten:.0f} ms", 60, 20, wall)
    warm, wall = repeated(games[:1], True)
    yield Figure("solver, d = 20, one record, its design kept, ms", warm, f"{warm:.0f} ms", 150, 60, wall)


def figures(records: int, seeds: Sequence[int], rounds: int) -> Iterator[Figure]:
    yield exact(max(1, records // 10))
    trees = {12: (1 / 10, 1 / 50), 16: (1 / 10, 1 / 50), 20: (1 / 5, 1 / 10)}
    for players, (must, aim) in trees.items():
        for name in ("boosted trees", "forest"):
            yield from sampled(Kind(name, "breast cancer", players), records, seeds, must, aim)
        yield from sampled(Kind("boosted trees", "worst area", players), records, seeds, must, aim)
    yield from sampled(Kind("forest", "wine", 12), records, seeds, *trees[12])
    for players, must, aim in ((12, 1 / 4, 1 / 10), (16, 0.8, None), (20, float("inf"), None)):
        yield from sampled(Kind("small MLP", "breast cancer", players), records, seeds, must, aim)
    yield from timed(rounds)


def verdict(figure: Figure) -> str:
    if figure.must == float("inf"):
        return "no target"
    if figure.aim is not None and figure.found <= figure.aim:
        return "aim reached"
    return "reached" if figure.found <= figure.must else "MISSED"


def bound(value: float | None) -> str:
    return "" if value is None or value == float("inf") else f"{value:.2g}"


def main() -> int:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--quick", action="store_true", help="few records, one seed: a look, no result")
    options.add_argument("--records", type=int, default=30)
    options.add_argument("--seeds", type=int, default=3)
    chosen = options.parse_args()
    logging.getLogger("shap").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    records, seeds = (3, [0]) if chosen.quick else (chosen.records, list(range(chosen.seeds)))
    print(f"{described_machine()}, {busy()}\n{versions(['numpy', 'scikit-learn', 'shap'])}; commit {commit()}")
    print(f"{records} records × seeds {seeds}; errors are ‖found - truth‖² ÷ ‖truth‖²; one thread\n")
    print(row(["figure", "found", "must", "aim", "Mooring", "beside", "verdict"]))
    print(row(["---"] * 7))
    missed = 0
    threadpool_limits(1)
    for each in figures(records, seeds, 3 if chosen.quick else 15):
        said = verdict(each)
        missed += said == "MISSED"
        found = f"{each.found:.2g}"
        print(row([each.name, found, bound(each.must), bound(each.aim), each.shown, each.beside, said]), flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
