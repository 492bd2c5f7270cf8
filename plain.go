package porter

import (
	"bytes"
	"compress/gzip"
	"io"
)

// plain returns a text that a server or proxy sent, unpacked and without a byte
// order mark. Some compress what was asked for as it is. Of a text that
// unpacks to more than n bytes, or breaks off, it returns what there is.
func plain(body []byte, n int64) []byte {
	if isGzip(body) {
		if zr, err := gzip.NewReader(bytes.NewReader(body)); err == nil {
			if text, _ := io.ReadAll(io.LimitReader(zr, n)); len(text) > 0 {
				body = text
			}
		}
	}
	return withoutBOM(body)
}

// withoutBOM takes a byte order mark off, which gateways and Azure put before
// JSON and XML.
func withoutBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\ufeff")) }

func isGzip(b []byte) bool { return len(b) >= 2 && b[0] == 0x1f && b[1] == 0x8b }
