package portertest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

const (
	signedFor = 10 * time.Minute // how long GitLab's signed URLs are good
	amzDate   = "20060102T150405Z"
)

// SignedURL returns a URL that allows one method on a path of the object
// storage for some time. Unsigned requests are allowed too, except to GitLab's
// own archives, so that a test needs this only where the signature matters.
func (s *objects) SignedURL(method, path string, d time.Duration) string {
	return s.signedURL(method, path, s.Now(), d)
}

func (s *objects) signedURL(method, path string, now time.Time, d time.Duration) string {
	q := url.Values{}
	q.Set("X-Amz-Algorithm", "AWS4-HMAC-SHA256")
	q.Set("X-Amz-Credential", "AKIAPORTERTEST/"+now.UTC().Format("20060102")+"/eu-west-1/s3/aws4_request")
	q.Set("X-Amz-Date", now.UTC().Format(amzDate))
	q.Set("X-Amz-Expires", strconv.Itoa(int(d.Seconds())))
	q.Set("X-Amz-SignedHeaders", "host")
	q.Set("X-Amz-Signature", s.signature(method, path, q))
	u := url.URL{Path: path, RawQuery: q.Encode()}
	return s.storageURL + u.String()
}

func (s *objects) signature(method, path string, q url.Values) string {
	m := hmac.New(sha256.New, s.secret)
	fmt.Fprintf(m, "%s\n%s\n%s\n%s", method, path, q.Get("X-Amz-Date"), q.Get("X-Amz-Expires"))
	return hex.EncodeToString(m.Sum(nil))
}

// signedUntil returns when a signed URL expires, and whether its signature is
// right.
func (s *objects) signedUntil(method, path string, q url.Values) (until time.Time, ok bool) {
	from, _ := time.Parse(amzDate, q.Get("X-Amz-Date"))
	seconds, _ := strconv.Atoi(q.Get("X-Amz-Expires"))
	until = from.Add(time.Duration(seconds) * time.Second)
	return until, hmac.Equal([]byte(q.Get("X-Amz-Signature")), []byte(s.signature(method, path, q)))
}
