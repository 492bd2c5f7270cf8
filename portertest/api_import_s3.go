package portertest

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The keys with which the object storage can be read as Amazon S3. Its first
// path segment is the bucket.
const (
	AccessKeyID     = "AKIAPORTERTEST"
	SecretAccessKey = "porter/test+secret"
)

// importS3 answers POST /projects/remote-import-s3.
func (c *call) importS3() *reply {
	u, r := c.authenticated()
	if r != nil {
		return r
	}
	var v validation
	var blank string
	obj := map[string]string{}
	for _, k := range []struct{ key, name string }{
		{"region", "Region"}, {"bucket_name", "Bucket name"}, {"file_key", "File key"},
		{"access_key_id", "Access key"}, {"secret_access_key", "Secret access key"},
	} {
		obj[k.key] = v.text(k.key, v.required(c.params, k.key))
		if blank == "" && !present(obj[k.key]) {
			blank = k.name + " can't be blank"
		}
	}
	req, r := c.remoteParams(u, &v)
	switch {
	case r != nil:
		return r
	case blank != "":
		return c.serviceError(http.StatusBadRequest, blank)
	}
	key, bucket := obj["file_key"], obj["bucket_name"]
	if obj["access_key_id"] != AccessKeyID || obj["secret_access_key"] != SecretAccessKey {
		return c.serviceError(http.StatusBadRequest,
			fmt.Sprintf("Failed to open '%s' in '%s': The AWS Access Key Id you provided does not exist in our records.", key, bucket))
	}
	path := "/" + bucket + "/" + strings.TrimPrefix(key, "/")
	o := c.m.objects.byPath[path]
	if o == nil {
		return c.serviceError(http.StatusBadRequest, fmt.Sprintf("File not found '%s' in '%s'", key, bucket))
	}
	if problem := c.unfitFile(o.Size, o.ContentType); problem != "" {
		return c.serviceError(http.StatusBadRequest, problem)
	}
	return c.createImport(u, req, &upload{from: c.m.signedURL(http.MethodGet, path, c.m.now(), 28*time.Hour)})
}
