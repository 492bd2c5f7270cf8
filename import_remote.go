package porter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
)

// maxRemoteURL is the longest URL that today's GitLab takes.
const maxRemoteURL = 2048

// StartImportFromURL starts the import of an archive that GitLab fetches
// itself. The URL must be https; GitLab asks for its headers first, which must
// come within a second and name a Content-Length and one of the types
// application/gzip, application/x-tar and application/x-gzip (Amazon S3 is
// exempt, because a URL presigned for GET refuses that; of other stores that
// do, import with URLSource), and must not lead
// into the instance's own network unless its administrators allow it. What is
// wrong with it is told in the *APIError's Message. It must stay valid until
// the import has begun, and be no longer than 2048 bytes, 512 before GitLab
// 14.10. Override.Avatar cannot be sent this way.
//
// The error is otherwise one of those of StartImport.
//
// POST /projects/remote-import, GitLab 13.2 and later, needs what StartImport needs:
// https://docs.gitlab.com/api/project_import_export/#import-a-file-from-a-remote-object-storage
func (c *Client) StartImportFromURL(ctx context.Context, archiveURL string, opts ImportOptions) (imp *Import, err error) {
	err = c.ready(ctx)
	if err == nil {
		archiveURL, err = checkArchiveURL(archiveURL)
	}
	if err != nil {
		return nil, startError(opts, err)
	}
	ctx, o := c.begin(ctx, OpStartImport, "", opts.label())
	defer o.end(&err)
	imp, err = c.remoteImport(ctx, "projects/remote-import", url.Values{"url": {archiveURL}}, []string{archiveURL}, opts)
	return imp, startError(opts, err)
}

// checkArchiveURL refuses what GitLab would refuse, and returns s as it takes
// it. Its errors never repeat the URL, which may be signed.
func checkArchiveURL(s string) (string, error) {
	s, err := remoteURL("archive URL", s, "https")
	if err == nil && len(s) > maxRemoteURL {
		err = fmt.Errorf("archive URL is longer than the %d bytes that GitLab takes", maxRemoteURL)
	}
	return s, err
}

// S3Object names an archive in Amazon S3 and the keys to read it with. GitLab
// takes neither session tokens nor endpoints of other stores.
type S3Object struct {
	Region          string `json:"region"`
	Bucket          string `json:"bucket_name"`
	Key             string `json:"file_key"`
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
}

// check refuses what GitLab would refuse, naming the field.
func (o S3Object) check() error {
	for _, f := range o.fields() {
		if f.value == "" {
			return fmt.Errorf("S3 object: %s is empty", f.name)
		}
		if checkText(f.name, f.value) != nil { // whose error repeats the value
			return fmt.Errorf("S3 object: %s holds control characters or invalid UTF-8", f.name)
		}
		if f.name != "file_key" && strings.TrimFunc(f.value, isBlank) != f.value {
			return fmt.Errorf("S3 object: %s begins or ends with white space or an invisible character", f.name)
		}
	}
	return nil
}

type s3Field struct{ name, value string }

func (o S3Object) fields() []s3Field {
	return []s3Field{
		{"region", o.Region},
		{"bucket_name", o.Bucket},
		{"file_key", o.Key},
		{"access_key_id", o.AccessKeyID},
		{"secret_access_key", o.SecretAccessKey},
	}
}

// String returns where the object is, and no keys.
func (o S3Object) String() string {
	return fmt.Sprintf("s3://%s/%s (%s)", o.Bucket, o.Key, o.Region)
}

// GoString returns where the object is, and no keys.
func (o S3Object) GoString() string { return fmt.Sprintf("porter.S3Object{%s}", o) }

// MarshalJSON returns an error, because the object would come back without its
// secret key.
func (o S3Object) MarshalJSON() ([]byte, error) { return nil, errHoldsSecret(o) }

// MarshalText returns an error, as MarshalJSON does; it is also for XML.
func (o S3Object) MarshalText() ([]byte, error) { return nil, errHoldsSecret(o) }

// MarshalBinary returns an error, as MarshalJSON does; it is also for gob.
func (o S3Object) MarshalBinary() ([]byte, error) { return nil, errHoldsSecret(o) }

// LogValue says where the object is, and no keys.
func (o S3Object) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("region", o.Region),
		slog.String("bucket_name", o.Bucket),
		slog.String("file_key", o.Key),
	)
}

// StartImportFromS3 starts the import of an archive that GitLab fetches from
// Amazon S3. GitLab looks for the object at once; what is wrong with it is
// told in the *APIError's Message. Override.Avatar cannot be sent this way.
//
// The error is otherwise one of those of StartImport.
//
// POST /projects/remote-import-s3, GitLab 14.9 and later, needs what StartImport needs:
// https://docs.gitlab.com/api/project_import_export/#import-a-single-file-from-aws-s3
func (c *Client) StartImportFromS3(ctx context.Context, obj S3Object, opts ImportOptions) (imp *Import, err error) {
	err = c.ready(ctx)
	if err == nil {
		err = obj.check()
	}
	if err != nil {
		return nil, startError(opts, err)
	}
	ctx, o := c.begin(ctx, OpStartImport, "", opts.label())
	defer o.end(&err)
	v := make(url.Values)
	for _, f := range obj.fields() {
		v.Set(f.name, f.value)
	}
	imp, err = c.remoteImport(ctx, "projects/remote-import-s3", v, []string{obj.AccessKeyID, obj.SecretAccessKey}, opts)
	return imp, startError(opts, err)
}

// remoteImport sends where the archive is, with the options, as a form that
// holds secrets.
func (c *Client) remoteImport(ctx context.Context, endpoint string, v url.Values, secrets []string, opts ImportOptions) (*Import, error) {
	fields, err := opts.fields()
	if err != nil {
		return nil, err
	}
	if opts.Override != nil && opts.Override.Avatar != nil {
		return nil, errors.New("override avatar: only the import of a file can send one")
	}
	for name, values := range fields {
		v[name] = values
	}
	return c.postImport(ctx, &request{
		url:     c.endpoint(endpoint),
		secrets: secrets,
		open: func(context.Context) (*payload, error) {
			return newPayload("application/x-www-form-urlencoded", []byte(v.Encode())), nil
		},
	}, opts)
}
