// SPDX-License-Identifier: Apache-2.0
#include "app/context.h"

int main(int argc, char** argv, char** environment) {
  return sluice::app::run_program(argc, argv, environment);
}
