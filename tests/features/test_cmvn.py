import json

import numpy as np

from asrkd.features.cmvn import Moments, normalise


def test_normalised_frames_have_mean_0_and_variance_1() -> None:
    rng = np.random.default_rng(0)
    frames = (rng.normal(size=(500, 4)) * [1, 2, 3, 0.1] + [10, -20, 0, 5]).astype(np.float32)
    parts = Moments.of(frames[:100]) + Moments.of(frames[100:])
    mean, scale = parts.normaliser(variance=True)
    np.testing.assert_allclose(mean, frames.mean(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(1 / scale, frames.std(axis=0), rtol=1e-4)
    normalised = normalise(frames, mean, scale)
    np.testing.assert_allclose(normalised.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(normalised.std(axis=0), 1, atol=1e-4)


def test_the_closed_form_of_two_frames() -> None:
    frames = np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32)
    mean, scale = Moments.of(frames).normaliser(variance=True)
    assert mean.tolist() == [2.0, 5.0]
    # The first bin has variance 1; the second never moves and stays at 0 instead of becoming infinite.
    assert normalise(frames, mean, scale).tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    mean, scale = Moments.of(frames).normaliser(variance=False)
    assert scale.tolist() == [1.0, 1.0]


def test_a_large_offset_does_not_eat_the_variance() -> None:
    # In float32 the squares of these would have no digit left for a variance of 0.01.
    rng = np.random.default_rng(1)
    frames = 1000 + 0.1 * rng.normal(size=(10000, 1))
    _, scale = Moments.of(frames).normaliser(variance=True)
    np.testing.assert_allclose(scale, 10, rtol=0.05)


def test_moments_survive_json() -> None:
    own = Moments.of(np.random.default_rng(2).normal(size=(7, 3)))
    again = Moments.from_json(json.loads(json.dumps(own.to_json())))
    assert again.count == 7
    assert np.array_equal(again.sum, own.sum)
    assert np.array_equal(again.square, own.square)
