package extract

import (
	"regexp"
	"strings"

	"github.com/throughline-dev/throughline/pkg/feedback"
)

// stance is what a clause does, as coarse as telling signals apart needs it.
type stance int

const (
	neutral  stance = iota // circumstances: nothing by itself
	ask                    // wants something
	question               // wants to know
	trouble                // something is wrong
	praise                 // something is good
)

// The ways of taking a stance that hold whatever it is about. They say where one signal ends
// and the next begins; what kind a signal is, a judge says.
var (
	wishes = regexp.MustCompile(`(?i)\b(?:(?:i|we|just|only|really)?\s?wish|if only|please (?:add|make|bring|allow|let|give|include|provide|support|consider|send|help|change|raise|put|get|advise|refund)|pl(?:ea)?[sz]e? \w+ (?:me|us)|(?:can|could|would|will) (?:you|u|we|i|someone) (?:please |also |at least |possibly )*\w+|(?:i|we)(?:['’]d| would|d)? (?:really |also |just |still |desperately )*(?:want|need|wan+a|require)(?:ed|s)?\b|(?:i|we)(?:['’]d| would|d) (?:really |also |just |still |also |only )*(?:love|like|prefer|appreciate) (?:a|an|to|the|some|more|one|if|for|being)\b|(?:i'm|i am|we're|we are|i was) (?:looking|trying|wanting|wondering|in (?:desperate )?need)\b|(?:should|could|might|must|would) (?:also )?(?:have|be (?:a|an|able|possible|nice|great|good|cool|awesome|helpful|perfect|better|amazing|useful|placed|moved|added|there|more|so|really|very|even|enough))\b|would be \w+|would (?:do|help|save|already help)\b|bring back|feature request|suggest(?:ion)?|let (?:me|us)\b|looking forward|needs? (?:to have|an?|more|some)\b|change of|my wish)|^\W*(?:add|allow|support|enable|include|bring|need|make|give|want|would love|would like|undo|remember|also,? let|maybe let|and a proper)\b|^\W*(?:\w+ ){1,4}(?:pl(?:ea)?[sz]e?|mode|import)\W*$`)
	opens  = regexp.MustCompile(`(?i)^(?:\W*(?:and|so|also|but|quick one:?|hi|hello|hey)\W+)?(?:how|what|what's|where|when|who|which|can|could|is there|is it|are there|do (?:you|i|we)|does|did the|has any|have you|why|will you|any way)\b`)
	wrong  = regexp.MustCompile(`(?i)\b(?:cannot|cant|doesnt|wont|nothing|nobody|no longer|no sense|makes no|can[’']t|couldn[’']t|doesn[’']t|won[’']t|wouldn[’']t|aren[’']t|isn[’']t|not (?:\w+ ){0,2}(?:work|load|help|zoom|sync|add|so|let|open|update|accept)\w*|never (?:know|arrive|could|get|come|work)\w*|(?:did|do|was|were|have|has)n[’']t (?:\w+ ){0,2}(?:work|load|help|zoom|sync|open|update|accept|get|hear|receive|see|agree|arrive|show|send|save|let|log|play|connect|find)\w*|no (?:option|way|phone|chat|sound|luck)|any ?more|crash\w*|fail\w*|errors?|bugs?|buggy|broken|broke|wrong|incorrect\w*|invalid|missing|gone|lost|lose|losing|slow\w*|stuck|fre+z\w*|froze\w*|hangs?|hung|glitch\w*|lag(?:s|gy|ging)?|blank|blurry|disappear\w*|vanish\w*|duplicat\w*|drops?|drain\w*|time[sd]? out|timeouts?|takes? (?:\w+ ){0,3}(?:minutes?|hours?|ages|forever|long)|forever|foreva|declined|denied|rejects?|rejected|40[0-9]|50[0-9]|hate\w*|annoy\w*|frustrat\w*|terrible|horrible|awful|worst|worse|useless|unusable|unwatchable|sucks?|stinks?|stupid|ridiculous|absurd|insult\w*|invasive|disregard|disappoint\w*|expensive|overpriced|pricey|raised the price|charged|billed|scam|ads?|adverts?|spam|pop-?ups?|confus\w*|hard to|difficult\w*|a pain|maze|hidden|too (?:many|much|few|small|big|expensive|loud|long|slow)|down ?sides?|problems?|issues?|hic+ups?|lacks?|lacking|lack of|poor|bad|stop(?:s|ped)? (?:working|after|at|sending|syncing)|out of sync|overlaps?|upside down|unfortunately|uninstall\w*|cancel(?:l?ed|l?ing)|moving to another|switching to|leaving|went downhill|gone downhill|afterthought|down during|way too|fires? twice|one hour off|off since|locked|yesterday's|late|restarts?|ignores?|resets?|tiny|prints? \w+ down|dislike\w*|fed up|tired of|in circles|it says|reopened|don'?t receive|never arrive\w*|urgent\w*)\b`)
	// denies only says no.
	denies = regexp.MustCompile(`(?i)(?:n[’']t\b|\b(?:not|dont|didnt|isnt|never|no|none|without|only)\b)`)
	good   = regexp.MustCompile(`(?i)\b(?:love[sd]?|lov(?:e|ing|ely)|luv|likes? (?:it|this|that|the|how|having|using|to)|really like|liked|great|good|nice|awesome|amazing|excellent|fantastic|wonderful|fabulous|best|perfect\w*|superb|brilliant|easy|easier|easily|useful|helpful|helps|handy|convenient|recommend\w*|favou?rite|enjoy\w*|works? (?:well|great|fine|perfectly|flawlessly|good|smoothly|as advertised|very|just|really|awesom\w*)|worked (?:well|so)|working awesome\w*|smooth\w*|happy|happier|pleased|satisfied|impressed|glad|fast|faster|simple|simplicity|cool|fun|must have|life ?saver|saved|saves|rocks?|flawless\w*|friendly|stars|authentic|inexpensive|can[’']?t fault|lucky|appreciate\w*|much improved|better|incredible|valuable|addicting|thank(?:s| you) (?:to|for)|wow|okay|excited|improved|fixed the|well made|no[- ]brainer|connect with|keep in touch|keeping in touch|wh\w+(?:'s|s| is) (?:there )?not to like|who doesn[’']?t (?:like|love)|n[’']t had any (?:problems?|issues?)|(?:no|without) (?:problems?|issues?)|stress[- ]free)\b`)
	// turned are good words that are not meant: negated, or wished for.
	turned = regexp.MustCompile(`(?i)(?:n[’']t|\bnot|\bnever|\bno|\bhardly|\bbarely)\s+(?:\w+\s+){0,2}(?:love\w*|like\w*|great|good|nice|awesome|amazing|best|perfect\w*|easy|easily|useful|helpful|help|convenient|recommend|enjoy|work\w*|smooth\w*|happy|fast|simple|cool|fun|friendly|better|satisfied|appreciate)\b|\bwould (?:\w+ ){0,3}(?:love|like|be|help)\b|\bwas (?:a |so |my )?(?:gr+e+at|good|nice|awesome|fun|fine)\b|\b(?:less|no) fun\b|\bgood (?:morning|afternoon|evening|day)\b|\blooks? like\b|\b(?:feels?|sounds?|something|just) like\b|\bthank(?:s| you)? (?:in advance|for (?:your|the) (?:help|time|reply))`)
	// elsewhere says that other things are well: circumstances of what is not.
	elsewhere = regexp.MustCompile(`(?i)\bworks? (?:just |perfectly )?(?:fine|well|ok(?:ay)?) (?:on|in|with|when|for) (?:my |the |other )?(?:\w+ ){0,2}\w+\W*$|\b(?:every|all) (?:other|else) \w*\s?(?:apps? )?works?\b|\b(?:was|were) (?:fine|ok) (?:last|before|until|yesterday)\b`)
	// harmless are words of trouble that are none.
	harmless = regexp.MustCompile(`(?i)\b(?:no (?:problems?|issues?|bugs?|complaints?|ads|doubt|lag)|not (?:a |bad)(?:bad)?|never (?:again )?(?:loo?se|had (?:a |any )?(?:problems?|issues?)|fails? to|disappoint\w*)|n[’']t (?:had|have|see) any (?:problems?|issues?|trouble)|can[’']?t (?:fault|live|wait|get enough|imagine|say enough|beat)|n[’']t (?:have to|mind|need to|worry|wait|waste|get enough|go wrong)|who doesn[’']?t|what(?:'s|s| is) (?:there )?not to|not to (?:like|love)|nothing (?:else|better|but good)|not only|not have to|problem solved|fixed the (?:crash|bug|issue|problem)|instead of)`)
)

