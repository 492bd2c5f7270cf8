package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// lossy measures a download over a wire with a round trip of 100 ms that loses
// 0.5 % of the packets, between two network namespaces. It takes root, and
// netem, which many kernels have not.
func (b *bench) lossy(size int64) error {
	if size == 0 {
		return nil
	}
	const title = "download, https, %d MiB, round trips of 100 ms and a loss of 0.5 %%"
	w, err := layWire()
	if err != nil {
		fmt.Printf("\n"+title+": skipped: %v\n", size, err)
		return nil
	}
	archive, err := b.archive(size)
	if err == nil {
		far := &bench{dir: b.dir, rounds: 1, server: w.far(), client: w.near()}
		err = far.serve(archive, []string{"-store", "-host", farIP}, func(urls map[string]string) error {
			return far.table(fmt.Sprintf(title, size), far.downloads(urls["https"]))
		})
	}
	return errors.Join(err, w.remove())
}

// A wire joins two network namespaces that belong to it.
type wire string

const (
	nearIP = "192.0.2.1" // of a net for documentation, which nobody else uses here
	farIP  = "192.0.2.2"
)

// layWire makes a wire. The error says why there is none, and nothing is left of it.
func layWire() (w wire, err error) {
	w = wire(fmt.Sprintf("porter-%d", os.Getpid()))
	defer func() {
		if err != nil {
			w.remove()
		}
	}()
	near, far := string(w)+"-near", string(w)+"-far"
	for _, args := range [][]string{
		{"ip", "netns", "add", near},
		{"ip", "netns", "add", far},
		{"ip", "link", "add", "wire", "netns", near, "type", "veth", "peer", "name", "wire", "netns", far},
		{"ip", "-n", near, "address", "add", nearIP + "/24", "dev", "wire"},
		{"ip", "-n", far, "address", "add", farIP + "/24", "dev", "wire"},
		{"ip", "-n", near, "link", "set", "wire", "up"},
		// What is lost is a packet, and not 64 KiB of segments.
		{"ip", "-n", far, "link", "set", "wire", "up", "gso_max_segs", "1"},
		{"tc", "-n", far, "qdisc", "add", "dev", "wire", "root", "netem", "delay", "100ms", "loss", "0.5%", "limit", "100000"},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return w, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
		}
	}
	return w, nil
}

// near returns what runs a program at the near end of the wire.
func (w wire) near() []string { return []string{"ip", "netns", "exec", string(w) + "-near"} }

func (w wire) far() []string { return []string{"ip", "netns", "exec", string(w) + "-far"} }

// remove removes the namespaces, and the wire with them.
func (w wire) remove() error {
	var errs []error
	for _, end := range []string{"-near", "-far"} {
		if out, err := exec.Command("ip", "netns", "delete", string(w)+end).CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("remove %s%s: %w: %s", w, end, err, bytes.TrimSpace(out)))
		}
	}
	return errors.Join(errs...)
}
