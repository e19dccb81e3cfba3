# SPDX-License-Identifier: Apache-2.0
"""Certificates for one test run, made with the openssl command: good ones, and each kind of bad one.

    made = Certificates(folder)
    made.ca                    # what a client trusts
    made.server                # for localhost and 127.0.0.1
    made.wrong_name            # signed by the same authority, for another name
    made.wrong_ip              # the same, for another address and localhost alone among names
    made.expired               # for localhost, out of date since yesterday
    made.client                # a client's, signed by the same authority
    made.other_ca, made.stranger  # an authority nobody trusts, and a client certificate of it

Each but the authorities is a Pair: `.cert` and `.key`, paths of PEM files. Keys can be read by their owner alone.
"""

import pathlib
import subprocess
from typing import NamedTuple

HERE = "DNS:localhost,IP:127.0.0.1"
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]  # made in milliseconds, unlike RSA


class Pair(NamedTuple):
    cert: pathlib.Path
    key: pathlib.Path


class Certificates:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self._authority("ca", "sluice test authority").cert
        self.server = self._signed("server", "ca", "/CN=localhost", f"subjectAltName={HERE}")
        self.wrong_name = self._signed("wrong-name", "ca", "/CN=elsewhere.test", "subjectAltName=DNS:elsewhere.test")
        self.wrong_ip = self._signed("wrong-ip", "ca", "/CN=localhost", "subjectAltName=DNS:localhost,IP:192.0.2.1")
        self.expired = self._signed("expired", "ca", "/CN=localhost", f"subjectAltName={HERE}", days=-1)
        self.client = self._signed("client", "ca", "/CN=sluice-client", "extendedKeyUsage=clientAuth")
        self.other_ca = self._authority("other-ca", "another authority").cert
        self.stranger = self._signed("stranger", "other-ca", "/CN=stranger", "extendedKeyUsage=clientAuth")

    def _pair(self, name):
        return Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")

    def _authority(self, name, subject):
        made = self._pair(name)
        self._openssl("req", "-x509", *CURVE, "-keyout", made.key, "-out", made.cert, "-days", "30",
                      "-subj", f"/CN={subject}", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        return made

    def _signed(self, name, authority, subject, extension, days=30):
        made, above, request = self._pair(name), self._pair(authority), self.folder / f"{name}.csr"
        self._openssl("req", "-new", *CURVE, "-keyout", made.key, "-out", request, "-subj", subject,
                      "-addext", extension)
        self._openssl("x509", "-req", "-in", request, "-CA", above.cert, "-CAkey", above.key, "-days", str(days),
                      "-copy_extensions", "copy", "-out", made.cert)
        request.unlink()
        return made

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"openssl {arguments[0]} failed: {done.stderr.strip()}")
