package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// LibraryEnv names the environment variable that points at the library.
const LibraryEnv = "THROUGHLINE_ENGINE"

// libraryName is the same on every platform the npm package is built for: the
// Darwin builds carry a Mach-O image under the .so name as well.
const libraryName = "libchdb.so"

// LibraryVersion is the version of the npm package whose library the tests run with.
const LibraryVersion = "26.7.3-stable.1"

// LibraryVersionAt reads the version of a library from the package that it was installed
// with; false where it lies alone.
func LibraryVersionAt(path string) (string, bool) {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(path), "package.json"))
	var p struct{ Version string }
	if err != nil || json.Unmarshal(b, &p) != nil || p.Version == "" {
		return "", false
	}
	return p.Version, true
}

// MissingLibraryError says where the engine's library was looked for and what
// installs it.
type MissingLibraryError struct {
	// Tried are the paths looked at, in order.
	Tried []string
}

func (e *MissingLibraryError) Error() string {
	return fmt.Sprintf("find the embedded ClickHouse library: run `make engine` to install it, or set %s to its path (looked at %s)",
		LibraryEnv, strings.Join(e.Tried, ", "))
}

// FindLibrary returns the path of the engine's library. A path given, or else
// one in THROUGHLINE_ENGINE, is the only one looked at; otherwise it is looked
// for next to the executable and then in .cache/engine of the working directory
// and of each folder above it, which is where `make engine` installs it. The
// error is a *MissingLibraryError.
func FindLibrary(given string) (string, error) {
	if given == "" {
		given = os.Getenv(LibraryEnv)
	}
	candidates := []string{given}
	if given == "" {
		candidates = usualPlaces()
	}
	for _, path := range candidates {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return filepath.Abs(path)
		}
	}
	return "", &MissingLibraryError{Tried: candidates}
}

func usualPlaces() []string {
	var places []string
	if executable, err := os.Executable(); err == nil {
		if resolved, err := filepath.EvalSymlinks(executable); err == nil {
			executable = resolved
		}
		places = append(places, filepath.Join(filepath.Dir(executable), libraryName))
		places = append(places, cachesAbove(filepath.Dir(executable))...)
	}
	if wd, err := os.Getwd(); err == nil {
		places = append(places, cachesAbove(wd)...)
	}
	return places
}

// cachesAbove lists where the library would be in the repository that dir is
// in: below the nearest folder with a go.work, or nowhere.
func cachesAbove(dir string) []string {
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return []string{filepath.Join(dir, ".cache", "engine", "node_modules", "@chdb", npmName(), libraryName)}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

// npmName is the npm package's name for this platform, without its scope.
func npmName() string {
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	name := "lib-" + runtime.GOOS + "-" + arch
	if runtime.GOOS == "linux" {
		name += "-gnu"
	}
	return name
}
