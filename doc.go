// Package porter moves GitLab projects: it schedules, waits for and downloads
// project exports, uploads and follows project imports, and migrates projects
// between instances.
//
//	client, err := porter.NewClient("https://gitlab.example.com", porter.PrivateToken(token))
//	if err != nil {
//		return err
//	}
//	_, err = client.ExportToFile(ctx, porter.ProjectPath("group/app"), "app.tar.gz", nil)
//
// Whole jobs are [Client.ExportTo], [Client.ExportToFile], [Client.Import] and
// [Migrate]. Below them, names say whether they wait: Schedule… and Start…
// return when GitLab has accepted a job, Get… and List… look once, Watch…
// yields every look, WaitFor… blocks until the job has ended.
//
// # Waiting
//
// Jobs take minutes or hours, and the context is the only deadline: there is no
// hidden one. A waiter needs nothing from the call that began the job, so a
// program that was restarted simply waits again. It ends when the job does,
// including with states that GitLab's documentation does not list, and tells a
// job that has not begun yet from one that has gone. Polls that fail do not end
// it until they have failed for [Polling].Patience. A wait that ends before its
// job is a [*WaitError], which says how far the job was; GitLab goes on with it.
//
// # Taking up again
//
// [ExportOptions].MaxAge takes an archive that is there already instead of
// making another. [MigrateOptions].Checkpoint is told how far a migration has
// come, and [MigrateOptions].Resume takes it up there in another process; so do
// those of [ImportOptions].
//
// # Checking first
//
// [CheckMigration], [Client.CheckImport] and [Client.CheckExport] tell what would
// make a job fail, without beginning it. [Migrate] begins nothing that would
// certainly fail.
//
// # Proving afterwards
//
// [MigrateOptions].Prove and [ExportOptions].Prove count what is in the source, in
// the archive and in the new project, and name what an export or an import has
// lost. [Client.CountRelations] and [Client.ProveImport] do so by themselves.
//
// # Retrying
//
// A request is sent again where that is safe: a GET after any failure that may
// pass, of the network or of a server ([APIError.Temporary]); a POST only if it
// was never sent whole, or if GitLab refused it with 429. A delay that GitLab
// asks for is kept, unless a failing server wants more than [Polling].Patience.
// What an export was made for, and a download of which bytes have come, outlasts
// an outage of that length. If the answer to a POST is lost, its outcome is
// looked up where it can be, and is [ErrOutcomeUnknown] where not; an archive is
// never sent again by guess. An archive to be uploaded is a [Source], something
// that can be opened again. [WithRetry] changes how often and how soon.
//
// # Pacing
//
// GitLab limits exports, imports and downloads for each user and minute. A
// [Client], with all that [Client.With] derives from it, keeps to these limits
// by itself, by the clock of the server, so that any number of goroutines may
// use it. [WithPacing] tells it of other limits. Of downloads and uploads a few
// are under way at a time, as [WithTransfers] says, and none while it waits.
//
// # Transfers and resuming
//
// Archives are streamed and never held in memory. A download that breaks off
// or stalls continues where it was, if the server still has the same archive;
// [Client.DownloadExportFile] does so even after the process was killed, or the
// power failed. A file appears under its name only when it is complete and undamaged. A
// download ends without an error only if every byte of it has come.
//
// # Verification
//
// [VerifyArchive] reads an archive and finds damage, what is no project
// export, and what GitLab would accept and then fail to import, such as a
// record that is not JSON. It also says how much of what an archive holds.
// Downloads run it as the archive comes, unless [DownloadOptions] say otherwise,
// and a damaged one never gets the name of a file. [Migrate] does not complete the
// upload of a bad one, so that it never becomes a project. [Client.StartRelationImport] does so
// too: GitLab itself finishes the import of a relation whatever it could read.
//
// # Into the archive
//
// [InspectArchive] tells what is in an archive, sound or not: how much of which
// relation, who is in it and how often, and all that is wrong. [Items] yields
// records one by one, and [ExtractArchive] writes a repository as a git bundle.
// [EditArchive] changes what is to be imported: it drops parts, keeps some records
// only, or gives members the e-mail addresses by which GitLab attributes their
// work to them. [RelationArchive] holds a few records that are to be imported into
// a project that is there.
//
// # Credentials
//
// An [Auth] is asked only for requests to the instance's own origin: scheme,
// host and port. The object storage that a download may be redirected to never
// sees a token. Errors, logs and events contain neither tokens nor the query of
// a URL, which may be a signature.
//
// # Errors
//
// An answer that is no success is an [*APIError]; match it and other failures
// with [errors.Is] and the Err variables. A job that failed is an
// [*ExportError], [*ImportError], [*RelationExportError] or
// [*RelationImportError], which hold GitLab's last answer.
//
// # Pages
//
// The repository's folder docs has a page for each task, such as backups that run
// every night, and what a second run of each method does, tables of errors,
// versions and requests, and what to do coming from other clients.
//
// # Changes
//
// How often and how soon the package polls, retries and paces by default may
// change with any release.
package porter
