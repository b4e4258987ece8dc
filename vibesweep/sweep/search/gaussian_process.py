"""A Gaussian process: what scores are likely where none is known, and how sure that is.

Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: the Matérn kernel with
ν = 5/2 (4.17) and a length for each setting, of which the likeliest are taken (5.9).

Shapes: N known points, M asked ones, D columns, S settings; a choice among several has a column for
each.
"""

from __future__ import annotations

from math import inf

from numpy import (
    append,
    array,
    clip,
    concatenate,
    diag,
    empty_like,
    exp,
    eye,
    full,
    log,
    maximum,
    ndarray,
    outer,
    sign,
    sqrt,
    stack,
    tensordot,
    trace,
    zeros,
)
from numpy.linalg import cholesky, inv

FIT_STEPS = 15
"""Steps of resilient propagation; more change little."""
FIRST_STEP, SMALLEST_STEP, LARGEST_STEP = 0.2, 1e-3, 1.0
FIRST_LOG_NOISE = -2.3
JITTER = 1e-8
LENGTH_PRIOR = 0.1
NOISE_PRIOR, NOISE_SHAPE = 30.0, 0.1
"""The priors of Optuna's GPSampler."""
LOG_LENGTHS, LOG_SIGNALS, LOG_NOISES = (-8.0, 6.0), (-3.0, 3.0), (-9.2, 1.0)
"""How far the logarithms may go that are fitted."""


class GaussianProcess:
    """Scores at points, each seen through noise.

    It is fitted to scores with mean 0 and deviation 1. Its priors are those of Optuna's GPSampler:
    a setting matters neither at all nor at every turn, and there is little noise.
    """

    def __init__(self, setting_of_column: ndarray) -> None:
        """Take the points' columns: the setting [D] that each belongs to."""
        self._setting = setting_of_column
        self._settings = int(setting_of_column.max()) + 1
        # Logarithms: each setting's inverse squared length, the signal's variance, the noise's
        self._log = zeros(self._settings + 2)
        self._log[-1] = FIRST_LOG_NOISE

    def fit(self, points: ndarray, scores: ndarray) -> None:
        """Find the likeliest lengths, signal and noise.

        Args:
            points: [N, D].
            scores: [N].
        """
        squares = self._squares_by_setting(points)
        bounds = [LOG_LENGTHS] * self._settings
        bounds += [LOG_SIGNALS, LOG_NOISES]
        least, most = array(bounds).T
        at = self._log
        best = at
        smallest = inf
        step = full(len(at), FIRST_STEP)
        former = zeros(len(at))
        for _ in range(FIT_STEPS):
            loss, slope = _unlikeliness(at, squares, scores)
            if loss < smallest:
                best = at
                smallest = loss
            turn = sign(slope)
            step[turn * former > 0] *= 1.3
            step[turn * former < 0] /= 2
            step = clip(step, SMALLEST_STEP, LARGEST_STEP)
            at = clip(at - turn * step, least, most)
            former = turn
        self._log = best

    def condition(self, points: ndarray, scores: ndarray) -> None:
        """Take the points [N, D] and their scores [N] in."""
        self._points = points
        self._scores = scores
        noise = exp(self._log[-1])
        covariance = self._covariance(points, points)
        identity = eye(len(points))
        covariance += (noise + JITTER) * identity
        factor = cholesky(covariance)
        self._whitening = inv(factor)
        white = self._whitening @ scores
        self._weights = self._whitening.T @ white

    def predict(self, points: ndarray) -> tuple[ndarray, ndarray]:
        """Return the scores' means [M] and deviations [M] at points [M, D]."""
        covariance = self._covariance(points, self._points)
        white = covariance @ self._whitening.T
        signal = exp(self._log[-2])
        explained = (white**2).sum(axis=1)
        variance = signal - explained
        above_zero = maximum(variance, JITTER)
        mean: ndarray = covariance @ self._weights
        return mean, sqrt(above_zero)

    def assume(self, points: ndarray) -> None:
        """Take points [M, D] in whose scores will be known later, as if they were what is likely.

        Ginsbourger et al., Kriging is well-suited to parallelize optimization, 2010. It keeps the
        next ones away from them.
        """
        likely, _ = self.predict(points)
        all_points = concatenate([self._points, points])
        all_scores = append(self._scores, likely)
        self.condition(all_points, all_scores)

    def promise(self, points: ndarray) -> ndarray:
        """Return the scores [M] that points [M, D] may well have: a deviation above what is likely.

        Srinivas et al., Gaussian process optimization in the bandit setting, 2010. The expected
        improvement would stay near the best: the more trials lie there, the less they are told
        apart by their ranks.
        """
        mean, deviation = self.predict(points)
        high: ndarray = mean + deviation
        return high

    def _squares_by_setting(self, points: ndarray) -> ndarray:
        """Return the squared distances along each setting [S, N, N] of points [N, D]."""
        apart = points[:, None, :] - points[None, :, :]
        squares = apart**2
        by_setting = []
        for setting in range(self._settings):
            own = self._setting == setting
            summed = squares[:, :, own].sum(axis=2)
            by_setting.append(summed)
        return stack(by_setting)

    def _covariance(self, one: ndarray, other: ndarray) -> ndarray:
        """Return the covariance [M, N] of points [M, D] with others [N, D], without noise."""
        log_squared = self._log[self._setting]
        inverse_length = exp(log_squared / 2)
        one = one * inverse_length
        other = other * inverse_length
        one_squares = (one**2).sum(axis=1)
        other_squares = (other**2).sum(axis=1)
        squares = -2 * one @ other.T
        squares += one_squares[:, None]
        squares += other_squares[None, :]
        distance, decay = _distance_and_decay(squares)
        signal = exp(self._log[-2])
        return _matern(signal, distance, decay)


