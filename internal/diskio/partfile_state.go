package diskio

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash/crc32"
	"io"
	"math"
	"os"
)

// A partState is what is known of a part file.
type partState struct {
	Origin  string          `json:"origin,omitempty"`      // where the archive comes from
	Archive json.RawMessage `json:"archive,omitempty"`     // tells it from other archives; none if nobody can continue it
	Head    string          `json:"head,omitempty"`        // hash of the first bytes, which tells the part file from other files
	HeadLen int64           `json:"head_length,omitempty"` // how many bytes that are
	Synced  int64           `json:"synced"`                // how many bytes are certainly on the disk, from the first on
	Ranges  Extents         `json:"ranges,omitempty"`      // what is there beyond; earlier versions know nothing of it, and download it again
	Whole   bool            `json:"whole,omitempty"`       // that is all of it, but it could not be given its name
}

// A sealedState is a partState as it is written, because a loss of power may
// leave half of it.
type sealedState struct {
	CRC32 uint32          `json:"crc32"`
	State json.RawMessage `json:"state"`
}

const (
	maxPartState = 64 << 10
	maxPartHead  = 512
	maxRanges    = 256 // that are noted; there are hardly more than connections
)

// takeHead notes the first bytes of an archive, which b begins with.
func (s *partState) takeHead(b []byte) {
	b = b[:min(len(b), maxPartHead)]
	s.Head, s.HeadLen = hashOf(b), int64(len(b))
}

// hasHeadOf reports whether f begins with the bytes that were noted.
func (s *partState) hasHeadOf(f io.ReaderAt) (bool, error) {
	b := make([]byte, min(max(s.HeadLen, 0), maxPartHead))
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return false, err
	}
	return len(b) > 0 && hashOf(b) == s.Head, nil
}

func hashOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// A stateFile is NAME.part.json. It is locked until it is closed.
type stateFile struct {
	*os.File
	length int // of what it holds
}

// openState opens the file of a state, or makes it, and reports which.
func openState(name string) (f *stateFile, made bool, err error) {
	file, made, err := openLocked(name)
	if err != nil {
		return nil, false, foreignIfThere(err, name)
	}
	return &stateFile{File: file}, made, nil
}

// read reads what is known, and reports whether that can be believed.
func (f *stateFile) read() (known partState, valid bool, err error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxPartState))
	if err != nil {
		return partState{}, false, err
	}
	f.length = len(b)
	var s sealedState
	whole := json.Unmarshal(b, &s) == nil && len(s.State) > 0 && crc32.ChecksumIEEE(s.State) == s.CRC32
	if !whole {
		return partState{}, false, nil
	}
	valid = json.Unmarshal(s.State, &known) == nil && known.Synced >= 0
	known.Ranges = known.Ranges.Within(known.Synced, math.MaxInt64)
	return known, valid, nil
}

// write writes what is known over what was known. It never makes the file
// shorter: some file systems would leave an empty one after a loss of power.
func (f *stateFile) write(known partState) error {
	state, err := json.Marshal(known)
	if err != nil {
		return err
	}
	b, err := json.Marshal(sealedState{crc32.ChecksumIEEE(state), state})
	if err != nil {
		return err
	}
	for len(b) < f.length-1 {
		b = append(b, ' ')
	}
	b = append(b, '\n')
	f.length = len(b)
	_, err = f.WriteAt(b, 0)
	return err
}

// writeSynced is write, and waits until that is on the disk.
func (f *stateFile) writeSynced(known partState) error {
	if err := f.write(known); err != nil {
		return err
	}
	return f.Sync()
}
