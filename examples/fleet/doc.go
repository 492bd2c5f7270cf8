// Package fleet migrates many GitLab projects as workflows on Temporal, for those
// whom one process does not suffice: several users, several sites, weeks of work,
// and workers that may die at any moment.
//
// [MigrateList] keeps a number of projects under way, and [MigrateProject] moves
// one. What talks to GitLab are the [Activities]. Tokens are in the environment of
// the workers and nowhere else.
package fleet
