# SPDX-License-Identifier: Apache-2.0
"""Certificates and kubeconfigs of a cluster, made by the openssl command: an authority for the cluster, one for the
front proxy, a key pair for each identity, the key that signs service-account tokens."""

import base64
import json
import os
import pathlib
import subprocess

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]  # made in milliseconds, unlike RSA
DAYS = "30"  # no test cluster is that old


class Pki:
    """What is in `folder` already stays as it is."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def cert(self, name):
        return self.folder / f"{name}.crt"

    def key(self, name):
        return self.folder / f"{name}.key"

    def authority(self, name):
        if not self.cert(name).exists():
            self._openssl("req", "-x509", *CURVE, "-days", DAYS, "-subj", f"/CN={name}", "-addext",
                          "keyUsage=critical,keyCertSign,cRLSign", "-keyout", self.key(name), "-out", self.cert(name))

    def identity(self, name, subject, authority="ca", hosts=()):
        """Good as a client and, for these hosts ("DNS:..", "IP:.."), as a server. In a subject O is a group of the user
        CN."""
        if self.cert(name).exists():
            return
        extensions = ["-addext", "extendedKeyUsage=clientAuth,serverAuth"]
        if hosts:
            extensions += ["-addext", f"subjectAltName={','.join(hosts)}"]
        request = self.folder / f"{name}.csr"
        self._openssl("req", "-new", *CURVE, "-subj", subject, *extensions, "-keyout", self.key(name), "-out", request)
        self._openssl("x509", "-req", "-in", request, "-CA", self.cert(authority), "-CAkey", self.key(authority),
                      "-days", DAYS, "-copy_extensions", "copy", "-out", self.cert(name))
        request.unlink()

    def signing_pair(self, name):
        """NAME.key and NAME.pub, which is not in a certificate."""
        public = self.folder / f"{name}.pub"
        if not public.exists():
            self._openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", self.key(name))
            self._openssl("ec", "-in", self.key(name), "-pubout", "-out", public)
        return public

    def kubeconfig(self, path, name, server, namespace="default"):
        """JSON is YAML. Only its owner can read it."""
        def data(file):
            return base64.b64encode(file.read_bytes()).decode()

        user = {"client-certificate-data": data(self.cert(name)), "client-key-data": data(self.key(name))}
        text = json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {"server": server,
                                                     "certificate-authority-data": data(self.cert("ca"))}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name, "namespace": namespace}}],
        }, indent=1)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(text + "\n")
        return path

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
