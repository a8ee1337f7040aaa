// Command checkdeploy checks what deploy/ holds as far as that goes without Docker and without
// a cluster. It lints the chart and renders it with its defaults and with everything switched
// on, reads every object strictly as Kubernetes' own types (a misspelt field is an error), and
// holds workloads to rules of the house. It loads the compose file as Docker does, looks
// whether what it mounts is there, and has every throughline.yaml checked by the binary.
//
//	checkdeploy REPOSITORY
//
// Exit code 1 means that something was found; it is printed.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/cli"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	network "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	sigs "sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: checkdeploy REPOSITORY")
		os.Exit(2)
	}
	log.SetOutput(io.Discard) // Helm tells of every link that it follows
	root := os.Args[1]
	var errs []error
	for _, check := range []func(string) error{chart, compose, configurations} {
		errs = append(errs, check(root))
	}
	if err := errors.Join(errs...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("the chart, the compose file and their configurations are as they should be")
}

// others are kinds of operators, which Kubernetes' types do not have: they are only read.
var others = []string{"ServiceMonitor", "PrometheusRule"}

// scaledObject is what KEDA 2 reads of a ScaledObject, as far as the chart may use it.
type scaledObject struct {
	meta.TypeMeta   `json:",inline"`
	meta.ObjectMeta `json:"metadata"`
	Spec            struct {
		ScaleTargetRef struct {
			Name string `json:"name"`
		} `json:"scaleTargetRef"`
		PollingInterval int `json:"pollingInterval"`
		CooldownPeriod  int `json:"cooldownPeriod"`
		MinReplicaCount int `json:"minReplicaCount"`
		MaxReplicaCount int `json:"maxReplicaCount"`
		Fallback        struct {
			FailureThreshold int `json:"failureThreshold"`
			Replicas         int `json:"replicas"`
		} `json:"fallback"`
		Triggers []struct {
			Type       string            `json:"type"`
			Name       string            `json:"name"`
			MetricType string            `json:"metricType"`
			Metadata   map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

// DeepCopyObject makes it an object like those of Kubernetes.
func (s *scaledObject) DeepCopyObject() runtime.Object { c := *s; return &c }

func chart(root string) error {
	dir := filepath.Join(root, "deploy", "helm", "throughline")
	everything, err := chartutil.ReadValuesFile(filepath.Join(dir, "ci", "everything.yaml"))
	if err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	keda, err := chartutil.ReadValuesFile(filepath.Join(dir, "ci", "keda.yaml"))
	if err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	var errs []error
	for name, values := range map[string]map[string]any{"defaults": {}, "everything": everything, "keda": keda} {
		for _, m := range lint.AllWithKubeVersion(dir, values, "throughline", nil).Messages {
			if m.Severity >= support.WarningSev {
				errs = append(errs, fmt.Errorf("chart with %s: lint: %s: %w", name, m.Path, m.Err))
			}
		}
		objects, err := render(dir, values)
		if err != nil {
			errs = append(errs, fmt.Errorf("chart with %s: %w", name, err))
			continue
		}
		for _, fault := range judge(objects, name != "defaults") {
			errs = append(errs, fmt.Errorf("chart with %s: %s", name, fault))
		}
		fmt.Printf("chart with %s: %d objects\n", name, len(objects))
	}
	return errors.Join(errs...)
}

func render(dir string, values map[string]any) ([]runtime.Object, error) {
	c, err := loader.Load(dir)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	all, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "throughline", Namespace: "throughline", IsInstall: true}, nil)
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	var out []runtime.Object
	for file, text := range files {
		if filepath.Ext(file) == ".txt" {
			continue
		}
		documents := yaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
		for {
			b, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if len(bytes.TrimSpace(b)) == 0 {
				continue
			}
			var kind meta.TypeMeta
			if err := yaml.Unmarshal(b, &kind); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			if kind.Kind == "" || slices.Contains(others, kind.Kind) {
				continue
			}
			var o runtime.Object
			if kind.Kind == "ScaledObject" {
				var s scaledObject
				err = sigs.UnmarshalStrict(b, &s)
				o = &s
			} else {
				o, _, err = strict.Decode(b, nil, nil)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", file, kind.Kind, err)
			}
			out = append(out, o)
		}
	}
	return out, nil
}

// judge names what the objects of a chart lack.
func judge(objects []runtime.Object, everything bool) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	workloads := map[string]labels.Set{} // labels of pods by deployment
	var budgets, policies []meta.LabelSelector
	services := map[string]map[string]string{}
	var scaled, scalers []string
	for _, o := range objects {
		switch o := o.(type) {
		case *apps.Deployment:
			workloads[o.Name] = o.Spec.Template.Labels
			if o.Spec.Replicas == nil {
				scaled = append(scaled, o.Name)
			}
			if u := o.Spec.Strategy.RollingUpdate; o.Spec.Template.Labels["app.kubernetes.io/component"] != "proxy" && (u == nil || u.MaxUnavailable == nil || u.MaxUnavailable.IntValue() != 0) {
				fault("%s has fewer processes than it should while it is upgraded", o.Name)
			}
			if s := o.Spec.Selector; s == nil || !selects(*s, o.Spec.Template.Labels) {
				fault("%s does not select its own pods", o.Name)
			}
			for _, f := range confinement(o.Spec.Template.Spec) {
				fault("%s %s", o.Name, f)
			}
		case *policy.PodDisruptionBudget:
			budgets = append(budgets, *o.Spec.Selector)
		case *network.NetworkPolicy:
			policies = append(policies, o.Spec.PodSelector)
		case *core.Service:
			services[o.Name] = o.Spec.Selector
		case *autoscaling.HorizontalPodAutoscaler:
			scalers = append(scalers, o.Spec.ScaleTargetRef.Name)
		case *scaledObject:
			scalers = append(scalers, o.Spec.ScaleTargetRef.Name)
			for _, t := range o.Spec.Triggers {
				if t.Type != "prometheus" || t.Metadata["serverAddress"] == "" || t.Metadata["query"] == "" || t.Metadata["threshold"] == "" {
					fault("a trigger of %s asks nobody or for nothing", o.Name)
				}
			}
			if len(o.Spec.Triggers) == 0 || o.Spec.MinReplicaCount < 1 || o.Spec.MaxReplicaCount < o.Spec.MinReplicaCount {
				fault("%s scales between %d and %d by %d triggers", o.Name, o.Spec.MinReplicaCount, o.Spec.MaxReplicaCount, len(o.Spec.Triggers))
			}
		}
	}
	if len(workloads) != 5 {
		fault("%d deployments, not the four services and their proxy", len(workloads))
	}
	for name, pod := range workloads {
		covered := func(all []meta.LabelSelector) bool {
			return slices.ContainsFunc(all, func(s meta.LabelSelector) bool { return selects(s, pod) })
		}
		if !covered(budgets) {
			fault("%s has no disruption budget", name)
		}
		if !covered(policies) {
			fault("%s has no network policy", name)
		}
	}
	for name, selector := range services {
		found := false
		for _, pod := range workloads {
			found = found || labels.SelectorFromSet(selector).Matches(pod)
		}
		if !found {
			fault("the service %s selects nothing", name)
		}
	}
	slices.Sort(scaled)
	slices.Sort(scalers)
	if !slices.Equal(scaled, scalers) || everything && len(scalers) == 0 {
		fault("%q leave their replicas to scalers, and scalers scale %q", scaled, scalers)
	}
	return faults
}

