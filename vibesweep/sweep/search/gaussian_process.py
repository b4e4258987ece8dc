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
"""Steps of resilient propagation (Riedmiller and Braun 1993); more change little."""
FIRST_STEP, SMALLEST_STEP, LARGEST_STEP = 0.2, 1e-3, 1.0
FASTER, SLOWER = 1.3, 0.5
"""What a step is multiplied by where the slope keeps its sign, and where it turns."""
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
        """Find the likeliest lengths, signal and noise, by the sign of the slope alone.

        Args:
            points: [N, D].
            scores: [N].
        """
        squares = self._squares_by_setting(points)
        bounds = [LOG_LENGTHS] * self._settings
        bounds += [LOG_SIGNALS, LOG_NOISES]
        lowest, highest = array(bounds).T
        logs = self._log
        best = logs
        smallest = inf
        step = full(len(logs), FIRST_STEP)
        last_direction = zeros(len(logs))
        for _ in range(FIT_STEPS):
            loss, slope = _negative_log_posterior(logs, squares, scores)
            if loss < smallest:
                best = logs
                smallest = loss
            direction = sign(slope)
            step[direction * last_direction > 0] *= FASTER
            step[direction * last_direction < 0] *= SLOWER
            step = clip(step, SMALLEST_STEP, LARGEST_STEP)
            logs = clip(logs - direction * step, lowest, highest)
            last_direction = direction
        self._log = best

    def condition(self, points: ndarray, scores: ndarray) -> None:
        """Take in the known points [N, D] and their scores [N]."""
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
        """Take in points [M, D] whose scores come later, as if they were the likeliest ones.

        Ginsbourger et al., Kriging is well-suited to parallelize optimization, 2010. It keeps the
        next ones away from them.
        """
        likely, _ = self.predict(points)
        all_points = concatenate([self._points, points])
        all_scores = append(self._scores, likely)
        self.condition(all_points, all_scores)

    def upper_bound(self, points: ndarray) -> ndarray:
        """Return the upper confidence bound [M] of points [M, D]: a deviation above the mean.

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


def _matern_slope(signal: float, distance: ndarray, decay: ndarray) -> ndarray:
    """Return how the kernel changes with the squared distance."""
    slope: ndarray = distance + 1
    slope *= decay
    slope *= -5 / 6 * signal
    return slope


def _negative_log_posterior(
    logs: ndarray, squares: ndarray, scores: ndarray
) -> tuple[float, ndarray]:
    """Return what the fit makes small, and its slope [S + 2].

    Args:
        logs: logarithms [S + 2]: of inverse squared lengths, signal and noise.
        squares: squared distances along each setting [S, N, N].
        scores: [N].
    """
    loss, slope = _negative_log_likelihood(logs, squares, scores)
    prior, prior_slope = _negative_log_prior(logs)
    return loss + prior, slope + prior_slope


def _negative_log_likelihood(
    logs: ndarray, squares: ndarray, scores: ndarray
) -> tuple[float, ndarray]:
    """Return how unlikely the scores are, up to a constant (5.8), and its slope (5.9)."""
    inverse = exp(logs[:-2])
    signal = exp(logs[-2])
    noise = exp(logs[-1])
    weighted = tensordot(inverse, squares, 1)
    distance, decay = _distance_and_decay(weighted)
    without_noise = _matern(signal, distance, decay)
    identity = eye(len(scores))
    covariance = without_noise + (noise + JITTER) * identity
    factor = cholesky(covariance)
    whitening = inv(factor)
    precision = whitening.T @ whitening
    weights = precision @ scores
    diagonal = diag(factor)
    loss = scores @ weights / 2
    loss += log(diagonal).sum()

    by_covariance = precision - outer(weights, weights)
    by_covariance /= 2
    by_square = by_covariance * _matern_slope(signal, distance, decay)
    by_signal = by_covariance * without_noise
    slope = empty_like(logs)
    slope[:-2] = inverse * tensordot(squares, by_square, 2)
    slope[-2] = by_signal.sum()
    slope[-1] = noise * trace(by_covariance)
    return float(loss), slope


def _negative_log_prior(logs: ndarray) -> tuple[float, ndarray]:
    """Return how unlikely lengths, signal and noise are by themselves, and its slope."""
    inverse = exp(logs[:-2])
    signal = exp(logs[-2])
    noise = exp(logs[-1])
    lengths = inverse + 1 / inverse
    loss = LENGTH_PRIOR * lengths.sum()
    loss += signal - logs[-2]
    loss += NOISE_PRIOR * noise - NOISE_SHAPE * logs[-1]
    slope = empty_like(logs)
    slope[:-2] = LENGTH_PRIOR * (inverse - 1 / inverse)
    slope[-2] = signal - 1
    slope[-1] = NOISE_PRIOR * noise - NOISE_SHAPE
    return float(loss), slope
