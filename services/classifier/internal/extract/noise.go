package extract

import (
	"regexp"
	"strings"
	"unicode"
)

// Noise reports whether a clause says nothing by itself: a greeting, thanks, a signature,
// small talk, an introduction, an order number, an address, or no word at all. Being short is not being
// noise: "login broken" is a signal.
func Noise(clause string) bool {
	words := strings.FieldsFunc(strings.ToLower(clause), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '\'' && r != '’'
	})
	if len(words) == 0 {
		return !strings.ContainsFunc(clause, speaks)
	}
	if introduction.MatchString(clause) || reference.MatchString(clause) || particulars.MatchString(clause) || smallTalk.MatchString(clause) {
		return true
	}
	letters, trigger := false, false
	for _, w := range words {
		role, polite := politeness[strings.ReplaceAll(w, "’", "'")]
		if strings.ContainsFunc(w, unicode.IsLetter) {
			letters = true
			if !polite {
				return false
			}
		}
		trigger = trigger || role
	}
	return trigger || !letters
}

// speaks reports whether a symbol alone is an opinion: hearts, faces, thumbs, stars.
func speaks(r rune) bool { return r >= 0x2600 && unicode.In(r, unicode.So) }

var (
	introduction = regexp.MustCompile(`^(?:(?i:hi|hello|hey|yes|yeah)[,!. ]+)?(?:(?i:my name is|my name's)|(?:(?i:hi|hello|hey)[,!. ]+)(?i:this is|i am|i'm))(?: \p{Lu}[\p{L}'’.-]+){1,3}[.,!]?$`)
	// particulars are who somebody is and the numbers that say so.
	particulars = regexp.MustCompile(`(?i)^(?:and |yes,? |sure,? )?(?:(?:my|the) (?:full |first |last |main |home |e-?mail |phone |mobile |bank |policy |account |order |customer |case )*(?:name|address|e-?mail|number|phone|ssn|id|date of birth)\b[^?]{0,40}\b(?:is|would be|has to be)\b|i was born (?:on|in)\b|born on\b|you can reach me\b)`)
	// smallTalk passes the time, points at what is attached or closes.
	smallTalk = regexp.MustCompile(`(?i)^(?:i )?(?:hope (?:you|all|this|everything|your|we can get this)\b[^?]*$|i hope (?:you|all|this|everything|your|we can get this)\b|how are you\b|what a \w+ day\b|it['’]?s been a \w+ day\W*$|i don['’]?t have much time\W*$|i['’]?m in a (?:real )?(?:hurry|rush)\W*$|can (?:we|you) make (?:this|it) quick\W*$|(?:please )?(?:see|find)(?: the)? (?:attach\w*|screenshots?|below|above)\b|(?:sure|yes|ok),? (?:attached|done)\W*$|will do\b|talk (?:soon|tomorrow|to you)\b|see you\b|no,? that['’]?s (?:all|it)\b|that['’]?s all\b|(?:i am |i['’]?m )?out of (?:the )?office\b|as (?:discussed|agreed|promised)\b[^.]{0,24}$|thanks for (?:getting back|reaching out|(?:the|your) (?:quick |fast |prompt )?(?:reply|response|answer|message|help))\b|lol\b\W*$|\+1\W*$|no[.!]?$|have a (?:nice|great|good)\b)`)
	reference = regexp.MustCompile(`(?i)^(?:order|ticket|case|invoice|account|ref(?:erence)?|request|customer|policy)(?: (?:number|no|id))?\.? ?(?:is|:|#)+ ?[\w-]*\d[\w-]*\.?$|^https?://\S+$|^\S+@\S+\.\S+$`)
)

// politeness holds the words of greetings, thanks and farewells; true marks those that make
// a clause one.
var politeness = map[string]bool{
	"hi": true, "hello": true, "hey": true, "hiya": true, "dear": true, "greetings": true,
	"thanks": true, "thank": true, "thx": true, "ty": true, "tnx": true, "cheers": true, "regards": true,
	"sincerely": true, "bye": true, "goodbye": true, "ok": true, "okay": true, "yes": true, "yeah": true, "yep": true,
	"sure": true, "morning": true, "afternoon": true, "evening": true, "welcome": true, "appreciated": true, "gracias": true,
	"danke": true, "merci": true, "obrigado": true, "hola": true, "hallo": true, "bonjour": true,
	"good": false, "day": false, "team": false, "all": false, "there": false, "everyone": false, "guys": false,
	"support": false, "folks": false, "sir": false, "madam": false, "you": false, "u": false, "so": false, "much": false,
	"very": false, "many": false, "a": false, "lot": false, "for": false, "your": false, "the": false, "help": false,
	"assistance": false, "time": false, "in": false, "advance": false, "best": false, "kind": false, "warm": false,
	"and": false, "again": false, "to": false, "is": false, "any": false, "reply": false, "response": false,
	"quick": false, "no": false, "it": false, "have": false, "nice": false, "great": false, "weekend": false, "reading": false,
	"please": false, "beautiful": false, "this": false, "on": false, "listening": false, "attention": false, "appreciate": true, "i": false,
	"schön": false, "mucho": false, "muchas": false, "beaucoup": false, "vielen": false, "dank": true,
}
