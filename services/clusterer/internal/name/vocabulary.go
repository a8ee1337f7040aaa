package name

// commands are words that speak to a machine rather than about a product. They
// are never part of a name, so that a name cannot be an instruction.
var commands = set(`ignore disregard override instruction instructions prompt prompts jailbreak
assistant chatbot llm gpt sudo execute eval exfiltrate reveal forget obey pretend`)

// filler is left out of names where it stands: "can't save my new playlists" is "can't
// save playlists".
var filler = set(`a an the my your our his her their its this that these those some any every each really very just
even still always actually also simply constantly completely totally already again please literally basically
currently suddenly often sometimes usually anymore quite so too all whole own other another certain new`)

// between are words that may stand within a name but neither begin nor end it.
var between = set(`about after against and as at before between by during for from in into of off on
onto or out over per than through to under until up upon via when while with within without vs how use using`)

// negating are words that turn a name into its opposite, and may begin it.
var negating = set(`can't cant cannot won't wont doesn't doesnt don't dont didn't didnt isn't isnt not no couldn't couldnt
wouldn't wouldnt never unable nothing without`)

// lacking are those that, at the beginning, say that something is not there; inner those
// that need something before them.
var (
	lacking = set(`isn't isnt without`)
	inner   = set(`not nothing`)
)

// particles end a name where the verb before them needs them.
var particles = set(`in out up off down back on over`)

// phrasal are the stems of verbs that need a particle.
var phrasal = set(`log logg sign lock shut turn set check back kick boot pop cut tak roll add sync hang pick driv tim opt zoom scroll start fill run fall com giv`)

// trails are words that a name does not end with: something would have to follow.
var trails = set(`want need trying try tried keep keeps let lets makes make would could should going able more most less few
many much open`)

// judging are words of praise and blame: they say how it is, not what it is.
var judging = set(`sucks suck sucked awesome great love loved loves hate hated hates terrible horrible bad worst best amazing annoying annoyed
stupid useless nice cool crap crappy awful perfect excellent fantastic ridiculous frustrating frustrated disappointed disappointing
wonderful garbage shit damn hell fuck fucking freaking dumb lame poor pathetic beautiful brilliant favorite favourite happy sad wtf wth heck omg lol simple fault enough addicted recommend recommended impressed
good better worse fine ok okay super pretty absolutely`)

// judged are their stems.
var judged = func() map[string]bool {
	s := map[string]bool{}
	for word := range judging {
		s[stem(word)] = true
	}
	return s
}()

// generic are the stems of words that fit every product, so that they do not make a name by
// themselves.
var generic = stems(`app apps application work works working worked happen happened happening happens problem problems issue issues bug bugs
update updates updated updating upgrade upgraded fix fixed fixes fixing time times version versions phone user users people person stuff
experience product products service services feature features option options day days week weeks month months year years
lot start started open opened thing way device program software company star stars rating review reviews
change changed able unable want tell told wish guy guys customer customers download downloaded install installed error
recent recently latest second minute minutes hour hours today yesterday tomorrow something anything question
information info number kind type part place point reason money job old different big small real love long help first last
uninstall uninstalled uninstalling reinstall reinstalled reinstalling delete deleted deleting removing nevertheless condition
idea hope wonder complain complaint complaints support loving daily everyday rate rated stars phones mobile
understand understood explain guess mind perfectly properly
call called work piece bit due couple full half high low hard easy quick fast slow`)

// stops are words that say nothing about a subject.
var stops = set(`a about above actually after again against ain't all already also always am an and any anybody
anyone anything anyway are aren't around as ask asked asking at away b back be became because been before being
below best better between both but by c came can can't cannot could couldn't d did didn't do does doesn't doing
don't done dont down during e each either else ever every everyone everything f feel few for from g get gets getting
give given go goes going gonna good got great had hadn't has hasn't have haven't having he he's hello help her here
here's hers hey hi him his hope how how's however i i'd i'll i'm i've if im in into is isn't it it's its itself ive j
just k keep keeps kind kindly know known l last least let let's like likely little ll long look looking lot lots m
made make makes making many may maybe me mean might mine more most much must my myself n near need needed needs
neither never new next no nobody none nor not nothing now o of off often oh ok okay on once one ones only onto or
other others our ours out over own p particular per perhaps please pls possible possibly probably put q quite r rather
re really regarding right s said same saw say saying says see seem seems seen several shall she should shouldn't show
since so some somebody somehow someone something sometimes soon sorry still stuff such sure t take taking tell than
thank thanks that that's thats the their theirs them then there there's these they they're they've thing things think
this those though through thru thus til till to too took toward tried try trying two u under unless until up upon us
use used using usually v very via w wait want wanted wants was wasn't way we we'd we'll we're we've well went were
weren't what what's whatever when where where's whether which while who who's whoever whole whom whose why will with
within without won't would wouldn't x y yeah yes yet you you'd you'll you're you've your yours yourself z`)
