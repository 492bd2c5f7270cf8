package main

import (
	"context"
	"net/http"
	"net/url"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"
)

// traced is for porter.WithTransport. It makes a span of each request, below the
// span of the context that the operation was called with. Otelhttp writes URLs
// into spans, and whoever has a signed URL has the archive; so it is shown them
// without their queries.
func traced(next http.RoundTripper, provider trace.TracerProvider) http.RoundTripper {
	return withoutQuery{otelhttp.NewTransport(withQuery{next}, otelhttp.WithTracerProvider(provider))}
}

type urlKey struct{}

type withoutQuery struct{ next http.RoundTripper }

func (t withoutQuery) RoundTrip(req *http.Request) (*http.Response, error) {
	whole := req.URL
	shown := req.Clone(context.WithValue(req.Context(), urlKey{}, whole))
	shown.URL.RawQuery, shown.URL.ForceQuery = "", false
	return t.next.RoundTrip(shown)
}

type withQuery struct{ next http.RoundTripper }

func (t withQuery) RoundTrip(req *http.Request) (*http.Response, error) {
	whole := req.Clone(req.Context())
	whole.URL = req.Context().Value(urlKey{}).(*url.URL)
	return t.next.RoundTrip(whole)
}
