// Package schema describes a plugin's settings. A plugin declares them once, as a Go struct with tags; Of turns it into
// the schema that the host decodes the plugin's block of the configuration file with, and Decode fills the struct from
// what the host sends. Plugins and the host may use it.
//
// Each exported field of the struct is one setting:
//
//	type Config struct {
//		URL     string        `config:"url" doc:"where recordings are kept"`
//		Token   schema.Secret `config:"token,optional"`
//		Timeout time.Duration `config:"timeout" default:"30s"`
//		Limits  *Limits       `config:"limits,block"`
//		Rules   []Rule        `config:"rule,block"`
//	}
//
// A setting must be given unless it is optional or has a default. Fields may be string, Secret, int, int64, float64,
// bool, time.Duration, []string and map[string]string; a block is a struct (must stand once), a pointer to a struct (may
// stand once) or a slice of structs (any number). `sensitive` marks a value that is secret; a Secret always is.
package schema

// Type is the type of an attribute.
type Type int

// The types of attributes. Comments say how a value is written in JSON.
const (
	String     Type = iota + 1 // string
	Int                        // number without fraction, 64 bits
	Float                      // number
	Bool                       // true, false
	Duration                   // string as of time.ParseDuration
	StringList                 // array of strings
	StringMap                  // object whose members are strings
)

// String returns the type in words, with its article, as error messages need it.
func (t Type) String() string {
	switch t {
	case String:
		return "a string"
	case Int:
		return "a whole number"
	case Float:
		return "a number"
	case Bool:
		return "true or false"
	case Duration:
		return `a duration such as "1m30s"`
	case StringList:
		return "a list of strings"
	case StringMap:
		return "a map of strings"
	default:
		return "unknown"
	}
}

// Schema is the form of a block: which attributes and blocks it may hold. Names are unique among both.
type Schema struct {
	Attributes []Attribute
	Blocks     []Block
}

// Attribute is a setting with a value.
type Attribute struct {
	Name        string
	Type        Type
	Required    bool
	Default     string // the value taken where none is set, as JSON; empty when there is none
	Sensitive   bool   // the value must not be printed, logged or stored in the clear
	Description string // a sentence for people
}

// Block is a setting that is a block.
type Block struct {
	Name        string
	Repeated    bool // any number of times, an array in JSON
	Required    bool // exactly once; never together with Repeated
	Body        Schema
	Description string // a sentence for people
}
