// Command nats-jwt lets tests ask the Go libraries of NATS, github.com/nats-io/jwt/v2 and nkeys. It answers each line of
// standard input, a JSON object, with one line:
//
//	{"decode": TOKEN}      {"claims": …, "type": …, "issues": [blocking and other findings of Validate]} or {"error": …}
//	{"generate": SEED}     {"tokens": [{"text", "kind", "claims"}…]}: a random token of each kind, by keys made for it
//	{"measure": {"what", "bytes", "tokens", "seconds"}}
//	                       {"perSecond": …}: how often it seals, opens, signs or verifies so many bytes in one thread, or
//	                       decodes ("chain") all of the tokens
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

type request struct {
	Decode   *string `json:"decode"`
	Generate *int64  `json:"generate"`
	Measure  *task   `json:"measure"`
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 4<<20)
	out := json.NewEncoder(os.Stdout)
	for in.Scan() {
		var asked request
		if err := json.Unmarshal(in.Bytes(), &asked); err != nil {
			fatal(err)
		}
		var answer any
		switch {
		case asked.Decode != nil:
			answer = decode(*asked.Decode)
		case asked.Generate != nil:
			answer = generate(*asked.Generate)
		case asked.Measure != nil:
			answer = map[string]float64{"perSecond": measure(*asked.Measure)}
		default:
			fatal(fmt.Errorf("nothing asked"))
		}
		if err := out.Encode(answer); err != nil {
			fatal(err)
		}
	}
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "nats-jwt:", err)
	os.Exit(1)
}

type decoded struct {
	Claims any      `json:"claims,omitempty"`
	Type   string   `json:"type,omitempty"`
	Issues []string `json:"issues"`
	Error  string   `json:"error,omitempty"`
}

func decode(token string) decoded {
	claims, err := jwt.Decode(token)
	if err != nil {
		// Decode takes a token of no type that it knows for one of version 1.
		if generic, genericErr := jwt.DecodeGeneric(token); genericErr == nil {
			claims, err = generic, nil
		}
	}
	if err != nil {
		return decoded{Error: err.Error(), Issues: []string{}}
	}
	results := jwt.CreateValidationResults()
	claims.Validate(results)
	issues := []string{}
	for _, issue := range results.Issues {
		issues = append(issues, issue.Description)
	}
	return decoded{Claims: claims, Type: string(claims.ClaimType()), Issues: issues}
}

type generated struct {
	Tokens []token `json:"tokens"`
}

type token struct {
	Text   string `json:"text"`
	Kind   string `json:"kind"`
	Claims any    `json:"claims"`
}

// One maker draws everything that chance decides.
type maker struct{ *rand.Rand }

