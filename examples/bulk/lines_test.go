package main

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		s := tell(newLines(&out))
		s.middle()
		s.finish()
		wantText(t, out.String(), golden(t, "story.log"))
		time.Sleep(time.Hour)
		if bytes.Contains(out.Bytes(), []byte(" 00:02:00 ")) {
			t.Error("it goes on after the end")
		}
	})
}
