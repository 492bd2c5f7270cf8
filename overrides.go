package porter

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-querystring/query"
)

// ProjectOverrides replace values of the archive. Unset fields are not sent.
// The values of the string types are not checked against the constants of this
// package, because newer servers may know more.
//
// Whether a project is archived can't be overridden: GitLab drops such a field
// without a word. The archive of an archived project carries that, and its import
// archives the new project.
type ProjectOverrides struct {
	Description       *string    `url:"description,omitempty"`        // replaces the description; empty removes it
	Visibility        Visibility `url:"visibility,omitempty"`         // at most that of the namespace
	Topics            []string   `url:"topics,brackets,omitempty"`    // each by itself; empty but not nil removes them all
	Avatar            *Avatar    `url:"-"`                            // sent with an uploaded archive only
	RepositoryStorage *string    `url:"repository_storage,omitempty"` // the storage shard; for administrators

	// Who may use a part of the project:
	IssuesAccessLevel                AccessLevel `url:"issues_access_level,omitempty"`                  // issues
	RepositoryAccessLevel            AccessLevel `url:"repository_access_level,omitempty"`              // the Git repository
	MergeRequestsAccessLevel         AccessLevel `url:"merge_requests_access_level,omitempty"`          // merge requests
	ForkingAccessLevel               AccessLevel `url:"forking_access_level,omitempty"`                 // forking
	WikiAccessLevel                  AccessLevel `url:"wiki_access_level,omitempty"`                    // the wiki
	BuildsAccessLevel                AccessLevel `url:"builds_access_level,omitempty"`                  // CI/CD pipelines and jobs
	SnippetsAccessLevel              AccessLevel `url:"snippets_access_level,omitempty"`                // snippets
	PagesAccessLevel                 AccessLevel `url:"pages_access_level,omitempty"`                   // the Pages site; can be AccessPublic
	AnalyticsAccessLevel             AccessLevel `url:"analytics_access_level,omitempty"`               // analytics
	ContainerRegistryAccessLevel     AccessLevel `url:"container_registry_access_level,omitempty"`      // the container registry
	PackageRegistryAccessLevel       AccessLevel `url:"package_registry_access_level,omitempty"`        // packages; can be AccessPublic
	SecurityAndComplianceAccessLevel AccessLevel `url:"security_and_compliance_access_level,omitempty"` // security and compliance
	ReleasesAccessLevel              AccessLevel `url:"releases_access_level,omitempty"`                // releases
	EnvironmentsAccessLevel          AccessLevel `url:"environments_access_level,omitempty"`            // environments
	FeatureFlagsAccessLevel          AccessLevel `url:"feature_flags_access_level,omitempty"`           // feature flags
	InfrastructureAccessLevel        AccessLevel `url:"infrastructure_access_level,omitempty"`          // infrastructure, such as clusters
	MonitorAccessLevel               AccessLevel `url:"monitor_access_level,omitempty"`                 // monitoring
	ModelExperimentsAccessLevel      AccessLevel `url:"model_experiments_access_level,omitempty"`       // machine learning model experiments
	ModelRegistryAccessLevel         AccessLevel `url:"model_registry_access_level,omitempty"`          // the machine learning model registry

	// Whether the project has:
	IssuesEnabled        *bool `url:"issues_enabled,omitempty"`         // issues
	MergeRequestsEnabled *bool `url:"merge_requests_enabled,omitempty"` // merge requests
	WikiEnabled          *bool `url:"wiki_enabled,omitempty"`           // the wiki
	JobsEnabled          *bool `url:"jobs_enabled,omitempty"`           // CI/CD jobs
	SnippetsEnabled      *bool `url:"snippets_enabled,omitempty"`       // snippets
	ServiceDeskEnabled   *bool `url:"service_desk_enabled,omitempty"`   // Service Desk
	LFSEnabled           *bool `url:"lfs_enabled,omitempty"`            // Git LFS
	RequestAccessEnabled *bool `url:"request_access_enabled,omitempty"` // asking to become a member

	// Issues and notifications.

	// Names branches that are made from issues.
	IssueBranchTemplate *string `url:"issue_branch_template,omitempty"`
	// A merged merge request closes the issues it says it closes.
	AutocloseReferencedIssues *bool `url:"autoclose_referenced_issues,omitempty"`
	// E-mail notifications.
	EmailsEnabled *bool `url:"emails_enabled,omitempty"`
	// Excerpts of a diff stand in e-mails about it.
	ShowDiffPreviewInEmail *bool `url:"show_diff_preview_in_email,omitempty"`
	// Shows thumbs up and down, even if unused.
	ShowDefaultAwardEmojis *bool `url:"show_default_award_emojis,omitempty"`
	// Uploaded files need the rights of the project.
	EnforceAuthChecksOnUploads *bool `url:"enforce_auth_checks_on_uploads,omitempty"`
	// Warns of characters such as Unicode that changes the direction of text.
	WarnAboutPotentiallyUnwantedCharacters *bool `url:"warn_about_potentially_unwanted_characters,omitempty"`

	// Merge requests.

	// Merge commits or a straight history.
	MergeMethod MergeMethod `url:"merge_method,omitempty"`
	// Whether the commits of a merge request become one.
	SquashOption SquashOption `url:"squash_option,omitempty"`
	// The message of commits that apply suggestions.
	SuggestionCommitMessage *string `url:"suggestion_commit_message,omitempty"`
	// The message of merge commits.
	MergeCommitTemplate *string `url:"merge_commit_template,omitempty"`
	// The message of squash commits.
	SquashCommitTemplate *string `url:"squash_commit_template,omitempty"`
	// Titles of merge requests must match it.
	MergeRequestTitleRegex *string `url:"merge_request_title_regex,omitempty"`
	// Explains the above to people.
	MergeRequestTitleRegexDescription *string `url:"merge_request_title_regex_description,omitempty"`
	// No merge before a successful pipeline.
	OnlyAllowMergeIfPipelineSucceeds *bool `url:"only_allow_merge_if_pipeline_succeeds,omitempty"`
	// A skipped pipeline counts as successful.
	AllowMergeOnSkippedPipeline *bool `url:"allow_merge_on_skipped_pipeline,omitempty"`
	// No merge before the last thread is resolved.
	OnlyAllowMergeIfAllDiscussionsAreResolved *bool `url:"only_allow_merge_if_all_discussions_are_resolved,omitempty"`
	// A push resolves threads on lines it changes.
	ResolveOutdatedDiffDiscussions *bool `url:"resolve_outdated_diff_discussions,omitempty"`
	// The default of new merge requests.
	RemoveSourceBranchAfterMerge *bool `url:"remove_source_branch_after_merge,omitempty"`
	// A push prints how to open a merge request.
	PrintingMergeRequestLinkEnabled *bool `url:"printing_merge_request_link_enabled,omitempty"`
	// Merge requests of a fork stay in it by default.
	MRDefaultTargetSelf *bool `url:"mr_default_target_self,omitempty"`

	// CI/CD.

	// The path of the CI/CD configuration; the default is .gitlab-ci.yml.
	CIConfigPath *string `url:"ci_config_path,omitempty"`
	// How jobs get the repository.
	BuildGitStrategy BuildGitStrategy `url:"build_git_strategy,omitempty"`
	// In seconds.
	BuildTimeout *int64 `url:"build_timeout,omitempty"`
	// A new pipeline cancels older ones of its branch.
	AutoCancelPendingPipelines AutoCancelPendingPipelines `url:"auto_cancel_pending_pipelines,omitempty"`
	// Auto DevOps.
	AutoDevopsEnabled *bool `url:"auto_devops_enabled,omitempty"`
	// How Auto DevOps deploys.
	AutoDevopsDeployStrategy AutoDevopsDeployStrategy `url:"auto_devops_deploy_strategy,omitempty"`
	// The order of jobs that share a resource.
	ResourceGroupDefaultProcessMode ResourceGroupProcessMode `url:"resource_group_default_process_mode,omitempty"`
	// Jobs can be read without membership.
	PublicJobs *bool `url:"public_jobs,omitempty"`
	// Runners of the instance.
	SharedRunnersEnabled *bool `url:"shared_runners_enabled,omitempty"`
	// Runners of the groups above.
	GroupRunnersEnabled *bool `url:"group_runners_enabled,omitempty"`

	// ContainerExpirationPolicy says which container images are cleaned up.
	ContainerExpirationPolicy *ContainerExpirationPolicyOverrides `url:"container_expiration_policy_attributes,omitempty"`

	// EmailsDisabled switches e-mails off.
	//
	// Deprecated: Use EmailsEnabled.
	EmailsDisabled *bool `url:"emails_disabled,omitempty"`

	// PackagesEnabled switches the package registry.
	//
	// Deprecated: Use PackageRegistryAccessLevel.
	PackagesEnabled *bool `url:"packages_enabled,omitempty"`

	// ContainerRegistryEnabled switches the container registry.
	//
	// Deprecated: Use ContainerRegistryAccessLevel.
	ContainerRegistryEnabled *bool `url:"container_registry_enabled,omitempty"`

	// PublicBuilds makes jobs readable without membership.
	//
	// Deprecated: Use PublicJobs.
	PublicBuilds *bool `url:"public_builds,omitempty"`

	// TagList holds topics.
	//
	// Deprecated: Use Topics.
	TagList []string `url:"tag_list,brackets,omitempty"`

	// Extra holds fields this package does not know, such as those of licensed
	// tiers, sent as they are. Its keys are written "field", "list[]" or
	// "hash[field]". GitLab ignores a misspelt one.
	Extra url.Values `url:"-"`
}

