package portertest

import (
	"net"
	"strings"
	"time"
)

// An Option configures a Server.
type Option func(*config)

// apply applies options, none of which may be nil.
func (c *config) apply(opts []Option) {
	for _, o := range opts {
		if o == nil {
			panic("portertest: option is nil")
		}
		o(c)
	}
}

type config struct {
	version  version
	inMemory bool
	tls      bool
	http2    bool
	root     string
	external string
	gitlab   net.Listener // nil for one of its own
	storage  net.Listener
	zone     *time.Location

	mode     DownloadMode
	perConn  int64 // bytes a second that object storage sends over a connection; 0 for any number
	timings  Timings
	limits   RateLimits
	throttle throttle

	exportsOff  bool
	importsOff  bool
	relations   bool
	maxImport   *int64
	maxRemote   int64
	maxExport   int64
	readOnly    bool
	maintenance bool
	restricted  []string
	localized   bool

	keepRequests int
	onRequest    func(Request)
}

func defaultConfig() config {
	return config{
		version:   version{18, 9},
		zone:      time.UTC,
		maxRemote: 10 << 30,
		limits:    RateLimits{Exports: 6, Downloads: 1, Imports: 6},
		timings: Timings{
			Queue:       2 * time.Millisecond,
			Start:       2 * time.Millisecond,
			Assemble:    5 * time.Millisecond,
			Store:       2 * time.Millisecond,
			AfterExport: 2 * time.Millisecond,
			Failure:     5 * time.Millisecond,
			ImportQueue: 2 * time.Millisecond,
			Import:      5 * time.Millisecond,
		},
	}
}

func (c *config) atLeast(major, minor int) bool { return c.version.atLeast(major, minor) }

// timingsOf returns how long a job takes, if its script does not say so itself.
func (c *config) timingsOf(script *Timings) Timings {
	if script != nil {
		return *script
	}
	return c.timings
}

// maxImportSize returns the limit in bytes, 0 for none.
func (c *config) maxImportSize() int64 {
	switch {
	case c.maxImport != nil:
		return *c.maxImport
	case !c.atLeast(13, 8):
		return 50 << 20
	}
	return 0
}

// Version makes the server behave as that release of GitLab did, from "10.6"
// to "18.9", the default. It panics if v is no such version.
func Version(v string) Option {
	parsed, err := parseVersion(v)
	if err != nil {
		panic(err)
	}
	return func(c *config) { c.version = parsed }
}

// InMemory serves at http://gitlab.test and http://storage.test without any
// sockets. Only [Server.Transport] and [Server.Client] reach them. A server
// made inside a testing/synctest bubble lets it go idle, so that hours of
// polling pass at once.
func InMemory() Option { return func(c *config) { c.inMemory = true } }

// TLS serves both origins over HTTPS with a certificate that only
// [Server.Transport] and [Server.Client] trust, and who is given
// [Server.Certificate].
func TLS() Option { return func(c *config) { c.tls = true } }

// HTTP2 serves both origins over HTTPS and offers HTTP/2. In a bubble of
// testing/synctest it needs Go 1.26 or later: golang/go#75674.
func HTTP2() Option { return func(c *config) { c.tls, c.http2 = true, true } }

// RelativeRoot serves GitLab below path, such as "/gitlab".
func RelativeRoot(path string) Option {
	return func(c *config) { c.root = strings.TrimRight("/"+strings.Trim(path, "/"), "/") }
}

// ExternalURL sets the URL that GitLab believes to be reached at. Links and
// the Location of moved projects begin with it. The default is [Server.URL].
func ExternalURL(url string) Option {
	return func(c *config) { c.external = strings.TrimRight(url, "/") }
}

// TimeZone makes the API write times with the offset of a zone, as it does on
// instances that are configured so. The default, and nil, is UTC.
func TimeZone(z *time.Location) Option {
	if z == nil {
		z = time.UTC
	}
	return func(c *config) { c.zone = z }
}

// Localized words messages as for a user of another language: what services
// and rate limits have to say, with an accent on every small vowel. Answers
// that GitLab does not translate stay in English, such as "404 Not Found" and
// those to parameters that do not validate.
func Localized() Option { return func(c *config) { c.localized = true } }

// DownloadMode says where archives are stored and who serves them.
type DownloadMode int

const (
	// FromDisk stores archives on GitLab's own disk.
	FromDisk DownloadMode = iota
	// Redirected stores archives in the object storage and redirects
	// downloads to a signed URL there.
	Redirected
	// Proxied stores archives in the object storage and passes downloads
	// through GitLab.
	Proxied
)

// Downloads sets how archives are served. The default is FromDisk.
func Downloads(m DownloadMode) Option { return func(c *config) { c.mode = m } }

