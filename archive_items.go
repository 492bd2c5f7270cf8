package porter

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-5d77b939/porter/internal/diskio"
)

// An Item is a record of a relation in an archive, such as an issue.
type Item struct {
	Line    int    // in the archive's file of the relation, counted from 0 as FailedRelation.LineNumber is
	IID     int64  // within the project, such as 7 for issue #7; 0 if it has none
	Title   string // no more than its first 1 KiB; "" if it has none, as a pipeline
	Size    int64  // bytes, without the newline
	Problem string // why GitLab cannot read it, and so imports nothing of the archive; "" if it can

	text *itemText
}

// Open returns the record as it is in the archive: a JSON document, unless there
// is a Problem. It can be had, and read, until the function or loop that was
// given the item goes on, and as often as is wanted.
func (i Item) Open() (io.ReadCloser, error) {
	if !i.text.has(i) {
		return nil, fmt.Errorf("open item: %w", os.ErrClosed)
	}
	return &itemReader{i, io.NewSectionReader(i.text.in, i.text.start, i.Size)}, nil
}

// An itemText is where the text of the item at hand is kept.
type itemText struct {
	in    *diskio.Scratch
	start int64
	line  int // of the item, -1 for none
}

// has reports whether the text is that of i.
func (t *itemText) has(i Item) bool { return t != nil && t.line == i.Line }

// An itemReader reads an item as long as its text is there.
type itemReader struct {
	item Item
	r    *io.SectionReader
}

func (r *itemReader) Read(p []byte) (int, error) {
	if !r.item.text.has(r.item) {
		return 0, fmt.Errorf("read item: %w", os.ErrClosed)
	}
	return r.r.Read(p)
}

func (r *itemReader) Close() error { return nil }

// An itemSink learns what a record says of itself.
type itemSink struct {
	iid     int64
	title   []byte
	isIID   bool
	isTitle bool
}

func (s *itemSink) key(depth int, text []byte) {
	s.isIID = depth == 1 && string(text) == "iid"
	s.isTitle = depth == 1 && string(text) == "title"
}

func (s *itemSink) value(depth int, first byte, text []byte) {
	if depth != 1 {
		return
	}
	switch {
	case s.isIID && first != '"':
		s.iid = number(text)
	case s.isTitle && first == '"':
		s.title = append(s.title[:0], text...)
	case s.isTitle:
		s.title = s.title[:0]
	}
}

// itemLines cuts a file of a relation into items. It keeps the text of one until
// take has looked at it, and longer if take wants to, or what take has instead.
type itemLines struct {
	recordScan
	sink itemSink
	text itemText
	take func(Item) (keep bool, instead []byte, err error)
}

// newItemLines returns what cuts a file and keeps texts in kept.
func newItemLines(kept *diskio.Scratch, take func(Item) (bool, []byte, error)) *itemLines {
	l := &itemLines{text: itemText{in: kept, line: -1}, take: take}
	l.scan.sink = &l.sink
	l.scan.reset()
	return l
}

func (l *itemLines) write(p []byte) error {
	for len(p) > 0 {
		n, ended := l.recordScan.take(p)
		if _, err := l.text.in.Write(p[:n]); err != nil {
			return err
		}
		if p = p[n:]; !ended {
			continue
		}
		if err := l.endLine(1); err != nil {
			return err
		}
	}
	return nil
}

func (l *itemLines) end() error {
	if l.length == 0 {
		return nil
	}
	return l.endLine(0)
}

// endLine ends a line with so many bytes of newline. A null is no item, and kept.
func (l *itemLines) endLine(newline int64) error {
	r := l.endRecord()
	kept := l.text.in
	keep, instead, err := true, []byte(nil), error(nil)
	if !r.null {
		l.text.line = r.line
		keep, instead, err = l.take(Item{
			Line: r.line, IID: max(0, l.sink.iid), Title: jsonText(l.sink.title), Size: r.length - newline, Problem: r.problem, text: &l.text,
		})
		l.text.line = -1
	}
	if !keep || instead != nil {
		kept.Truncate(l.text.start)
	}
	if err == nil && instead != nil {
		_, err = kept.Write(append(instead, '\n'))
	}
	l.sink = itemSink{title: l.sink.title[:0]}
	l.text.start = kept.Size()
	return err
}

// errEnough ends the reading of an archive of which no more is wanted.
var errEnough = errors.New("enough")
