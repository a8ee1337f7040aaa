package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

// serverConfig is the engine's configuration. Caches are sized for a laptop
// (the library's defaults are gigabytes), times are UTC, sampling threads are
// off. The loggers named with level none print the text of failed queries, and
// so words of customers.
var serverConfig = template.Must(template.New("server").Funcs(escape).Parse(`<clickhouse>
  <users_config>{{xml .Users}}</users_config>
  <timezone>UTC</timezone>
  <max_server_memory_usage>{{.MemoryLimit}}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <mmap_cache_size>0</mmap_cache_size>
  <total_memory_profiler_step>0</total_memory_profiler_step>
  <logger>
    <console>1</console>
    <levels>
      <executeQuery>none</executeQuery>
      <TCPHandler>none</TCPHandler>
    </levels>
  </logger>
</clickhouse>
`))

// usersConfig has two users. The library's own session always enters as
// "default" with no password and cannot be told otherwise, so that user may do
// nothing but start the listeners; everyone else needs the password.
var usersConfig = template.Must(template.New("users").Funcs(escape).Parse(`<clickhouse>
  <profiles>
    <default>
      <async_insert>0</async_insert>
      <poll_interval>1</poll_interval>
      <query_profiler_real_time_period_ns>0</query_profiler_real_time_period_ns>
      <query_profiler_cpu_time_period_ns>0</query_profiler_cpu_time_period_ns>
    </default>
    <listener>
      <max_execution_time>5</max_execution_time>
      <max_memory_usage>33554432</max_memory_usage>
      <max_threads>1</max_threads>
    </listener>
  </profiles>
  <quotas><default></default></quotas>
  <users>
    <default>
      <password></password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>listener</profile>
      <quota>default</quota>
      <grants><query>GRANT SYSTEM LISTEN ON *.*</query></grants>
    </default>
    <{{.Username}}>
      <password_sha256_hex>{{.PasswordHash}}</password_sha256_hex>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
    </{{.Username}}>
  </users>
</clickhouse>
`))

// escape are the template functions that keep a value inside its XML element.
var escape = template.FuncMap{
	"xml": func(s string) string {
		return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
	},
}

// Names of what writeConfig leaves in the data folder.
const (
	serverFile = "engine.xml"
	usersFile  = "users.xml"
	listenFile = "listen.sql"
	tablesDir  = "tables"
)

// writeConfig writes the configuration files into dir, readable by the owner
// only.
func writeConfig(dir, password string, memoryLimit int64) error {
	hash := sha256.Sum256([]byte(password))
	for name, t := range map[string]*template.Template{serverFile: serverConfig, usersFile: usersConfig} {
		var text strings.Builder
		err := t.Execute(&text, map[string]any{
			"Users":        filepath.Join(dir, usersFile),
			"Username":     Username,
			"PasswordHash": hex.EncodeToString(hash[:]),
			"MemoryLimit":  memoryLimit,
		})
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), []byte(text.String()), 0o600)
		}
		if err != nil {
			return fmt.Errorf("write engine configuration %s: %w", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, listenFile), []byte("SYSTEM START LISTEN TCP"), 0o600); err != nil {
		return fmt.Errorf("write engine configuration %s: %w", listenFile, err)
	}
	return nil
}
