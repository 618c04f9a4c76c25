// A pool of HashiCorp memberlist's members with real sockets in one process: what weft-pool (../pool) does, for the library that Weft is held against.
// Steps in the order given: join, settle=SECONDS, exit=TIMES, tags=TIMES, watch=SECONDS. One JSON object a line.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/memberlist"
)

var datagrams, sent, suspicions, deaths int64

// counted counts what a member sends by UDP.
type counted struct{ *memberlist.NetTransport }

func (t counted) WriteToAddress(b []byte, to memberlist.Address) (time.Time, error) {
	atomic.AddInt64(&datagrams, 1)
	atomic.AddInt64(&sent, int64(len(b)))
	return t.NetTransport.WriteToAddress(b, to)
}

type member struct {
	list    *memberlist.Memberlist
	name    string
	address string
	meta    atomic.Value
	mutex   sync.Mutex
	live    map[string]bool
	changed map[string]time.Time
	gone    map[string]time.Time
	running bool
}

func (m *member) NodeMeta(int) []byte                        { return m.meta.Load().([]byte) }
func (m *member) NotifyMsg([]byte)                           {}
func (m *member) GetBroadcasts(overhead, limit int) [][]byte { return nil }
func (m *member) LocalState(bool) []byte                     { return nil }
func (m *member) MergeRemoteState([]byte, bool)              {}
func (m *member) NotifyJoin(n *memberlist.Node) {
	m.mutex.Lock()
	m.live[n.Name] = true
	m.mutex.Unlock()
}
func (m *member) NotifyLeave(n *memberlist.Node) {
	m.mutex.Lock()
	delete(m.live, n.Name)
	m.gone[n.Name] = time.Now()
	m.mutex.Unlock()
}
func (m *member) NotifyUpdate(n *memberlist.Node) {
	m.mutex.Lock()
	m.changed[n.Name] = time.Now()
	m.mutex.Unlock()
}
func (m *member) knows() int {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return len(m.live)
}

// counter reads the library's log: suspicions and deaths that a member finds itself are in nothing else.
type counter struct{}

var declared sync.Map

func (counter) Write(line []byte) (int, error) {
	text := string(line)
	if strings.Contains(text, "Suspect ") {
		atomic.AddInt64(&suspicions, 1)
	}
	if i := strings.Index(text, "Marking "); i >= 0 {
		declared.Store(strings.Fields(text[i:])[1], true)
		atomic.AddInt64(&deaths, 1)
	}
	return len(line), nil
}

func start(number int) *member {
	m := &member{
		name: fmt.Sprintf("n%d", number), address: fmt.Sprintf("127.9.%d.%d", number/250, number%250+1),
		live: map[string]bool{}, changed: map[string]time.Time{}, gone: map[string]time.Time{}, running: true,
	}
	m.meta.Store([]byte(strings.Repeat("x", 72)))
	logger := log.New(counter{}, "", 0)
	transport, err := memberlist.NewNetTransport(&memberlist.NetTransportConfig{BindAddrs: []string{m.address}, BindPort: 7946, Logger: log.New(io.Discard, "", 0)})
	if err != nil {
		log.Fatal(err)
	}
	config := memberlist.DefaultLANConfig()
	config.Name, config.BindAddr, config.AdvertiseAddr = m.name, m.address, m.address
	config.Transport, config.Delegate, config.Events, config.Logger = counted{transport}, m, m, logger
	if m.list, err = memberlist.Create(config); err != nil {
		log.Fatal(err)
	}
	return m
}

type report map[string]interface{}

func tell(step string, r report) {
	r["step"] = step
	line, _ := json.Marshal(r)
	fmt.Println(string(line))
}

func cpu() float64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
}

func resident() float64 {
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	return pages * 4
}

