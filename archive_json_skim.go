package porter

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// skim takes the bytes at the start of p that most documents are made of: strings,
// whole numbers and literals, with what is between them. It returns how many these
// are. What it leaves is for step.
func (s *jsonScanner) skim(p []byte) (n int) {
	if s.state == jsonString { // which began earlier
		n = textLength(p)
		s.keep(p[:n])
		if n < len(p) && p[n] == '"' {
			s.endString()
			n++
		}
	}
	afterComma := jsonKey
	if s.inArray() {
		afterComma = jsonValue
	}
	for n < len(p) {
		k := 1
		switch c := p[n]; {
		case c == ',' && s.state == jsonNext:
			s.state = afterComma
		case c == '"' && (s.state == jsonKey || s.state == jsonFirstKey):
			k = s.skimKey(p[n:])
		case s.depth > 0 && (s.state == jsonValue || s.state == jsonFirstValue):
			k = s.skimValue(p[n:])
		default:
			return n
		}
		if k == 0 {
			return n
		}
		n += k
	}
	return n
}

// skimKey takes a key with its colon, or what of it is in p and needs no step before.
func (s *jsonScanner) skimKey(p []byte) (n int) {
	n, ended := s.skimString(p, true)
	if !ended {
		return n
	}
	if s.sink != nil {
		s.sink.key(s.depth, jsonStart(p[1:n-1]))
	}
	s.state = jsonColon
	if n < len(p) && p[n] == ':' {
		s.state = jsonValue
		n++
	}
	return n
}

// skimValue takes a value if it is a string, or whole.
func (s *jsonScanner) skimValue(p []byte) (n int) {
	text, ended := p, false
	if p[0] == '"' {
		if n, ended = s.skimString(p, false); !ended {
			return n
		}
		text = p[1 : n-1]
	} else {
		n = plainValue(p)
		if text = p[:n]; n == 0 {
			return 0
		}
	}
	if s.sink != nil {
		s.sink.value(s.depth, p[0], jsonStart(text))
	}
	s.state = jsonNext
	return n
}

// skimString returns the length of the string at the start of p. If it has not ended
// there, or needs a step before, it takes what is there.
func (s *jsonScanner) skimString(p []byte, key bool) (n int, ended bool) {
	n = 1 + textLength(p[1:])
	if n < len(p) && p[n] == '"' {
		return n + 1, true
	}
	s.isKey, s.state, s.text = key, jsonString, s.text[:0]
	s.keep(p[1:n])
	return n, false
}

// jsonStart is what a sink is told of a text.
func jsonStart(text []byte) []byte { return text[:min(len(text), maxJSONText)] }

// plainValue returns how many bytes at the start of p are a whole number or a
// literal that ends in p, or 0.
func plainValue(p []byte) (n int) {
	switch c := p[0]; {
	case '1' <= c && c <= '9':
		for n = 1; n < len(p) && '0' <= p[n] && p[n] <= '9'; n++ {
		}
	case bytes.HasPrefix(p, []byte("null")), bytes.HasPrefix(p, []byte("true")):
		n = 4
	case bytes.HasPrefix(p, []byte("false")):
		n = 5
	}
	if n < len(p) && (p[n] == ',' || p[n] == '}' || p[n] == ']') {
		return n
	}
	return 0
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// textLength returns how many bytes at the start of p are of a string and need no
// look: those before its quote, a control character, and an escape that is unknown
// or does not end in p. It looks at eight at a time.
func textLength(p []byte) int {
	n := 0
	for {
		for ; len(p)-n >= 8; n += 8 {
			x := binary.LittleEndian.Uint64(p[n:])
			quotes, slashes := x^(lowBits*'"'), x^(lowBits*'\\')
			// The lowest bit that is set is right; those above it may be false.
			found := (x - lowBits*' ') & ^x
			found |= (quotes - lowBits) & ^quotes
			found |= (slashes - lowBits) & ^slashes
			if found &= highBits; found != 0 {
				n += bits.TrailingZeros64(found) / 8
				break
			}
		}
		for n < len(p) && p[n] >= ' ' && p[n] != '"' && p[n] != '\\' {
			n++
		}
		if n == len(p) || p[n] != '\\' {
			return n
		}
		k := escapeLength(p[n:])
		if k == 0 {
			return n
		}
		n += k
	}
}

// escapeLength returns how long the escape is that the backslash at the start of p
// begins, or 0 if it is not whole, or none.
func escapeLength(p []byte) int {
	switch {
	case len(p) < 2:
	case isEscape(p[1]):
		return 2
	case p[1] == 'u' && len(p) >= 6 && isHexDigit(p[2]) && isHexDigit(p[3]) && isHexDigit(p[4]) && isHexDigit(p[5]):
		return 6
	}
	return 0
}
