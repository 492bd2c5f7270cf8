package portertest

// apiRoutes are the endpoints that there are. The routes of a path are in the
// order of GitLab's own.
var apiRoutes = []route{
	{"GET", "groups/:id/projects", version{10, 6}, groupGate, (*call).listGroupProjects, false},
	{"GET", "groups/:id", version{10, 6}, groupGate, (*call).getGroup, false},
	{"GET", "groups/:id/members/all/:user_id", version{12, 4}, groupGate, (*call).getGroupMember, false},
	{"GET", "namespaces/:id", version{10, 6}, importGate, (*call).getNamespace, false},
	{"GET", "version", version{10, 6}, importGate, (*call).getVersion, false},
	{"GET", "metadata", version{15, 2}, importGate, (*call).getMetadata, false},
	{"GET", "user", version{10, 6}, importGate, (*call).ownUser, false},
	{"GET", "personal_access_tokens/self", version{15, 1}, importGate, (*call).ownToken, false},
	{"GET", "application/settings", version{10, 6}, importGate, (*call).getSettings, false},
	{"GET", "projects", version{10, 6}, anyoneGate, (*call).listProjects, false},
	{"GET", "projects/:id", version{10, 6}, anyoneGate, (*call).getProject, false},
	{"GET", "projects/:id/export", version{10, 6}, exportGate, (*call).exportStatus, false},
	{"GET", "projects/:id/export/download", version{10, 6}, exportGate, (*call).downloadExport, false},
	{"POST", "projects/:id/export", version{10, 6}, exportGate, (*call).scheduleExport, false},
	{"POST", "projects/import", version{10, 6}, importGate, (*call).importFile, true},
	{"GET", "projects/:id/import", version{10, 6}, importGate, (*call).getImportStatus, false},
	{"POST", "projects/remote-import", version{13, 2}, importGate, (*call).importURL, false},
	{"POST", "projects/remote-import-s3", version{14, 9}, importGate, (*call).importS3, false},
	{"POST", "projects/import-relation", version{16, 11}, importGate, (*call).importRelation, true},
	{"GET", "projects/:id/relation-imports", version{16, 11}, importGate, (*call).listRelationImports, false},
	{"POST", "projects/:id/export_relations", version{14, 4}, relationsGate, (*call).exportRelations, false},
	{"GET", "projects/:id/export_relations/status", version{14, 4}, relationsGate, (*call).relationExportStatus, false},
	{"GET", "projects/:id/export_relations/download", version{14, 4}, relationsGate, (*call).downloadRelation, false},
	{"GET", "projects/:id/issues_statistics", version{12, 0}, projectGate, (*call).issuesStatistics, false},
	{"GET", "projects/:id/issues", version{10, 6}, projectGate, listOf("issues"), false},
	{"GET", "projects/:id/merge_requests", version{10, 6}, projectGate, listOf("merge_requests"), false},
	{"GET", "projects/:id/labels", version{10, 6}, projectGate, listOf("labels"), false},
	{"GET", "projects/:id/milestones", version{10, 6}, projectGate, listOf("milestones"), false},
	{"GET", "projects/:id/pipelines", version{10, 6}, projectGate, listOf("ci_pipelines"), false},
	{"GET", "projects/:id/releases", version{11, 7}, projectGate, listOf("releases"), false},
	{"GET", "projects/:id/snippets", version{10, 6}, projectGate, listOf("snippets"), false},
	{"GET", "projects/:id/protected_branches", version{10, 6}, projectGate, listOf("protected_branches"), false},
	{"GET", "projects/:id/protected_tags", version{11, 3}, projectGate, listOf("protected_tags"), false},
	{"GET", "projects/:id/boards", version{10, 6}, projectGate, listOf("boards"), false},
	{"GET", "projects/:id/badges", version{10, 6}, projectGate, listOf("project_badges"), false},
	{"GET", "projects/:id/members", version{10, 6}, projectGate, (*call).listMembers, false},
	{"GET", "projects/:id/repository/branches", version{10, 6}, projectGate, (*call).listBranches, false},
	{"GET", "projects/:id/repository/tags", version{10, 6}, projectGate, (*call).listTags, false},
}

func anyoneGate(c *call) *reply    { _, r := c.authenticate(); return r }
func groupGate(c *call) *reply     { _, _, r := c.readableGroup(); return r }
func projectGate(c *call) *reply   { _, _, r := c.readableProject(); return r }
func exportGate(c *call) *reply    { _, _, r := c.exportProject(); return r }
func importGate(c *call) *reply    { _, r := c.authenticated(); return r }
func relationsGate(c *call) *reply { _, _, r := c.relationsProject(); return r }
