// SPDX-License-Identifier: Apache-2.0

// cluster-tools is what the test cluster needs beside Kubernetes: the first process of its world, a name server, a node
// group that grows when pods wait, a proxy in front of the API server that breaks what the test says.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

var verbs = map[string]func(*flag.FlagSet, []string) error{
	"dns":         runDNS,
	"fault-proxy": runFaultProxy,
	"init":        runInit,
	"node-group":  runNodeGroup,
}

func main() {
	if len(os.Args) < 2 || verbs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: cluster-tools dns|fault-proxy|init|node-group [flags]")
		os.Exit(2)
	}
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	if err := verbs[os.Args[1]](flags, os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "cluster-tools %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

// logf writes a line with the time to the log, which is standard error.
func logf(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().UTC().Format("15:04:05.000"), fmt.Sprintf(format, values...))
}

// connect is the API server's client of a kubeconfig, named in the audit log by `agent`.
func connect(kubeconfig, agent string) (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = 200, 400
	return kubernetes.NewForConfig(rest.AddUserAgent(config, agent))
}
