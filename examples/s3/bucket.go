package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/seed-5d77b939/porter"
	"github.com/seed-5d77b939/porter/examples/internal/cli"
)

// newClient returns a client of the store that o names.
func newClient(cfg aws.Config, o options) *s3.Client {
	return s3.NewFromConfig(cfg, func(so *s3.Options) {
		if o.endpoint != "" {
			so.BaseEndpoint = &o.endpoint
		}
		if so.BaseEndpoint != nil && so.Region == "" {
			so.Region = "us-east-1" // most stores know no other
		}
		so.UsePathStyle = o.pathStyle
		// Otherwise the SDK signs a checksum into the URL, which only the program
		// that uploads could know.
		so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
}

// A place is where the archive goes between the instances.
type place struct {
	client      *s3.Client
	bucket, key string
	valid       time.Duration // of the URLs
}

func (p place) String() string { return "s3://" + p.bucket + "/" + p.key }

// putURL returns a URL that GitLab can upload to.
func (p place) putURL(ctx context.Context) (string, error) {
	// GitLab sends this content type, so it has to be part of the signature.
	put, err := s3.NewPresignClient(p.client).PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket: &p.bucket, Key: &p.key, ContentType: aws.String("application/gzip"),
	}, s3.WithPresignExpires(p.valid))
	if err != nil {
		return "", fmt.Errorf("sign a URL: %w", err)
	}
	return put.URL, nil
}

// getURL returns a URL to read what is there.
func (p place) getURL(ctx context.Context) (string, error) {
	get, err := s3.NewPresignClient(p.client).PresignGetObject(ctx, &s3.GetObjectInput{
		Bucket: &p.bucket, Key: &p.key,
	}, s3.WithPresignExpires(p.valid))
	if err != nil {
		return "", fmt.Errorf("sign a URL: %w", err)
	}
	return get.URL, nil
}

// source is the archive, read by this program.
func (p place) source(ctx context.Context) (porter.Source, error) {
	get, err := p.getURL(ctx)
	if err != nil {
		return porter.Source{}, err
	}
	var hc *http.Client // nil is porter's own
	switch c := p.client.Options().HTTPClient.(type) {
	case *http.Client:
		hc = c
	case *awshttp.BuildableClient:
		if t := c.GetTransport(); t.TLSClientConfig != nil && t.TLSClientConfig.RootCAs != nil {
			hc = &http.Client{Transport: t} // it knows the authorities of AWS_CA_BUNDLE
		}
	}
	return porter.URLSource(get, hc), nil
}

// look looks for the archive.
func (p place) look(ctx context.Context) (*s3.HeadObjectOutput, error) {
	head, err := p.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.bucket, Key: &p.key})
	if err != nil {
		return nil, p.failed(ctx, "look for the archive in the bucket", err)
	}
	return head, nil
}

// check writes a small object beside where the archive will be, and reads it,
// so that what is wrong with the bucket or the keys is known before the hours
// of exporting. That needs no rights that the move would not need. To delete
// the object may need one more, so it may remain.
func (p place) check(ctx context.Context, stdout io.Writer) error {
	p.key += ".check"
	var small bytes.Buffer
	gzip.NewWriter(&small).Close() // nothing, in the form of an archive
	_, err := p.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &p.bucket, Key: &p.key, ContentType: aws.String("application/gzip"), Body: bytes.NewReader(small.Bytes()),
	})
	if err != nil {
		return p.failed(ctx, "write to the bucket", err)
	}
	src, err := p.source(ctx)
	if err != nil {
		return err
	}
	r, err := src.Open(ctx)
	if err != nil {
		return fmt.Errorf("read from the bucket: %w", err)
	}
	defer r.Close()
	switch read, err := io.ReadAll(r); {
	case err != nil:
		return fmt.Errorf("read from the bucket: %w", err)
	case !bytes.Equal(read, small.Bytes()):
		return fmt.Errorf("%s is not what was written to it", p)
	}
	if _, err := p.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.bucket, Key: &p.key}); err != nil {
		fmt.Fprintf(stdout, "%s of %s remains there: %v\n", p, cli.Size(int64(small.Len())), p.failed(ctx, "delete it", err))
	}
	return nil
}

// failed names what failed, and what may have been overlooked.
func (p place) failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // the SDK does not know of -timeout
	}
	var unresolved *net.DNSError
	if errors.As(err, &unresolved) && !p.client.Options().UsePathStyle {
		return fmt.Errorf("%s: %w (many stores need -path-style)", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// absent reports whether an answer of S3 means that there is no such object.
// It is a 403 to those who may not list the bucket.
func absent(err error) bool {
	var answer *awshttp.ResponseError
	return errors.As(err, &answer) &&
		(answer.HTTPStatusCode() == http.StatusNotFound || answer.HTTPStatusCode() == http.StatusForbidden)
}

// isAmazon reports whether the store is Amazon's own. GitLab asks by HEAD before
// it imports from a URL, which every store refuses if that is signed for GET. It
// takes no notice of that with Amazon's only.
func isAmazon(store *s3.Client) bool {
	endpoint := store.Options().BaseEndpoint
	if endpoint == nil {
		return true
	}
	u, err := url.Parse(*endpoint)
	return err == nil && (strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn"))
}

// isEndpoint reports whether s can be the URL of a store.
func isEndpoint(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != ""
}