// until waits for the condition, looked at every few milliseconds; nil after a minute.
func until(begin time.Time, condition func() bool) interface{} {
	for !condition() {
		if time.Since(begin) > time.Minute {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(begin).Seconds()
}

func running(members []*member) []*member {
	var all []*member
	for _, m := range members {
		if m.running {
			all = append(all, m)
		}
	}
	return all
}

func join(members []*member) report {
	begin, used, packets, bytes := time.Now(), cpu(), atomic.LoadInt64(&datagrams), atomic.LoadInt64(&sent)
	slots := make(chan bool, 16)
	var group sync.WaitGroup
	for _, m := range members[1:] {
		group.Add(1)
		slots <- true
		go func(m *member) {
			for {
				if n, _ := m.list.Join([]string{members[0].address}); n > 0 {
					break
				}
				time.Sleep(time.Second)
			}
			<-slots
			group.Done()
		}(m)
	}
	group.Wait()
	called := time.Since(begin).Seconds()
	count := func() (n int) {
		for _, m := range members {
			if m.knows() == len(members) {
				n++
			}
		}
		return
	}
	half := until(begin, func() bool { return 2*count() >= len(members) })
	all := until(begin, func() bool { return count() == len(members) })
	return report{"called": called, "half": half, "all": all, "cpu": cpu() - used,
		"datagrams": atomic.LoadInt64(&datagrams) - packets, "bytes": atomic.LoadInt64(&sent) - bytes}
}

func exit(members []*member) report {
	alive := running(members)
	victim := alive[1+rand.Intn(len(alive)-1)]
	begin := time.Now()
	victim.running = false
	victim.list.Shutdown()
	others := running(members)
	var first time.Time
	last := until(begin, func() bool {
		for _, m := range others {
			m.mutex.Lock()
			gone, done := m.gone[victim.name]
			m.mutex.Unlock()
			if !done || gone.Before(begin) {
				return false
			}
			if first.IsZero() || gone.Before(first) {
				first = gone
			}
		}
		return true
	})
	return report{"first": first.Sub(begin).Seconds(), "last": last}
}

func tags(members []*member, text string) report {
	others := running(members)
	origin := others[rand.Intn(len(others))]
	begin := time.Now()
	origin.meta.Store([]byte(text + strings.Repeat("x", 72-len(text))))
	go origin.list.UpdateNode(10 * time.Second)
	var latest time.Time
	until(begin, func() bool {
		for _, m := range others {
			if m == origin {
				continue
			}
			m.mutex.Lock()
			at := m.changed[origin.name]
			m.mutex.Unlock()
			if at.Before(begin) {
				return false
			}
			if at.After(latest) {
				latest = at
			}
		}
		return true
	})
	return report{"last": latest.Sub(begin).Seconds()}
}

func watch(members []*member, seconds int) report {
	declared = sync.Map{}
	used, packets, bytes, before := cpu(), atomic.LoadInt64(&datagrams), atomic.LoadInt64(&sent), atomic.LoadInt64(&suspicions)
	begin := time.Now()
	time.Sleep(time.Duration(seconds) * time.Second)
	share := time.Since(begin).Seconds() * float64(len(running(members)))
	count := 0
	declared.Range(func(_, _ interface{}) bool { count++; return true })
	return report{"datagrams": float64(atomic.LoadInt64(&datagrams)-packets) / share, "bytes": float64(atomic.LoadInt64(&sent)-bytes) / share,
		"cpu_ms": (cpu() - used) * 1000 / share, "resident_kb": resident() / float64(len(running(members))),
		"suspicions": atomic.LoadInt64(&suspicions) - before, "false_deaths": count}
}

func main() {
	nodes := flag.Int("nodes", 50, "members")
	flag.Parse()
	rand.Seed(time.Now().UnixNano())
	var members []*member
	for i := 0; i < *nodes; i++ {
		members = append(members, start(i))
	}
	for _, step := range flag.Args() {
		name, value := step, "1"
		if i := strings.Index(step, "="); i > 0 {
			name, value = step[:i], step[i+1:]
		}
		number, _ := strconv.Atoi(value)
		switch name {
		case "join":
			tell(name, join(members))
		case "settle":
			time.Sleep(time.Duration(number) * time.Second)
			tell(name, report{})
		case "exit":
			for i := 0; i < number; i++ {
				tell(name, exit(members))
				time.Sleep(2 * time.Second)
			}
		case "tags":
			for i := 0; i < number; i++ {
				tell(name, tags(members, fmt.Sprint("round ", i)))
			}
		case "watch":
			tell(name, watch(members, number))
		default:
			log.Fatalf("there is no step %s", name)
		}
	}
}
