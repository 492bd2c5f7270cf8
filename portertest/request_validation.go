package portertest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// validation collects what is wrong with the parameters that an endpoint
// declares, in the order of their declaration. GitLab validates them first.
type validation struct{ problems []string }

func (v *validation) fail(name, problem string) { v.problems = append(v.problems, name+" "+problem) }

// refusal returns the answer to parameters that are wrong, nil if they are not.
func (v *validation) refusal() *reply {
	if len(v.problems) == 0 {
		return nil
	}
	return apiError(http.StatusBadRequest, strings.Join(v.problems, ", "))
}

// required returns a parameter that has to be sent. One that is null was.
func (v *validation) required(params map[string]any, name string) any {
	value, sent := params[name]
	if !sent {
		v.fail(name, "is missing")
	}
	return value
}

const notOfType = "is invalid"

// text returns a parameter that must be a text; null is an empty one.
func (v *validation) text(name string, value any) string {
	s, plain := scalar(value)
	if !plain && value != nil {
		v.fail(name, notOfType)
	}
	return s
}

// oneOf is text for one of a few values. A list is refused as no text, and once
// more unless all its items are allowed.
func (v *validation) oneOf(name string, value any, allowed ...string) string {
	s := v.text(name, value)
	items, isList := value.([]any)
	if !isList {
		items = []any{value}
	}
	for _, item := range items {
		if text, plain := scalar(item); value != nil && (!plain || !slices.Contains(allowed, text)) {
			v.fail(name, "does not have a valid value")
			break
		}
	}
	return s
}

// integer returns a whole number, and whether there is one.
func (v *validation) integer(name string, value any) (n int64, ok bool) {
	if value == nil || value == "" {
		return 0, false
	}
	if n, ok = wholeNumber(value); !ok {
		v.fail(name, notOfType)
	}
	return n, ok
}

// boolean returns a truth value, and whether there is one.
func (v *validation) boolean(name string, value any) (b, ok bool) {
	if value == nil || value == "" {
		return false, false
	}
	s, plain := scalar(value)
	b = slices.Contains(trueTexts, s)
	if ok = plain && (b || slices.Contains(falseTexts, s)); !ok {
		v.fail(name, notOfType)
	}
	return b, ok
}

// What GitLab takes for true and for false. It does not take "tRUE".
var (
	trueTexts  = strings.Fields("1 on On ON t T true True TRUE y Y yes Yes YES")
	falseTexts = strings.Fields("0 off Off OFF f F false False FALSE n N no No NO")
)

// rubyInteger matches what Ruby reads as a decimal number.
var rubyInteger = regexp.MustCompile(`^[+-]?[0-9]+(_[0-9]+)*$`)

// wholeNumber reads a number as Ruby does: it cuts off the fraction of a JSON
// number, but takes no fraction in a text. One that is too big is the biggest.
func wholeNumber(value any) (int64, bool) {
	switch value := value.(type) {
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return n, true
		}
		f, err := value.Float64()
		return int64(f), err == nil
	case string:
		s := strings.Trim(value, " \t\n\v\f\r")
		if !rubyInteger.MatchString(s) {
			return 0, false
		}
		n, _ := strconv.ParseInt(strings.ReplaceAll(s, "_", ""), 10, 64)
		return n, true
	}
	return 0, false
}