// take says what stance a clause takes. Where its words speak for more than one, kind, which
// a judge gave it, decides.
func take(words string, kind feedback.Kind) stance {
	plain := harmless.ReplaceAllString(words, " ")
	if elsewhere.MatchString(words) {
		return neutral
	}
	liked := good.MatchString(turned.ReplaceAllString(words, " "))
	bad := wrong.MatchString(plain)
	switch {
	case strings.HasSuffix(strings.TrimRight(words, " \"')"), "?") && opens.MatchString(words):
		if wishes.MatchString(words) {
			return ask
		}
		return question
	case wishes.MatchString(words) && !bad:
		return ask
	case bad && liked:
		switch family(kind) {
		case praise:
			return praise
		case ask:
			return ask
		}
		return trouble
	case !bad && denies.MatchString(plain) && family(kind) == trouble && hasWords(words, 4):
		return trouble
	case bad:
		if wishes.MatchString(words) && family(kind) == ask {
			return ask
		}
		return trouble
	case liked:
		return praise
	case strings.HasSuffix(strings.TrimRight(words, " \"')"), "?"), opens.MatchString(words) && hasWords(words, 4):
		return question
	}
	return neutral
}

// plainly is the kind that a stance comes to where a judge has no better word.
var plainly = map[stance]feedback.Kind{ask: feedback.FeatureRequest, question: feedback.Question, trouble: feedback.Bug, praise: feedback.Praise}

// family is the stance that a kind of signal takes.
func family(k feedback.Kind) stance {
	switch k {
	case feedback.Praise:
		return praise
	case feedback.FeatureRequest:
		return ask
	case feedback.Question:
		return question
	case feedback.Bug, feedback.Usability, feedback.Complaint:
		return trouble
	}
	return neutral
}
