package porter

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

// What GitLab accepts in override_params, by the form of the value.
var (
	overrideLevels = words(`issues_access_level repository_access_level merge_requests_access_level
		forking_access_level wiki_access_level builds_access_level snippets_access_level
		analytics_access_level container_registry_access_level security_and_compliance_access_level
		releases_access_level environments_access_level feature_flags_access_level
		infrastructure_access_level monitor_access_level model_experiments_access_level
		model_registry_access_level package_registry_access_level pages_access_level`)
	overrideStrings = words(`description ci_config_path suggestion_commit_message merge_commit_template
		squash_commit_template issue_branch_template repository_storage merge_request_title_regex
		merge_request_title_regex_description`)
	overrideInts  = words(`build_timeout`)
	overrideEnums = words(`build_git_strategy auto_cancel_pending_pipelines visibility merge_method
		auto_devops_deploy_strategy squash_option resource_group_default_process_mode`)
	overrideBools = words(`service_desk_enabled issues_enabled merge_requests_enabled wiki_enabled
		jobs_enabled snippets_enabled emails_disabled emails_enabled show_default_award_emojis
		show_diff_preview_in_email warn_about_potentially_unwanted_characters
		enforce_auth_checks_on_uploads shared_runners_enabled group_runners_enabled
		resolve_outdated_diff_discussions remove_source_branch_after_merge packages_enabled
		container_registry_enabled lfs_enabled public_builds public_jobs request_access_enabled
		only_allow_merge_if_pipeline_succeeds allow_merge_on_skipped_pipeline
		only_allow_merge_if_all_discussions_are_resolved printing_merge_request_link_enabled
		auto_devops_enabled autoclose_referenced_issues mr_default_target_self`)
	overrideLists = words(`tag_list topics`)

	policyStrings = words(`cadence older_than name_regex name_regex_keep`)
	policyInts    = words(`keep_n`)
	policyBools   = words(`enabled`)
)

func words(s string) []string { return strings.Fields(s) }

// setFields sets every field of the struct v, but Avatar and Extra.
func setFields(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i).Addr().Interface().(type) {
		case **string:
			*f = ptr("some text")
		case **bool:
			*f = ptr(true)
		case **int64:
			*f = ptr(int64(1) << 40)
		case *[]string:
			*f = []string{"b", "a"}
		case *AccessLevel:
			*f = AccessPrivate
		case **ContainerExpirationPolicyOverrides:
			*f = new(ContainerExpirationPolicyOverrides)
			setFields(reflect.ValueOf(*f).Elem())
		case **Avatar, *url.Values:
		default:
			v.Field(i).SetString("choice") // one of the enumerations, or a panic
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestOverridesAreComplete fails if a field is missing, misspelt, of another
// type than GitLab's, or unknown to GitLab.
func TestOverridesAreComplete(t *testing.T) {
	want := make(url.Values)
	add := func(names []string, before, after string, values ...string) {
		for _, name := range names {
			want[before+name+after] = values
		}
	}
	add(overrideLevels, "override_params[", "]", "private")
	add(overrideStrings, "override_params[", "]", "some text")
	add(overrideInts, "override_params[", "]", "1099511627776")
	add(overrideEnums, "override_params[", "]", "choice")
	add(overrideBools, "override_params[", "]", "true")
	add(overrideLists, "override_params[", "][]", "b", "a")
	add(policyStrings, "override_params[container_expiration_policy_attributes][", "]", "some text")
	add(policyInts, "override_params[container_expiration_policy_attributes][", "]", "1099511627776")
	add(policyBools, "override_params[container_expiration_policy_attributes][", "]", "true")

	o := new(ProjectOverrides)
	setFields(reflect.ValueOf(o).Elem())
	got, err := o.encode()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("encoded (-want +got):\n%s", diff)
	}
}

// TestOverrideNames fails if the names of two fields were exchanged.
func TestOverrideNames(t *testing.T) {
	for _, typ := range []reflect.Type{reflect.TypeFor[ProjectOverrides](), reflect.TypeFor[ContainerExpirationPolicyOverrides]()} {
		for f := range fieldsOf(typ) {
			name, _, _ := strings.Cut(f.Tag.Get("url"), ",")
			if name == "-" {
				continue
			}
			if flat := strings.ReplaceAll(strings.TrimSuffix(name, "_attributes"), "_", ""); strings.ToLower(f.Name) != flat {
				t.Errorf("%s.%s is sent as %s", typ.Name(), f.Name, name)
			}
			if !strings.HasSuffix(f.Tag.Get("url"), ",omitempty") {
				t.Errorf("%s.%s is sent even if it is not set", typ.Name(), f.Name)
			}
		}
	}
}

