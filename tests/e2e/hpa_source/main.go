// SPDX-License-Identifier: Apache-2.0

// Answers lines of JSON, one case each, by Kubernetes' own code: hpa_source_test.py puts this beside a copy of it.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"hpasource/podautoscaler"
)

func main() {
	in := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var one podautoscaler.Case
		err := json.Unmarshal(in.Bytes(), &one)
		if err == nil {
			err = out.Encode(one.Answer())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