// PerConnection has the object storage send no more than so many bytes a second
// over each connection, as object storage and long lines do.
func PerConnection(bytesPerSecond int64) Option {
	return func(c *config) { c.perConn = bytesPerSecond }
}

// Timings say how long the steps of a job take.
type Timings struct {
	Queue    time.Duration // from the request until the export's job exists
	Start    time.Duration // until the job starts
	Assemble time.Duration // until the archive's parts are complete

	// FirstCheck and Check are the grid on which GitLab 17.2 and later look
	// whether an archive is complete: first so long after the start, then
	// every so often. A Check of 0 means at once.
	FirstCheck time.Duration
	Check      time.Duration

	Store       time.Duration // until the archive's bytes are stored
	AfterExport time.Duration // until the job is finished
	Failure     time.Duration // from the start until a failing relation is given up

	ImportQueue time.Duration // from the answer until the import starts
	Import      time.Duration // until it ends
	ImportItem  time.Duration // more for each record that it imports from an upload
}

// Timing sets how long jobs take. By default every step takes a few
// milliseconds.
func Timing(t Timings) Option { return func(c *config) { c.timings = t } }

// RealTiming makes jobs take as long as they do on a lightly loaded GitLab,
// including the completion check 10 seconds after the start of an export and
// every 60 seconds from then on.
func RealTiming() Option {
	return Timing(Timings{
		Queue:       3 * time.Second,
		Start:       2 * time.Second,
		Assemble:    30 * time.Second,
		FirstCheck:  10 * time.Second,
		Check:       60 * time.Second,
		Store:       5 * time.Second,
		AfterExport: 2 * time.Second,
		Failure:     20 * time.Minute,
		ImportQueue: 5 * time.Second,
		Import:      90 * time.Second,
	})
}

// RateLimits are GitLab's limits per minute; 0 means none.
type RateLimits struct {
	Exports   int // exports scheduled by a user
	Downloads int // downloads of one project by a user
	Imports   int // imports of any kind started by a user
}

// Limits sets the rate limits. The default is GitLab's: 6 exports, 1 download
// and 6 imports.
func Limits(l RateLimits) Option { return func(c *config) { c.limits = l } }

// NoLimits switches the rate limits off.
func NoLimits() Option { return Limits(RateLimits{}) }

type throttle struct {
	n      int
	period time.Duration
}

// GlobalThrottle allows each user, and each address without a user, n
// requests of any kind in a period.
func GlobalThrottle(n int, period time.Duration) Option {
	return func(c *config) { c.throttle = throttle{n, period} }
}

// KeepRequests lets the log forget all but the last n requests, for tests that
// make very many. By default it keeps them all.
func KeepRequests(n int) Option { return func(c *config) { c.keepRequests = n } }

// OnRequest has f called with every request, as the log has it, once the server
// is done with it; by several goroutines at the same time. Together with
// [KeepRequests] it lets a long test count what it need not keep.
func OnRequest(f func(Request)) Option { return func(c *config) { c.onRequest = f } }

// ExportsDisabled switches project export off for the instance.
func ExportsDisabled() Option { return func(c *config) { c.exportsOff = true } }

// RelationExports switches the export of single relations on, which is part
// of GitLab's direct transfer and off by default.
func RelationExports() Option { return func(c *config) { c.relations = true } }

// ImportsDisabled takes GitLab exports off the instance's import sources.
func ImportsDisabled() Option { return func(c *config) { c.importsOff = true } }

// MaxImportSize limits an uploaded archive to n bytes; 0 means no limit. The
// default is none, and 50 MiB before GitLab 13.8.
func MaxImportSize(n int64) Option { return func(c *config) { c.maxImport = &n } }

// MaxRemoteSize limits an archive that GitLab fetches itself to n bytes. The
// default is 10 GiB.
func MaxRemoteSize(n int64) Option { return func(c *config) { c.maxRemote = n } }

// MaxExportSize refuses to export projects larger than n bytes.
func MaxExportSize(n int64) Option { return func(c *config) { c.maxExport = n } }

// ReadOnly refuses writes, as a Geo secondary does.
func ReadOnly() Option { return func(c *config) { c.readOnly = true } }

// Maintenance refuses writes, as GitLab's maintenance mode does.
func Maintenance() Option { return func(c *config) { c.maintenance = true } }

// Enabled undoes ExportsDisabled, ImportsDisabled, ReadOnly and Maintenance,
// for use with [Server.Configure].
func Enabled() Option {
	return func(c *config) { c.exportsOff, c.importsOff, c.readOnly, c.maintenance = false, false, false, false }
}

// RestrictVisibility forbids projects of the given visibility levels.
func RestrictVisibility(levels ...string) Option {
	return func(c *config) { c.restricted = levels }
}
