package porter

import "fmt"

// maxJSONDepth is how deep GitLab's JSON parser follows nested values.
const maxJSONDepth = 100

// maxJSONText is the most that a jsonSink is told of one string, which is enough
// for the title of an issue: 255 characters.
const maxJSONText = 1 << 10

// A jsonSink is told what a jsonScanner comes across. Texts come as they are
// written, strings without their quotes, and cut to maxJSONText bytes. They are
// those of the scanner, and can be looked at until the call returns.
type jsonSink interface {
	// key is a key of an object; that of the outermost one has depth 1.
	key(depth int, text []byte)
	// value is a value, told by its first byte: an object or array when it
	// begins, anything else when it ends. The outermost one has depth 0.
	value(depth int, first byte, text []byte)
}

// A jsonScanner checks that bytes are one JSON document. It takes them in
// pieces and holds none, so that a document may be of any length.
type jsonScanner struct {
	sink   jsonSink // nil if nobody asks
	state  jsonState
	depth  int
	arrays [2]uint64 // which of the depths are arrays
	first  byte      // of the outermost value
	isKey  bool      // the string at hand is a key
	rest   string    // of a literal
	digits int       // of a \u escape still to come
	text   []byte
}

type jsonState uint8

const (
	jsonValue      jsonState = iota // a value must come
	jsonFirstValue                  // a value or the end of the array
	jsonFirstKey                    // a key or the end of the object
	jsonKey
	jsonColon
	jsonNext // a comma or the end of what is around
	jsonDone // nothing may come but space
	jsonString
	jsonEscape
	jsonUnicode
	jsonLiteral
	jsonMinus
	jsonZero
	jsonInteger
	jsonPoint
	jsonFraction
	jsonExponent
	jsonExponentSign
	jsonExponentDigits
)

// reset begins a new document.
func (s *jsonScanner) reset() {
	s.state, s.depth, s.first = jsonValue, 0, 0
}

// write takes the next piece of the document. It returns what is wrong with
// it, or "".
func (s *jsonScanner) write(p []byte) (problem string) {
	for i := 0; i < len(p); i++ {
		if i += s.skim(p[i:]); i == len(p) {
			return ""
		}
		if !s.step(p[i]) {
			if s.depth > maxJSONDepth {
				return fmt.Sprintf("nested deeper than %d", maxJSONDepth)
			}
			return fmt.Sprintf("not JSON: unexpected %s", quote(string(p[i:i+1])))
		}
	}
	return ""
}

// end ends the document. It returns what is wrong with it, or "".
func (s *jsonScanner) end() (problem string) {
	switch {
	case s.state == jsonValue && s.first == 0:
		return "not JSON: empty"
	case s.depth == 0 && s.endsNumber():
		s.tell()
		s.state = jsonDone
	}
	if s.state != jsonDone {
		return "not JSON: it ends too early"
	}
	return ""
}

func (s *jsonScanner) keep(p []byte) {
	if s.sink != nil {
		s.text = append(s.text, p[:min(len(p), maxJSONText-len(s.text))]...)
	}
}

func (s *jsonScanner) keepByte(c byte) {
	if s.sink != nil && len(s.text) < maxJSONText {
		s.text = append(s.text, c)
	}
}

// isEscape reports whether c after a backslash is a whole escape.
func isEscape(c byte) bool {
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	}
	return false
}

