// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every queue does, whatever carries it: one suite for the in-memory twin, the local queue and the real brokers,
// so that the twin cannot drift from what it stands for. A test program includes this once and instantiates
// QueueConformance with a maker of rigs.
#include "queue/conformance_delivery.h"
#include "queue/conformance_flow.h"
#include "queue/conformance_rig.h"