def _distance_and_decay(squares: ndarray) -> tuple[ndarray, ndarray]:
    above_zero = maximum(squares, 0.0)
    distance = sqrt(5 * above_zero)
    return distance, exp(-distance)


def _matern(signal: float, distance: ndarray, decay: ndarray) -> ndarray:
    falling: ndarray = distance**2
    falling /= 3
    falling += distance
    falling += 1
    falling *= signal
    falling *= decay
    return falling


def _unlikeliness(at: ndarray, squares: ndarray, scores: ndarray) -> tuple[float, ndarray]:
    """Return the negative log posterior of lengths and variances, and its slope.

    Args:
        at: logarithms [S + 2]: of inverse squared lengths, signal and noise.
        squares: squared distances along each setting [S, N, N].
        scores: [N].
    """
    inverse = exp(at[:-2])
    signal = exp(at[-2])
    noise = exp(at[-1])
    weighted = tensordot(inverse, squares, 1)
    distance, decay = _distance_and_decay(weighted)
    without_noise = _matern(signal, distance, decay)
    identity = eye(len(scores))
    covariance = without_noise + (noise + JITTER) * identity
    factor = cholesky(covariance)
    whitening = inv(factor)
    precision = whitening.T @ whitening
    weights = precision @ scores
    by_covariance = precision.copy()
    by_covariance -= outer(weights, weights)
    by_covariance /= 2
    by_square = by_covariance * decay
    by_square *= distance + 1
    by_square *= signal
    by_square *= -5 / 6

    loss = scores @ weights
    loss /= 2
    diagonal = diag(factor)
    loss += log(diagonal).sum()
    length_prior = inverse + 1 / inverse
    loss += LENGTH_PRIOR * length_prior.sum()
    loss += signal
    loss -= log(signal)
    loss += NOISE_PRIOR * noise
    loss -= NOISE_SHAPE * log(noise)

    slope = empty_like(at)
    by_inverse = tensordot(squares, by_square, 2)
    by_inverse *= inverse
    by_inverse += LENGTH_PRIOR * inverse
    by_inverse -= LENGTH_PRIOR / inverse
    slope[:-2] = by_inverse
    by_signal = by_covariance * without_noise
    slope[-2] = by_signal.sum() + signal - 1
    by_noise = trace(by_covariance)
    by_noise += NOISE_PRIOR
    slope[-1] = noise * by_noise - NOISE_SHAPE
    return float(loss), slope
