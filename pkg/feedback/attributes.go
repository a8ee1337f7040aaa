package feedback

// Attributes are what a signal says besides its kind; each is zero where it says nothing of
// it. Texts are the customer's own words with personal data masked, on one line.
type Attributes struct {
	SeverityReason string   `json:"severity_reason,omitempty"` // the words that make it as severe as it is
	Churn          float64  `json:"churn,omitempty"`           // how likely the customer leaves, by what is said, in [0, 1]
	Security       bool     `json:"security,omitempty"`        // it is about safety, access or privacy
	Billing        bool     `json:"billing,omitempty"`         // it is about money
	Platform       string   `json:"platform,omitempty"`        // ios, android, windows, macos, linux, blackberry, web or api
	Version        string   `json:"version,omitempty"`         // of the product or the platform, as written
	Amounts        []Amount `json:"amounts,omitempty"`
	Workaround     string   `json:"workaround,omitempty"`  // the way round that was found
	Expected       string   `json:"expected,omitempty"`    // what should have happened
	Actual         string   `json:"actual,omitempty"`      // what did
	Job            string   `json:"job,omitempty"`         // what the customer wants to get done
	Language       string   `json:"language,omitempty"`    // ISO 639-1 code, where it can be told
	Unsupported    bool     `json:"unsupported,omitempty"` // the language is none that the model understands
}

// Amount is a sum of money that was named. Currency is an ISO 4217 code; a bare dollar is
// taken for USD.
type Amount struct {
	Value    float64 `json:"value"`
	Currency string  `json:"currency,omitempty"`
}
