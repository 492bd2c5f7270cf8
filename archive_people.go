package porter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"unicode/utf8"
)

// A Contributor is a user of the instance that an archive is from. GitLab maps
// one to a user of its own by the e-mail address alone, and only if an
// administrator imports; all else becomes the importer's.
type Contributor struct {
	SourceID    int64  // by which records refer to the user
	Username    string // at the source
	Email       string // that GitLab maps by; "" for none
	AccessLevel int    // such as 40, a maintainer; the highest, if there are several
	References  int64  // in records, as their author, assignee and the like; 0 where that is not counted
}

// maxPeople is how many users are told apart.
const maxPeople = 64 << 10

// A census counts the users of an archive, and the references to them.
type census struct {
	people     map[int64]*Contributor
	references map[int64]int64
	other      int64 // references to users beyond maxPeople
	left       int64 // members beyond it
}

func newCensus() *census {
	return &census{people: map[int64]*Contributor{}, references: map[int64]int64{}}
}

// refer counts a reference to a user.
func (s *census) refer(id int64) {
	if _, known := s.references[id]; !known && len(s.references) >= maxPeople {
		s.other++
		return
	}
	s.references[id]++
}

// add adds a member, who may have been added before.
func (s *census) add(c Contributor) {
	known := s.people[c.SourceID]
	switch {
	case known != nil:
		known.Username, known.Email = cmp.Or(known.Username, c.Username), cmp.Or(known.Email, c.Email)
		known.AccessLevel = max(known.AccessLevel, c.AccessLevel)
	case len(s.people) >= maxPeople:
		s.left++
	default:
		s.people[c.SourceID] = &c
	}
}

// list returns the members, those with the most references first, and how many
// references are to nobody of them.
func (s *census) list() (people []Contributor, strangers int64) {
	strangers = s.other
	for id, n := range s.references {
		if c := s.people[id]; c != nil {
			c.References = n
		} else {
			strangers += n
		}
	}
	for _, c := range s.people {
		people = append(people, *c)
	}
	slices.SortFunc(people, func(a, b Contributor) int {
		return cmp.Or(cmp.Compare(b.References, a.References), cmp.Compare(a.SourceID, b.SourceID))
	})
	return people, strangers
}

// isUserKey reports whether the values of a key are users, at any depth of a
// record.
func isUserKey(key []byte) bool {
	if !bytes.HasSuffix(key, []byte("_id")) {
		return false
	}
	switch string(key) {
	case "author_id", "assignee_id", "updated_by_id", "merged_by_id", "latest_closed_by_id", "user_id", "created_by_id",
		"last_edited_by_id", "merge_user_id", "resolved_by_id", "closed_by_id", "owner_id":
		return true
	}
	return false
}

// A recordsSink learns what the records of a relation say of themselves, and of
// users.
type recordsSink struct {
	census  *census
	highest int64 // iid
	depth   int   // of the key
	isIID   bool
	isUser  bool
}

func (r *recordsSink) key(depth int, text []byte) {
	r.depth = depth
	r.isIID = depth == 1 && string(text) == "iid"
	r.isUser = isUserKey(text)
}

func (r *recordsSink) value(depth int, first byte, text []byte) {
	if !r.isIID && !r.isUser || depth != r.depth || first == '"' {
		return
	}
	if n := number(text); n > 0 && r.isIID {
		r.highest = max(r.highest, n)
	} else if n > 0 {
		r.census.refer(n)
	}
	r.isIID, r.isUser = false, false
}

// number returns a number, or 0 for what is none.
func number(text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// A memberSink reads project_members. GitLab maps a user by the public address,
// or, in archives of old, the primary one.
type memberSink struct {
	census     *census // nil if only numbers are asked for
	users      int
	unmappable int

	line   member
	inUser bool
	field  memberField
}

// A member is what a line says of a user.
type member struct {
	user     bool // there is one
	id       int64
	level    int
	username []byte
	public   []byte // address
	primary  []byte
}

type memberField uint8

const (
	otherField memberField = iota
	levelField
	idField
	usernameField
	publicField
	primaryField
)

func (m *memberSink) key(depth int, text []byte) {
	m.field = otherField
	switch {
	case depth == 1:
		m.inUser = string(text) == "user"
		if string(text) == "access_level" {
			m.field = levelField
		}
	case depth == 2 && m.inUser:
		switch string(text) {
		case "id":
			m.field = idField
		case "username":
			m.field = usernameField
		case "public_email":
			m.field = publicField
		case "email":
			m.field = primaryField
		}
	}
}

func (m *memberSink) value(depth int, first byte, text []byte) {
	l := &m.line
	switch {
	case depth == 1 && m.inUser:
		*l = member{user: first == '{', level: l.level, username: l.username[:0], public: l.public[:0], primary: l.primary[:0]}
	case depth == 1 && m.field == levelField:
		l.level = int(number(text))
	case depth == 2 && m.inUser:
		m.userValue(first, text)
	}
	if depth <= 2 {
		m.field = otherField
	}
}

func (m *memberSink) userValue(first byte, text []byte) {
	l := &m.line
	if m.field == idField {
		l.id = number(text)
	}
	if first != '"' {
		text = nil
	}
	switch m.field {
	case usernameField:
		l.username = append(l.username[:0], text...)
	case publicField:
		l.public = append(l.public[:0], text...)
	case primaryField:
		l.primary = append(l.primary[:0], text...)
	}
}

// endLine ends a line. One that is not sound names nobody.
func (m *memberSink) endLine(sound bool) {
	l := &m.line
	if sound && l.user {
		m.users++
		if len(l.public)+len(l.primary) == 0 {
			m.unmappable++
		}
		if m.census != nil && l.id > 0 {
			m.census.add(l.contributor())
		}
	}
	*l = member{username: l.username[:0], public: l.public[:0], primary: l.primary[:0]}
	m.inUser, m.field = false, otherField
}

func (l *member) contributor() Contributor {
	email := l.public
	if len(email) == 0 {
		email = l.primary
	}
	return Contributor{SourceID: l.id, Username: jsonText(l.username), Email: jsonText(email), AccessLevel: l.level}
}

// jsonText is the text of a JSON string, which comes without its quotes and may
// be cut short.
func jsonText(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		return string(raw)
	}
	for cut := 0; cut <= min(len(raw), len(`\ud83d\ude00`)); cut++ {
		var s string
		if json.Unmarshal(slices.Concat([]byte{'"'}, raw[:len(raw)-cut], []byte{'"'}), &s) == nil {
			return s
		}
	}
	return ""
}
