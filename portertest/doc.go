// Package portertest runs a GitLab that knows only the project import/export
// API and lists projects, for testing programs that move projects.
//
// A [Server] is used like one of net/http/httptest. Package testclient makes
// clients of it in one line. It begins with one user, whose access token is
// [Token], and no projects:
//
//	s := portertest.NewServer(portertest.Version("13.12"), portertest.Downloads(portertest.Redirected))
//	defer s.Close()
//	s.AddProject(portertest.Project{Path: "group/app"})
//	// … run the program under test against s.URL with s.Client() …
//	for _, r := range s.Requests() {
//		t.Log(r.Origin, r.Method, r.Path, r.Status)
//	}
//
// # What it does
//
// The server schedules, makes, expires and serves exports and takes imports as
// the chosen version of GitLab does, down to its texts and the order of its
// checks: exports that belong to one user, an export that deletes the one
// before it, rate limits that follow the minutes of the clock, uploads that are
// refused early or only once they are complete, imports that take over a path
// when they are done. Users of the archive are mapped by their addresses, if an
// administrator imports, and imports of one relation take what is missing. A
// second origin plays the object storage, to which downloads are redirected and
// which takes what GitLab uploads by itself.
//
// The state of a job is never set. It follows from the job's times and
// from the server's clock, which [Server.Advance] moves. By default a job takes
// a few milliseconds; see [Timing] and [RealTiming].
//
// Nothing that GitLab does by itself leaves this machine. It uploads an archive
// to its object storage or to another server on the loopback. It imports from
// its object storage, and from the servers that [Server.AllowOutbound] names;
// every other address it refuses as GitLab does, or finds nobody there.
//
// A project holds what [Project].Items, Branches and Tags say, or else what is in
// its Archive. Its lists show that, an export puts it into the archive, and an
// import takes it in.
//
// # What is not simulated
//
// [Server.Handle] serves other endpoints of GitLab that a program needs beside
// these, behind the same tokens ([Server.Authenticated]) or for everyone.
//
// # What goes wrong
//
// [Server.ScriptExport] and [Server.ScriptImport] say how the next jobs of a
// project go. [Server.Inject] breaks connections: it cuts, stalls, truncates or
// garbles requests and answers, loses answers, or gives others. Faults work alike
// over sockets, TLS, HTTP/2 and in memory.
//
// # Mistakes of a test
//
// What can only be a mistake of the test that uses the server panics, with a text
// that says what is wrong: a project, user or group that is not there, a version
// that GitLab never had, an option that is nil.
//
// # Time
//
// With [InMemory] the server needs no sockets and can live in a
// [testing/synctest] bubble, where hours of waiting take no time:
//
//	synctest.Test(t, func(t *testing.T) {
//		s := portertest.NewServer(portertest.InMemory(), portertest.RealTiming())
//		defer s.Close()
//		// …
//	})
package portertest
