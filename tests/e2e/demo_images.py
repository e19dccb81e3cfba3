# SPDX-License-Identifier: Apache-2.0
"""Images on the node of a test cluster."""

import re

from e2e import ROOT


def sluice_image(cluster, *more):
    """Has what `make image` left on the node, beside the archives `more`; the name of sluice's."""
    archive, = (ROOT / "build/image").glob("sluice-*.tar")
    name, = [name for name in cluster.load(archive, *more) if re.search(r"(^|/)sluice:", name)]
    return name
