// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// runInit is the first process of a process namespace. It waits for those whose parent has ended, since nobody else
// can, and with its own end the kernel ends all others.
func runInit(flags *flag.FlagSet, arguments []string) error {
	untilEOF := flags.Bool("until-eof", false, "end when standard input does")
	flags.Parse(arguments)

	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if *untilEOF {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			os.Exit(0)
		}()
	}
	for {
		select {
		case <-stop:
			return nil
		case <-ended:
			// One signal may stand for several children.
			for {
				var status syscall.WaitStatus
				if pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil); pid <= 0 || err != nil {
					break
				}
			}
		}
	}
}
