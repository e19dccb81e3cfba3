# SPDX-License-Identifier: Apache-2.0
"""A name server that answers as it is told, on loopback, over UDP and TCP.

    with DnsServer("127.77.0.1") as dns:         # port 53, so it needs root
        dns.addresses = ["127.0.0.1"]             # or "nxdomain", "servfail", "silent"
        argv = dns.only_for(box, [program, ...])  # runs it with this server in its /etc/resolv.conf
        dns.asked                                 # questions so far

Answers every name alike: with its IPv4 addresses, and that there are none of version 6.
"""

import socket
import socketserver
import struct
import threading

UDP_BYTES = 512  # RFC 1035 4.2.1; what is longer is cut off with a word to ask by TCP
REFUSED = {"servfail": 2, "nxdomain": 3}
TYPE_A = 1


class DnsServer:
    def __init__(self, host):
        self.host, self.addresses, self.asked = host, "nxdomain", 0
        owner = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                data, stream = self.request
                answer = owner._answer(data)
                if answer and len(answer) > UDP_BYTES:
                    answer = answer[:2] + struct.pack(">H", 0x8780) + answer[4:6] + bytes(6) + owner._question(data)
                if answer:
                    stream.sendto(answer, self.client_address)

        class Tcp(socketserver.StreamRequestHandler):
            def handle(self):
                while len(size := self.rfile.read(2)) == 2:
                    answer = owner._answer(self.rfile.read(struct.unpack(">H", size)[0]))
                    if answer:
                        self.wfile.write(struct.pack(">H", len(answer)) + answer)

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self._servers = [socketserver.ThreadingUDPServer((host, 53), Udp),
                         socketserver.ThreadingTCPServer((host, 53), Tcp)]
        for server in self._servers:
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def only_for(self, box, argv):
        """The command that runs this one in a mount namespace of its own, where this is the name server."""
        path = box.write("resolv.conf", f"nameserver {self.host}\noptions timeout:1 attempts:2\n")
        return ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', path, *argv]

    @staticmethod
    def _question(data):
        at = 12
        while data[at]:
            at += data[at] + 1
        return data[12:at + 5]

    def _answer(self, data):
        """The whole message; None where nothing is said (RFC 1035 4.1)."""
        self.asked += 1
        told, question = self.addresses, self._question(data)
        if told == "silent":
            return None
        code = REFUSED.get(told, 0) if isinstance(told, str) else 0
        found = told if not code and question[-4:-2] == struct.pack(">H", TYPE_A) else []
        head = data[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack(">HHIH", TYPE_A, 1, 0, 4)  # the name of the question; to be kept for 0 s
        return head + question + b"".join(record + socket.inet_aton(address) for address in found)
