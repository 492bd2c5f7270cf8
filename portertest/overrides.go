package portertest

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// expirationPolicy is the one field of override_params that is a hash.
const expirationPolicy = "container_expiration_policy_attributes"

// The fields of override_params that GitLab knows; all others are dropped.
var (
	overrideLevels = []string{
		"analytics", "builds", "container_registry", "environments", "feature_flags", "forking", "infrastructure",
		"issues", "merge_requests", "model_experiments", "model_registry", "monitor", "releases", "repository",
		"security_and_compliance", "snippets", "wiki",
	}
	overrideEnums = map[string][]string{
		"package_registry_access_level":       {"disabled", "private", "enabled", "public"},
		"pages_access_level":                  {"disabled", "private", "enabled", "public"},
		"build_git_strategy":                  {"fetch", "clone"},
		"auto_cancel_pending_pipelines":       {"disabled", "enabled"},
		"visibility":                          {"private", "internal", "public"},
		"merge_method":                        {"ff", "rebase_merge", "merge"},
		"auto_devops_deploy_strategy":         {"continuous", "manual", "timed_incremental"},
		"squash_option":                       {"never", "always", "default_on", "default_off"},
		"resource_group_default_process_mode": {"unordered", "oldest_first", "newest_first", "newest_ready_first"},
	}
	overrideStrings = []string{
		"description", "ci_config_path", "suggestion_commit_message", "merge_commit_template", "squash_commit_template",
		"issue_branch_template", "repository_storage", "merge_request_title_regex", "merge_request_title_regex_description",
		expirationPolicy + "[cadence]", expirationPolicy + "[older_than]", expirationPolicy + "[name_regex]", expirationPolicy + "[name_regex_keep]",
	}
	overrideInts  = []string{"build_timeout", expirationPolicy + "[keep_n]"}
	overrideBools = []string{
		"service_desk_enabled", "issues_enabled", "merge_requests_enabled", "wiki_enabled", "jobs_enabled", "snippets_enabled",
		"emails_disabled", "emails_enabled", "show_default_award_emojis", "show_diff_preview_in_email",
		"warn_about_potentially_unwanted_characters", "enforce_auth_checks_on_uploads", "shared_runners_enabled",
		"group_runners_enabled", "resolve_outdated_diff_discussions", "remove_source_branch_after_merge", "packages_enabled",
		"container_registry_enabled", "lfs_enabled", "public_builds", "public_jobs", "request_access_enabled",
		"only_allow_merge_if_pipeline_succeeds", "allow_merge_on_skipped_pipeline",
		"only_allow_merge_if_all_discussions_are_resolved", "printing_merge_request_link_enabled", "auto_devops_enabled",
		"autoclose_referenced_issues", "mr_default_target_self", expirationPolicy + "[enabled]",
	}
	overrideLists = []string{"tag_list", "topics"}
)

func init() {
	for _, l := range overrideLevels {
		overrideEnums[l+"_access_level"] = []string{"disabled", "private", "enabled"}
	}
}

// overrides checks override_params as GitLab declares them. What it returns is
// flattened; an emptied list is there without a value.
func overrides(v any) (url.Values, []string) {
	if v == nil {
		return nil, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, []string{"override_params is invalid"}
	}
	vals, problems := url.Values{}, []string(nil)
	check := func(key, name string, v any) {
		got, problem := override(key, v)
		switch {
		case problem != "":
			problems = append(problems, name+" "+problem)
		case got != nil:
			vals[key] = got
		}
	}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		name := "override_params[" + k + "]"
		hash, ok := m[k].(map[string]any)
		switch {
		case ok && k == expirationPolicy:
			for _, sub := range slices.Sorted(maps.Keys(hash)) {
				check(k+"["+sub+"]", name+"["+sub+"]", hash[sub])
			}
		case !strings.Contains(k, "["): // or JSON could have a field of the hash outside of it
			check(k, name, m[k])
		}
	}
	return vals, problems
}

// override returns the values of one field, nil if the field is unknown.
func override(key string, v any) ([]string, string) {
	const invalid = "is invalid"
	s, plain := scalar(v)
	switch {
	case overrideEnums[key] != nil:
		if !plain || !slices.Contains(overrideEnums[key], s) {
			return nil, "does not have a valid value"
		}
		return []string{s}, ""
	case slices.Contains(overrideStrings, key):
		if !plain && v != nil {
			return nil, invalid
		}
		return []string{s}, ""
	case slices.Contains(overrideInts, key):
		if _, err := strconv.Atoi(s); !plain || err != nil && s != "" {
			return nil, invalid
		}
		return []string{s}, ""
	case slices.Contains(overrideBools, key):
		b, ok := boolean(v)
		if !ok && present(v) {
			return nil, invalid
		}
		if !ok {
			return nil, ""
		}
		return []string{strconv.FormatBool(b)}, ""
	case slices.Contains(overrideLists, key):
		return list(v), ""
	case key == expirationPolicy:
		return nil, invalid // not a hash
	}
	return nil, ""
}

// list reads a list of strings: separated by commas, one by one, or both.
// Anything else is an empty list.
func list(v any) []string {
	vals := []string{}
	switch v := v.(type) {
	case string:
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				vals = append(vals, part)
			}
		}
	case []any:
		for _, item := range v {
			if s, ok := scalar(item); ok {
				vals = append(vals, list(s)...)
			}
		}
	}
	return vals
}
