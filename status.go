package porter

// ExportStatus is the state of a project's export, as the user of the token
// sees it. A value that is none of the constants is kept as GitLab sent it.
type ExportStatus string

// The states of an export.
const (
	ExportNone         ExportStatus = "none" // nothing queued, running or finished
	ExportQueued       ExportStatus = "queued"
	ExportStarted      ExportStatus = "started"
	ExportFinished     ExportStatus = "finished"                 // the archive can be downloaded
	ExportRegenerating ExportStatus = "regeneration_in_progress" // of an older archive, or the last stage of a first export
	ExportFailed       ExportStatus = "failed"                   // sent by GitLab, missing in its documentation
)

// String returns s as GitLab writes it.
func (s ExportStatus) String() string { return string(s) }

// Known reports whether s is one of the constants of this package.
func (s ExportStatus) Known() bool {
	switch s {
	case ExportNone, ExportQueued, ExportStarted, ExportFinished, ExportRegenerating, ExportFailed:
		return true
	}
	return false
}

// Terminal reports whether the export has ended: finished or failed.
func (s ExportStatus) Terminal() bool {
	return s == ExportFinished || s == ExportFailed
}

// Downloadable reports whether GitLab may hold an archive: finished, or
// regeneration_in_progress. In the latter state the archive can be the
// previous one, or one that is not stored yet; wait for finished.
func (s ExportStatus) Downloadable() bool {
	return s == ExportFinished || s == ExportRegenerating
}

// underWay reports whether a job is queued or running. States that only
// newer or older servers know, such as after_export_action, count as running.
func (s ExportStatus) underWay() bool {
	switch s {
	case ExportQueued, ExportStarted, ExportRegenerating:
		return true
	}
	return s != "" && !s.Known()
}

// ImportStatus is the state of a project's import. A value that is none of
// the constants is kept as GitLab sent it.
type ImportStatus string

// The states of an import.
const (
	ImportNone      ImportStatus = "none" // the project was not imported
	ImportScheduled ImportStatus = "scheduled"
	ImportStarted   ImportStatus = "started"
	ImportFinished  ImportStatus = "finished" // perhaps incomplete; see Import.Complete
	ImportFailed    ImportStatus = "failed"   // the project remains and occupies its path
	ImportCanceled  ImportStatus = "canceled" // sent by GitLab, missing in its documentation
)

// String returns s as GitLab writes it.
func (s ImportStatus) String() string { return string(s) }

// Known reports whether s is one of the constants of this package.
func (s ImportStatus) Known() bool {
	switch s {
	case ImportNone, ImportScheduled, ImportStarted, ImportFinished, ImportFailed, ImportCanceled:
		return true
	}
	return false
}

// Terminal reports whether the import has ended: finished, failed or canceled.
func (s ImportStatus) Terminal() bool {
	return s == ImportFinished || s == ImportFailed || s == ImportCanceled
}

// RelationImportStatus is the state of a single-relation import. A value that
// is none of the constants is kept as GitLab sent it.
type RelationImportStatus string

// The states of a single-relation import.
const (
	RelationImportCreated  RelationImportStatus = "created"
	RelationImportStarted  RelationImportStatus = "started"
	RelationImportFinished RelationImportStatus = "finished"
	RelationImportFailed   RelationImportStatus = "failed"
)

// String returns s as GitLab writes it.
func (s RelationImportStatus) String() string { return string(s) }

// Known reports whether s is one of the constants of this package.
func (s RelationImportStatus) Known() bool {
	switch s {
	case RelationImportCreated, RelationImportStarted, RelationImportFinished, RelationImportFailed:
		return true
	}
	return false
}

// Terminal reports whether the relation import has ended: finished or failed.
func (s RelationImportStatus) Terminal() bool {
	return s == RelationImportFinished || s == RelationImportFailed
}

// A Relation is a part of a project that can be imported again by itself.
type Relation string

// The relations that can be imported by themselves.
const (
	RelationIssues        Relation = "issues"
	RelationMergeRequests Relation = "merge_requests"
	RelationMilestones    Relation = "milestones"
	RelationPipelines     Relation = "ci_pipelines"
)

// String returns r as GitLab writes it.
func (r Relation) String() string { return string(r) }

// Known reports whether r is one of the constants of this package.
func (r Relation) Known() bool {
	switch r {
	case RelationIssues, RelationMergeRequests, RelationMilestones, RelationPipelines:
		return true
	}
	return false
}
