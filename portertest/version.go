package portertest

import (
	"fmt"
	"strconv"
	"strings"
)

// version is a GitLab release; patch levels make no difference here.
type version struct{ major, minor int }

// lastMinors has the last release of each major version that is simulated.
var lastMinors = map[int]int{10: 8, 11: 11, 12: 10, 13: 12, 14: 10, 15: 11, 16: 11, 17: 11, 18: 9}

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
	if last, ok := lastMinors[v.major]; !ok || v.minor < 0 || v.minor > last {
		return version{}, fmt.Errorf("portertest: GitLab %s is not known", s)
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

// archiveProblem is why this release refuses an archive of which CheckArchive
// said err.
func (v version) archiveProblem(err error) error {
	want, was := v.archiveFormat(), importFormat
	switch e := err.(type) {
	case nil:
	case formatMismatch:
		was = e.was
	case jsonTreeError:
		if v.atLeast(15, 11) {
			return err
		}
		if e.broken {
			return errJSON
		}
	default:
		return err
	}
	if strings.TrimSpace(was) == want {
		return nil
	}
	return formatMismatch{want, was}
}
