package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed-5d77b939/porter/portertest"
)

func (o *options) addFault(s string) error {
	f, err := parseFault(s)
	if err == nil {
		o.later(func(s *portertest.Server) { s.Inject(f) })
	}
	return err
}

var method = regexp.MustCompile(`^[A-Z]+$`)

// parseFault reads a rule, as the help explains them.
func parseFault(s string) (f portertest.Fault, err error) {
	acts := 0
	for _, word := range strings.Fields(s) {
		key, value, _ := strings.Cut(word, "=")
		switch {
		case word == "storage":
			f.Origin = portertest.Storage
		case word[0] == '/':
			f.Path = word
		case key == "times" && value == "all":
			f.Times = -1
		case key == "times":
			f.Times, err = atLeast(1, value)
		case key == "skip":
			f.Skip, err = atLeast(0, value)
		case method.MatchString(word):
			f.Method = word
		default:
			acts++
			f.Do, err = parseAction(key, value)
		}
		if err != nil {
			return f, fmt.Errorf("%s: %w", word, err)
		}
	}
	switch {
	case acts == 0:
		return f, errors.New("says not what goes wrong, such as status=503")
	case acts > 1:
		return f, errors.New("says twice what goes wrong")
	}
	return f, nil
}

func parseAction(name, value string) (portertest.Action, error) {
	switch name {
	case "lose":
		return portertest.LoseAnswer(), nil
	case "delay":
		d, err := time.ParseDuration(value)
		if err != nil || d <= 0 {
			return portertest.Action{}, errors.New("not a time, such as 5s")
		}
		return portertest.Delay(d), nil
	case "status":
		n, err := strconv.Atoi(value)
		if err != nil || n < 200 || n > 599 {
			return portertest.Action{}, errors.New("not a status between 200 and 599")
		}
		return portertest.Respond(n, nil, ""), nil
	}
	act, known := map[string]func(int64) portertest.Action{
		"cut": portertest.CutResponse, "cut-upload": portertest.CutRequest, "truncate": portertest.Truncate, "garble": portertest.Garble,
		"stall": func(n int64) portertest.Action { return portertest.StallResponse(n, 0) },
	}[name]
	if !known {
		return portertest.Action{}, errors.New("is nothing that can go wrong; -h lists what can")
	}
	n, err := atLeast(0, value)
	if err != nil {
		return portertest.Action{}, errors.New("needs a number of bytes, such as " + name + "=1000")
	}
	return act(int64(n)), nil
}

// atLeast reads a number that is not below least.
func atLeast(least int, s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < least {
		return 0, fmt.Errorf("not a number from %d on", least)
	}
	return n, nil
}
