# SPDX-License-Identifier: Apache-2.0
"""`sluice controller` with the chart's rights on the real cluster: what it promises of Jobs, proven by the audit log.

The tests are in scaling_*.py, those that take longest first; they mostly wait, so several run at a time.
"""

import scaling_fence  # noqa: F401
import scaling_foreign  # noqa: F401
import scaling_capacity  # noqa: F401
import scaling_changes  # noqa: F401
from e2e import main

main(side_by_side=5)