// ContainerExpirationPolicyOverrides say which container images GitLab cleans
// up, and when.
type ContainerExpirationPolicyOverrides struct {
	Enabled       *bool   `url:"enabled,omitempty"`         // whether there is any cleaning up
	Cadence       *string `url:"cadence,omitempty"`         // how often, such as "7d"
	KeepN         *int64  `url:"keep_n,omitempty"`          // how many tags of an image to keep
	OlderThan     *string `url:"older_than,omitempty"`      // remove tags older than, such as "90d"
	NameRegex     *string `url:"name_regex,omitempty"`      // remove tags that match
	NameRegexKeep *string `url:"name_regex_keep,omitempty"` // but keep those that match this
}

// Avatar is a project's picture, at most 200 KiB of PNG, JPEG or the like.
type Avatar struct {
	Name string // a file name, such as "logo.png"
	Data []byte
}

// Visibility is a project's visibility level.
type Visibility string

// The visibility levels of a project.
const (
	VisibilityPrivate  Visibility = "private"
	VisibilityInternal Visibility = "internal"
	VisibilityPublic   Visibility = "public"
)

// AccessLevel says who may use a part of a project.
type AccessLevel string

// The access levels of a part of a project.
const (
	AccessDisabled AccessLevel = "disabled"
	AccessPrivate  AccessLevel = "private" // members only
	AccessEnabled  AccessLevel = "enabled" // everyone who can see the project
	AccessPublic   AccessLevel = "public"  // everyone; for pages and the package registry only
)

