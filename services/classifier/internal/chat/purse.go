package chat

import (
	"errors"
	"sync"
	"time"
)

// Budget is what calls may cost in a day (UTC), in the currency that the prices are in. The
// stop is hard: a call whose worst case does not fit into what is left is not made. Zero
// PerDay means no bound.
type Budget struct {
	PerDay                       float64
	PromptPrice, CompletionPrice float64 // of a million tokens
}

func (b Budget) check() error {
	if b.PerDay < 0 || b.PromptPrice < 0 || b.CompletionPrice < 0 {
		return errors.New("configure chat model: money is negative")
	}
	if b.PerDay > 0 && b.PromptPrice == 0 && b.CompletionPrice == 0 {
		return errors.New("configure chat model: a budget needs the prices of tokens")
	}
	return nil
}

func (b Budget) cost(u Usage) float64 {
	return (float64(u.Prompt)*b.PromptPrice + float64(u.Completion)*b.CompletionPrice) / 1e6
}

// maxCompletion is how many tokens an answer may have: what a call can cost at most follows
// from it. Twenty-four signals of average length need half of it.
const maxCompletion = 4096

// purse keeps what was spent today, and what calls on their way may still cost.
type purse struct {
	budget Budget
	now    func() time.Time

	mu       sync.Mutex
	day      string
	spent    float64
	reserved float64
}

// reserve sets the worst case of a call aside; ok is false where it does not fit.
func (p *purse) reserve(prompt, completion int) (amount float64, ok bool) {
	amount = p.budget.cost(Usage{Prompt: prompt, Completion: completion})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn()
	if p.budget.PerDay > 0 && p.spent+p.reserved+amount > p.budget.PerDay {
		return 0, false
	}
	p.reserved += amount
	return amount, true
}

// settle replaces what was set aside by what was used, and returns what that cost.
func (p *purse) settle(amount float64, used Usage) float64 {
	cost := p.budget.cost(used)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn()
	p.reserved = max(0, p.reserved-amount)
	p.spent += cost
	return cost
}

// any reports whether something is left.
func (p *purse) any() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn()
	return p.budget.PerDay == 0 || p.spent+p.reserved+p.budget.cost(Usage{Prompt: 1024, Completion: maxCompletion}) <= p.budget.PerDay
}

// turn begins a new day.
func (p *purse) turn() {
	if day := p.now().UTC().Format(time.DateOnly); day != p.day {
		p.day, p.spent = day, 0
	}
}
