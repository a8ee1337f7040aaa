package mask_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// generator makes personal data the way its issuers do: from number plans, check digits,
// country tables and vendors' descriptions of their keys. It knows nothing of how package
// mask looks for them, and uses no regular expression.
type generator struct{ *rand.Rand }

// datum is one piece of personal data: its kind, and what must not be left of it.
type datum struct{ kind, value string }

func (g generator) of(s ...string) string { return s[g.IntN(len(s))] }

func (g generator) digits(n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(byte('0' + g.IntN(10)))
	}
	return b.String()
}

func (g generator) from(alphabet string, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[g.IntN(len(alphabet))])
	}
	return b.String()
}

const (
	lowerCase = "abcdefghijklmnopqrstuvwxyz"
	upperCase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numerals  = "0123456789"
	hex       = "0123456789abcdef"
)

// fill writes digits for N (2 to 9) and X (0 to 9) of a number plan.
func (g generator) fill(plan string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case 'N':
			return rune('2' + g.IntN(8))
		case 'X':
			return rune('0' + g.IntN(10))
		}
		return r
	}, plan)
}

func (g generator) email() string {
	first := g.of("marta", "jo", "li.wei", "søren", "j_okafor", "anne-marie", "p.nair+work", "O'Brien", "Max.Mustermann", "x", "sales", "info2024")
	host := g.of("example.com", "nordhaven.example", "mail.fjord.example", "lumen-labs.example.co.uk", "example.museum", "sub.domain.example.io", "müller.example.de")
	address := first + g.of("", g.digits(2)) + "@" + host
	if g.IntN(6) == 0 {
		address = strings.ToUpper(address)
	}
	return address
}

// phone follows the national and international ways of writing of some numbering plans.
func (g generator) phone() string {
	return g.fill(g.of(
		"+1 NXX-NXX-XXXX", "(NXX) NXX-XXXX", "NXX-NXX-XXXX", "NXX.NXX.XXXX", "1-NXX-NXX-XXXX", "+1NXXNXXXXXX",
		"+44 20 7XXX XXXX", "+44 7N00 XXXXXX", "020 7XXX XXXX", "07NXX XXXXXX", "+44 (0)20 7XXX XXXX",
		"+49 30 NXXXXXX", "+49 (0)89 NXXXXX-XX", "030 NXXXXXX", "0171 NXXXXXX", "+49 151 NXXXXXXX", "089/NXXXXXX",
		"+33 6 XX XX XX XX", "06 XX XX XX XX", "01.XX.XX.XX.XX", "+33 (0)1 XX XX XX XX",
		"+41 79 NXX XX XX", "079 NXX XX XX", "+34 6XX XXX XXX", "+39 3XX XXX XXXX", "+31 6 NXXXXXXX", "06-NXXXXXXX",
		"+91 9XXXX XXXXX", "+91-8XXXXXXXXX", "+81 3-NXXX-XXXX", "+86 13X XXXX XXXX", "+55 11 9XXXX-XXXX", "+61 4XX XXX XXX", "04XX XXX XXX",
		"+46 70 NXX XX XX", "+48 5XX XXX XXX", "+353 85 NXX XXXX", "0049 30 NXXXXXX", "+7 9XX NXX-XX-XX", "+972 50-NXX-XXXX",
	))
}

// luhn appends the check digit of ISO/IEC 7812-1, annex B.
func luhn(number string) string {
	sum := 0
	for i := range len(number) {
		d := int(number[len(number)-1-i] - '0')
		if i%2 == 0 {
			d *= 2
			d = d/10 + d%10
		}
		sum += d
	}
	return number + fmt.Sprint((10-sum%10)%10)
}

func (g generator) card() string {
	var number string
	switch g.IntN(5) {
	case 0:
		number = luhn("4" + g.digits(14)) // Visa
	case 1:
		number = luhn(g.of("51", "52", "53", "54", "55") + g.digits(13)) // Mastercard
	case 2:
		number = luhn(g.of("34", "37") + g.digits(12)) // American Express
	case 3:
		number = luhn("6011" + g.digits(11)) // Discover
	default:
		number = luhn("36" + g.digits(11)) // Diners Club
	}
	sep := g.of("", " ", "-")
	if len(number) == 15 {
		return number[:4] + sep + number[4:10] + sep + number[10:]
	}
	var groups []string
	for ; len(number) > 4; number = number[4:] {
		groups = append(groups, number[:4])
	}
	return strings.Join(append(groups, number), sep)
}