func selects(s meta.LabelSelector, pod labels.Set) bool {
	selector, err := meta.LabelSelectorAsSelector(&s)
	return err == nil && selector.Matches(pod)
}

// confinement names what a pod may and should not, and what it lacks.
func confinement(pod core.PodSpec) (faults []string) {
	if c := pod.SecurityContext; c == nil || c.RunAsNonRoot == nil || !*c.RunAsNonRoot || c.SeccompProfile == nil {
		faults = append(faults, "may run as root or without seccomp")
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		faults = append(faults, "gets a token of the cluster")
	}
	for _, c := range pod.Containers {
		switch s := c.SecurityContext; {
		case s == nil, s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem, s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation, s.Capabilities == nil || len(s.Capabilities.Drop) == 0:
			faults = append(faults, "is not confined")
		case c.LivenessProbe == nil || c.ReadinessProbe == nil:
			faults = append(faults, "has not both probes")
		case c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero():
			faults = append(faults, "asks for no processor or has no bound of memory")
		}
		for _, e := range c.Env {
			if strings.Contains(strings.ToLower(e.Name), "password") && !strings.HasPrefix(e.Value, "env:") {
				faults = append(faults, "has a password in its values")
			}
		}
	}
	return faults
}

func compose(root string) error {
	dir := filepath.Join(root, "deploy", "compose")
	environment := filepath.Join(dir, ".env")
	if _, err := os.Stat(environment); err != nil { // what the guide tells to copy
		b, err := os.ReadFile(filepath.Join(dir, "environment.example"))
		if err != nil {
			return fmt.Errorf("compose: %w", err)
		}
		if err := os.WriteFile(environment, b, 0o600); err != nil {
			return fmt.Errorf("compose: %w", err)
		}
		defer os.Remove(environment)
	}
	return errors.Join(load(dir, environment, "compose.yaml"), load(dir, environment, "compose.yaml", "replicas.yaml"))
}

