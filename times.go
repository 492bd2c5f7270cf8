package porter

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// answerTime is a time in an answer, in whatever form. One that is missing or
// cannot be understood is the zero time: a success stays one without it.
type answerTime time.Time

// UnmarshalJSON never fails.
func (t *answerTime) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		s = string(b) // a number, perhaps
	}
	*t = answerTime(parseTime(s))
	return nil
}

// timeLayouts are those that GitLab, proxies and databases write, once the
// date and the time are parted by a T and the zone follows at once. A fraction
// of a second fits each.
var timeLayouts = []string{
	time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05Z07", "2006-01-02T15:04:05", time.DateOnly,
}

// parseTime reads a date with or without a time and zone, or Unix seconds.
// Without a zone it is UTC.
func parseTime(s string) time.Time {
	s = strings.ToUpper(strings.TrimSpace(s))
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		return unixTime(seconds)
	}
	s = strings.TrimSuffix(strings.TrimSuffix(s, "UTC"), "GMT")
	if len(s) > len(time.DateOnly) && s[len(time.DateOnly)] == ' ' {
		s = s[:len(time.DateOnly)] + "T" + s[len(time.DateOnly)+1:]
	}
	s = strings.ReplaceAll(s, " ", "")
	for _, layout := range timeLayouts {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		if _, err := t.MarshalJSON(); err == nil { // else it could not be written again
			return t
		}
	}
	return time.Time{}
}

// unixTime returns the zero time for a number that is no time of this age.
func unixTime(seconds float64) time.Time {
	const year10000 = 253402300800
	if !(0 < seconds && seconds < year10000) {
		return time.Time{}
	}
	whole := int64(seconds)
	return time.Unix(whole, int64((seconds-float64(whole))*1e9)).UTC()
}
