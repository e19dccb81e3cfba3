// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	bodyBytes    = 16 << 20 // of a request; the API server takes 3 MiB
	requestsKept = 100_000
)

var errCut = errors.New("cut by the test")

// faultProxy speaks TLS and HTTP/1.1 with both sides: a connection that can be cut carries one request at a time.
type faultProxy struct {
	rules     rules
	target    *url.URL
	asBearer  *http.Transport // passes tokens on
	asFront   *http.Transport // vouches for the name in a client's certificate, as the aggregation layer does
	server    *http.Server
	listen    string
	tlsConfig *tls.Config

	mutex    sync.Mutex
	listener net.Listener // nil: refuses
	sockets  map[net.Conn]bool
	open     map[*exchange]context.CancelCauseFunc
	requests []*exchange // the newest
	count    int
}

// exchange is a request and what becomes of it. What is written as JSON is for the test to read.
type exchange struct {
	N      int     `json:"n"`
	At     float64 `json:"at"` // Unix time, seconds
	Method string  `json:"method"`
	Path   string  `json:"path"`
	Query  string  `json:"query"`
	User   string  `json:"user"`
	Status int     `json:"status"`
	Action string  `json:"action"`

	watch  bool
	newest int // rule when it came
}

// answer is one that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func runFaultProxy(flags *flag.FlagSet, arguments []string) error {
	listen := flags.String("listen", "", "address for clients")
	control := flags.String("control", "", "address of the control port, plain HTTP")
	target := flags.String("target", "", "address of the API server")
	ca := flags.String("ca", "", "the cluster's authority")
	cert := flags.String("cert", "", "of this server")
	key := flags.String("key", "", "of this server")
	frontCert := flags.String("front-proxy-cert", "", "client certificate of a front proxy")
	frontKey := flags.String("front-proxy-key", "", "its key")
	flags.Parse(arguments)

	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	ours, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		return err
	}
	front, err := tls.LoadX509KeyPair(*frontCert, *frontKey)
	if err != nil {
		return err
	}
	p := &faultProxy{
		target:   &url.URL{Scheme: "https", Host: *target},
		asBearer: transport(&tls.Config{RootCAs: trusted}),
		asFront:  transport(&tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{front}}),
		listen:   *listen,
		tlsConfig: &tls.Config{Certificates: []tls.Certificate{ours}, ClientCAs: trusted,
			ClientAuth: tls.VerifyClientCertIfGiven, NextProtos: []string{"http/1.1"}},
		sockets: map[net.Conn]bool{},
		open:    map[*exchange]context.CancelCauseFunc{},
	}
	p.server = &http.Server{
		Handler:      http.HandlerFunc(p.serve),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
		ConnState:    p.noteSocket,
	}
	if err := p.accept(); err != nil {
		return err
	}
	return (&http.Server{Addr: *control, Handler: p.control()}).ListenAndServe()
}

