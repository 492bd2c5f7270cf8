package portertest

// model is the whole state of the simulated instance, with its rules. It knows
// no HTTP. Each part of it has a file of its own, and embeds the parts that it
// leans on.
type model struct {
	*settings
	*requestIDs
	*accounts
	*projects
	*limits
	*objects
	*exports
	*exportUploads
	*imports
	*relationExports
	*relationImports
}

func newModel(cfg config) *model {
	s := &settings{clock: &clock{}, cfg: cfg}
	a := newAccounts(s)
	p := newProjects(s, a)
	e, i := newExports(s, p), newImports(s, p)
	s.onSettle = i.settleImports
	a.onBlock = e.failExports
	a.addUser(User{Username: "owner", Name: "Olivia Owner", Token: Token}).everywhere = true
	return &model{
		settings:        s,
		requestIDs:      &requestIDs{settings: s},
		accounts:        a,
		projects:        p,
		limits:          &limits{settings: s, windows: map[string]*window{}},
		objects:         newObjects(s),
		exports:         e,
		exportUploads:   &exportUploads{settings: s, exports: e},
		imports:         i,
		relationExports: newRelationExports(s, p),
		relationImports: &relationImports{settings: s, imports: i},
	}
}

// object finds an object that was put into the storage, or one of the files
// that GitLab itself keeps there.
func (m *model) object(path string) *storedObject {
	m.lock()
	defer m.unlock()
	if o := m.objects.byPath[path]; o != nil {
		return o
	}
	f := m.fileAt(path)
	if f == nil {
		f = m.relationFileAt(path)
	}
	if f == nil || f.lost {
		return nil
	}
	return &storedObject{
		Object:  Object{Path: path, ContentType: "application/gzip", Modified: f.stored},
		etag:    etag(path, f.stored),
		content: f.content,
	}
}
