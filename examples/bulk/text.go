package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/mattn/go-runewidth"

	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// printable takes out of s what would move a terminal's cursor, or hide what
// follows. Names come from a file or a server, and errors may quote anything.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\r', r == '\t':
			return ' '
		case r == unicode.ReplacementChar, !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
}

// cut cuts s to so many columns.
func cut(s string, columns int) string {
	if columns <= 0 {
		return ""
	}
	return runewidth.Truncate(s, columns, "…")
}

func columns(s string) int { return runewidth.StringWidth(s) }

// pad cuts or fills s to so many columns.
func pad(s string, columns int) string { return runewidth.FillRight(cut(s, columns), columns) }

// span writes a time, to the minute if it is a long one.
func span(d time.Duration) string {
	if d < 10*time.Minute {
		return d.Round(time.Second).String()
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
}

// moment writes a time of day, and how far away it is; with the date if it is
// far.
func moment(at, now time.Time) string {
	layout := "15:04"
	if at.Sub(now) >= 20*time.Hour {
		layout = "2 Jan 15:04"
	}
	return at.Format(layout) + " (in " + span(at.Sub(now)) + ")"
}

// happened says what a change of a project is, without its name.
func happened(p project) string {
	text := string(p.Step)
	switch {
	case p.Step == stepIncomplete && len(p.Lost) > 0:
		text += ": " + strings.Join(p.Lost, "; ")
	case p.Step == stepInterrupted:
		text += ", GitLab goes on with it"
	case p.Step == stepDone && p.Bytes > 0:
		text += ", " + cli.Size(p.Bytes)
	}
	if p.Err != nil {
		text += ": " + p.Err.Error()
	}
	return printable(text)
}

// inShort says what went wrong with a project, the most important first: the
// rest of the line may be cut off.
func inShort(p project) string {
	if p.Step == stepIncomplete {
		return happened(p)
	}
	return fmt.Sprintf("%s: %s (%s)", p.Step, strings.ReplaceAll(codeOf(p.Err), "_", " "), withoutNames(p))
}

// title is a project in a line: what it is called, and where it goes to.
func title(p project) string {
	if p.Target == "" || p.Target == p.Name {
		return printable(p.Name)
	}
	return printable(p.Name + " -> " + p.Target)
}