// MergeMethod says how merge requests are merged.
type MergeMethod string

// The ways to merge.
const (
	MergeMethodMerge       MergeMethod = "merge"
	MergeMethodRebaseMerge MergeMethod = "rebase_merge"
	MergeMethodFastForward MergeMethod = "ff"
)

// SquashOption says whether the commits of a merge request become one.
type SquashOption string

// The choices of squashing.
const (
	SquashNever      SquashOption = "never"
	SquashAlways     SquashOption = "always"
	SquashDefaultOn  SquashOption = "default_on"
	SquashDefaultOff SquashOption = "default_off"
)

// BuildGitStrategy says how a job gets the repository.
type BuildGitStrategy string

// The ways to get the repository.
const (
	BuildGitFetch BuildGitStrategy = "fetch"
	BuildGitClone BuildGitStrategy = "clone"
)

// AutoCancelPendingPipelines says whether a new pipeline cancels older ones of
// its branch that have not started.
type AutoCancelPendingPipelines string

// The choices of automatic canceling.
const (
	AutoCancelEnabled  AutoCancelPendingPipelines = "enabled"
	AutoCancelDisabled AutoCancelPendingPipelines = "disabled"
)

// AutoDevopsDeployStrategy says how Auto DevOps deploys to production.
type AutoDevopsDeployStrategy string

// The strategies of Auto DevOps.
const (
	AutoDevopsContinuous       AutoDevopsDeployStrategy = "continuous"
	AutoDevopsManual           AutoDevopsDeployStrategy = "manual"
	AutoDevopsTimedIncremental AutoDevopsDeployStrategy = "timed_incremental"
)

// ResourceGroupProcessMode says in which order the jobs of a resource group run.
type ResourceGroupProcessMode string

// The orders of a resource group.
const (
	ResourceGroupUnordered        ResourceGroupProcessMode = "unordered"
	ResourceGroupOldestFirst      ResourceGroupProcessMode = "oldest_first"
	ResourceGroupNewestFirst      ResourceGroupProcessMode = "newest_first"
	ResourceGroupNewestReadyFirst ResourceGroupProcessMode = "newest_ready_first"
)

// maxAvatar is GitLab's limit on an avatar's size.
const maxAvatar = 200 << 10

