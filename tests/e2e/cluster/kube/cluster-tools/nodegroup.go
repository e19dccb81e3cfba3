// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcore "k8s.io/client-go/kubernetes/typed/core/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"
)

const (
	poolLabel = "sluice.test/pool"
	lookEvery = 250 * time.Millisecond
	// cluster-autoscaler looks every 10 s, and says so each time.
	sayEvery = 10 * time.Second
)

// nodeGroup plays a managed node group and the cluster autoscaler in charge of it: nodes come some time after pods were
// found unschedulable, as many as those pods need, and go when they have been idle. KWOK plays the nodes.
type nodeGroup struct {
	name        string
	least, most int
	delay, idle time.Duration
	room        core.ResourceList // of one node

	client *kubernetes.Clientset
	pods   corelisters.PodLister
	nodes  corelisters.NodeLister
	events record.EventRecorder // nil: says nothing

	ordered   []time.Time          // when each node on its way is there
	joined    map[string]time.Time // made, and not yet seen in the list
	next      int                  // number of the next node
	idleSince map[string]time.Time
	said      map[string]time.Time // by pod
}

func runNodeGroup(flags *flag.FlagSet, arguments []string) error {
	kubeconfig := flags.String("kubeconfig", "", "of the cluster")
	group := &nodeGroup{joined: map[string]time.Time{}, idleSince: map[string]time.Time{}, said: map[string]time.Time{}}
	flags.StringVar(&group.name, "name", "", "of the group: its nodes' label "+poolLabel)
	flags.IntVar(&group.least, "least", 0, "nodes that are always there")
	flags.IntVar(&group.most, "most", 1, "nodes at most")
	flags.DurationVar(&group.delay, "delay", 30*time.Second, "from a pod that waits to the node")
	flags.DurationVar(&group.idle, "idle", time.Minute, "after this time without pods a node goes")
	cpu := flags.String("cpu", "4", "of a node")
	memory := flags.String("memory", "64Gi", "of a node")
	pods := flags.String("pods", "110", "of a node, at most")
	events := flags.Bool("events", true, "tell pods what becomes of them")
	flags.Parse(arguments)
	group.room = core.ResourceList{}
	for name, text := range map[core.ResourceName]string{"cpu": *cpu, "memory": *memory, "pods": *pods} {
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			return fmt.Errorf("--%s %s: %w", name, text, err)
		}
		group.room[name] = quantity
	}

	client, err := connect(*kubeconfig, "e2e-node-group")
	if err != nil {
		return err
	}
	group.client = client
	live := informers.WithTweakListOptions(func(options *meta.ListOptions) {
		options.FieldSelector = fields.ParseSelectorOrDie("status.phase!=Succeeded,status.phase!=Failed").String()
	})
	podFactory := informers.NewSharedInformerFactoryWithOptions(client, 0, live)
	nodeFactory := informers.NewSharedInformerFactory(client, 0)
	group.pods, group.nodes = podFactory.Core().V1().Pods().Lister(), nodeFactory.Core().V1().Nodes().Lister()
	ctx := context.Background()
	for _, factory := range []informers.SharedInformerFactory{podFactory, nodeFactory} {
		factory.Start(ctx.Done())
		factory.WaitForCacheSync(ctx.Done())
	}
	if *events {
		broadcaster := record.NewBroadcaster()
		broadcaster.StartRecordingToSink(&typedcore.EventSinkImpl{Interface: client.CoreV1().Events("")})
		group.events = broadcaster.NewRecorder(scheme.Scheme, core.EventSource{Component: "cluster-autoscaler"})
	}
	for range time.Tick(lookEvery) {
		if err := group.look(ctx, time.Now()); err != nil {
			logf("%v", err)
		}
	}
	return nil
}

// look compares what waits with what is there, once.
func (g *nodeGroup) look(ctx context.Context, now time.Time) error {
	nodes, err := g.nodes.List(labels.SelectorFromSet(labels.Set{poolLabel: g.name}))
	if err != nil {
		return err
	}
	pods, err := g.pods.List(labels.Everything())
	if err != nil {
		return err
	}
	for _, node := range nodes {
		var number int
		if _, err := fmt.Sscanf(strings.TrimPrefix(node.Name, g.name+"-"), "%d", &number); err == nil {
			g.next = max(g.next, number+1)
		}
		delete(g.joined, node.Name)
	}
	for name, since := range g.joined { // removed by somebody else before it was seen
		if now.Sub(since) > sayEvery {
			delete(g.joined, name)
		}
	}
	for g.coming(nodes) < g.least {
		g.ordered = append(g.ordered, now)
	}
	g.order(nodes, pods, now)
	if err := g.join(ctx, now); err != nil {
		return err
	}
	return g.leave(ctx, nodes, pods, now)
}

// coming is how many nodes there are, with those on their way.
func (g *nodeGroup) coming(nodes []*core.Node) int {
	return len(nodes) + len(g.joined) + len(g.ordered)
}