func generate(seed int64) generated {
	m := maker{rand.New(rand.NewSource(seed))}
	operator, account, user := pair(nkeys.CreateOperator), pair(nkeys.CreateAccount), pair(nkeys.CreateUser)
	signing := pair(nkeys.CreateAccount)

	o := jwt.NewOperatorClaims(public(operator))
	o.Name = m.text()
	o.SigningKeys.Add(public(pair(nkeys.CreateOperator)))
	o.Tags.Add(m.text(), "Mixed Case")
	if m.half() {
		o.OperatorServiceURLs.Add("nats://127.0.0.1:4222")
		o.AccountServerURL = "nats://127.0.0.1:4222"
		o.SystemAccount = public(account)
	}
	o.StrictSigningKeyUsage = m.half()

	a := jwt.NewAccountClaims(public(account))
	a.Name = m.text()
	a.Limits.Subs, a.Limits.Data, a.Limits.Payload = m.number(), m.number(), m.number()
	a.Limits.Conn, a.Limits.Imports, a.Limits.Exports = m.number(), m.number(), m.number()
	a.Limits.DisallowBearer = m.half()
	if m.half() {
		a.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: m.number(), DiskStorage: m.number(), Streams: m.number()}
	} else {
		a.Limits.JetStreamTieredLimits = jwt.JetStreamTieredLimits{"R3": {DiskStorage: m.number(), Consumer: m.number()}}
	}
	scope := jwt.NewUserScope()
	scope.Key = public(signing)
	scope.Role = m.text()
	scope.Description = m.text()
	scope.Template.Pub.Allow.Add("app.{{name()}}.>")
	scope.Template.Resp = m.response()
	a.SigningKeys.AddScopedSigner(scope)
	a.SigningKeys.Add(public(pair(nkeys.CreateAccount)))
	a.Revocations = jwt.RevocationList{public(user): m.Int63n(1 << 40), jwt.All: m.Int63n(1 << 40)}
	a.Exports.Add(&jwt.Export{Name: m.text(), Subject: "svc.*.>", Type: jwt.Service, TokenReq: m.half(),
		ResponseType: jwt.ResponseTypeStream, AccountTokenPosition: 2, AllowTrace: m.half(),
		ResponseThreshold: time.Duration(m.Int63()),
		Latency:           &jwt.ServiceLatency{Sampling: jwt.SamplingRate(1 + m.Intn(100)), Results: "latency"}})
	a.Imports.Add(&jwt.Import{Name: m.text(), Subject: "other.>", Account: public(pair(nkeys.CreateAccount)),
		LocalSubject: "mine.>", Type: jwt.Stream})
	if m.half() {
		a.Mappings = jwt.Mapping{"from": {{Subject: "to", Weight: 100}}}
		a.Trace = &jwt.MsgTrace{Destination: "trace", Sampling: 1 + m.Intn(100)}
		a.Description, a.InfoURL = m.text(), "https://example.com/info"
	}
	if m.half() {
		a.DefaultPermissions.Pub.Deny.Add("x.>")
	}

	u := jwt.NewUserClaims(public(user))
	u.Name = m.text()
	u.IssuerAccount = public(account)
	u.Pub.Allow.Add("a.>", m.subject())
	u.Sub.Deny.Add("b.* queue")
	u.Resp = m.response()
	u.Src.Add("127.0.0.0/8", "::1/128")
	u.Times = []jwt.TimeRange{{Start: "08:00:00", End: "18:30:00"}}
	u.Locale = "Europe/Berlin"
	u.BearerToken = m.half()
	u.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard)
	u.Subs, u.Data = m.number(), m.number()
	u.Tags.Add("team:X", m.text())
	if m.half() {
		u.Expires = time.Now().Unix() + m.Int63n(1<<40)
		u.NotBefore = time.Now().Unix() - m.Int63n(1<<20)
		u.Audience = m.text()
	}

	scoped := jwt.NewUserClaims(public(user))
	scoped.Name = m.text()
	scoped.SetScoped(true)
	scoped.IssuerAccount = public(account)

	c := jwt.NewActivationClaims(public(account))
	c.Name = m.text()
	c.ImportSubject = "svc.>"
	c.ImportType = jwt.Service
	c.IssuerAccount = public(account)

	g := jwt.NewGenericClaims(public(user))
	g.Data["anything"] = m.text()
	g.Data["number"] = m.Int31()

	return generated{Tokens: []token{
		encode("operator", o, operator), encode("account", a, operator), encode("user", u, account),
		encode("user", scoped, signing), encode("activation", c, account), encode("generic", g, account),
	}}
}

func encode(kind string, claims jwt.Claims, signer nkeys.KeyPair) token {
	text, err := claims.Encode(signer)
	if err != nil {
		fatal(err)
	}
	return token{Text: text, Kind: kind, Claims: claims}
}

func pair(create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	made, err := create()
	if err != nil {
		fatal(err)
	}
	return made
}

func public(pair nkeys.KeyPair) string {
	key, err := pair.PublicKey()
	if err != nil {
		fatal(err)
	}
	return key
}

func (m maker) half() bool { return m.Intn(2) == 0 }

// Characters that JSON, HTML and terminals treat in their own ways.
var runes = []rune("abcXYZ09 _-<>&\"'\\/\u2028\u2029\u0001\t\u00e9\u4e16\U0001f511{}()")

func (m maker) text() string {
	length := 1 + m.Intn(20)
	text := make([]rune, length)
	for i := range text {
		text[i] = runes[m.Intn(len(runes))]
	}
	return string(text)
}

func (m maker) subject() string { return fmt.Sprintf("s%d.*.>", m.Intn(1000)) }

func (m maker) number() int64 {
	switch m.Intn(4) {
	case 0:
		return -1
	case 1:
		return m.Int63()
	default:
		return m.Int63n(1 << 33)
	}
}

func (m maker) response() *jwt.ResponsePermission {
	return &jwt.ResponsePermission{MaxMsgs: m.Intn(100), Expires: time.Duration(m.Int63())}
}
