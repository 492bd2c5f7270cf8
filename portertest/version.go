package portertest

import (
	"fmt"
	"strconv"
	"strings"
)

// version is a GitLab release; patch levels make no difference here.
type version struct{ major, minor int }

func parseVersion(s string) (version, error) {
	parts := strings.Split(strings.TrimPrefix(s, "v"), ".")
	if len(parts) < 2 {
		return version{}, fmt.Errorf("portertest: version %q is not of the form 18.9", s)
	}
	var v version
	var err error
	if v.major, err = strconv.Atoi(parts[0]); err == nil {
		v.minor, err = strconv.Atoi(parts[1])
	}
	if err != nil {
		return version{}, fmt.Errorf("portertest: version %q is not of the form 18.9", s)
	}
	if !v.atLeast(10, 6) {
		return version{}, fmt.Errorf("portertest: GitLab %s had no import/export API; the first was 10.6", s)
	}
	return v, nil
}

func (v version) atLeast(major, minor int) bool {
	return v.major > major || v.major == major && v.minor >= minor
}

func (v version) String() string { return fmt.Sprintf("%d.%d.0", v.major, v.minor) }

// archiveFormat is the format of archives that this release writes, and the
// only one that it reads.
func (v version) archiveFormat() string {
	switch {
	case v.atLeast(11, 1):
		return importFormat
	case v.atLeast(10, 8):
		return "0.2.3"
	}
	return "0.2.2"
}

// archiveProblem is what this release has against an archive of which
// CheckArchive said err.
func (v version) archiveProblem(err error) error {
	if _, ok := err.(jsonTreeError); ok && !v.atLeast(15, 11) {
		err = nil
	}
	want, was := v.archiveFormat(), importFormat
	if want == importFormat {
		return err
	}
	if err != nil {
		var mismatch bool
		if was, mismatch = strings.CutPrefix(err.Error(), "Import version mismatch: Required "+importFormat+" but was "); !mismatch {
			return err
		}
	}
	if was == want {
		return nil
	}
	return importError(fmt.Sprintf("Import version mismatch: Required %s but was %s", want, was))
}
