// SPDX-License-Identifier: Apache-2.0

// A file for the package of the HPA's controller, so that its own functions can be asked.
package podautoscaler

import (
	"context"
	"fmt"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	defaults "k8s.io/kubernetes/pkg/apis/autoscaling/v2"
	metricsclient "k8s.io/kubernetes/pkg/controller/podautoscaler/metrics"
)

// Case is one of the two.
type Case struct {
	Metric *Metric `json:"metric"` // what a metric asks for
	Sizing *Sizing `json:"sizing"` // what the controller makes of it
}

// Answer of the controller's code.
func (c Case) Answer() any {
	if c.Metric != nil {
		return c.Metric.answer()
	}
	return c.Sizing.answer()
}

// Metric is an External or Object metric with its values and the workload.
type Metric struct {
	Type, Kind, Target  string
	Values              []string
	Spec, Status, Ready int32
	Up, Down            float64
}

// Proposal is null where the calculator failed.
type Proposal struct {
	Replicas *int32  `json:"replicas"`
	Usage    *string `json:"usage"`
}

// values are what every metrics API answers, in milli units.
type values []int64

func (values) GetResourceMetric(context.Context, v1.ResourceName, string, labels.Selector, string) (
	metricsclient.PodMetricsInfo, time.Time, error) {
	return nil, time.Time{}, fmt.Errorf("not asked for")
}

func (values) GetRawMetric(string, string, labels.Selector, labels.Selector) (
	metricsclient.PodMetricsInfo, time.Time, error) {
	return nil, time.Time{}, fmt.Errorf("not asked for")
}

func (v values) GetObjectMetric(string, string, *autoscalingv2.CrossVersionObjectReference, labels.Selector) (
	int64, time.Time, error) {
	return v[0], time.Time{}, nil
}

func (v values) GetExternalMetric(string, string, labels.Selector) ([]int64, time.Time, error) {
	return v, time.Time{}, nil
}

func (m Metric) pods() corelisters.PodLister {
	byNamespace := cache.Indexers{cache.NamespaceIndex: cache.MetaNamespaceIndexFunc}
	indexer := cache.NewIndexer(cache.MetaNamespaceKeyFunc, byNamespace)
	for i := int32(0); i < m.Status; i++ {
		pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint(i), Namespace: "n"}}
		pod.Status.Phase = v1.PodRunning
		if i < m.Ready {
			pod.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
		}
		_ = indexer.Add(pod)
	}
	return corelisters.NewPodLister(indexer)
}

func (m Metric) answer() Proposal {
	var all values
	for _, text := range m.Values {
		quantity := resource.MustParse(text)
		all = append(all, quantity.MilliValue())
	}
	quantity := resource.MustParse(m.Target)
	target := quantity.MilliValue()
	calculator := NewReplicaCalculator(all, m.pods(), 0, 0)
	tolerances := Tolerances{m.Down, m.Up}
	object, every := &autoscalingv2.CrossVersionObjectReference{}, labels.Everything()
	selector := &metav1.LabelSelector{}
	var replicas int32
	var usage int64
	var err error
	switch m.Type + m.Kind {
	case "ExternalAverageValue":
		replicas, usage, _, err = calculator.GetExternalPerPodMetricReplicas(
			m.Status, target, "m", tolerances, "n", selector)
	case "ExternalValue":
		replicas, usage, _, err = calculator.GetExternalMetricReplicas(
			m.Spec, target, "m", tolerances, "n", selector, every)
	case "ObjectAverageValue":
		replicas, usage, _, err = calculator.GetObjectPerPodMetricReplicas(
			m.Status, target, "m", tolerances, "n", object, every)
	case "ObjectValue":
		replicas, usage, _, err = calculator.GetObjectMetricReplicas(
			m.Spec, target, "m", tolerances, "n", object, every, every)
	}
	if err != nil {
		return Proposal{}
	}
	text := resource.NewMilliQuantity(usage, resource.DecimalSI).String()
	return Proposal{&replicas, &text}
}

// Entry of the controller's memory: so many replicas, so many seconds ago.
type Entry struct {
	Age float64 `json:"age"`
	N   int32   `json:"n"`
}

// Sizing is a proposal, the bounds, and what the controller remembers.
type Sizing struct {
	Behavior                              *autoscalingv2.HorizontalPodAutoscalerBehavior
	Current, Desired, Min, Max, WindowS   int32
	Recommendations, UpEvents, DownEvents []Entry
}

// Sized is the size, the conditions and the memory without its times.
type Sized struct {
	Replicas        int32             `json:"replicas"`
	Conditions      map[string]string `json:"conditions"` // type: "status reason"
	Recommendations []int32           `json:"recommendations"`
	UpEvents        []int32           `json:"up_events"`
	DownEvents      []int32           `json:"down_events"`
}

func (s Sizing) answer() Sized {
	now := time.Now()
	ago := func(seconds float64) time.Time { return now.Add(-time.Duration(seconds * 1e9)) }
	events := func(entries []Entry) map[string][]timestampedScaleEvent {
		out := map[string][]timestampedScaleEvent{}
		for _, one := range entries {
			out["k"] = append(out["k"], timestampedScaleEvent{one.N, ago(one.Age), false})
		}
		return out
	}
	a := &HorizontalController{
		downscaleStabilisationWindow: time.Duration(s.WindowS) * time.Second,
		recommendations:              map[string][]timestampedRecommendation{},
		scaleUpEvents:                events(s.UpEvents),
		scaleDownEvents:              events(s.DownEvents),
	}
	for _, one := range s.Recommendations {
		a.recommendations["k"] = append(a.recommendations["k"], timestampedRecommendation{one.N, ago(one.Age)})
	}
	hpa := &autoscalingv2.HorizontalPodAutoscaler{Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
		MinReplicas: &s.Min, MaxReplicas: s.Max, Behavior: s.Behavior}}
	defaults.SetDefaults_HorizontalPodAutoscalerBehavior(hpa)
	out := Sized{Conditions: map[string]string{}, Recommendations: []int32{}, UpEvents: []int32{}, DownEvents: []int32{}}
	if s.Behavior == nil {
		out.Replicas = a.normalizeDesiredReplicas(hpa, "k", s.Current, s.Desired, s.Min)
	} else {
		out.Replicas = a.normalizeDesiredReplicasWithBehaviors(hpa, "k", s.Current, s.Desired, s.Min)
	}
	if out.Replicas != s.Current {
		a.storeScaleEvent(hpa.Spec.Behavior, "k", s.Current, out.Replicas)
	}
	for _, one := range hpa.Status.Conditions {
		out.Conditions[string(one.Type)] = string(one.Status) + " " + one.Reason
	}
	for _, one := range a.recommendations["k"] {
		out.Recommendations = append(out.Recommendations, one.recommendation)
	}
	for _, one := range a.scaleUpEvents["k"] {
		out.UpEvents = append(out.UpEvents, one.replicaChange)
	}
	for _, one := range a.scaleDownEvents["k"] {
		out.DownEvents = append(out.DownEvents, one.replicaChange)
	}
	return out
}
