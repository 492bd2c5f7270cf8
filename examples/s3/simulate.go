package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
	"github.com/seed-5d77b939/porter/examples/internal/demo"
	"github.com/seed-5d77b939/porter/portertest"
)

// simulate moves a project between two simulated instances by way of a store
// in this process, and compares what went in with what came out.
func simulate(ctx context.Context, o options, stdout, stderr io.Writer) int {
	archive := portertest.NewArchive(8 << 20)
	source, destination := demo.Server(), demo.Server()
	defer source.Close()
	defer destination.Close()
	source.AddProject(portertest.Project{Path: "team/app", Archive: archive})
	o.bucket = "moves"
	store := httptest.NewServer(&memoryStore{bucket: o.bucket})
	defer store.Close()
	fmt.Fprintf(stdout, "No -from and -to given: moving an archive of %s between two simulated instances, by way of a store in this "+
		"process.\n", cli.Size(archive.Size()))

	o.from, o.to, o.project = source.URL, destination.URL, "team/app"
	if o.namespace == "" {
		o.namespace = "platform"
	}
	destination.AddGroup(o.namespace)
	if o.poll == 0 {
		o.poll = demo.Poll
	}
	token := porter.PrivateToken(portertest.Token)
	if code := move(ctx, o, memoryClient(store.URL, memoryKeys.SecretAccessKey, nil), token, token, stdout, stderr); code != cli.OK {
		return code
	}
	imported := destination.Project(o.namespace + "/" + cmp.Or(o.path, "app"))
	fmt.Fprintf(stdout, "SHA-256 of the archive:\n  %s at the source\n  %s at the destination\n", archive.SHA256(), imported.ArchiveSHA256)
	if imported.ArchiveSHA256 != archive.SHA256() {
		fmt.Fprintln(stderr, "error: they differ")
		return cli.Failure
	}
	fmt.Fprintln(stdout, "They are equal.")
	return cli.OK
}

// memoryKeys are those of a memoryStore.
var memoryKeys = aws.Credentials{AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "example"}

// memoryClient returns a client of the memoryStore at url, with a secret that
// should be that of memoryKeys, and an HTTP client unless that is nil.
func memoryClient(url, secret string, hc *http.Client) *s3.Client {
	cfg := aws.Config{
		Region:      "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider(memoryKeys.AccessKeyID, secret, ""),
	}
	if hc != nil {
		cfg.HTTPClient = hc
	}
	return newClient(cfg, options{endpoint: url, pathStyle: true})
}

// A memoryStore is as much of an S3 server as a move needs. It has one bucket,
// keeps its objects in memory, and takes what is signed with memoryKeys.
type memoryStore struct {
	bucket string

	mu      sync.Mutex
	objects map[string]memoryObject
}

type memoryObject struct {
	content     []byte
	contentType string
	stored      time.Time
}

func (s *memoryStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the sender is gone
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key, known := strings.CutPrefix(r.URL.Path, "/"+s.bucket+"/")
	o, there := s.objects[key]
	switch {
	case !signed(r):
		refuse(w, http.StatusForbidden, "SignatureDoesNotMatch")
	case !known:
		refuse(w, http.StatusNotFound, "NoSuchBucket")
	case r.Method == http.MethodPut:
		if s.objects == nil {
			s.objects = map[string]memoryObject{}
		}
		s.objects[key] = memoryObject{content, r.Header.Get("Content-Type"), time.Now()}
	case r.Method == http.MethodDelete:
		delete(s.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case !there:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	default:
		w.Header().Set("Content-Type", o.contentType)
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(o.content)))
		http.ServeContent(w, r, "", o.stored, bytes.NewReader(o.content))
	}
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

// signed reports whether a request is signed with memoryKeys, by signing it
// once more. The method is part of what is signed.
func signed(r *http.Request) bool {
	q := r.URL.Query()
	said := func(name string) string { return q.Get("X-Amz-" + name) }
	auth, byHeader := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if byHeader {
		fields := map[string]string{"Date": r.Header.Get("X-Amz-Date")}
		for field := range strings.SplitSeq(auth, ", ") {
			name, value, _ := strings.Cut(field, "=")
			fields[name] = value
		}
		said = func(name string) string { return fields[name] }
	}
	when, err := time.Parse("20060102T150405Z", said("Date"))
	scope := strings.Split(said("Credential"), "/") // key, day, region, service
	if err != nil || len(scope) < 4 {
		return false
	}
	again := &http.Request{Method: r.Method, Host: r.Host, Header: http.Header{}}
	u := *r.URL
	signature := said("Signature")
	q.Del("X-Amz-Signature")
	u.RawQuery = q.Encode()
	again.URL = &u
	for name := range strings.SplitSeq(said("SignedHeaders"), ";") {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if byHeader {
		err = signer.SignHTTP(r.Context(), memoryKeys, again, r.Header.Get("X-Amz-Content-Sha256"), scope[3], scope[2], when)
		return err == nil && again.Header.Get("Authorization") == r.Header.Get("Authorization")
	}
	url, _, err := signer.PresignHTTP(r.Context(), memoryKeys, again, "UNSIGNED-PAYLOAD", scope[3], scope[2], when)
	return err == nil && strings.HasSuffix(url, "&X-Amz-Signature="+signature)
}
