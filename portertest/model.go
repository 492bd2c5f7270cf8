package portertest

// model is the whole state of the simulated instance, with its rules. It knows
// no HTTP. Each part of it has a file of its own, and embeds the parts that it
// leans on.
type model struct {
	settings
	correlationIDs
	accounts
	projects
	limits
	objects
	exports
	exportUploads
	imports
	relationExports
	relationImports
}

func (m *model) begin(cfg config) {
	s := &m.settings
	s.cfg = cfg
	s.onSettle = func() {
		m.settleImports()
		m.settleRelationImports()
	}
	m.correlationIDs = correlationIDs{settings: s}
	m.accounts = newAccounts(s)
	m.onBlock = m.failExports
	m.projects = newProjects(s, &m.accounts)
	m.limits = limits{settings: s, windows: map[string]*window{}}
	m.objects = newObjects(s)
	m.exports = newExports(s, &m.projects)
	m.exportUploads = exportUploads{settings: s, exports: &m.exports}
	m.imports = newImports(s, &m.projects)
	m.relationExports = newRelationExports(s, &m.projects)
	m.relationImports = relationImports{settings: s, imports: &m.imports}
	m.addUser(User{Username: "owner", Name: "Olivia Owner", Token: Token}).everywhere = true
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