func isHexDigit(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

// step takes one byte, and reports whether it may come here.
func (s *jsonScanner) step(c byte) bool {
	switch s.state {
	case jsonString, jsonEscape, jsonUnicode:
		return s.stepString(c)
	case jsonLiteral:
		if c != s.rest[0] {
			return false
		}
		s.keepByte(c)
		if s.rest = s.rest[1:]; s.rest == "" {
			s.tell()
			s.endValue()
		}
		return true
	}
	if s.state >= jsonMinus {
		if s.stepNumber(c) {
			s.keepByte(c)
			return true
		}
		if !s.endsNumber() {
			return false
		}
		s.tell()
		s.endValue()
	}
	if c == ' ' || c == '\n' || c == '\t' || c == '\r' {
		return true
	}
	return s.stepStructure(c)
}

func (s *jsonScanner) stepStructure(c byte) bool {
	switch s.state {
	case jsonFirstValue, jsonValue:
		if c == ']' && s.state == jsonFirstValue {
			s.pop()
			return true
		}
		return s.begin(c)
	case jsonFirstKey, jsonKey:
		if c == '}' && s.state == jsonFirstKey {
			s.pop()
			return true
		}
		return false // skim has taken a key
	case jsonColon:
		s.state = jsonValue
		return c == ':'
	case jsonNext:
		switch array := s.inArray(); {
		case c == ',' && array:
			s.state = jsonValue
		case c == ',':
			s.state = jsonKey
		case c == ']' && array, c == '}' && !array:
			s.pop()
		default:
			return false
		}
		return true
	}
	return false // after the end
}

// begin takes the first byte of a value.
func (s *jsonScanner) begin(c byte) bool {
	if s.depth == 0 {
		s.first = c
	}
	s.text = s.text[:0]
	switch c {
	case '{', '[':
		if s.sink != nil {
			s.sink.value(s.depth, c, nil)
		}
		return s.push(c == '[')
	case '"':
		s.isKey, s.state = false, jsonString
		return true
	case 't':
		s.state, s.rest = jsonLiteral, "rue"
	case 'f':
		s.state, s.rest = jsonLiteral, "alse"
	case 'n':
		s.state, s.rest = jsonLiteral, "ull"
	case '-':
		s.state = jsonMinus
	case '0':
		s.state = jsonZero
	default:
		if c < '1' || c > '9' {
			return false
		}
		s.state = jsonInteger
	}
	s.keepByte(c)
	return true
}

func (s *jsonScanner) push(array bool) bool {
	if s.depth++; s.depth > maxJSONDepth {
		return false
	}
	word, bit := &s.arrays[s.depth/64], uint64(1)<<(s.depth%64)
	*word &^= bit
	s.state = jsonFirstKey
	if array {
		*word |= bit
		s.state = jsonFirstValue
	}
	return true
}

func (s *jsonScanner) inArray() bool { return s.arrays[s.depth/64]>>(s.depth%64)&1 == 1 }

func (s *jsonScanner) pop() {
	s.depth--
	s.endValue()
}

// endValue goes on after a value.
func (s *jsonScanner) endValue() {
	s.state = jsonNext
	if s.depth == 0 {
		s.state = jsonDone
	}
}

// tell tells the sink of the value that ends here, which is no string.
func (s *jsonScanner) tell() {
	if s.sink != nil {
		s.sink.value(s.depth, s.text[0], s.text)
	}
}

func (s *jsonScanner) stepString(c byte) bool {
	switch s.state {
	case jsonEscape:
		s.state = jsonString
		s.keepByte(c)
		if c == 'u' {
			s.state, s.digits = jsonUnicode, 4
			return true
		}
		return isEscape(c)
	case jsonUnicode:
		s.keepByte(c)
		if s.digits--; s.digits == 0 {
			s.state = jsonString
		}
		return isHexDigit(c)
	}
	if c != '\\' {
		return false // skim has taken what else may be in a string
	}
	s.state = jsonEscape
	s.keepByte(c)
	return true
}

func (s *jsonScanner) endString() {
	switch {
	case s.isKey:
		s.state = jsonColon
		if s.sink != nil {
			s.sink.key(s.depth, s.text)
		}
		return
	case s.sink != nil:
		s.sink.value(s.depth, '"', s.text)
	}
	s.endValue()
}

// stepNumber reports whether c goes on with a number.
func (s *jsonScanner) stepNumber(c byte) bool {
	digit := '0' <= c && c <= '9'
	switch {
	case c == '0' && s.state == jsonMinus:
		s.state = jsonZero
	case digit && (s.state == jsonMinus || s.state == jsonInteger):
		s.state = jsonInteger
	case digit && (s.state == jsonPoint || s.state == jsonFraction):
		s.state = jsonFraction
	case digit && s.state >= jsonExponent:
		s.state = jsonExponentDigits
	case c == '.' && (s.state == jsonZero || s.state == jsonInteger):
		s.state = jsonPoint
	case c|0x20 == 'e' && (s.state == jsonZero || s.state == jsonInteger || s.state == jsonFraction):
		s.state = jsonExponent
	case (c == '+' || c == '-') && s.state == jsonExponent:
		s.state = jsonExponentSign
	default:
		return false
	}
	return true
}

// endsNumber reports whether a number may end here.
func (s *jsonScanner) endsNumber() bool {
	switch s.state {
	case jsonZero, jsonInteger, jsonFraction, jsonExponentDigits:
		return true
	}
	return false
}
