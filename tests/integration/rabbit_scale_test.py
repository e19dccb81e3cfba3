# SPDX-License-Identifier: Apache-2.0
"""What is tested of `sluice scale` on the local queue, on a real RabbitMQ, where the queue makes a difference."""

from lib import run_on

run_on("classic", "quorum", only=["very moment", "workers come", "--drain", "leaves the workers alone"])
import scale_test  # noqa: E402 F401  its tests, and the running of them
