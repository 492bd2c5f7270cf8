package porter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// maxMember is the longest record of a member that can be changed: it is held
// in memory.
const maxMember = 1 << 20

// readContributor returns the user that a record of the members names.
func readContributor(line []byte) (c Contributor, ok bool) {
	var m memberSink
	scan := jsonScanner{sink: &m}
	scan.reset()
	if scan.write(line) != "" || scan.end() != "" || !m.line.user || m.line.id <= 0 {
		return c, false
	}
	return m.line.contributor(), true
}

// mapMember asks for the address of the user that a record names. It returns the
// record to have instead, nil for the same.
func mapMember(i Item, ask []func(Contributor) (string, bool)) (keep bool, instead []byte, err error) {
	if len(ask) == 0 || i.Problem != "" {
		return true, nil, nil
	}
	if i.Size > maxMember {
		return false, nil, fmt.Errorf("line %d (counted from 0) is %d bytes long, and no more than %d can be changed", i.Line, i.Size, maxMember)
	}
	r, err := i.Open()
	if err != nil {
		return false, nil, err
	}
	line, err := io.ReadAll(r)
	if err != nil {
		return false, nil, err
	}
	for _, f := range ask {
		c, ok := readContributor(line)
		if !ok {
			return true, nil, nil
		}
		email, keep := f(c)
		if !keep {
			return false, nil, nil
		}
		if email == c.Email {
			continue
		}
		if line, err = withEmail(line, email); err != nil {
			return false, nil, err
		}
		instead = line
	}
	return true, instead, nil
}

// withEmail returns the record of a member with another address. All else stays
// as it is. GitLab reads public_email, and email in archives of old.
func withEmail(line []byte, email string) ([]byte, error) {
	address, err := json.Marshal(email)
	if err != nil {
		return nil, err
	}
	var out []byte
	done := 0 // of line
	put := func(until int, text []byte, from int) {
		out = append(append(out, line[done:until]...), text...)
		done = from
	}
	err = eachMember(line, 0, func(key string, start, end int) error {
		if key != "user" || line[start] != '{' {
			return nil
		}
		public := false
		first := start + 1
		var changes [][2]int
		err := eachMember(line[:end], start, func(key string, start, end int) error {
			if key == "public_email" || key == "email" {
				public = public || key == "public_email"
				changes = append(changes, [2]int{start, end})
			}
			return nil
		})
		if !public {
			more := slices.Concat([]byte(`"public_email":`), address)
			if !bytes.HasPrefix(bytes.TrimLeft(line[first:], " \t\r"), []byte("}")) {
				more = append(more, ',')
			}
			put(first, more, first)
		}
		for _, c := range changes {
			put(c[0], address, c[1])
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("member: %w", err)
	}
	return append(out, line[done:]...), nil
}

// eachMember calls f for each member of the object that begins at start, with
// where its value stands in doc.
func eachMember(doc []byte, start int, f func(key string, start, end int) error) error {
	dec := json.NewDecoder(bytes.NewReader(doc[start:]))
	if _, err := dec.Token(); err != nil {
		return err
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return err
		}
		end := start + int(dec.InputOffset())
		if err := f(key.(string), end-len(value), end); err != nil {
			return err
		}
	}
	return nil
}