// load reads compose files, each over those before it, as Docker does.
func load(dir, environment string, files ...string) error {
	for i, f := range files {
		files[i] = filepath.Join(dir, f)
	}
	o, err := cli.NewProjectOptions(files, cli.WithWorkingDirectory(dir), cli.WithEnvFiles(environment), cli.WithDotEnv)
	if err != nil {
		return fmt.Errorf("compose: %w", err)
	}
	project, err := o.LoadProject(context.Background())
	if err != nil {
		return fmt.Errorf("compose: %w", err)
	}
	var errs []error
	for _, s := range project.Services {
		for _, v := range s.Volumes {
			if v.Type != "bind" {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				errs = append(errs, fmt.Errorf("compose: %s mounts what is not there: %w", s.Name, err))
			}
		}
		for name, value := range s.Environment {
			if strings.HasPrefix(name, "THROUGHLINE_") && strings.Contains(name, "PASSWORD") && (value == nil || !strings.HasPrefix(*value, "env:")) {
				errs = append(errs, fmt.Errorf("compose: %s of %s is no reference", name, s.Name))
			}
		}
	}
	fmt.Printf("compose: %d services\n", len(project.Services))
	return errors.Join(errs...)
}

var reference = regexp.MustCompile(`env:([A-Z][A-Z0-9_]*)`)

// configurations has the binary check every throughline.yaml of deploy/, with a value for
// each secret.
func configurations(root string) error {
	binary := filepath.Join(root, "bin", "throughline")
	dir, err := os.MkdirTemp("", "checkdeploy-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	values, err := chartutil.ReadValuesFile(filepath.Join(root, "deploy", "helm", "throughline", "ci", "everything.yaml"))
	if err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	inner, err := values.Table("config")
	if err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	text, err := inner.YAML()
	if err != nil {
		return fmt.Errorf("read values: %w", err)
	}
	fromChart := filepath.Join(dir, "throughline.yaml")
	if err := os.WriteFile(fromChart, []byte(text), 0o600); err != nil {
		return err
	}
	var errs []error
	for _, file := range []string{filepath.Join(root, "deploy", "compose", "throughline.yaml"), fromChart} {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		cmd := exec.Command(binary, "config", "check", "--config", file)
		cmd.Env = os.Environ()
		for i, m := range reference.FindAllStringSubmatch(string(b), -1) {
			cmd.Env = append(cmd.Env, fmt.Sprintf("%s=secret-%d", m[1], i))
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w: %s", file, err, out))
		}
	}
	return errors.Join(errs...)
}
