// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
)

// control is the port by which a test says what is to be broken; fault_proxy.py is its client.
func (p *faultProxy) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /rules", func(w http.ResponseWriter, r *http.Request) {
		fresh := &rule{}
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		err := decoder.Decode(&fresh.fault)
		if err == nil {
			err = fresh.check()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		p.rules.add(fresh)
		say(w, map[string]int{"id": fresh.ID})
	})
	mux.HandleFunc("GET /rules", func(w http.ResponseWriter, _ *http.Request) { say(w, p.rules.copies(0)) })
	mux.HandleFunc("GET /rules/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.PathValue("id"))
		shown := p.rules.copies(id)
		if id == 0 || len(shown) == 0 {
			http.Error(w, fmt.Sprintf("there never was a rule %s", r.PathValue("id")), http.StatusNotFound)
			return
		}
		say(w, shown[0])
	})
	mux.HandleFunc("DELETE /rules", func(w http.ResponseWriter, _ *http.Request) {
		p.rules.heal(0)
		if err := p.accept(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		say(w, nil)
	})
	mux.HandleFunc("DELETE /rules/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.Atoi(r.PathValue("id"))
		if err != nil || id < 1 {
			http.Error(w, "a rule has a number from 1 on", http.StatusBadRequest)
			return
		}
		p.rules.heal(id)
		say(w, nil)
	})
	mux.HandleFunc("POST /cut", p.serveCut)
	mux.HandleFunc("POST /refuse", func(w http.ResponseWriter, _ *http.Request) {
		p.refuse()
		say(w, nil)
	})
	mux.HandleFunc("GET /requests", p.serveRequests)
	return mux
}

func (p *faultProxy) serveCut(w http.ResponseWriter, r *http.Request) {
	var which struct {
		Path string `json:"path"`
	}
	err := json.NewDecoder(r.Body).Decode(&which)
	var path *regexp.Regexp
	if err == nil {
		path, err = regexp.Compile(which.Path)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	cut := 0
	for x, cancel := range p.open {
		if path.MatchString(x.Path) {
			cancel(errCut)
			cut++
		}
	}
	say(w, map[string]int{"cut": cut})
}

func (p *faultProxy) serveRequests(w http.ResponseWriter, r *http.Request) {
	since, _ := strconv.Atoi(r.URL.Query().Get("since"))
	p.mutex.Lock()
	defer p.mutex.Unlock()
	first := p.count - len(p.requests)
	say(w, p.requests[min(max(since-first, 0), len(p.requests)):])
}

func say(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}
