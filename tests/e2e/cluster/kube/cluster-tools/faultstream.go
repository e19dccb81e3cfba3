// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
)

// stream is an answer on its way to the client, which rules made since may stop or change.
type stream struct {
	proxy *faultProxy
	x     *exchange
	w     http.ResponseWriter
	flush *http.ResponseController
	gone  <-chan struct{}
	held  []byte // an event that comes after the next one
}

// Write passes bytes on at once, unless they are to wait.
func (s *stream) Write(data []byte) (int, error) {
	if r := s.proxy.rules.freezing(s.x); r != nil {
		s.stop(r)
	}
	size, err := s.w.Write(data)
	if err == nil {
		err = s.flush.Flush()
	}
	return size, err
}

// stop waits until the rule is healed or the client gone.
func (s *stream) stop(r *rule) {
	select {
	case <-r.healed:
	case <-s.gone:
	}
}

// events passes on a watch, an event a line, and does to each what the rules say.
func (s *stream) events(from *bufio.Reader) error {
	for {
		line, err := from.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return err
		}
		var event struct {
			Type   string `json:"type"`
			Object struct {
				Metadata struct {
					Name string `json:"name"`
				} `json:"metadata"`
			} `json:"object"`
		}
		var r *rule
		if json.Unmarshal(line, &event) == nil {
			r = s.proxy.rules.forEvent(s.x, event.Type+" "+event.Object.Metadata.Name)
		}
		over, err := s.event(line, r)
		if over || err != nil {
			return err
		}
	}
}

// event is true when the watch is over with it.
func (s *stream) event(line []byte, r *rule) (bool, error) {
	out := line
	if r != nil {
		switch r.Action {
		case "event-drop":
			out = nil
		case "event-duplicate":
			out = append(append([]byte{}, line...), line...)
		case "event-swap":
			if s.held == nil {
				s.held = append([]byte{}, line...)
				return false, nil
			}
		case "event-gone":
			text, err := json.Marshal(map[string]any{"type": "ERROR", "object": r.status(410)})
			if err == nil {
				_, err = s.Write(append(text, '\n'))
			}
			return true, err
		}
	}
	if out != nil && s.held != nil {
		out, s.held = append(append([]byte{}, out...), s.held...), nil
	}
	if out == nil {
		return false, nil
	}
	_, err := s.Write(out)
	return false, err
}
