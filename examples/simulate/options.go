package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/seed-5d77b939/porter/portertest"
)

// options are the flags, and what check reads from them.
type options struct {
	listen, storage, url, root, tls       string
	version, downloads, limits, maxImport string
	throttle                              int
	relations, maintenance                bool
	exportTime, importTime, timeout       time.Duration
	projects, groups                      list
	users, admins, members                list
	faults, failExports, failImports      list

	places place
	opts   []portertest.Option
	setUp  []func(*portertest.Server) // in the order of what needs what
}

// list is a flag that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ", ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// defaultProject is there unless others are named.
const defaultProject, defaultGroup = "group/app", "new-team"

// check reads the flags.
func (o *options) check() error {
	if len(o.projects) == 0 {
		o.projects = list{defaultProject + "=1MiB"}
	}
	if len(o.groups) == 0 {
		o.groups = list{defaultGroup}
	}
	o.opts = append(o.opts, portertest.RelativeRoot(o.root), portertest.Timing(timings(o.exportTime, o.importTime)))
	for _, read := range []func() error{
		o.readInstance, o.readLimits, o.readURL,
		each("user", o.users, func(s string) error { return o.addUser(s, false) }),
		each("admin", o.admins, func(s string) error { return o.addUser(s, true) }),
		each("group", o.groups, o.addGroup),
		each("project", o.projects, o.addProject),
		each("member", o.members, o.addMember),
		each("fault", o.faults, o.addFault),
		each("fail-export", o.failExports, o.failExport),
		each("fail-import", o.failImports, o.failImport),
	} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// each reads the values of a flag.
func each(name string, values list, read func(string) error) func() error {
	return func() error {
		for _, v := range values {
			if err := read(v); err != nil {
				return fmt.Errorf("-%s %q: %w", name, v, err)
			}
		}
		return nil
	}
}

// timings are those of jobs that take so long.
func timings(export, imp time.Duration) portertest.Timings {
	step := export / 5
	return portertest.Timings{
		Queue: step, Start: step, Assemble: step, Store: step, AfterExport: export - 4*step,
		Failure:     export - 2*step,
		ImportQueue: imp / 5, Import: imp - imp/5,
	}
}

func (o *options) readInstance() error {
	version, err := attempt(func() portertest.Option { return portertest.Version(o.version) })
	if err != nil {
		return fmt.Errorf("-gitlab: %w", err)
	}
	mode, known := map[string]portertest.DownloadMode{
		"disk": portertest.FromDisk, "redirected": portertest.Redirected, "proxied": portertest.Proxied,
	}[o.downloads]
	if !known {
		return fmt.Errorf("-downloads: %q is none of disk, redirected and proxied", o.downloads)
	}
	o.opts = append(o.opts, version, portertest.Downloads(mode))
	if o.tls != "" {
		o.opts = append(o.opts, portertest.TLS())
	}
	if o.relations {
		o.opts = append(o.opts, portertest.RelationExports())
	}
	if o.maintenance {
		o.opts = append(o.opts, portertest.Maintenance())
	}
	return nil
}

func (o *options) readLimits() error {
	limits, err := parseLimits(o.limits)
	if err != nil {
		return fmt.Errorf("-limits: %w", err)
	}
	o.opts = append(o.opts, portertest.Limits(limits))
	switch {
	case o.throttle < 0:
		return errors.New("-throttle must not be negative")
	case o.throttle > 0:
		o.opts = append(o.opts, portertest.GlobalThrottle(o.throttle, time.Minute))
	}
	if o.maxImport != "" {
		n, err := parseSize(o.maxImport)
		if err != nil {
			return fmt.Errorf("-max-import: %w", err)
		}
		o.opts = append(o.opts, portertest.MaxImportSize(n))
	}
	return nil
}

// parseLimits reads three numbers, or "none".
func parseLimits(s string) (l portertest.RateLimits, err error) {
	if s == "none" {
		return l, nil
	}
	parts := strings.Split(s, ",")
	if len(parts) != 3 {
		return l, fmt.Errorf("%q is neither none nor three numbers, such as 6,1,6", s)
	}
	for i, n := range []*int{&l.Exports, &l.Downloads, &l.Imports} {
		if *n, err = strconv.Atoi(strings.TrimSpace(parts[i])); err != nil || *n < 0 {
			return l, fmt.Errorf("%q is no number of requests", parts[i])
		}
	}
	return l, nil
}

// parseSize reads a size in bytes, such as 20MiB.
func parseSize(s string) (int64, error) {
	n, err := humanize.ParseBytes(s)
	if err != nil || n == 0 || n > 1<<50 {
		return 0, fmt.Errorf("%q is no size, such as 20MiB", s)
	}
	return int64(n), nil
}

func (o *options) addUser(s string, admin bool) error {
	name, token, ok := strings.Cut(s, "=")
	if !ok || name == "" || token == "" {
		return errors.New("a user has a name and a token, such as ada=glpat-ada")
	}
	if token == portertest.Token || name == "owner" {
		return errors.New("the owner of all has this name or token")
	}
	o.later(func(s *portertest.Server) {
		user := portertest.User{Username: name, Token: token, Admin: admin}
		if admin {
			user.Scopes = []string{"api", "sudo", "admin_mode"}
		}
		s.AddUser(user)
	})
	return nil
}

func (o *options) addGroup(s string) error {
	if strings.Trim(s, "/") == "" {
		return errors.New("a group needs a path")
	}
	o.later(func(s2 *portertest.Server) { s2.AddGroup(s) })
	return nil
}

func (o *options) addProject(s string) error {
	path, size, sized := strings.Cut(s, "=")
	n := int64(1 << 20)
	if sized {
		var err error
		if n, err = parseSize(size); err != nil {
			return err
		}
	}
	if n < portertest.MinArchiveSize {
		return fmt.Errorf("the smallest archive has %d bytes", portertest.MinArchiveSize)
	}
	seed := portertest.ArchiveSeed(int64(len(o.setUp) + 1)) // another for each
	p := portertest.Project{Path: path, Archive: portertest.NewArchive(n, seed, portertest.ArchiveRelease(o.version))}
	o.later(func(s *portertest.Server) { s.AddProject(p) })
	return nil
}

var roles = map[string]portertest.Role{
	"guest": portertest.Guest, "reporter": portertest.Reporter, "developer": portertest.Developer,
	"maintainer": portertest.Maintainer, "owner": portertest.Owner,
}

func (o *options) addMember(s string) error {
	where, role, ok := strings.Cut(s, "=")
	i := strings.LastIndex(where, ":")
	if !ok || i < 0 {
		return errors.New("not of the form path:name=role")
	}
	r, known := roles[strings.ToLower(role)]
	if !known {
		return fmt.Errorf("%q is no role: guest, reporter, developer, maintainer or owner", role)
	}
	o.later(func(s *portertest.Server) { s.AddMember(where[:i], where[i+1:], r) })
	return nil
}

func (o *options) failExport(path string) error {
	o.later(func(s *portertest.Server) {
		s.ScriptExport(path, portertest.ExportScript{Fault: portertest.FailRelation})
	})
	return nil
}

func (o *options) failImport(s string) error {
	path, text, ok := strings.Cut(s, "=")
	if !ok || path == "" || text == "" {
		return errors.New("not of the form path=error")
	}
	o.later(func(s *portertest.Server) { s.ScriptImport(path, portertest.ImportScript{Error: text}) })
	return nil
}

func (o *options) later(f func(*portertest.Server)) { o.setUp = append(o.setUp, f) }

// attempt returns what f does, or what portertest panics with, which is how it
// tells of a mistake.
func attempt[T any](f func() T) (v T, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			err = errors.New(strings.TrimPrefix(p.Error(), "portertest: "))
		default:
			err = errors.New(strings.TrimPrefix(fmt.Sprint(p), "portertest: "))
		}
	}()
	return f(), nil
}
