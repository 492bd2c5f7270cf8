package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/seed-5d77b939/porter"
)

// A line of the file of users says which address a user of the source gets.
type line struct {
	number  int
	user    string // as it is written
	address string
}

// A key is how a line names a user. Names and addresses are in lower case.
type key struct {
	id      int64
	name    string
	address string
}

// users are the lines of a file.
type users struct {
	lines []*line
	byKey map[key]*line
}

// readUsers reads a CSV file of users and addresses. Errors name the line.
func readUsers(name string) (*users, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	u, err := parseUsers(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return u, nil
}

func parseUsers(r io.Reader) (*users, error) {
	in := bufio.NewReader(r)
	switch mark, _ := in.Peek(3); {
	case string(mark) == "\ufeff":
		in.Discard(len(mark))
	case strings.HasPrefix(string(mark), "\xff\xfe"), strings.HasPrefix(string(mark), "\xfe\xff"):
		return nil, errors.New("line 1: this is UTF-16: save the file as CSV in UTF-8")
	}
	table := csv.NewReader(in)
	table.Comment, table.FieldsPerRecord, table.TrimLeadingSpace = '#', -1, true
	u := &users{byKey: map[key]*line{}}
	for first := true; ; first = false {
		fields, err := table.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			var syntax *csv.ParseError
			if errors.As(err, &syntax) {
				return nil, fmt.Errorf("line %d: %w", syntax.StartLine, syntax.Err)
			}
			return nil, err
		}
		number, _ := table.FieldPos(0)
		if len(fields) == 1 && strings.TrimSpace(fields[0]) == "" {
			continue
		}
		if first && isHeader(fields) {
			continue
		}
		if err := u.add(number, fields); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
	}
	if len(u.lines) == 0 {
		return nil, errors.New("it names nobody")
	}
	return u, nil
}

// isHeader reports whether a line says what is in the columns.
func isHeader(fields []string) bool {
	if len(fields) != 2 {
		return false
	}
	switch strings.ToLower(strings.TrimSpace(fields[1])) {
	case "address", "email", "e-mail", "mail", "email address", "e-mail address", "destination", "destination address", "destination_email":
		return true
	}
	return false
}

func (u *users) add(number int, fields []string) error {
	if len(fields) != 2 {
		wrong := fmt.Sprintf("it needs two fields, a user of the source and an address, and has %d", len(fields))
		if len(fields) == 1 && strings.ContainsAny(fields[0], ";\t") {
			wrong += "; separate them by a comma"
		}
		return errors.New(wrong)
	}
	l := &line{number: number, user: strings.TrimSpace(fields[0]), address: strings.TrimSpace(fields[1])}
	switch {
	case !utf8.ValidString(l.user + l.address):
		return errors.New("it is not UTF-8")
	case l.user == "":
		return errors.New("it names no user")
	case l.address == "":
		return fmt.Errorf("%s has no address: leave the line out to leave the user to the importer", l.user)
	case !isAddress(l.address):
		return fmt.Errorf("%q is no e-mail address", l.address)
	}
	k, err := keyOf(l.user)
	if err != nil {
		return err
	}
	if other := u.byKey[k]; other != nil {
		return fmt.Errorf("%s is also in line %d", l.user, other.number)
	}
	u.byKey[k] = l
	u.lines = append(u.lines, l)
	return nil
}

// keyOf tells an ID, an address, and a username, which may have an @ before it.
func keyOf(user string) (key, error) {
	if id, err := strconv.ParseInt(user, 10, 64); err == nil {
		if id <= 0 {
			return key{}, fmt.Errorf("%s is no ID of a user", user)
		}
		return key{id: id}, nil
	}
	name, at := strings.CutPrefix(user, "@")
	switch {
	case name == "", strings.ContainsAny(name, " \t\r\n"):
		return key{}, fmt.Errorf("%q is no username, ID or address", user)
	case !at && isAddress(user):
		return key{address: strings.ToLower(user)}, nil
	case strings.Contains(name, "@"):
		return key{}, fmt.Errorf("%q is no username, ID or address", user)
	}
	return key{name: strings.ToLower(name)}, nil
}

// isAddress reports whether s is an address and nothing else.
func isAddress(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Name == "" && a.Address == s
}

// find returns the lines that name a user of the archive.
func (u *users) find(c porter.Contributor) (found []*line) {
	for _, k := range []key{{id: c.SourceID}, {name: strings.ToLower(c.Username)}, {address: strings.ToLower(c.Email)}} {
		if l := u.byKey[k]; l != nil && k != (key{}) {
			found = append(found, l)
		}
	}
	return found
}
