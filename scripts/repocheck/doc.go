// Package repocheck holds the rules of the house as tests: who may import whom, what
// code must not do, which words are used, and that what the documents and tables say is
// so. It reads the repository and starts nothing but `go list`.
//
// Every rule carries its reason in its failure, and is tried on a sample that breaks it
// before it is trusted. Exceptions are listed with a reason, and an exception that
// nothing needs any more is a failure too.
//
// `go test ./scripts/repocheck -update` writes the generated tables anew.
package repocheck
