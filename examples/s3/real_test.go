package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/portertest"
)

// TestRealStore moves a project by way of a real S3 server, if
// PORTER_VERSITYGW names the program of one:
//
//	go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
//	PORTER_VERSITYGW=~/go/bin/versitygw go test -run TestRealStore ./examples/s3
func TestRealStore(t *testing.T) {
	program := os.Getenv("PORTER_VERSITYGW")
	if program == "" {
		t.Skip("PORTER_VERSITYGW does not name an S3 server")
	}
	endpoint := startStore(t, program, "moves")
	src, dst := portertest.NewServer(), portertest.NewServer()
	defer src.Close()
	defer dst.Close()
	archive := portertest.NewArchive(3 << 20)
	src.AddProject(portertest.Project{Path: "group/site", Archive: archive})
	dst.AddGroup("new")

	o := options{
		from: src.URL, to: dst.URL, project: "group/site", namespace: "new",
		endpoint: endpoint, pathStyle: true, valid: time.Hour, poll: 5 * time.Millisecond,
	}
	token := porter.PrivateToken(portertest.Token)
	for _, tt := range []struct {
		name, bucket, secret string
		code                 int
		want                 string
	}{
		{"no such bucket", "other", memoryKeys.SecretAccessKey, 1, "NoSuchBucket"},
		{"wrong keys", "moves", "wrong", 1, "SignatureDoesNotMatch"},
		{"moved", "moves", memoryKeys.SecretAccessKey, 0, "Moved group/site to new/site"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o.bucket = tt.bucket
			client := newClient(aws.Config{
				Region:      "us-east-1",
				Credentials: credentials.NewStaticCredentialsProvider(memoryKeys.AccessKeyID, tt.secret, ""),
			}, o)
			var out bytes.Buffer
			if code := move(t.Context(), o, client, token, token, &out, &out); code != tt.code || !strings.Contains(out.String(), tt.want) {
				t.Errorf("exit code %d, want %d with %q\n%s", code, tt.code, tt.want, &out)
			}
			if exports := len(src.Exports("group/site")); tt.code != 0 && exports > 0 {
				t.Errorf("%d exports", exports)
			}
		})
	}
	if p := dst.Project("new/site"); p == nil || p.ArchiveSHA256 != archive.SHA256() {
		t.Errorf("imported %+v", p)
	}
}

// startStore starts the program on a free port, with one bucket.
func startStore(t *testing.T, program, bucket string) (endpoint string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "--port", address, "posix", "--nometa", dir)
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+memoryKeys.AccessKeyID, "ROOT_SECRET_KEY="+memoryKeys.SecretAccessKey)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
	})
	endpoint = "http://" + address
	for {
		resp, err := http.Get(endpoint)
		if err == nil {
			resp.Body.Close()
			return endpoint
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