func transport(config *tls.Config) *http.Transport {
	return &http.Transport{TLSClientConfig: config, DisableCompression: true, MaxIdleConnsPerHost: 256,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
}

// A request

func (p *faultProxy) serve(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	x := &exchange{At: float64(time.Now().UnixMicro()) / 1e6, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery,
		User: userOf(r), Action: "pass", newest: p.rules.newest(),
		watch: query.Get("watch") == "true" || query.Get("watch") == "1"}
	rule := p.rules.forRequest(x)
	if rule != nil {
		x.Action = rule.Action
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	p.note(x, cancel)
	defer p.forget(x)

	body, err := io.ReadAll(io.LimitReader(r.Body, bodyBytes))
	if err == nil {
		if r.Header.Get("Upgrade") != "" {
			p.upgrade(w, r)
			return
		}
		err = p.play(ctx, w, p.outgoing(r, body, x.watch), x, rule)
	}
	if err != nil {
		if !errors.Is(err, errCut) && ctx.Err() == nil {
			logf("%s %s: %v", r.Method, r.URL.Path, err)
		}
		if socket, _, err := http.NewResponseController(w).Hijack(); err == nil {
			reset(socket)
			return
		}
		panic(http.ErrAbortHandler)
	}
}

// play does to a request what the rule says; nil: nothing. An error ends the connection by a reset.
func (p *faultProxy) play(ctx context.Context, w http.ResponseWriter, request *http.Request, x *exchange,
	r *rule) error {
	if r == nil {
		return p.pass(ctx, w, request, x, nil)
	}
	if left := r.wait(r.DelayS, ctx.Done()); left > 0 {
		if r.Action != "cut" && r.Action != "status" {
			go p.arrive(request, x, r, left)
		}
		return errCut
	}
	switch r.Action {
	case "cut":
		return errCut
	case "status":
		return p.sayStatus(ctx, w, x, r)
	case "commit-drop", "commit-status":
		whole, err := p.whole(context.WithoutCancel(ctx), request)
		if err != nil {
			return err
		}
		p.answered(x, whole.status)
		if r.Action == "commit-drop" {
			r.wait(r.LateS, ctx.Done())
			return errCut
		}
		return p.sayStatus(ctx, w, x, r)
	case "truncate":
		whole, err := p.whole(ctx, request)
		if err != nil {
			return err
		}
		r.wait(r.LateS, ctx.Done())
		p.answered(x, whole.status)
		whole.body = whole.body[:min(r.Bytes, len(whole.body))]
		whole.write(w)
		return errCut
	case "stale":
		if x.watch {
			break
		}
		whole, err := p.stale(ctx, request, x, r)
		if err != nil {
			return err
		}
		r.wait(r.LateS, ctx.Done())
		p.answered(x, whole.status)
		whole.write(w)
		return nil
	}
	return p.pass(ctx, w, request, x, r)
}

// arrive: what is on its way arrives, although its sender has gone.
func (p *faultProxy) arrive(request *http.Request, x *exchange, r *rule, after time.Duration) {
	if x.watch {
		return
	}
	r.wait(after.Seconds(), nil)
	if whole, err := p.whole(context.Background(), request); err == nil {
		p.answered(x, whole.status)
	}
}

func (p *faultProxy) sayStatus(ctx context.Context, w http.ResponseWriter, x *exchange, r *rule) error {
	r.wait(r.LateS, ctx.Done())
	p.answered(x, r.Code)
	text, err := json.Marshal(r.status(r.Code))
	if err != nil {
		return err
	}
	header := http.Header{"Content-Type": {"application/json"}, "Content-Length": {strconv.Itoa(len(text))}}
	if r.RetryAfterS > 0 {
		header.Set("Retry-After", strconv.Itoa(r.RetryAfterS))
	}
	(&answer{status: r.Code, header: header, body: text}).write(w)
	return nil
}

// outgoing is the request as the API server gets it.
func (p *faultProxy) outgoing(r *http.Request, body []byte, watch bool) *http.Request {
	sent := r.Clone(context.Background())
	sent.RequestURI, sent.Host = "", p.target.Host
	sent.URL.Scheme, sent.URL.Host = p.target.Scheme, p.target.Host
	sent.Body, sent.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	sent.TransferEncoding = nil
	for _, name := range []string{"Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding"} {
		sent.Header.Del(name)
	}
	if watch {
		sent.Header.Set("Accept-Encoding", "identity") // its events are read
	}
	vouch(sent.Header, r)
	return sent
}

// vouch hands over who a client's certificate says he is; nobody can say that of himself.
func vouch(header http.Header, r *http.Request) {
	for name := range header {
		if strings.HasPrefix(strings.ToLower(name), "x-remote-") {
			header.Del(name)
		}
	}
	if len(r.TLS.PeerCertificates) > 0 {
		subject := r.TLS.PeerCertificates[0].Subject
		header.Set("X-Remote-User", subject.CommonName)
		for _, group := range subject.Organization {
			header.Add("X-Remote-Group", group)
		}
	}
}

func (p *faultProxy) transportFor(request *http.Request) *http.Transport {
	if request.Header.Get("X-Remote-User") != "" {
		return p.asFront
	}
	return p.asBearer
}

// upgrade is for exec and port-forward, which no rule but cut and delay could mean.
func (p *faultProxy) upgrade(w http.ResponseWriter, r *http.Request) {
	proxy := &httputil.ReverseProxy{Transport: p.transportFor(p.outgoing(r, nil, false)),
		Rewrite: func(request *httputil.ProxyRequest) {
			request.SetURL(p.target)
			vouch(request.Out.Header, request.In)
		}}
	proxy.ServeHTTP(w, r)
}

// whole asks the server and reads its answer to the end.
func (p *faultProxy) whole(ctx context.Context, request *http.Request) (*answer, error) {
	response, err := p.transportFor(request).RoundTrip(request.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return &answer{status: response.StatusCode, header: response.Header, body: body}, nil
}

func (p *faultProxy) stale(ctx context.Context, request *http.Request, x *exchange, r *rule) (*answer, error) {
	key := x.Method + " " + x.Path + "?" + x.Query + " " + x.User + " " + request.Header.Get("Accept")
	r.saving.Lock()
	defer r.saving.Unlock()
	if r.saved[key] == nil {
		whole, err := p.whole(ctx, request)
		if err != nil {
			return nil, err
		}
		r.saved[key] = whole
	}
	saved := *r.saved[key]
	return &saved, nil
}

func (a *answer) write(w http.ResponseWriter) {
	copyHeader(w.Header(), a.header)
	w.WriteHeader(a.status)
	w.Write(a.body)
	http.NewResponseController(w).Flush()
}

func copyHeader(to, from http.Header) {
	for name, values := range from {
		if name != "Connection" && name != "Transfer-Encoding" {
			to[name] = values
		}
	}
}

// pass hands the answer over as it comes.
func (p *faultProxy) pass(ctx context.Context, w http.ResponseWriter, request *http.Request, x *exchange,
	r *rule) error {
	response, err := p.transportFor(request).RoundTrip(request.WithContext(ctx))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if r != nil {
		r.wait(r.LateS, ctx.Done())
	}
	p.answered(x, response.StatusCode)
	copyHeader(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	out := &stream{proxy: p, x: x, w: w, flush: http.NewResponseController(w), gone: ctx.Done()}
	out.flush.Flush()
	if r != nil && r.Action == "freeze" {
		out.stop(r)
	}
	if x.watch && strings.HasPrefix(response.Header.Get("Content-Type"), "application/json") {
		err = out.events(bufio.NewReaderSize(response.Body, 64<<10))
	} else {
		_, err = io.Copy(out, response.Body)
	}
	return err
}

// Who and what

// userOf is the name in a client's certificate, or the subject of its token, which the server, not this proxy, checks.
func userOf(r *http.Request) string {
	if len(r.TLS.PeerCertificates) > 0 {
		return r.TLS.PeerCertificates[0].Subject.CommonName
	}
	parts := strings.Split(r.Header.Get("Authorization"), ".")
	if len(parts) != 3 {
		return ""
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	var token struct {
		Subject string `json:"sub"`
	}
	if err != nil || json.Unmarshal(claims, &token) != nil {
		return ""
	}
	return token.Subject
}

func (p *faultProxy) note(x *exchange, cancel context.CancelCauseFunc) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	x.N = p.count
	p.count++
	p.open[x] = cancel
	p.requests = append(p.requests, x)
	if len(p.requests) > 2*requestsKept {
		p.requests = append([]*exchange{}, p.requests[requestsKept:]...)
	}
}

func (p *faultProxy) answered(x *exchange, status int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	x.Status = status
}

func (p *faultProxy) forget(x *exchange) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.open, x)
}
