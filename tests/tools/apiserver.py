# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the few calls that an aggregated API server makes of kube-apiserver: who may ask, and who it is.

    with ApiServer(client_ca=pem, proxy_ca=pem, allowed_names=["front"]) as api:
        api.kubeconfig(path)                       # for --kubeconfig
        api.tokens["good"] = "jane"                # TokenReview
        api.rights.add(("jane", "shop"))           # SubjectAccessReview: may list metrics there
        api.configure(proxy_ca=other)              # the ConfigMap changes; watches are told
        api.calls("tokenreviews")                  # how often it was asked
    api.put("/api/v1/namespaces/ops/secrets/x", {"data": {}})   # any object; GET, PUT and PATCH know its version
    api.refusals["/api/v1/..."] = 403          # of such a path

Nothing is checked of who asks it: it listens on loopback, without TLS.
"""

import http.server
import json
import socketserver
import threading
import urllib.parse

CONFIG = "extension-apiserver-authentication"


class ApiServer:
    def __init__(self, client_ca="", proxy_ca="", allowed_names=()):
        self._lock = threading.Condition()
        self.tokens, self.rights, self._calls, self._end, self.down = {}, set(), [], False, False
        self._version, self._config, self._past = 1, {}, []
        self.objects, self.refusals = {}, {}
        self.configure(client_ca=client_ca, proxy_ca=proxy_ca, allowed_names=list(allowed_names))
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with self._lock:
            self._end = True
            self._lock.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def kubeconfig(self, path):
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {"token": "mine"}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}]}))
        return path

    def configure(self, client_ca=None, proxy_ca=None, allowed_names=None):
        with self._lock:
            for key, value in (("client-ca-file", client_ca), ("requestheader-client-ca-file", proxy_ca)):
                if value is not None:
                    self._config[key] = value
            if allowed_names is not None:
                self._config["requestheader-allowed-names"] = json.dumps(allowed_names)
            self._config.update({"requestheader-username-headers": '["X-Remote-User"]',
                                 "requestheader-group-headers": '["X-Remote-Group"]',
                                 "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]'})
            self._version += 1
            self._past.append((self._version, self.config_map()))
            self._lock.notify_all()

    def config_map(self):
        return {"kind": "ConfigMap", "apiVersion": "v1", "data": dict(self._config),
                "metadata": {"name": CONFIG, "namespace": "kube-system", "uid": "u",
                             "resourceVersion": str(self._version)}}

    def calls(self, word):
        with self._lock:
            return sum(word in call for call in self._calls)

    def called(self, path):
        with self._lock:
            self._calls.append(path)

    def put(self, path, sent):
        with self._lock:
            self._version += 1
            sent = {**sent, "metadata": {**sent.get("metadata", {}), "resourceVersion": str(self._version)}}
            self.objects[path] = sent
            return sent

    def change(self, path, sent, merged):
        """A PUT, or a PATCH that is merged into what is there: (status, object)."""
        with self._lock:
            there = self.objects.get(path)
            if there is None:
                return 404, None
            if sent.get("metadata", {}).get("resourceVersion") not in (None, there["metadata"]["resourceVersion"]):
                return 409, None
        return 200, self.put(path, _merge(there, sent) if merged else sent)

    def events_after(self, version):
        """Waits for what is newer than `version`; empty at the end."""
        with self._lock:
            self._lock.wait_for(lambda: self._end or self._version > version)
            return [] if self._end else [one for one in self._past if one[0] > version]

    def token_review(self, spec):
        user = self.tokens.get(spec["token"])
        return {"authenticated": True, "user": {"username": user}} if user else {"authenticated": False}

    def access_review(self, spec):
        resource = spec.get("resourceAttributes")
        if resource is None:
            return {"allowed": "system:authenticated" in spec.get("groups", [])}
        allowed = (spec["user"], resource["namespace"]) in self.rights and resource["verb"] in ("list", "watch")
        return {"allowed": allowed, "reason": "" if allowed else "no rule allows it"}


def _merge(old, new):
    """RFC 7396."""
    if not isinstance(new, dict):
        return new
    out = dict(old) if isinstance(old, dict) else {}
    for key, value in new.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = _merge(out.get(key), value)
    return out


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 128


def _handler(api):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, body):
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def refused(self):
            if api.down:
                self.answer(500, {"kind": "Status", "code": 500, "message": "the test says no"})
            return api.down

        def do_POST(self):
            spec = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["spec"]
            path = urllib.parse.urlsplit(self.path).path
            api.called(path)
            if self.refused():
                return
            kinds = {"/apis/authentication.k8s.io/v1/tokenreviews": ("TokenReview", api.token_review),
                     "/apis/authorization.k8s.io/v1/subjectaccessreviews": ("SubjectAccessReview", api.access_review)}
            if path not in kinds:
                self.answer(404, {"kind": "Status", "code": 404, "message": "not here"})
                return
            kind, judge = kinds[path]
            self.answer(201, {"kind": kind, "apiVersion": path.removeprefix("/apis/").rpartition("/")[0],
                              "status": judge(spec)})

        def do_PUT(self):
            self.change(merged=False)

        def do_PATCH(self):
            self.change(merged=True)

        def change(self, merged):
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            api.called(f"{self.command} {self.path}")
            if not self.refused() and not self.forbidden(self.path):
                status, body = api.change(self.path, sent, merged)
                self.answer(status, body or {"kind": "Status", "code": status, "message": "not as it was"})

        def forbidden(self, path):
            status = api.refusals.get(path)
            if status:
                self.answer(status, {"kind": "Status", "code": status, "message": 'User "me" cannot do that'})
            return status is not None

        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            query = urllib.parse.parse_qs(url.query)
            api.called(url.path)
            if self.refused() or self.forbidden(url.path):
                return
            if url.path in api.objects:
                self.answer(200, api.objects[url.path])
            elif url.path != "/api/v1/namespaces/kube-system/configmaps":
                self.answer(404, {"kind": "Status", "code": 404, "message": "not here"})
            elif "watch" in query:
                self.watch(int(query["resourceVersion"][0]))
            else:
                config = api.config_map()
                self.answer(200, {"kind": "ConfigMapList", "items": [config],
                                  "metadata": {"resourceVersion": config["metadata"]["resourceVersion"]}})

        def watch(self, version):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            try:
                while events := api.events_after(version):
                    for version, config in events:
                        line = json.dumps({"type": "MODIFIED", "object": config}).encode() + b"\n"
                        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    self.wfile.flush()
            except OSError:
                return  # the other side left

    return Handler