func fieldsOf(typ reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range typ.NumField() {
			if !yield(typ.Field(i)) {
				return
			}
		}
	}
}

func TestOverrideConstants(t *testing.T) {
	constants := map[string][]string{
		"disabled private enabled public": {string(AccessDisabled), string(AccessPrivate), string(AccessEnabled),
			string(AccessPublic)},
		"private internal public": {string(VisibilityPrivate), string(VisibilityInternal),
			string(VisibilityPublic)},
		"merge rebase_merge ff": {string(MergeMethodMerge), string(MergeMethodRebaseMerge),
			string(MergeMethodFastForward)},
		"never always default_on default_off": {string(SquashNever), string(SquashAlways), string(SquashDefaultOn),
			string(SquashDefaultOff)},
		"fetch clone":      {string(BuildGitFetch), string(BuildGitClone)},
		"enabled disabled": {string(AutoCancelEnabled), string(AutoCancelDisabled)},
		"continuous manual timed_incremental": {string(AutoDevopsContinuous), string(AutoDevopsManual),
			string(AutoDevopsTimedIncremental)},
		"unordered oldest_first newest_first newest_ready_first": {string(ResourceGroupUnordered), string(ResourceGroupOldestFirst),
			string(ResourceGroupNewestFirst), string(ResourceGroupNewestReadyFirst)},
	}
	for want, got := range constants {
		if got := strings.Join(got, " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestOverridesEncode(t *testing.T) {
	const policy = "override_params[container_expiration_policy_attributes]"
	tests := []struct {
		name string
		o    *ProjectOverrides
		want url.Values
	}{
		{"nil", nil, url.Values{}},
		{"nothing set", &ProjectOverrides{}, url.Values{}},
		{"set to nothing",
			&ProjectOverrides{Description: ptr(""), LFSEnabled: ptr(false), BuildTimeout: ptr(int64(0))},
			url.Values{"override_params[description]": {""}, "override_params[lfs_enabled]": {"false"}, "override_params[build_timeout]": {"0"}}},
		{"levels unknown here",
			&ProjectOverrides{Visibility: "secret", PagesAccessLevel: AccessPublic, MergeMethod: "new way"},
			url.Values{"override_params[visibility]": {"secret"}, "override_params[pages_access_level]": {"public"},
				"override_params[merge_method]": {"new way"}}},
		{"texts",
			&ProjectOverrides{Description: ptr("Café ☕\r\n\tline 2 \"quoted\" \\ \x1b"), MergeCommitTemplate: ptr("%{title}\n\n%{description}")},
			url.Values{"override_params[description]": {"Café ☕\r\n\tline 2 \"quoted\" \\ \x1b"},
				"override_params[merge_commit_template]": {"%{title}\n\n%{description}"}}},
		{"negative number", &ProjectOverrides{BuildTimeout: ptr(int64(-1))}, url.Values{"override_params[build_timeout]": {"-1"}}},
		{"one topic", &ProjectOverrides{Topics: []string{"go"}}, url.Values{"override_params[topics][]": {"go"}}},
		{"topics in order", &ProjectOverrides{Topics: []string{"z", "a", "z"}}, url.Values{"override_params[topics][]": {"z", "a", "z"}}},
		{"no more topics", &ProjectOverrides{Topics: []string{}, TagList: []string{}},
			url.Values{"override_params[topics]": {""}, "override_params[tag_list]": {""}}},
		{"empty policy", &ProjectOverrides{ContainerExpirationPolicy: &ContainerExpirationPolicyOverrides{}}, url.Values{}},
		{"policy", &ProjectOverrides{ContainerExpirationPolicy: &ContainerExpirationPolicyOverrides{Enabled: ptr(false), KeepN: ptr(int64(5)),
			NameRegex: ptr(".*")}},
			url.Values{policy + "[enabled]": {"false"}, policy + "[keep_n]": {"5"}, policy + "[name_regex]": {".*"}}},
		{"avatar", &ProjectOverrides{Avatar: &Avatar{Name: "logo.png", Data: make([]byte, 200<<10)}}, url.Values{}},
		{"extra",
			&ProjectOverrides{Visibility: VisibilityPublic, Extra: url.Values{
				"foo": {"1"}, "list[]": {"a", "b"}, "hash[x]": {"2"}, "hash[y][]": {"3"}, "rows[][a]": {"4"}, "rows[][b]": {"5"}, "none": nil,
			}},
			url.Values{
				"override_params[visibility]": {"public"},
				"override_params[foo]":        {"1"}, "override_params[list][]": {"a", "b"},
				"override_params[hash][x]": {"2"}, "override_params[hash][y][]": {"3"},
				"override_params[rows][][a]": {"4"}, "override_params[rows][][b]": {"5"},
			}},
		{"extra beside a typed field of the same hash",
			&ProjectOverrides{
				ContainerExpirationPolicy: &ContainerExpirationPolicyOverrides{Enabled: ptr(true)},
				Extra:                     url.Values{"container_expiration_policy_attributes[dry_run]": {"true"}},
			},
			url.Values{policy + "[enabled]": {"true"}, policy + "[dry_run]": {"true"}}},
		{"topics with other signs", &ProjectOverrides{Topics: []string{"C++", "a;b", "two words", "日本"}},
			url.Values{"override_params[topics][]": {"C++", "a;b", "two words", "日本"}}},
		{"extra for a field that is not set", &ProjectOverrides{Extra: url.Values{"topics": {"a,b"}, "topic": {"c"}, "avatar": {""}}},
			url.Values{"override_params[topics]": {"a,b"}, "override_params[topic]": {"c"}, "override_params[avatar]": {""}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.o.encode()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("encoded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOverridesEncodeErrors(t *testing.T) {
	extra := func(key string, values ...string) *ProjectOverrides {
		return &ProjectOverrides{Extra: url.Values{key: values}}
	}
	avatar := func(name string, size int) *ProjectOverrides {
		return &ProjectOverrides{Avatar: &Avatar{Name: name, Data: make([]byte, size)}}
	}
	const unsendable = "value holds a NUL byte or invalid UTF-8"
	tests := []struct {
		name string
		o    *ProjectOverrides
		want string
	}{
		{"NUL", &ProjectOverrides{Description: ptr("a\x00b")}, "override description: " + unsendable},
		{"invalid UTF-8", &ProjectOverrides{CIConfigPath: ptr("\xff")}, "override ci_config_path: " + unsendable},
		{"invalid UTF-8 in a list", &ProjectOverrides{Topics: []string{"a", "\xff"}}, "override topics[]: " + unsendable},
		{"NUL in a hash", &ProjectOverrides{ContainerExpirationPolicy: &ContainerExpirationPolicyOverrides{NameRegex: ptr("\x00")}},
			"override container_expiration_policy_attributes[name_regex]: " + unsendable},
		{"NUL in an extra", extra("foo", "\x00"), "override foo: " + unsendable},
		{"topic with a comma", &ProjectOverrides{Topics: []string{"a", "go,api"}},
			`override topics: topic "go,api" holds a comma, at which GitLab splits it: give each topic by itself`},
		{"tag with a comma", &ProjectOverrides{TagList: []string{"a,"}},
			`override tag_list: topic "a," holds a comma, at which GitLab splits it: give each topic by itself`},
		{"empty topic", &ProjectOverrides{Topics: []string{""}}, "override topics: a topic is empty: GitLab drops it"},
		{"blank tag", &ProjectOverrides{TagList: []string{"a", " \t"}}, "override tag_list: a topic is empty: GitLab drops it"},
		{"newline in an enumeration", &ProjectOverrides{Visibility: "public\n"},
			`override visibility: value "public\n" holds a control character`},
		{"escape in a level", &ProjectOverrides{WikiAccessLevel: "\x1b"}, `override wiki_access_level: value "\x1b" holds a control character`},
		{"empty key", extra("", "1"), `override "": malformed key`},
		{"no name", extra("[a]", "1"), `override "[a]": malformed key`},
		{"unclosed", extra("a[b", "1"), `override "a[b": malformed key`},
		{"not opened", extra("a]", "1"), `override "a]": malformed key`},
		{"nested brackets", extra("a[b[c]]", "1"), `override "a[b[c]]": malformed key`},
		{"text after brackets", extra("a[b]c", "1"), `override "a[b]c": malformed key`},
		{"quote", extra(`a"b`, "1"), `override "a\"b": malformed key`},
		{"newline in a key", extra("a\nb", "1"), `override "a\nb": malformed key`},
		{"newline in a nested key", extra("a[\r]", "1"), `override "a[\r]": malformed key`},
		{"invalid UTF-8 in a key", extra("a\xff", "1"), `override "a\xff": malformed key`},
		{"several values of no list", extra("foo", "1", "2"), "override foo: only a key ending in [] can have several values"},
		{"twice", &ProjectOverrides{Visibility: VisibilityPublic, Extra: url.Values{"visibility": {"private"}}},
			`override "visibility" is given twice`},
		{"twice as a list", &ProjectOverrides{Topics: []string{"a"}, Extra: url.Values{"topics": {"b"}}}, `override "topics" is given twice`},
		{"twice as another list", &ProjectOverrides{Topics: []string{"a"}, Extra: url.Values{"topics[]": {"b"}}},
			`override "topics[]" is given twice`},
		{"twice with a cleared list", &ProjectOverrides{Topics: []string{}, Extra: url.Values{"topics[]": {"b"}}},
			`override "topics[]" is given twice`},
		{"text and hash", &ProjectOverrides{Description: ptr("a"), Extra: url.Values{"description[x]": {"b"}}},
			`override "description[x]" is given twice`},
		{"hash and text", &ProjectOverrides{ContainerExpirationPolicy: &ContainerExpirationPolicyOverrides{Enabled: ptr(true)},
			Extra: url.Values{"container_expiration_policy_attributes": {"b"}}}, `override "container_expiration_policy_attributes" is given twice`},
		{"twice in a hash", &ProjectOverrides{ContainerExpirationPolicy: &ContainerExpirationPolicyOverrides{Enabled: ptr(true)},
			Extra: url.Values{"container_expiration_policy_attributes[enabled]": {"b"}}},
			`override "container_expiration_policy_attributes[enabled]" is given twice`},
		{"twice as an avatar", &ProjectOverrides{Avatar: &Avatar{Name: "a.png", Data: []byte("x")}, Extra: url.Values{"avatar": {""}}},
			`override "avatar" is given twice`},
		{"full name", &ProjectOverrides{Extra: url.Values{"override_params[visibility]": {"public"}}},
			`override override_params[visibility]: give the key without override_params`},
		{"twice among the extras", &ProjectOverrides{Extra: url.Values{"foo": {"1"}, "foo[]": {"2"}}}, `override "foo[]" is given twice`},
		{"avatar too large", avatar("logo.png", 200<<10+1), "override avatar: 204801 bytes are more than 200 KiB"},
		{"empty avatar", avatar("logo.png", 0), "override avatar: no data"},
		{"avatar without a name", avatar("", 1), `override avatar: "" is not a file name`},
		{"avatar in a directory", avatar("a/logo.png", 1), `override avatar: "a/logo.png" is not a file name`},
		{"avatar that is a directory", avatar("..", 1), `override avatar: ".." is not a file name`},
		{"newline in the avatar's name", avatar("a\n.png", 1), `override avatar: file name "a\n.png" holds a control character or invalid UTF-8`},
		{"invalid UTF-8 in the avatar's name", avatar("\xff.png", 1),
			`override avatar: file name "\xff.png" holds a control character or invalid UTF-8`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.o.encode()
			if err == nil {
				t.Fatalf("encoded %v, want an error", got)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}

func TestOverridesEncodeLeavesExtraAlone(t *testing.T) {
	o := &ProjectOverrides{Extra: url.Values{"list[]": append(make([]string, 0, 2), "a")}, Description: ptr("d")}
	encoded, err := o.encode()
	if err != nil {
		t.Fatal(err)
	}
	encoded["override_params[list][]"][0] = "changed"
	if diff := cmp.Diff(url.Values{"list[]": {"a"}}, o.Extra); diff != "" {
		t.Errorf("Extra (-want +got):\n%s", diff)
	}
}

// FuzzOverridesExtra checks that whatever is not refused arrives in a
// multipart form as it was given.
func FuzzOverridesExtra(f *testing.F) {
	for _, key := range []string{"foo", "list[]", "hash[a][b]", `quo"te`, "sla\\sh", "a b;c=d", "ключ", "a\r\nb", "é[ü]"} {
		f.Add(key, "value\r\n--boundary")
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		encoded, err := (&ProjectOverrides{Extra: url.Values{key: {value}}}).encode()
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("control characters in %q", err)
			}
			return
		}
		if len(encoded) != 1 {
			t.Fatalf("encoded %q", encoded)
		}
		for name, values := range encoded {
			var buf bytes.Buffer
			w := multipart.NewWriter(&buf)
			if err := w.WriteField(name, values[0]); err != nil {
				t.Fatal(err)
			}
			w.Close()
			part, err := multipart.NewReader(&buf, w.Boundary()).NextPart()
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(part)
			if err != nil || part.FormName() != name || string(got) != value {
				t.Errorf("%q = %q arrived as %q = %q, %v", name, value, part.FormName(), got, err)
			}
			if strings.Count(name, "[") != strings.Count(key, "[")+1 || strings.Count(name, "]") != strings.Count(key, "]")+1 {
				t.Errorf("key %q became %q", key, name)
			}
		}
	})
}
