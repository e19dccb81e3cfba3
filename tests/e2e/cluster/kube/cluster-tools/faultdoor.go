// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"maps"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"
	"unsafe"
)

func (p *faultProxy) accept() error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.listener != nil {
		return nil
	}
	plain, err := net.Listen("tcp", p.listen)
	if err != nil {
		return err
	}
	p.listener = tls.NewListener(plain, p.tlsConfig)
	go p.server.Serve(p.listener)
	return nil
}

func (p *faultProxy) refuse() {
	p.mutex.Lock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	sockets := slices.Collect(maps.Keys(p.sockets))
	p.mutex.Unlock()
	for _, socket := range sockets {
		reset(socket)
	}
}

func (p *faultProxy) noteSocket(socket net.Conn, state http.ConnState) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	switch state {
	case http.StateNew:
		p.sockets[socket] = true
	case http.StateClosed, http.StateHijacked:
		delete(p.sockets, socket)
	}
}

// reset ends a connection by an RST.
func reset(socket net.Conn) {
	if secure, ok := socket.(*tls.Conn); ok {
		socket = secure.NetConn()
	}
	if plain, ok := socket.(*net.TCPConn); ok {
		waitUntilTaken(plain)
		plain.SetLinger(0)
	}
	socket.Close()
}

// waitUntilTaken waits until the other side's kernel has what was sent: a reset overtakes what has not arrived.
func waitUntilTaken(socket *net.TCPConn) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	for range 1000 {
		left := 0
		raw.Control(func(fd uintptr) { left = unsent(int(fd)) })
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// unsent is how many bytes of a socket the other side has not acknowledged.
func unsent(fd int) int {
	var left int32
	_, _, number := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&left)))
	if number != 0 {
		return 0
	}
	return int(left)
}
