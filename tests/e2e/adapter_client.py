# SPDX-License-Identifier: Apache-2.0
"""Asking an API server or an adapter in a cluster's network, as whom one likes."""

import http.client
import socket
import ssl
import subprocess


def ask(cluster, port, path, pair=None, headers=(), host="127.0.0.1"):
    """(status, type, text) of one request on a connection of its own; `pair` is (certificate, key)."""
    pki = cluster._pki
    tls = ssl.create_default_context(cafile=pki.cert("ca"))
    tls.check_hostname = False
    if pair:
        tls.load_cert_chain(*pair)
    with cluster.network():
        plain = socket.create_connection((host, port), 20)
    connection = http.client.HTTPSConnection(host, port)
    try:
        connection.sock = tls.wrap_socket(plain, server_hostname=host)
        connection.putrequest("GET", path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        said = connection.getresponse()
        return said.status, said.headers.get("Content-Type", ""), said.read().decode()
    finally:
        connection.close()


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def certificate(cluster, name, subject, authority, usage="clientAuth", days=30):
    """(certificate, key) that pki.identity() would not make: of another usage, or out of date."""
    pki = cluster._pki
    if not pki.cert(name).exists():
        request = pki.folder / f"{name}.csr"
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", subject,
                "-addext", f"extendedKeyUsage={usage}", "-keyout", pki.key(name), "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", pki.cert(authority), "-CAkey", pki.key(authority), "-days", days,
                "-copy_extensions", "copy", "-out", pki.cert(name))
    return pki.cert(name), pki.key(name)
