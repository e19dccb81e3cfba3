# SPDX-License-Identifier: Apache-2.0
"""The serving certificate of `sluice adapter`: its own, which replicas agree on, or a mounted one that is swapped."""

import base64
import os
import shutil
import socket
import ssl

from lib import contains, equal, free_port, main, test, wait_until

# After lib, which says where they are.
from apiserver import ApiServer
from certificates import Certificates

SERVICE = "sluice-adapter.ops.svc"
SECRET = "/api/v1/namespaces/ops/secrets/sluice-adapter-ca"
API_SERVICE = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io"


def start(box, api, port, *flags):
    return box.start_sluice("adapter", "--kubeconfig", api.kubeconfig(box.path("kubeconfig")),
                            "--listen", f"127.0.0.1:{port}", "--service", "ops/sluice-adapter",
                            "--controller", "http://127.0.0.1:9", *flags)


def cluster():
    api = ApiServer()
    api.put(SECRET, {"kind": "Secret", "metadata": {"labels": {"chart": "sluice"}}, "type": "Opaque"})
    api.put(API_SERVICE, {"kind": "APIService", "spec": {
        "service": {"namespace": "ops", "name": "sluice-adapter"}, "insecureSkipTLSVerify": True}})
    return api


def shown(port, bundle, name):
    """The serial number of the certificate, as a client sees it that trusts the bundle alone; else why it does not."""
    try:
        context = ssl.create_default_context(cadata=bundle)
        with socket.create_connection(("127.0.0.1", port), 30) as raw:
            with context.wrap_socket(raw, server_hostname=name) as tls:
                return tls.getpeercert()["serialNumber"]
    except (OSError, ValueError) as why:
        return str(why)


def bundle_of(api):
    return base64.b64decode(api.objects[API_SERVICE]["spec"].get("caBundle", "")).decode()


def is_serial(text):
    return all(c in "0123456789ABCDEF" for c in text)


@test("replicas that begin together serve by one authority, which the APIService trusts")
def _(box):
    with cluster() as api:
        ports = [free_port(), free_port()]
        for port in ports:
            start(box, api, port)
        for port in ports:
            wait_until(lambda: is_serial(shown(port, bundle_of(api), SERVICE)), what="trust in each", timeout=60)
        spec, secret = api.objects[API_SERVICE]["spec"], api.objects[SECRET]
        equal(bundle_of(api).count("BEGIN CERTIFICATE"), 1, "authorities")
        equal(spec["caBundle"], secret["data"]["ca.crt"])
        equal("insecureSkipTLSVerify" in spec, False, "verification is off")
        equal(secret["metadata"]["labels"], {"chart": "sluice"})
        contains(shown(ports[0], bundle_of(api), "kubernetes.default.svc"), "ostname mismatch")


@test("without a right it says which, and serves as soon as it has it")
def _(box):
    with cluster() as api:
        api.refusals[SECRET] = 403
        port = free_port()
        adapter = start(box, api, port)
        wait_until(lambda: "needs the right to get it" in adapter.err(), what="the right to be named", timeout=60)
        contains(adapter.err(), "Secret ops/sluice-adapter-ca: ")
        equal(is_serial(shown(port, bundle_of(api), SERVICE)), False, "a certificate")
        del api.refusals[SECRET]
        wait_until(lambda: is_serial(shown(port, bundle_of(api), SERVICE)), what="trust", timeout=60)


@test("a mounted pair that is swapped is served to the next connection, and none fails on the way")
def _(box):
    made = [Certificates(box.path(name)) for name in ("first", "second")]
    bundle = "".join(one.ca.read_text() for one in made)
    mount = box.path("mount")
    mount.mkdir()

    def swap(one, version):
        """As the kubelet does: a new folder, and one rename of the link to it."""
        folder = mount / version
        folder.mkdir()
        shutil.copy(one.server.cert, folder / "tls.crt")
        shutil.copy(one.server.key, folder / "tls.key")
        os.symlink(version, mount / "..data_tmp")
        os.replace(mount / "..data_tmp", mount / "..data")

    swap(made[0], "..1")
    for name in ("tls.crt", "tls.key"):
        os.symlink(f"..data/{name}", mount / name)
    with cluster() as api:
        port = free_port()
        start(box, api, port, "--cert-file", mount / "tls.crt", "--key-file", mount / "tls.key")
        wait_until(lambda: is_serial(shown(port, bundle, "localhost")), what="the first pair", timeout=60)
        first = shown(port, bundle, "localhost")
        swap(made[1], "..2")
        seen = []
        wait_until(lambda: seen.append(shown(port, bundle, "localhost")) or seen[-1] != first,
                   what="the second pair", timeout=60)
        equal([one for one in seen if not is_serial(one)], [], "connections that failed")
        equal(api.calls("secrets"), 0, "questions for an authority of its own")


main()