// order orders a node for what fits nowhere, counting the room that is there or on its way first. A pod that has been
// given a place is still called unschedulable for a moment.
func (g *nodeGroup) order(nodes []*core.Node, pods []*core.Pod, now time.Time) {
	var rooms []core.ResourceList
	for _, node := range nodes {
		free := node.Status.Allocatable.DeepCopy()
		for _, pod := range pods {
			if pod.Spec.NodeName == node.Name {
				take(free, pod)
			}
		}
		rooms = append(rooms, free)
	}
	for range len(g.ordered) + len(g.joined) {
		rooms = append(rooms, g.room.DeepCopy())
	}
	for _, pod := range pods {
		if !g.waits(pod) || slices.ContainsFunc(rooms, func(room core.ResourceList) bool { return take(room, pod) }) {
			continue
		}
		fresh := g.room.DeepCopy()
		fits := take(fresh, pod)
		count := g.coming(nodes)
		switch {
		case !fits:
			g.say(pod, now, "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 Insufficient resources on any node")
		case count >= g.most:
			g.say(pod, now, "NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached")
		default:
			g.ordered = append(g.ordered, now.Add(g.delay))
			rooms = append(rooms, fresh)
			logf("%s: %s/%s fits nowhere: node %d of %d in %s", g.name, pod.Namespace, pod.Name, count+1, g.most, g.delay)
			g.say(pod, now, "TriggeredScaleUp",
				fmt.Sprintf("pod triggered scale-up: [{%s %d->%d (max: %d)}]", g.name, count, count+1, g.most))
		}
	}
}

// waits: unschedulable, and asking for this group.
func (g *nodeGroup) waits(pod *core.Pod) bool {
	if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || pod.Spec.NodeSelector[poolLabel] != g.name {
		return false
	}
	return slices.ContainsFunc(pod.Status.Conditions, func(condition core.PodCondition) bool {
		return condition.Type == core.PodScheduled && condition.Status == core.ConditionFalse &&
			condition.Reason == core.PodReasonUnschedulable
	})
}

// take takes a pod's room out of what is free, if it is enough. Containers that run at the same time add up.
func take(free core.ResourceList, pod *core.Pod) bool {
	need := core.ResourceList{core.ResourcePods: resource.MustParse("1")}
	for _, container := range pod.Spec.Containers {
		for name, quantity := range container.Resources.Requests {
			sum := need[name]
			sum.Add(quantity)
			need[name] = sum
		}
	}
	for name, quantity := range need {
		if left := free[name]; left.Cmp(quantity) < 0 {
			return false
		}
	}
	for name, quantity := range need {
		left := free[name]
		left.Sub(quantity)
		free[name] = left
	}
	return true
}

func (g *nodeGroup) say(pod *core.Pod, now time.Time, reason, message string) {
	key := string(pod.UID)
	if g.events == nil || now.Sub(g.said[key]) < sayEvery {
		return
	}
	g.said[key] = now
	g.events.Event(pod, core.EventTypeNormal, reason, message)
}

// join makes the nodes whose time has come.
func (g *nodeGroup) join(ctx context.Context, now time.Time) error {
	for len(g.ordered) > 0 && !g.ordered[0].After(now) {
		name := fmt.Sprintf("%s-%d", g.name, g.next)
		node := &core.Node{
			ObjectMeta: meta.ObjectMeta{
				Name:        name,
				Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"},
				Labels: map[string]string{"type": "kwok", poolLabel: g.name, core.LabelHostname: name,
					core.LabelOSStable: "linux", core.LabelArchStable: "amd64"},
			},
			Spec: core.NodeSpec{Taints: []core.Taint{
				{Key: "kwok.x-k8s.io/node", Value: "fake", Effect: core.TaintEffectNoSchedule}}},
			Status: core.NodeStatus{Capacity: g.room, Allocatable: g.room},
		}
		if _, err := g.client.CoreV1().Nodes().Create(ctx, node, meta.CreateOptions{}); err != nil {
			return err
		}
		logf("%s: %s is there", g.name, name)
		g.joined[name] = now
		g.next++
		g.ordered = g.ordered[1:]
	}
	return nil
}

// leave removes nodes that have been without pods for long enough.
func (g *nodeGroup) leave(ctx context.Context, nodes []*core.Node, pods []*core.Pod, now time.Time) error {
	busy := map[string]bool{}
	for _, pod := range pods {
		busy[pod.Spec.NodeName] = true
	}
	left := len(nodes)
	for _, node := range nodes {
		since, idle := g.idleSince[node.Name]
		switch {
		case busy[node.Name]:
			delete(g.idleSince, node.Name)
		case !idle:
			g.idleSince[node.Name] = now
		case now.Sub(since) >= g.idle && left > g.least && node.DeletionTimestamp == nil:
			if err := g.client.CoreV1().Nodes().Delete(ctx, node.Name, meta.DeleteOptions{}); err != nil {
				return err
			}
			logf("%s: %s goes, idle for %s", g.name, node.Name, now.Sub(since).Round(time.Second))
			delete(g.idleSince, node.Name)
			left--
		}
	}
	return nil
}
