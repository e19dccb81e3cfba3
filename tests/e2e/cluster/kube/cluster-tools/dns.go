// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	core "k8s.io/api/core/v1"
	discovery "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	discoverylisters "k8s.io/client-go/listers/discovery/v1"
)

const udpBytes = 512 // RFC 1035 4.2.1; what is longer is cut off with a word to ask by TCP

// nameServer answers for the Services of a cluster and for the names of a file, and nothing else: what it does not know
// does not exist, and it asks nobody. Answers are to be kept for 0 s, so that a change is seen at once.
type nameServer struct {
	zone     string // "svc.cluster.local"
	services corelisters.ServiceLister
	slices   discoverylisters.EndpointSliceLister
	file     string

	mutex sync.Mutex
	read  time.Time // of the file's last change
	told  map[string]told
}

// told is what the file says of a name: addresses, or how to refuse it.
type told struct {
	addresses []string
	word      string
}

func (t *told) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &t.addresses) == nil {
		return nil
	}
	if err := json.Unmarshal(data, &t.word); err != nil {
		return err
	}
	switch t.word {
	case "nxdomain", "servfail", "silent":
		return nil
	}
	return errors.New(t.word + " is no answer; accepted: a list of addresses, nxdomain, servfail, silent")
}

func runDNS(flags *flag.FlagSet, arguments []string) error {
	kubeconfig := flags.String("kubeconfig", "", "of the cluster")
	listen := flags.String("listen", "10.88.0.1:53", "address")
	domain := flags.String("domain", "cluster.local", "of the cluster")
	file := flags.String("names", "", "JSON {name: [addresses] or one of nxdomain, servfail, silent}; may come and go")
	flags.Parse(arguments)

	client, err := connect(*kubeconfig, "e2e-dns")
	if err != nil {
		return err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	server := &nameServer{
		zone:     "svc." + *domain,
		services: factory.Core().V1().Services().Lister(),
		slices:   factory.Discovery().V1().EndpointSlices().Lister(),
		file:     *file,
	}
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())

	packets, err := net.ListenPacket("udp", *listen)
	if err != nil {
		return err
	}
	streams, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	go server.serveStreams(streams)
	return server.servePackets(packets)
}

func (s *nameServer) servePackets(socket net.PacketConn) error {
	buffer := make([]byte, 4096)
	for {
		size, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return err
		}
		if answer := s.answer(buffer[:size], udpBytes); answer != nil {
			socket.WriteTo(answer, from)
		}
	}
}

func (s *nameServer) serveStreams(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			for {
				connection.SetDeadline(time.Now().Add(30 * time.Second))
				var size uint16
				if binary.Read(connection, binary.BigEndian, &size) != nil {
					return
				}
				question := make([]byte, size)
				if _, err := io.ReadFull(connection, question); err != nil {
					return
				}
				if answer := s.answer(question, 0); answer != nil {
					connection.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
				}
			}
		}()
	}
}

// answer is the whole message, nil where nothing is said. most: bytes of it, 0 for any number.
func (s *nameServer) answer(packet []byte, most int) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(packet)
	if err != nil || header.Response {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	addresses, code, silent := s.look(strings.ToLower(strings.TrimSuffix(question.Name.String(), ".")))
	if silent {
		return nil
	}
	message := dnsmessage.Message{
		Header: dnsmessage.Header{ID: header.ID, Response: true, OpCode: header.OpCode, Authoritative: true,
			RecursionDesired: header.RecursionDesired, RecursionAvailable: true, RCode: code},
		Questions: []dnsmessage.Question{question},
	}
	if question.Type == dnsmessage.TypeA && question.Class == dnsmessage.ClassINET {
		for _, address := range addresses {
			if ip := net.ParseIP(address).To4(); ip != nil {
				message.Answers = append(message.Answers, dnsmessage.Resource{
					Header: dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: [4]byte(ip)},
				})
			}
		}
	}
	packed, err := message.Pack()
	if err != nil {
		return nil
	}
	if most > 0 && len(packed) > most {
		message.Truncated, message.Answers = true, nil
		packed, _ = message.Pack()
	}
	return packed
}

// look finds the addresses of a name. Of a name that exists without any there is success and no address.
func (s *nameServer) look(name string) (addresses []string, code dnsmessage.RCode, silent bool) {
	if told, ok := s.fromFile()[name]; ok {
		switch told.word {
		case "nxdomain":
			return nil, dnsmessage.RCodeNameError, false
		case "servfail":
			return nil, dnsmessage.RCodeServerFailure, false
		case "silent":
			return nil, 0, true
		}
		return told.addresses, dnsmessage.RCodeSuccess, false
	}
	inside, ours := strings.CutSuffix(name, "."+s.zone)
	parts := strings.Split(inside, ".")
	if !ours || len(parts) < 2 || len(parts) > 3 {
		return nil, dnsmessage.RCodeNameError, false
	}
	namespace, service, host := parts[len(parts)-1], parts[len(parts)-2], ""
	if len(parts) == 3 {
		host = parts[0]
	}
	found := s.ofService(namespace, service, host)
	if len(found) == 0 {
		return nil, dnsmessage.RCodeNameError, false
	}
	return found, dnsmessage.RCodeSuccess, false
}

// ofService: the address of the Service, or of its pods where it is headless; host names one of them.
func (s *nameServer) ofService(namespace, name, host string) []string {
	service, err := s.services.Services(namespace).Get(name)
	if err != nil {
		return nil
	}
	if service.Spec.ClusterIP != core.ClusterIPNone && host == "" {
		if service.Spec.ClusterIP == "" {
			return nil
		}
		return []string{service.Spec.ClusterIP}
	}
	of := labels.SelectorFromSet(labels.Set{discovery.LabelServiceName: name})
	slices, err := s.slices.EndpointSlices(namespace).List(of)
	if err != nil {
		return nil
	}
	var found []string
	for _, slice := range slices {
		for _, endpoint := range slice.Endpoints {
			ready := endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready
			fits := host == "" || (endpoint.Hostname != nil && *endpoint.Hostname == host)
			if ready && fits {
				found = append(found, endpoint.Addresses...)
			}
		}
	}
	return found
}

// fromFile is what the file says now. One that cannot be read keeps what it said before.
func (s *nameServer) fromFile() map[string]told {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	state, err := os.Stat(s.file)
	if err != nil {
		s.read, s.told = time.Time{}, nil
		return nil
	}
	if state.ModTime().Equal(s.read) {
		return s.told
	}
	text, err := os.ReadFile(s.file)
	var names map[string]told
	if err == nil {
		err = json.Unmarshal(text, &names)
	}
	if err != nil {
		logf("%s: %v", s.file, err)
		return s.told
	}
	s.read, s.told = state.ModTime(), names
	return names
}
