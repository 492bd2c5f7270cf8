package main

import "fmt"

// long measures a download, and a migration whose upload is faster, when the
// store sends no more than rate MiB per second over each connection, as those
// of a long distance do.
func (b *bench) long(size, rate int64) error {
	if size == 0 {
		return nil
	}
	archive, err := b.archive(size)
	if err != nil {
		return err
	}
	store := []string{"-store", "-conn-rate", fmt.Sprint(rate * mib)}
	return b.serve(archive, store, func(from map[string]string) error {
		return b.serve(archive, nil, func(to map[string]string) error {
			wire := fmt.Sprintf("%d MiB, %d MiB/s for each connection to the store", size, rate)
			if err := b.few().table("download, https, "+wire, b.downloads(from["https"])); err != nil {
				return err
			}
			return b.few().table("migrate, https, "+wire, b.migrations(from["https"], to["https"]))
		})
	})
}

// downloads are the ways to download from a store.
func (b *bench) downloads(url string) []contestant {
	file := b.path("out.tar.gz")
	var cs []contestant
	if hasCurl() {
		cs = append(cs, contestant{name: "curl", commands: [][]string{b.curl("download", url, file, "--http1.1", "--location")}})
	}
	return append(cs, b.connections("download", url, file)...)
}

// migrations are the ways to migrate from a store to another instance.
func (b *bench) migrations(from, to string) []contestant {
	file := b.path("out.tar.gz")
	var cs []contestant
	if hasCurl() {
		cs = append(cs, contestant{name: "curl down, then up", commands: [][]string{
			b.curl("download", from, file, "--http1.1", "--location"), b.curl("upload", to, file, "--http1.1")}})
	}
	return append(cs, b.connections("migrate", from, to, b.dir)...)
}

// connections is porter with one connection, and with four.
func (b *bench) connections(args ...string) []contestant {
	var cs []contestant
	for _, n := range []string{"1", "4"} {
		command := append([]string{b.path("porter"), "-connections", n}, args...)
		cs = append(cs, contestant{name: "porter, connections: " + n, commands: [][]string{command}})
	}
	return cs
}
