package porter

// ArchiveInfo is what VerifyArchive found in an archive.
type ArchiveInfo struct {
	GitLabVersion string // of the instance that made it; empty before GitLab 13
	Revision      string // of that GitLab; empty before GitLab 13
	FormatVersion string // which the importing GitLab must share, such as "0.2.4"
	Entries       int    // files and directories
	Bytes         int64  // uncompressed
	HasRepository bool   // an empty repository is not exported

	Tree        ArchiveTree
	Relations   map[PortableRelation]int64 // records of each in a TreeNDJSON; a line that is null is none
	Members     int                        // of those records of project_members, the ones that name a user
	Unmappable  int                        // of these members, the ones without the e-mail address that GitLab maps them by
	LongestLine int64                      // bytes of the longest record, with its newline; GitLab imports no more than 50 MiB
	Parts       map[ArchivePart]int64      // unpacked bytes of files
	// Odd lists what GitLab does not export but does import, such as symbolic
	// links, each kind with its number and the first example.
	Odd []string
}

// ArchiveTree is how an archive holds the project's issues and the like.
type ArchiveTree string

// Trees of archives.
const (
	TreeNDJSON ArchiveTree = "ndjson" // a file for each relation: GitLab 13.0 and later
	TreeJSON   ArchiveTree = "json"   // one file: GitLab up to 13; since 15.11 GitLab does not import it
)

// ArchivePart is a part of an archive.
type ArchivePart string

// Parts of archives.
const (
	PartTree       ArchivePart = "tree" // issues, merge requests, members and all other records
	PartRepository ArchivePart = "repository"
	PartWiki       ArchivePart = "wiki"
	PartDesigns    ArchivePart = "designs"
	PartSnippets   ArchivePart = "snippets" // their repositories
	PartUploads    ArchivePart = "uploads"
	PartLFS        ArchivePart = "lfs"
	PartAvatar     ArchivePart = "avatar"
	PartOther      ArchivePart = "other"
)

// Parts of PartTree, which Drop takes too. Others are those of
// PortableRelation.Part.
const (
	PartMembers   ArchivePart = "tree/project_members"
	PartPipelines ArchivePart = "tree/ci_pipelines"
)

// Part returns the part of an archive that holds the records of r.
func (r PortableRelation) Part() ArchivePart { return PartTree + "/" + ArchivePart(r) }
