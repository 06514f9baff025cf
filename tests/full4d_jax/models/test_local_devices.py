"""Programs on all devices of a host: one thread keeps to one, as many as devices use all."""

import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from full4d_jax.models.local_devices import OnLocalDevices


def test_calls_one_after_the_other_use_one_device_and_threads_use_all():
    devices = jax.local_device_count()
    assert devices > 1
    used = []
    all_at_once = threading.Barrier(devices)

    def scale(weights, x, waits):
        used.append(weights.device)
        if waits:
            all_at_once.wait(timeout=60)
        return weights * x

    on_devices = OnLocalDevices(scale, jnp.float32(3))
    np.testing.assert_array_equal([on_devices(x, False) for x in range(4)], [0, 3, 6, 9])
    assert len(set(used)) == 1
    used.clear()
    with ThreadPoolExecutor(devices) as pool:
        results = list(pool.map(lambda x: on_devices(x, True), range(2 * devices)))
    np.testing.assert_array_equal(results, [3 * x for x in range(2 * devices)])
    assert set(used) == set(jax.local_devices())
