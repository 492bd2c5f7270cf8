package portertest

import (
	"net/url"
	"strconv"
	"strings"
)

// An override is a field of override_params: a hash of others, or a plain one
// with the values that read returns. nil means that it counts as not sent; an
// empty list has no values, but counts.
type override struct {
	name   string
	read   func(v *validation, name string, value any) []string
	fields []override
}

// The fields of override_params that GitLab knows, in the order in which it
// declares them; all others are dropped.
var (
	overrideFields = []override{
		{name: "description", read: textField},
		{name: "build_git_strategy", read: enumField("fetch", "clone")},
		{name: "build_timeout", read: integerField},
		{name: "auto_cancel_pending_pipelines", read: enumField("disabled", "enabled")},
		{name: "ci_config_path", read: textField},
		{name: "service_desk_enabled", read: booleanField},
		{name: "issues_enabled", read: booleanField},
		{name: "merge_requests_enabled", read: booleanField},
		{name: "wiki_enabled", read: booleanField},
		{name: "jobs_enabled", read: booleanField},
		{name: "snippets_enabled", read: booleanField},
		{name: "issues_access_level", read: levelField},
		{name: "repository_access_level", read: levelField},
		{name: "merge_requests_access_level", read: levelField},
		{name: "forking_access_level", read: levelField},
		{name: "wiki_access_level", read: levelField},
		{name: "builds_access_level", read: levelField},
		{name: "snippets_access_level", read: levelField},
		{name: "pages_access_level", read: publicLevelField},
		{name: "analytics_access_level", read: levelField},
		{name: "container_registry_access_level", read: levelField},
		{name: "security_and_compliance_access_level", read: levelField},
		{name: "releases_access_level", read: levelField},
		{name: "environments_access_level", read: levelField},
		{name: "feature_flags_access_level", read: levelField},
		{name: "infrastructure_access_level", read: levelField},
		{name: "monitor_access_level", read: levelField},
		{name: "model_experiments_access_level", read: levelField},
		{name: "model_registry_access_level", read: levelField},
		{name: "package_registry_access_level", read: publicLevelField},
		{name: "emails_disabled", read: booleanField},
		{name: "emails_enabled", read: booleanField},
		{name: "show_default_award_emojis", read: booleanField},
		{name: "show_diff_preview_in_email", read: booleanField},
		{name: "warn_about_potentially_unwanted_characters", read: booleanField},
		{name: "enforce_auth_checks_on_uploads", read: booleanField},
		{name: "shared_runners_enabled", read: booleanField},
		{name: "group_runners_enabled", read: booleanField},
		{name: "resolve_outdated_diff_discussions", read: booleanField},
		{name: "remove_source_branch_after_merge", read: booleanField},
		{name: "container_registry_enabled", read: booleanField},
		{name: "container_expiration_policy_attributes", fields: policyFields},
		{name: "lfs_enabled", read: booleanField},
		{name: "visibility", read: enumField("private", "internal", "public")},
		{name: "public_builds", read: booleanField},
		{name: "public_jobs", read: booleanField},
		{name: "request_access_enabled", read: booleanField},
		{name: "only_allow_merge_if_pipeline_succeeds", read: booleanField},
		{name: "allow_merge_on_skipped_pipeline", read: booleanField},
		{name: "only_allow_merge_if_all_discussions_are_resolved", read: booleanField},
		{name: "tag_list", read: listField},
		{name: "topics", read: listField},
		{name: "avatar", read: fileField},
		{name: "printing_merge_request_link_enabled", read: booleanField},
		{name: "merge_method", read: enumField("ff", "rebase_merge", "merge")},
		{name: "suggestion_commit_message", read: textField},
		{name: "merge_commit_template", read: textField},
		{name: "squash_commit_template", read: textField},
		{name: "issue_branch_template", read: textField},
		{name: "merge_request_title_regex", read: textField},
		{name: "merge_request_title_regex_description", read: textField},
		{name: "auto_devops_enabled", read: booleanField},
		{name: "auto_devops_deploy_strategy", read: enumField("continuous", "manual", "timed_incremental")},
		{name: "autoclose_referenced_issues", read: booleanField},
		{name: "repository_storage", read: textField},
		{name: "packages_enabled", read: booleanField},
		{name: "squash_option", read: enumField("never", "always", "default_on", "default_off")},
		{name: "mr_default_target_self", read: booleanField},
		{name: "resource_group_default_process_mode", read: enumField("unordered", "oldest_first", "newest_first", "newest_ready_first")},
	}
	policyFields = []override{
		{name: "cadence", read: textField},
		{name: "keep_n", read: integerField},
		{name: "older_than", read: textField},
		{name: "name_regex", read: textField},
		{name: "name_regex_keep", read: textField},
		{name: "enabled", read: booleanField},
	}
	levelField       = enumField("disabled", "private", "enabled")
	publicLevelField = enumField("disabled", "private", "enabled", "public")
)

// overrides checks override_params. What it returns is flattened.
func overrides(v *validation, params any) url.Values {
	if params == nil {
		return nil
	}
	vals := url.Values{}
	readOverrides(v, "override_params", "", overrideFields, params, vals)
	return vals
}

// readOverrides reads a hash of fields. In vals they go by their names alone.
func readOverrides(v *validation, name, key string, fields []override, params any, vals url.Values) {
	m, ok := params.(map[string]any)
	if !ok && params != nil {
		v.fail(name, notOfType)
	}
	for _, f := range fields {
		value, sent := m[f.name]
		if !sent {
			continue
		}
		fieldName, fieldKey := name+"["+f.name+"]", f.name
		if key != "" {
			fieldKey = key + "[" + f.name + "]"
		}
		if f.fields != nil {
			readOverrides(v, fieldName, fieldKey, f.fields, value, vals)
		} else if got := f.read(v, fieldName, value); got != nil {
			vals[fieldKey] = got
		}
	}
}

func textField(v *validation, name string, value any) []string {
	return []string{v.text(name, value)}
}

func enumField(allowed ...string) func(*validation, string, any) []string {
	return func(v *validation, name string, value any) []string {
		s := v.oneOf(name, value, allowed...)
		if value == nil {
			return nil
		}
		return []string{s}
	}
}

func integerField(v *validation, name string, value any) []string {
	if n, ok := v.integer(name, value); ok {
		return []string{strconv.FormatInt(n, 10)}
	}
	return []string{""}
}

func booleanField(v *validation, name string, value any) []string {
	if b, ok := v.boolean(name, value); ok {
		return []string{strconv.FormatBool(b)}
	}
	return nil
}

// fileField refuses what is no file. Workhorse has taken uploaded files out.
func fileField(v *validation, name string, value any) []string {
	if present(value) {
		v.fail(name, notOfType)
	}
	return nil
}

// listField reads a list of texts: separated by commas, one by one, or both.
// Anything else is an empty list.
func listField(_ *validation, _ string, value any) []string {
	vals := []string{}
	switch value := value.(type) {
	case string:
		for part := range strings.SplitSeq(value, ",") {
			if part = strings.TrimSpace(part); part != "" {
				vals = append(vals, part)
			}
		}
	case []any:
		for _, item := range value {
			s, _ := scalar(item)
			vals = append(vals, listField(nil, "", s)...)
		}
	}
	return vals
}
