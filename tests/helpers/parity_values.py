"""Made-up log-probabilities at the fixed positions, of a base and three arms."""

import numpy as np

from lib.serving import checkpoint_logprobs

PLACES = 16 * checkpoint_logprobs.POSITIONS
ARMS = ("vanilla", "treated", "control")


def normal(seed, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, PLACES)
