package judge

import (
	_ "embed"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/services/classifier/internal/linear"
)

// valence lists words with how good or bad people find them, from -4 to 4: the words of
// VADER's lexicon (Hutto and Gilbert, ICWSM 2014; MIT licence).
//
//go:embed valence.txt
var valence string

// Lexicon knows the words and patterns that features are made of.
type Lexicon struct{ valence map[string]float64 }

// NewLexicon reads the shipped lexicon. It fails only where the file compiled into the
// program is broken.
func NewLexicon() (*Lexicon, error) {
	l := &Lexicon{valence: make(map[string]float64, 8000)}
	for line := range strings.Lines(valence) {
		word, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return nil, fmt.Errorf("read valence lexicon: %w", err)
		}
		l.valence[word] = v
	}
	return l, nil
}

// pattern is a way of saying something that tells kinds apart whatever it is about.
type pattern struct {
	name string
	re   *regexp.Regexp
}

var patterns = []pattern{
	{"wish", regexp.MustCompile(`\b(?:i|we|only|just)?\s?wish(?:ed|es|ing)?\b|\bif only\b|\bwould (?:love|like|prefer|appreciate)\b|\b(?:i'd|we'd|id) (?:love|like|prefer|appreciate)\b|\bhop(?:e|ing) (?:to see|for|you(?:'ll| will| can)? add)`)},
	{"niceif", regexp.MustCompile(`\b(?:would|could|might|will|wud|'d) (?:also |really |definitely |just )?be (?:so |much |very |really |a |even |super |pretty )*(?:nice|great|good|cool|awesome|helpful|perfect|better|amazing|useful|handy|fantastic|wonderful|ideal|lovely|brilliant|excellent|best|5 stars?|five stars?)`)},
	{"add", regexp.MustCompile(`\b(?:please|plz|pls|kindly|should|could|need(?:s)? to|must|can you|can u|could you|just|would you)\s+(?:\w+\s+){0,2}(?:add|adding|include|support|implement|allow|enable|introduce|provide|bring|give|let|integrate|offer|consider|put|increase|reduce|expand|extend|improve)\b`)},
	{"needmore", regexp.MustCompile(`\b(?:needs?|need to have|want|wants|could use|lacks?|lacking|missing|should have|more) (?:an?|some|more|better|to have|additional|the)? ?(?:\w+ ){0,2}(?:option|options|feature|features|support|setting|settings|button|mode|filter|filters|function|functions|way|ability|choices|selection|theme|themes|integration|tool|tools)\b`)},
	{"nooption", regexp.MustCompile(`\b(?:no|there is no|there's no|without an?|not have an?|isn't an?|lack of|missing) (?:\w+ ){0,2}(?:option|way|button|setting|feature|ability|support|possibility|function|choice|mode)\b`)},
	{"option", regexp.MustCompile(`\b(?:option|ability|possibility|possible|feature|function|functionality|way|choice|setting) (?:to|for|of|where|that|in)\b`)},
	{"bringback", regexp.MustCompile(`\b(?:bring|give|put|get|change|go|return|want) (?:\w+ ){0,4}back\b|\breturn the\b`)},
	{"suggest", regexp.MustCompile(`\b(?:suggest(?:ion|ions|ed)?|feature request|request(?:ing)?|proposal|propose|enhancement|idea|recommend(?:ation)? (?:that|to add|adding)|would it be possible|is it possible to (?:add|have|get)|how about|what about|why not|why don'?t (?:you|we)|consider)\b`)},
	{"should", regexp.MustCompile(`\b(?:should|shud|must|ought to|needs? to|have to)\b`)},
	{"imperative", regexp.MustCompile(`^(?:\[[^\]]*\] *|\w+: *|please )?(?:add|allow|support|enable|implement|introduce|provide|include|make|let|give|bring|expose|adopt|improve|extend|consider|create|use|remove|replace|update|upgrade|migrate|move|switch|export|show|surface|change|request)\b`)},
	{"crash", regexp.MustCompile(`\b(?:crash(?:es|ed|ing)?|freez(?:e|es|ing)|froze|frozen|hangs?|hanging|hung|stuck|force[sd]? clos(?:e|es|ed|ing)|shuts? (?:down|itself)|blank|black screen|white screen|glitch(?:es|y|ing|ed)?|bugs?|buggy|lag(?:s|gy|ging)?|segfaults?|segmentation fault|deadlock|leaks?|exception|traceback|stack ?trace|npe|panic)\b`)},
	{"fails", regexp.MustCompile(`\b(?:fail(?:s|ed|ing|ure|ures)?|errors?|broken?|broke|wrong(?:ly)?|incorrect(?:ly)?|invalid|corrupt(?:ed)?|disappear(?:s|ed|ing)?|vanish(?:ed|es)?|lost|losing|duplicat(?:e|es|ed)|missing|crappy|useless|unusable|unable to|unresponsive|timed? ?out|times out|timeouts?|regression|overflow|flaky|404|500|502|503)\b`)},
	{"notwork", regexp.MustCompile(`\b(?:does ?n[o']?t|do ?n[o']?t|did ?n[o']?t|is ?n[o']?t|are ?n[o']?t|was ?n[o']?t|wo ?n[o']?t|will not|can ?n[o']?t|cannot|cant|couldn'?t|not|never|no longer|stopped|stops|keeps?|nothing|hardly|barely)\s+(?:\w+\s+){0,2}(?:work(?:s|ing)?|open(?:s|ing)?|load(?:s|ing)?|start(?:s|ing)?|play(?:s|ing)?|send(?:s|ing)?|show(?:s|ing)?|sync(?:s|ing)?|connect(?:s|ing)?|log(?:ging)? (?:in|me)|login|sign in|install(?:s|ing)?|download(?:s|ing)?|update|updating|upload(?:s|ing)?|respond(?:s|ing)?|receiv(?:e|ing)|get(?:ting)?|see|access|save|saving|appear(?:s|ing)?|display(?:s|ing)?|refresh(?:es|ing)?|view|find|function|let|allow|export|import|go through|arrive|match)\b`)},
	{"since", regexp.MustCompile(`\b(?:(?:ever )?since|after|with) (?:\w+ ){0,3}(?:updat(?:e|ing|ed)|upgrad(?:e|ing|ed)|version|release|change|installing|patch|migration)|\b(?:used to|was working|worked (?:fine|great|well|before|until)|suddenly|all of a sudden|no longer|anymore|any more|randomly|intermittent(?:ly)?|sometimes|every ?time|each time|whenever)\b`)},
	{"fix", regexp.MustCompile(`\b(?:fix(?:e[sd]|ing)?|resolve|solve|repair|sort (?:it|this) out|look into|investigate)\b`)},
	{"repro", regexp.MustCompile(`\b(?:steps to reproduce|repro(?:duce|duction|ducible)?|expected (?:behaviou?r|result)|actual (?:behaviou?r|result)|current behaviou?r|how often does this bug|bug_report|issue type\W+bug|bug report|type: <b>bug|relevant log|error message|os version|system information)\b`)},
	{"template", regexp.MustCompile(`\b(?:feature_request|feature request|describe the (?:feature|solution)|describe alternatives|motivation|willing to contribute|use case|user story|proposal|who will benefit)\b`)},
	{"isbug", regexp.MustCompile(`\bbugs?\b[:\]]?|^\[?bug\b|\bfix(?:es|ed)? (?:#|a |the )?`)},
	{"slow", regexp.MustCompile(`\b(?:slow(?:ly|er|ness)?|takes? (?:\w+ ){0,3}(?:forever|ages|long|minutes|hours|time)|laggy|sluggish|drain(?:s|ing)?|battery|buffer(?:s|ing)?|memory)\b`)},
	{"dislike", regexp.MustCompile(`\b(?:hate|annoy(?:ed|ing|s)?|frustrat(?:ed|ing|es)|terrible|horrible|awful|worst|sucks?|stupid|ridiculous|disappoint(?:ed|ing)|waste|garbage|trash|pathetic|unacceptable|confus(?:ed|ing)|complicated|ads|adverts|spam|expensive|overpriced|charged|refund|scam)\b`)},
	{"love", regexp.MustCompile(`\b(?:love[sd]?|loving|awesome|amazing|excellent|fantastic|wonderful|best|perfect(?:ly)?|great|superb|brilliant|fabulous|thank(?:s| you)|recommend(?:ed)?|favou?rite|easy to use|works? (?:great|well|perfectly|fine|flawlessly)|user friendly|life ?saver|keep (?:it )?up|good job|well done|must have)\b`)},
	{"asks", regexp.MustCompile(`^(?:\W*(?:hi|hello|hey)\W+)?(?:how|what|where|when|why|who|which|can|could|is|are|do|does|did|will|would|should|has|have|am|may|any(?:one|body)?)\b`)},
	{"howto", regexp.MustCompile(`\b(?:how (?:do|can|to|would|does|should|am|did|long|much|many|come)|is there (?:a|an|any) |is it possible|is it ok|does (?:anyone|this|it|the)|where (?:do|can|is|are|did)|what (?:is|are|does|do|happens?|'s)|can i|could i|may i|do i (?:need|have)|anyone know|wondering|not sure (?:how|if|what|whether)|tell me|explain|clarif(?:y|ication)|documentation|help me|question)\b`)},
	{"firstfix", regexp.MustCompile(`^(?:\[[^\]]*\] *|\w+: *)?fix(?:es|ed)?\b`)},
	{"justif", regexp.MustCompile(`\b(?:so (?:that )?(?:i|we|you|users|people) (?:can|could|don)|instead of|as well as|like (?:in |on )?(?:ios|iphone|android|desktop|the web|other|slack|in)|rather than|would allow|would help|would make|would save)\b`)},
}