// iban makes a number by country, with the check digits of ISO 13616.
func (g generator) iban() string {
	type country struct {
		code  string
		basic string // A for a letter, X for a digit
	}
	countries := []country{
		{"DE", "XXXXXXXXXXXXXXXXXX"}, {"GB", "AAAAXXXXXXXXXXXXXX"}, {"FR", "XXXXXXXXXXXXXXXXXXXXXXX"}, {"NL", "AAAAXXXXXXXXXX"},
		{"ES", "XXXXXXXXXXXXXXXXXXXX"}, {"IT", "AXXXXXXXXXXXXXXXXXXXXXX"}, {"CH", "XXXXXXXXXXXXXXXXX"}, {"NO", "XXXXXXXXXXX"}, {"PL", "XXXXXXXXXXXXXXXXXXXXXXXX"},
		{"BE", "XXXXXXXXXXXX"}, {"AT", "XXXXXXXXXXXXXXXX"}, {"MT", "AAAAXXXXXXXXXXXXXXXXXXXXXXX"},
	}
	c := countries[g.IntN(len(countries))]
	bban := strings.Map(func(r rune) rune {
		if r == 'A' {
			return rune(upperCase[g.IntN(26)])
		}
		return rune('0' + g.IntN(10))
	}, c.basic)
	rest := 0
	for _, r := range bban + c.code + "00" {
		if r >= 'A' {
			rest = (rest*100 + int(r-'A') + 10) % 97
		} else {
			rest = (rest*10 + int(r-'0')) % 97
		}
	}
	number := fmt.Sprintf("%s%02d%s", c.code, 98-rest, bban)
	if g.IntN(2) == 0 {
		return number
	}
	var groups []string
	for ; len(number) > 4; number = number[4:] {
		groups = append(groups, number[:4])
	}
	return strings.Join(append(groups, number), " ")
}

// key follows what vendors document of their keys and tokens.
func (g generator) key() string {
	word := lowerCase + upperCase + numerals
	switch g.IntN(12) {
	case 0:
		return "sk_" + "live_" + g.from(word, 24)
	case 1:
		return "xox" + g.of("b", "p") + "-" + g.digits(12) + "-" + g.digits(12) + "-" + g.from(word, 24)
	case 2:
		return "ghp" + "_" + g.from(word, 36)
	case 3:
		return "AK" + "IA" + g.from(upperCase+"234567", 16)
	case 4:
		return "eyJhbGciOiJIUzI1NiJ9." + "eyJ" + g.from(word, 30) + "." + g.from(word+"-_", 43)
	case 5:
		return "AI" + "za" + g.from(word+"-_", 35)
	case 6:
		return "sk-" + "proj-" + g.from(word, 40)
	case 7:
		return g.from(hex, 40)
	case 8:
		return "glpat" + "-" + g.from(word, 20)
	case 9:
		return "lin_" + "api_" + g.from(word, 40)
	case 10:
		return g.from(hex, 8) + "-" + g.from(hex, 4) + "-4" + g.from(hex, 3) + "-a" + g.from(hex, 3) + "-" + g.from(hex, 12)
	default:
		return "whsec" + "_" + g.from(word, 32)
	}
}

func (g generator) address() string {
	name := g.of("Oak", "Maple", "Kempwood", "Main", "Church", "Martin Luther King", "Pinnickinick", "Station", "Old Mill", "5th")
	switch g.IntN(5) {
	case 0:
		return fmt.Sprintf("%d %s %s", 1+g.IntN(9999), name, g.of("Street", "Road", "Avenue", "Drive", "Lane", "Boulevard", "Court"))
	case 1:
		return fmt.Sprintf("%d %s %s, Apt %d", 1+g.IntN(9999), name, g.of("St.", "Rd.", "Ave", "Dr", "Blvd"), 1+g.IntN(90))
	case 2:
		return fmt.Sprintf("%s %d", g.of("Hauptstraße", "Lindenstr.", "Goetheweg", "Marktplatz", "Schillerallee"), 1+g.IntN(200))
	case 3:
		return fmt.Sprintf("%d %s %s", 1+g.IntN(300), g.of("rue", "avenue", "boulevard"), g.of("de la Paix", "Victor Hugo", "des Lilas"))
	default:
		return fmt.Sprintf("P.O. Box %d", 10+g.IntN(9000))
	}
}

func (g generator) ssn() string { return g.fill("NXX-XX-XXXX") }

func (g generator) ip() string {
	return fmt.Sprintf("%d.%d.%d.%d", 1+g.IntN(222), g.IntN(256), g.IntN(256), 1+g.IntN(254))
}

// sentence puts one or two data of the same case into words, with marks around them.
func (g generator) sentence() (string, []datum) {
	make := func() datum {
		switch g.IntN(9) {
		case 0, 1:
			return datum{"email", g.email()}
		case 2, 3:
			return datum{"phone", g.phone()}
		case 4:
			return datum{"card", g.card()}
		case 5:
			return datum{"iban", g.iban()}
		case 6:
			return datum{"key", g.key()}
		case 7:
			return datum{"address", g.address()}
		default:
			if g.IntN(2) == 0 {
				return datum{"ssn", g.ssn()}
			}
			return datum{"ip", g.ip()}
		}
	}
	first := make()
	data := []datum{first}
	text := g.of(
		"Please use %s from now on.", "it's %s, thanks", "%s", "My details: %s; the export still fails", "(%s)", "I moved, the new one is %s!", "Hi, here it is: \"%s\"",
		"The invoice went to %s\nand not to me.", "%s does not work any more", "you have %s on file, right?", "error for %s: timeout", "old=%s", "<%s>",
	)
	text = fmt.Sprintf(text, first.value)
	if g.IntN(3) == 0 {
		second := make()
		data = append(data, second)
		text += fmt.Sprintf(g.of(" Or take %s.", "\n%s", " / %s", " and also %s please"), second.value)
	}
	return text, data
}
