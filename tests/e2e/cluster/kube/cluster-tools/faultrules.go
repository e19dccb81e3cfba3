// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// What each action does is said in fault_proxy.py, where tests meet it.
var actions = []string{"pass", "cut", "commit-drop", "commit-status", "status", "truncate", "stale", "freeze",
	"event-drop", "event-duplicate", "event-swap", "event-gone"}

// fault is a rule as a test sends it, and is shown it again.
type fault struct {
	ID          int     `json:"id"`
	Action      string  `json:"action"`
	Method      string  `json:"method"`
	Path        string  `json:"path"`
	Query       string  `json:"query"`
	User        string  `json:"user"`
	Event       string  `json:"event"`
	Watch       *bool   `json:"watch"`
	Times       int     `json:"times"`
	Skip        int     `json:"skip"`
	DelayS      float64 `json:"delay_s"`
	LateS       float64 `json:"late_s"`
	Code        int     `json:"code"`
	Reason      string  `json:"reason"`
	Message     string  `json:"message"`
	RetryAfterS int     `json:"retry_after_s"`
	Bytes       int     `json:"bytes"`
	Hits        int     `json:"hits"`
}

type rule struct {
	fault
	path, query, user, event *regexp.Regexp
	skipped                  int
	healed                   chan struct{} // closed when it is over
	saved                    map[string]*answer
	saving                   sync.Mutex
}

// check completes a rule that came from outside, or says what is wrong with it.
func (r *rule) check() error {
	if !slices.Contains(actions, r.Action) {
		return fmt.Errorf("action %q; accepted: %s", r.Action, strings.Join(actions, ", "))
	}
	needsCode := r.Action == "status" || r.Action == "commit-status"
	if needsCode && (r.Code < 400 || r.Code > 599) {
		return fmt.Errorf("code %d; accepted: 400 to 599", r.Code)
	}
	if r.Times < 0 || r.Skip < 0 || r.Bytes < 0 || r.DelayS < 0 || r.LateS < 0 || r.RetryAfterS < 0 {
		return fmt.Errorf("a number below 0; accepted: 0 and above")
	}
	for _, one := range []struct {
		into **regexp.Regexp
		text string
	}{{&r.path, r.Path}, {&r.query, r.Query}, {&r.user, r.User}, {&r.event, r.Event}} {
		compiled, err := regexp.Compile(one.text)
		if err != nil {
			return err
		}
		*one.into = compiled
	}
	r.healed, r.saved = make(chan struct{}), map[string]*answer{}
	return nil
}

func (r *rule) ofEvents() bool { return strings.HasPrefix(r.Action, "event-") }

func (r *rule) fits(x *exchange) bool {
	return (r.Method == "" || r.Method == x.Method) && (r.Watch == nil || *r.Watch == x.watch) &&
		r.path.MatchString(x.Path) && r.query.MatchString(x.Query) && r.user.MatchString(x.User)
}

// rules are those in force, the newest first, and those that were.
type rules struct {
	mutex sync.Mutex
	live  []*rule
	all   map[int]*rule
}

func (s *rules) add(r *rule) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.all == nil {
		s.all = map[int]*rule{}
	}
	r.ID, r.Hits = len(s.all)+1, 0
	s.all[r.ID] = r
	s.live = append([]*rule{r}, s.live...)
}

// heal ends one rule, or all where id is 0.
func (s *rules) heal(id int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.live = slices.DeleteFunc(s.live, func(r *rule) bool {
		if id != 0 && r.ID != id {
			return false
		}
		select {
		case <-r.healed:
		default:
			close(r.healed)
		}
		return true
	})
}

// forRequest is the rule for a request that has come, counted as applied; nil: none.
func (s *rules) forRequest(x *exchange) *rule {
	return s.apply(func(r *rule) bool { return !r.ofEvents() && r.fits(x) })
}

// forEvent is the same for an event, named "TYPE NAME", of a watch.
func (s *rules) forEvent(x *exchange, event string) *rule {
	return s.apply(func(r *rule) bool { return r.ofEvents() && r.fits(x) && r.event.MatchString(event) })
}

// freezing is a rule made since the request came that stops its answer now.
func (s *rules) freezing(x *exchange) *rule {
	return s.apply(func(r *rule) bool { return r.Action == "freeze" && r.ID > x.newest && r.fits(x) })
}

func (s *rules) apply(fits func(*rule) bool) *rule {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	for _, r := range s.live {
		if (r.Times > 0 && r.Hits >= r.Times) || !fits(r) {
			continue
		}
		if r.skipped < r.Skip {
			r.skipped++
			continue
		}
		r.Hits++
		return r
	}
	return nil
}

// newest is the number of the newest rule.
func (s *rules) newest() int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return len(s.all)
}

// copies are rules as they are now, to be shown: those in force, or one that may be over.
func (s *rules) copies(id int) []fault {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	shown := []fault{}
	if id != 0 {
		if r := s.all[id]; r != nil {
			shown = append(shown, r.fault)
		}
		return shown
	}
	for _, r := range s.live {
		shown = append(shown, r.fault)
	}
	return shown
}

// wait waits, and less if the rule is healed. When the client goes meanwhile it returns what is left of the time.
func (r *rule) wait(seconds float64, gone <-chan struct{}) time.Duration {
	if seconds <= 0 {
		return 0
	}
	begin, whole := time.Now(), time.Duration(seconds*float64(time.Second))
	timer := time.NewTimer(whole)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.healed:
	case <-gone:
		return max(whole-time.Since(begin), 1)
	}
	return 0
}

// reasons are what the API server says with a code when a rule does not.
var reasons = map[int]string{400: "BadRequest", 401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict",
	410: "Expired", 413: "RequestEntityTooLarge", 415: "UnsupportedMediaType", 422: "Invalid", 429: "TooManyRequests",
	500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}

// status is the metav1.Status of a rule.
func (r *rule) status(code int) map[string]any {
	reason, message := r.Reason, r.Message
	if reason == "" {
		reason = reasons[code]
	}
	if message == "" {
		message = fmt.Sprintf("%s, as the test wants it", http.StatusText(code))
	}
	status := map[string]any{"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure",
		"message": message, "reason": reason, "code": code}
	if r.RetryAfterS > 0 {
		status["details"] = map[string]any{"retryAfterSeconds": r.RetryAfterS}
	}
	return status
}