// ruleWeight is the value of a rule's feature, beside words of length two in all.
const ruleWeight = 0.6

// rules are the features of patterns, of valence, of punctuation and of length.
func (l *Lexicon) rules(text string, tokens []string, weight float32) []linear.Feature {
	var out []linear.Feature
	put := func(name string, v float64) {
		if v != 0 {
			out = append(out, linear.Feature{Index: hash('r', name), Value: weight * float32(v)})
		}
	}
	for _, p := range patterns {
		if p.re.MatchString(text) {
			put(p.name, ruleWeight)
		}
	}
	good, bad := l.feeling(tokens)
	put("good", math.Min(good, 8)/4)
	put("bad", math.Min(bad, 8)/4)
	put("balance", (good-bad)/math.Sqrt((good-bad)*(good-bad)+6))
	if good > 0 && bad > 0 {
		put("mixed", ruleWeight)
	}
	if strings.HasSuffix(strings.TrimRight(text, " \t\n)\"'"), "?") {
		put("ends?", ruleWeight)
	}
	if strings.Contains(text, "!") {
		put("!", ruleWeight/2)
	}
	switch n := len(tokens); {
	case n <= 3:
		put("tiny", ruleWeight)
	case n <= 8:
		put("short", ruleWeight)
	case n > 40:
		put("long", ruleWeight)
	}
	return out
}

// feeling sums the valence of words, good and bad apart; a negator within three words before
// turns a word around and weakens it, as in VADER.
func (l *Lexicon) feeling(tokens []string) (good, bad float64) {
	negated := 0
	for _, t := range tokens {
		if negators[t] {
			negated = 4
			if v := l.valence[t]; v == 0 {
				continue
			}
		} else if hinges[t] {
			negated = 0
		} else if negated > 0 {
			negated--
		}
		v, ok := l.valence[t]
		if !ok {
			continue
		}
		if negated > 0 && !negators[t] {
			v *= -0.74
		}
		if v > 0 {
			good += v
		} else {
			bad -= v
		}
	}
	return good, bad
}

func sortFeatures(f []linear.Feature) {
	slices.SortFunc(f, func(a, b linear.Feature) int { return int(int64(a.Index) - int64(b.Index)) })
}
