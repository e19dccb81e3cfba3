# SPDX-License-Identifier: Apache-2.0
"""Workers, scalers and the broker are killed at random while work goes on, on a real RabbitMQ."""

from lib import run_on

run_on("quorum", "classic", only=["kill -9"])
import chaos_test  # noqa: E402 F401  its tests, and the running of them