// encode returns the overrides as form fields named override_params[…]. The
// avatar is not among them, but is checked with them.
func (o *ProjectOverrides) encode() (url.Values, error) {
	encoded := make(url.Values)
	if o == nil {
		return encoded, nil
	}
	fields, err := query.Values(o)
	if err != nil {
		return nil, fmt.Errorf("overrides: %w", err)
	}
	for _, topics := range []struct {
		key  string
		list []string
	}{{"topics", o.Topics}, {"tag_list", o.TagList}} {
		if err := checkTopics(topics.list); err != nil {
			return nil, fmt.Errorf("override %s: %w", topics.key, err)
		}
		clearList(fields, topics.key, topics.list)
	}
	if err := o.mergeExtra(fields); err != nil {
		return nil, err
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		for _, value := range fields[key] {
			if strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
				return nil, fmt.Errorf("override %s: value holds a NUL byte or invalid UTF-8", key)
			}
		}
		name, rest, nested := strings.Cut(key, "[")
		if nested {
			rest = "[" + rest
		}
		encoded["override_params["+name+"]"+rest] = fields[key]
	}
	if err := o.checkEnums(); err != nil {
		return nil, err
	}
	if err := o.Avatar.check(); err != nil {
		return nil, fmt.Errorf("override avatar: %w", err)
	}
	return encoded, nil
}

// checkTopics refuses what would become other topics than the caller's:
// GitLab splits each at commas, and drops empty ones.
func checkTopics(list []string) error {
	for _, topic := range list {
		if strings.Contains(topic, ",") {
			return fmt.Errorf("topic %q holds a comma, at which GitLab splits it: give each topic by itself", topic)
		}
		if strings.TrimSpace(topic) == "" {
			return errors.New("a topic is empty: GitLab drops it")
		}
	}
	return nil
}

// clearList adds what GitLab takes for no elements, if that is what list says.
func clearList(fields url.Values, key string, list []string) {
	if list != nil && len(list) == 0 {
		fields.Set(key, "")
	}
}

// overrideKey is a name, followed by any number of names in brackets. Quotes
// and control characters would garble the header of a part.
var overrideKey = regexp.MustCompile(`^[^\[\]"'\\\pC]+(\[[^\[\]"'\\\pC]*\])*$`)

// mergeExtra adds o.Extra to the typed fields. A key that is given twice, as
// itself or as a list or hash, is refused, since GitLab would keep one of them.
func (o *ProjectOverrides) mergeExtra(fields url.Values) error {
	given := make([]string, 0, len(fields)+len(o.Extra)+1)
	for key := range fields {
		given = append(given, listName(key))
	}
	if o.Avatar != nil {
		given = append(given, "avatar")
	}
	for _, key := range slices.Sorted(maps.Keys(o.Extra)) {
		values := o.Extra[key]
		if !utf8.ValidString(key) || !overrideKey.MatchString(key) {
			return fmt.Errorf("override %q: malformed key", key)
		}
		if strings.HasPrefix(key, "override_params[") {
			return fmt.Errorf("override %s: give the key without override_params", key)
		}
		if len(values) > 1 && !strings.HasSuffix(key, "[]") {
			return fmt.Errorf("override %s: only a key ending in [] can have several values", key)
		}
		name := listName(key)
		for _, other := range given {
			if name == other || strings.HasPrefix(name, other+"[") || strings.HasPrefix(other, name+"[") {
				return fmt.Errorf("override %q is given twice", key)
			}
		}
		given = append(given, name)
		if len(values) > 0 {
			fields[key] = slices.Clone(values)
		}
	}
	return nil
}

// listName returns key without the brackets of a list.
func listName(key string) string { return strings.TrimSuffix(key, "[]") }

// checkEnums refuses control characters in the fields of the string types,
// which would not be what the caller meant in any version of GitLab.
func (o *ProjectOverrides) checkEnums() error {
	v := reflect.ValueOf(o).Elem()
	for i := range v.NumField() {
		if v.Field(i).Kind() == reflect.String && strings.ContainsFunc(v.Field(i).String(), unicode.IsControl) {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("url"), ",")
			return fmt.Errorf("override %s: value %q holds a control character", name, v.Field(i).String())
		}
	}
	return nil
}

// check reports whether GitLab would take a for an avatar, as far as its name
// and size tell. A nil avatar is in order.
func (a *Avatar) check() error {
	switch {
	case a == nil:
		return nil
	case a.Name == "" || a.Name == "." || a.Name == ".." || strings.ContainsAny(a.Name, `/\`):
		return fmt.Errorf("%q is not a file name", a.Name)
	case !utf8.ValidString(a.Name) || strings.ContainsFunc(a.Name, unicode.IsControl):
		return fmt.Errorf("file name %q holds a control character or invalid UTF-8", a.Name)
	case len(a.Data) == 0:
		return errors.New("no data")
	case len(a.Data) > maxAvatar:
		return fmt.Errorf("%d bytes are more than 200 KiB", len(a.Data))
	}
	return nil
}
