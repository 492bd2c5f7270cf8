package portertest

import (
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const exportBucket = "gitlab-exports" // where GitLab keeps archives, not public

// Object is what a test or GitLab put into the object storage.
type Object struct {
	Path        string // of its URL
	Size        int64
	SHA256      string // in hex
	ContentType string
	Modified    time.Time
}

type storedObject struct {
	Object
	etag    string
	content *Archive
}

// storedFile is a file that GitLab made and keeps where the server's
// DownloadMode says.
type storedFile struct {
	name    string // which a download suggests
	key     string // in the object storage
	stored  time.Time
	content *Archive
	lost    bool // its bytes are gone
}

// objects are the contents of the object storage.
type objects struct {
	*settings
	storageURL string
	secret     []byte // signs URLs
	byPath     map[string]*storedObject
	spool      string     // a directory for what was put
	spooled    []*Archive // in it
	lastSpool  int
}

func newObjects(s *settings) objects {
	return objects{settings: s, secret: []byte(rand.Text()), byPath: map[string]*storedObject{}}
}

// Object returns what was put under a path of StorageURL, such as
// "/backups/app.tar.gz", or nil if nothing was. GitLab's own archives are not
// among it.
func (s *objects) Object(path string) *Object {
	s.lock()
	defer s.unlock()
	if o := s.byPath[path]; o != nil {
		c := o.Object
		return &c
	}
	return nil
}

// AddObject puts an archive into the object storage, for anyone to read, under a
// path of StorageURL, such as "/backups/app.tar.gz", and returns its URL.
func (s *objects) AddObject(path, contentType string, a *Archive) string {
	if !strings.HasPrefix(path, "/") || a == nil {
		panic(fmt.Sprintf("portertest: AddObject: path %q without a slash at its beginning, or no archive", path))
	}
	s.lock()
	defer s.unlock()
	s.store(&storedObject{
		Object:  Object{Path: path, Size: a.Size(), SHA256: a.SHA256(), ContentType: contentType},
		content: a,
	})
	return s.storageURL + path
}

func (s *objects) store(o *storedObject) {
	o.Modified = s.now()
	o.etag = etag(o.Path, o.Modified)
	s.byPath[o.Path] = o
}

// etag is strong and differs between any two objects, whatever is in them.
func etag(path string, t time.Time) string {
	sum := md5.Sum(fmt.Appendf(nil, "%s %d", path, t.UnixNano()))
	return `"` + hex.EncodeToString(sum[:]) + `"`
}

// put stores a body, spooled to a file so that it can be read again. It fails if
// the body does.
func (s *objects) put(path, contentType string, body io.Reader) (*storedObject, error) {
	name, err := s.spoolFile()
	if err != nil {
		panic(err)
	}
	f, err := os.Create(name)
	if err != nil {
		panic(err)
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), body)
	f.Close()
	if err != nil {
		os.Remove(name)
		return nil, err
	}
	content, err := FileArchive(name)
	if err != nil {
		panic(err)
	}
	o := &storedObject{
		Object:  Object{Path: path, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil)), ContentType: contentType},
		content: content,
	}
	s.lock()
	defer s.unlock()
	s.spooled = append(s.spooled, content)
	s.store(o)
	return o, nil
}

func (s *objects) spoolFile() (string, error) {
	s.lock()
	defer s.unlock()
	if s.spool == "" {
		dir, err := os.MkdirTemp("", "portertest")
		if err != nil {
			return "", err
		}
		s.spool = dir
	}
	s.lastSpool++
	return filepath.Join(s.spool, strconv.Itoa(s.lastSpool)), nil
}

// removeSpool deletes what put has kept.
func (s *objects) removeSpool() {
	for _, a := range s.spooled {
		a.Close()
	}
	if s.spool != "" {
		os.RemoveAll(s.spool)
	}
}
