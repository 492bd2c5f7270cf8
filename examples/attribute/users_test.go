package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-5d77b939/porter"
)

func TestParseUsers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text string
		want       string // "line user address", or an error's text
	}{
		{"plain", "ada,ada@new.test\n", "1 ada ada@new.test"},
		{"mark of Windows", "\ufeffada,ada@new.test\r\n7,b@new.test\r\n", "1 ada ada@new.test; 2 7 b@new.test"},
		{"no end of line", "ada,ada@new.test", "1 ada ada@new.test"},
		{"comments and empty lines", "# who\n\n  \nada,ada@new.test\n#b,b@new.test\n", "4 ada ada@new.test"},
		{"header", "User,E-Mail\nada,ada@new.test", "2 ada ada@new.test"},
		{"header after a comment", "# who\nsource user,destination address\nada,ada@new.test", "3 ada ada@new.test"},
		{"quotes and spaces", " \"ada\" , ada@new.test \n", `line 1: extraneous or missing " in quoted-field`},
		{"quotes", "\"ada\",\"ada@new.test\"\n", "1 ada ada@new.test"},
		{"spaces", "  ada , ada@new.test \n", "1 ada ada@new.test"},
		{"by address", "Ada@Old.test,ada@new.test", "1 Ada@Old.test ada@new.test"},
		{"a name of digits", "@7,b@new.test\n7,c@new.test", "1 @7 b@new.test; 2 7 c@new.test"},
		{"same destination", "ada,x@new.test\nben,x@new.test", "1 ada x@new.test; 2 ben x@new.test"},

		{"same user", "ada,a@new.test\n# more\nADA,b@new.test", "line 3: ADA is also in line 1"},
		{"same user with an @", "ada,a@new.test\n@ada,a@new.test", "line 2: @ada is also in line 1"},
		{"same ID", "7,a@new.test\n07,b@new.test", "line 2: 07 is also in line 1"},
		{"same address", "a@old.test,a@new.test\nA@old.test,b@new.test", "line 2: A@old.test is also in line 1"},
		{"header in the middle", "ada,a@new.test\nuser,address", `line 2: "address" is no e-mail address`},
		{"one field", "ada,a@new.test\nben\n", "line 2: it needs two fields, a user of the source and an address, and has 1"},
		{"semicolons", "ada;a@new.test\n", "and has 1; separate them by a comma"},
		{"three fields", "ada,a@new.test,Ada\n", "and has 3"},
		{"no user", ",a@new.test\n", "line 1: it names no user"},
		{"no address", "ada,\n", "line 1: ada has no address"},
		{"no such address", "ada,new.test\n", `line 1: "new.test" is no e-mail address`},
		{"name and address", "ada,Ada <a@new.test>\n", `line 1: "Ada <a@new.test>" is no e-mail address`},
		{"two addresses", "ada,\"a@new.test,b@new.test\"\n", "is no e-mail address"},
		{"user with a space", "ada lovelace,a@new.test\n", `line 1: "ada lovelace" is no username, ID or address`},
		{"broken address as user", "a@b@c,a@new.test\n", `line 1: "a@b@c" is no username, ID or address`},
		{"ID 0", "0,a@new.test\n", "line 1: 0 is no ID of a user"},
		{"open quote", "ada,a@new.test\n\"ben,b@new.test\ncleo,c@new.test\n", `line 2: extraneous or missing " in quoted-field`},
		{"bare quote", "ada,a@new.test\nb\"en,b@new.test\n", `line 2: bare " in non-quoted-field`},
		{"UTF-16", "\xff\xfea\x00", "line 1: this is UTF-16"},
		{"Latin 1", "ada,a@new.test\nj\xf6rg,j@new.test\n", "line 2: it is not UTF-8"},
		{"nothing", "", "it names nobody"},
		{"only a header", "user,address\n", "it names nobody"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			u, err := parseUsers(strings.NewReader(tt.text))
			var got []string
			if err != nil {
				got = []string{err.Error()}
			} else {
				for _, l := range u.lines {
					got = append(got, fmt.Sprint(l.number, " ", l.user, " ", l.address))
				}
			}
			if s := strings.Join(got, "; "); err == nil && s != tt.want || !strings.Contains(s, tt.want) {
				t.Errorf("got %s, want %s", s, tt.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	u, err := parseUsers(strings.NewReader("7,a@new.test\n@8,b@new.test\nCleo,c@new.test\nDora@old.test,d@new.test\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		c    porter.Contributor
		want string
	}{
		{porter.Contributor{SourceID: 7, Username: "x"}, "[1]"},
		{porter.Contributor{SourceID: 8, Username: "7"}, "[]"},
		{porter.Contributor{SourceID: 9, Username: "8"}, "[2]"},
		{porter.Contributor{SourceID: 9, Username: "cleo"}, "[3]"},
		{porter.Contributor{SourceID: 9, Username: "cleo", Email: "dora@OLD.test"}, "[3 4]"},
		{porter.Contributor{SourceID: 9, Email: "cleo"}, "[]"},
		{porter.Contributor{SourceID: 9}, "[]"},
	} {
		numbers := []int{}
		for _, l := range u.find(tt.c) {
			numbers = append(numbers, l.number)
		}
		if got := fmt.Sprint(numbers); got != tt.want {
			t.Errorf("%+v: lines %s, want %s", tt.c, got, tt.want)
		}
	}
}
