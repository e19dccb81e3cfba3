# SPDX-License-Identifier: Apache-2.0
"""What is tested of `sluice work` on the local queue, on a real RabbitMQ."""

from lib import run_on

run_on("classic", "quorum")
import work_test  # noqa: E402 F401  its tests, and the running of them
